"""The life of an exchange: begun, opened, received, and finished, failed or stopped.

Source: ai 7.0.173, src/ui/chat.ts, makeRequest. Here there is one exchange at a time; what comes in
for one that is over is dropped.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from usechat.engine.draft import Draft
from usechat.engine.events import (
    ChatState,
    DataReceived,
    ErrorChanged,
    Outbox,
    StatusChanged,
    ToolCalled,
    TurnFinished,
)
from usechat.engine.exchange import (
    Callbacks,
    Callout,
    ChatRequest,
    Effect,
    Exchange,
    Finish,
    Outcome,
    Response,
    Steps,
    Trigger,
    TurnState,
)
from usechat.engine.history import History
from usechat.engine.queue import SendQueue
from usechat.engine.reducer import handler_of
from usechat.engine.reducer.message import merge_metadata
from usechat.engine.status import TRANSITIONS, ChatStatus, StatusEvent
from usechat.errors import CallbackError, ConnectionBrokenError
from usechat.model.chunks import DataChunk, ToolCall, UIMessageChunk
from usechat.model.messages import UIMessage

logger = logging.getLogger("usechat")


class Exchanges(ABC):
    """One exchange after the other, and what they do to the messages and the status.

    Attributes:
        history: the messages.
        outbox: events on their way to the observers.
        queue: messages that wait.
        status: where the chat is.
        error: what went wrong last.
        exchange: the one that runs.
        strict: whether replies are read as the SDK reads them.
        require_finish: whether a reply without the protocol's own end is incomplete.
        replays: whether a resumed reply comes from its begin.
        records: whether every change is delivered by itself, with its state.
        view_of: what a turn is to observers.
    """

    def __init__(
        self,
        *,
        chat_id: str | None,
        messages: Iterable[UIMessage],
        generate_id: Callable[[], str],
        callbacks: Callbacks,
        queue_limit: int,
        max_steps: int | None,
    ) -> None:
        self.outbox = Outbox()
        self.history = History(messages, self.outbox)
        self.queue = SendQueue(self.outbox, queue_limit)
        self.callbacks = callbacks
        self.max_steps = max_steps
        self.status: ChatStatus = "ready"
        self.error: Exception | None = None
        self.exchange: Exchange | None = None
        self.strict = False
        self.require_finish = True
        self.replays = True
        self.records = False
        self.view_of: Callable[[TurnState], Any] = lambda turn: turn
        self._generate_id = generate_id
        self._chat_id = chat_id
        self._finishing = False
        self._stops = 0
        self._interrupted: set[str] = set()
        self._resumable: Draft | None = None
        self._pending_approval: str | None = None

    @property
    def chat_id(self) -> str:
        """The chat's id, made when it is first asked for."""
        if self._chat_id is None:
            self._chat_id = self._generate_id()
        return self._chat_id

    def state(self) -> ChatState:
        """What the chat shows now."""
        return ChatState(self.history.snapshot(), self.status, self.error, self.queue.messages)

    # ------------------------------------------------------------------ begin

    def begin(self, turn: TurnState, trigger: Trigger, message_id: str | None = None) -> None:
        """Ask for a request; whoever drives the turn makes it.

        Args:
            turn: the turn that it belongs to.
            trigger: why.
            message_id: the message that is edited, regenerated or continued.
        """
        resume = trigger == "resume-stream"
        if resume:
            target, draft = None, Draft("")
        else:
            self._resumable = None
            self._set_status("submit", None)
            target, draft = self._draft_for(trigger, message_id)
        request = ChatRequest(
            trigger, self.chat_id, self.history.snapshot(), message_id, turn.options
        )
        exchange = Exchange(turn, request, draft, self.outbox, self.strict, connecting=resume)
        exchange.publish = lambda: self._publish(exchange)
        if target is not None:
            self.history.stand_in(exchange, target)
            if turn.requests == 0:
                turn.first_part = len(draft.parts)
        turn.exchange = self.exchange = exchange
        turn.requests += 1
        self._changed()

    def _draft_for(self, trigger: Trigger, message_id: str | None) -> tuple[int | None, Draft]:
        """The message that a reply writes, and where it stands if it is there already."""
        new_id = self._generate_id()
        index: int | None = len(self.history) - 1
        if trigger == "submit-message" and message_id is not None:
            found = self.history.find(message_id)
            index = index if found is None else found
        if trigger == "regenerate-message" or index is None or index < 0:
            return None, Draft(new_id)
        message = self.history.at(index)
        if message.role != "assistant":
            return None, Draft(new_id)
        return self.history.find_last(message.id), Draft(message.id, message)

    def opened(self, exchange: Exchange, response: Response | None) -> Steps[None]:
        """The reply is there, its chunks will come.

        Args:
            exchange: the exchange.
            response: the head of the response, where there is one.
        """
        if exchange.over:
            return
        if response is not None:
            yield from self.responded(exchange, response)
        if not exchange.over and exchange.connecting:
            exchange.connecting = False
            self._set_status("submit", None)
            self._continue_resumed(exchange)
            self._changed()

    def responded(self, exchange: Exchange, response: Response) -> Steps[None]:
        """The endpoint has answered, be it with a reply or with an error.

        Args:
            exchange: the exchange.
            response: the head of the response.
        """
        try:
            yield from self._call("on_response", response)
        except CallbackError as error:
            yield from self.fail(exchange, error)

    def _continue_resumed(self, exchange: Exchange) -> None:
        """Find the message that a resumed reply goes on with."""
        exchange.resets = self.replays
        if self._resumable is not None:
            exchange.draft = self._resumable
            index = self.history.find_last(exchange.draft.id)
        else:
            last = self.history.last()
            new_id = self._generate_id()
            unfinished = last is not None and last.role == "assistant" and _is_unfinished(last)
            exchange.draft = Draft(last.id, last) if unfinished and last else Draft(new_id)
            index = len(self.history) - 1 if unfinished else None
        if index is not None:
            self.history.stand_in(exchange, index)

    def nothing_to_resume(self, exchange: Exchange) -> None:
        """There is no running reply.

        Args:
            exchange: the resume.
        """
        if exchange.over:
            return
        self._resumable = None
        self._end(exchange)
        self._set_status("settle", None)
        self._close_turn(exchange.turn, "completed")

    # ---------------------------------------------------------------- receive

    def receive(self, exchange: Exchange, chunk: UIMessageChunk) -> Steps[None] | None:
        """Apply a chunk.

        Args:
            exchange: the exchange whose reply it came in.
            chunk: a valid chunk.

        Returns:
            What is left to do, where functions of the user's take part in it.

        Raises:
            StreamProtocolError: it does not fit what came before; the caller calls ``fail``.
            ServerError: it is an error of the server's; the caller calls ``fail``.
        """
        if exchange.over:
            return None
        effect = handler_of(chunk["type"])(exchange, chunk)
        exchange.received += 1
        if effect is Effect.CONTENT:
            self._write(exchange)
        elif effect is Effect.START:
            self._start(exchange, chunk)
        elif effect is Effect.CALL:
            self._write(exchange)
            return self._tool_called(exchange, chunk)
        elif effect is not None:
            return self._data_received(exchange, chunk, effect)
        return None

    def _write(self, exchange: Exchange) -> None:
        self._publish(exchange)
        if self.status != "streaming" or self.error is not None:
            self._set_status("write", None)
        else:
            self._changed()

    def _publish(self, exchange: Exchange) -> None:
        exchange.draft.write()
        if exchange.message_index is None:
            self.history.attach(exchange)
        self.history.written()
        exchange.announce()

    def _start(self, exchange: Exchange, chunk: UIMessageChunk) -> None:
        """The message begins: it may get an id, or start over where a reply is replayed."""
        message_id = chunk.get("messageId")
        draft = exchange.draft
        is_other = message_id is not None and message_id != draft.id
        resets = exchange.resets or (exchange.request.trigger == "resume-stream" and is_other)
        exchange.resets = False
        if resets:
            self._begin_anew(exchange, message_id or draft.id)
        elif message_id is not None and is_other:
            self.history.rename(exchange, message_id)
        has_metadata = merge_metadata(exchange, chunk)
        if resets or message_id is not None or has_metadata:
            self._publish(exchange)
            self._changed()

    def _begin_anew(self, exchange: Exchange, message_id: str) -> None:
        self.history.release()
        exchange.message_index = None
        resumed, exchange.draft = exchange.draft, Draft(message_id)
        if self._resumable is resumed:
            self._resumable = exchange.draft
        exchange.turn.first_part = 0

    def _tool_called(self, exchange: Exchange, chunk: UIMessageChunk) -> Steps[None]:
        call = ToolCall.model_validate(chunk)
        self.outbox.add(ToolCalled(call))
        try:
            yield from self._call("on_tool_call", call)
        except CallbackError as error:
            yield from self.fail(exchange, error)

    def _data_received(
        self, exchange: Exchange, chunk: UIMessageChunk, effect: Effect
    ) -> Steps[None]:
        data = DataChunk.model_validate(chunk)
        self.outbox.add(DataReceived(data))
        try:
            yield from self._call("on_data", data, published=False)
        except CallbackError as error:
            yield from self.fail(exchange, error)
        if effect is Effect.DATA and not exchange.over:
            self._write(exchange)

    # -------------------------------------------------------------------- end

    def finish(self, exchange: Exchange) -> Steps[None]:
        """The reply ended cleanly.

        Args:
            exchange: the exchange.
        """
        if exchange.over:
            return
        turn, reason = exchange.turn, exchange.draft.finish_reason
        self._resumable = None
        self._end(exchange)
        self._set_status("settle", None)
        self._note_interruption(exchange)
        interrupted = reason == "interrupted"
        goes_on = False
        try:
            yield from self._call_on_finish(exchange)
            stops = self._stops
            if not interrupted:
                goes_on = yield from self._go_on(exchange)
        except CallbackError as error:
            yield from self._finish_failed(exchange, error)
            return
        if goes_on:
            return
        self._close_turn(turn, _outcome(exchange, self.require_finish))
        if interrupted:
            self.queue.paused = True
        else:
            yield from self.settle_queue(stops)

    def fail(self, exchange: Exchange, error: Exception) -> Steps[None]:
        """The exchange failed; what came before stays.

        Args:
            exchange: the exchange.
            error: one of ours.
        """
        if exchange.over:
            return
        is_disconnect = isinstance(error, ConnectionBrokenError)
        if not exchange.connecting:
            if is_disconnect:
                self._resumable = exchange.draft
            elif self._resumable is exchange.draft:
                self._resumable = None
        try:
            yield from self._call("on_error", error)
        except CallbackError as from_callback:
            logger.exception("on_error raised", exc_info=from_callback.__cause__)
        if exchange.over:
            return
        self._end(exchange)
        self._set_status("fail", error)
        if not exchange.connecting:
            self._note_interruption(exchange, failed=True)
            try:
                yield from self._call_on_finish(exchange, disconnect=is_disconnect, failed=True)
            except CallbackError as from_callback:
                logger.exception("on_finish raised", exc_info=from_callback.__cause__)
            self.queue.paused = True
        if exchange.approval is not None and self._pending_approval is None:
            self._pending_approval = exchange.draft.id
        self._close_turn(exchange.turn, "error", error)

    def _finish_failed(self, exchange: Exchange, error: CallbackError) -> Steps[None]:
        """on_finish raised: the reply is there, but the turn did not end well."""
        try:
            yield from self._call("on_error", error)
        except CallbackError as from_callback:
            logger.exception("on_error raised", exc_info=from_callback.__cause__)
        if self.exchange is None:
            self._set_status("fail", error)
        self.queue.paused = True
        self._close_turn(exchange.turn, "error", error)

    def end_stopped(self, exchange: Exchange) -> Steps[None]:
        """End the running exchange because somebody wants it to stop.

        Args:
            exchange: the exchange.
        """
        if self._resumable is exchange.draft or exchange.connecting:
            self._resumable = None
        self._end(exchange)
        self._set_status("settle", None)
        yield from self._tell_stopped(exchange)

    def end_cancelled(self, exchange: Exchange) -> Steps[None]:
        """End an exchange because the task that drove it was cancelled.

        Args:
            exchange: the exchange.
        """
        if not exchange.over:
            self._stops += 1
            yield from self.end_stopped(exchange)

    def end_superseded(self, exchange: Exchange) -> Steps[None]:
        """End a running resume because another takes its place; the status stays.

        Args:
            exchange: the resume.
        """
        self._end(exchange)
        yield from self._tell_stopped(exchange)

    def _tell_stopped(self, exchange: Exchange) -> Steps[None]:
        if not exchange.connecting:
            self._note_interruption(exchange, failed=True)
            try:
                yield from self._call_on_finish(exchange, abort=True)
            except CallbackError as error:
                logger.exception("on_finish raised", exc_info=error.__cause__)
            self.queue.paused = True
        self._close_turn(exchange.turn, "stopped")

    def _end(self, exchange: Exchange) -> None:
        """From here on nothing more of this exchange is heard."""
        turn = exchange.turn
        exchange.over = True
        self.exchange = None
        self.history.release()
        turn.finish_reason = exchange.draft.finish_reason
        if exchange.message_index is not None:
            turn.message = self.history.at(exchange.message_index)

    def _close_turn(
        self, turn: TurnState, outcome: Outcome, error: Exception | None = None
    ) -> None:
        if turn.over:
            return
        turn.outcome = outcome
        turn.error = error
        turn.queued = False
        self.outbox.add(TurnFinished(self.view_of(turn)))
        self._changed()

    def _note_interruption(self, exchange: Exchange, failed: bool = False) -> None:
        """Remember that the server was interrupted: late tool outputs send nothing then."""
        if exchange.draft.finish_reason == "interrupted":
            self._interrupted.add(exchange.draft.id)
        elif not failed:
            self._interrupted.discard(exchange.draft.id)

    # ------------------------------------------------------------- going on

    def _go_on(self, exchange: Exchange) -> Steps[bool]:
        """Send the messages again where the conversation goes on by itself."""
        turn, stops = exchange.turn, self._stops
        last = self.history.last()
        wanted = yield from self._should_send(last.id if last else None)
        if not wanted or stops != self._stops or self.exchange is not None or last is None:
            return False
        if self._would_repeat(exchange, last):
            # The same request would bring the same reply, for ever.
            self._close_turn(turn, "incomplete")
            return False
        if self.max_steps is not None and turn.requests >= self.max_steps:
            turn.limit_reached = True
            logger.warning("A turn ended after %d requests (max_steps).", turn.requests)
            return False
        self.begin(turn, "submit-message", last.id)
        return True

    def _would_repeat(self, exchange: Exchange, last: UIMessage) -> bool:
        """Whether to send now is to ask for the same again: the reply changed nothing."""
        before = exchange.request
        return (
            before.trigger == "submit-message"
            and before.message_id == last.id
            and len(before.messages) == len(self.history)
            and before.messages[-1] == last
        )

    def _should_send(self, message_id: str | None) -> Steps[bool]:
        last = self.history.last()
        concerned = {message_id, last.id if last else None}
        if self.callbacks.send_automatically_when is None or concerned & self._interrupted:
            return False
        return bool((yield from self._call("send_automatically_when", self.history.snapshot())))

    @abstractmethod
    def settle_queue(self, stops: int | None = None, skip_wait: bool = False) -> Steps[None]:
        """Send the next message that waits, if the chat is free for it.

        Args:
            stops: do nothing if somebody has stopped since this count.
            skip_wait: send although the last message waits for the user.
        """

    # ---------------------------------------------------------------- helpers

    def _call(self, name: str, *arguments: Any, published: bool = True) -> Steps[Any]:
        function = getattr(self.callbacks, name)
        if function is None:
            return None
        return (yield Callout(name, function, arguments, published))

    def _call_on_finish(
        self,
        exchange: Exchange,
        *,
        abort: bool = False,
        disconnect: bool = False,
        failed: bool = False,
    ) -> Steps[None]:
        draft = exchange.draft
        finish = Finish(
            draft.build(),
            self.history.snapshot(),
            abort,
            disconnect,
            failed,
            draft.finish_reason,
        )
        self._finishing = True
        try:
            yield from self._call("on_finish", finish)
        finally:
            self._finishing = False

    def _set_status(self, event: StatusEvent, error: Exception | None) -> None:
        status = TRANSITIONS[self.status][event]
        changed = False
        if status != self.status:
            self.status = status
            self.outbox.add(StatusChanged(status))
            changed = True
        if error is not self.error:
            self.error = error
            self.outbox.add(ErrorChanged(error))
            changed = True
        if changed:
            self._changed()

    def _changed(self) -> None:
        self.outbox.changed = True
        if self.records:
            self.outbox.close_batch(self.state())


def _is_unfinished(message: UIMessage) -> bool:
    """Whether a tool call of the message can still get its input or output from the server."""
    return any(
        part.state in ("input-streaming", "approval-responded")
        or (part.state == "input-available" and bool(part.provider_executed))
        for part in message.tool_parts
    )


def _outcome(exchange: Exchange, require_finish: bool) -> Outcome:
    if exchange.aborted:
        return "stopped"
    return "completed" if exchange.ended or not require_finish else "incomplete"
