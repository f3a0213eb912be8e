"""An exchange begins, opens and receives.

What comes in for an exchange that is over is dropped here. Source: ai 7.0.173, src/ui/chat.ts,
makeRequest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from usechat.engine.core import ChatCore
from usechat.engine.draft import Draft
from usechat.engine.events import DataReceived, ToolCalled
from usechat.engine.exchange import (
    ChatRequest,
    Effect,
    Exchange,
    Response,
    Steps,
    Trigger,
    TurnState,
)
from usechat.engine.reducer import handler_of
from usechat.engine.reducer.joining import join_deltas
from usechat.engine.reducer.message import check_metadata, merge_metadata
from usechat.engine.reducer.parts import update_data
from usechat.errors import CallbackError
from usechat.model.chunks import DataChunk, ToolCall, UIMessageChunk
from usechat.model.messages import UIMessage

# What a server may send before the ``start`` of a reply: the AI SDK 4 does.
_BEFORE_START = ("data-", "source-", "file", "message-metadata")


class Exchanges(ChatCore, ABC):
    """One exchange after the other."""

    @abstractmethod
    def fail(self, exchange: Exchange, error: Exception) -> Steps[None]:
        """The exchange failed."""

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
            target, draft = self._draft_for(trigger, message_id)
        # All ids are made before anything changes: generate_id is the user's and may raise.
        chat_id = self.chat_id
        self._open_turns[turn] = None
        if not resume:
            self._resumable = None
            self._set_status("submit", None)
        request = ChatRequest(
            trigger,
            chat_id,
            self.history.snapshot(),
            message_id,
            turn.options,
            tuple(self.tools.values()),
        )
        exchange = Exchange(turn, request, draft, self.outbox, self.strict, self.types)
        exchange.connecting = resume
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
            try:
                self._continue_resumed(exchange)
            except CallbackError as error:
                yield from self.fail(exchange, error)
                return
            exchange.connecting = False
            self._set_status("submit", None)
            self._changed()

    def responded(self, exchange: Exchange, response: Response) -> Steps[None]:
        """The endpoint has answered, be it with a reply or with an error.

        Args:
            exchange: the exchange.
            response: the head of the response.
        """
        exchange.response = response
        try:
            yield from self._call("on_response", response)
        except CallbackError as error:
            yield from self.fail(exchange, error)

    def _continue_resumed(self, exchange: Exchange) -> None:
        """Find the message that a resumed reply goes on with."""
        exchange.resets = self.replays
        if self._resumable is not None:
            exchange.draft = self._resumable
            index = self.history.find_reply(exchange.draft.id)
        else:
            last = self.history.last()
            new_id = self._generate_id()
            unfinished = last is not None and last.role == "assistant" and _is_unfinished(last)
            exchange.draft = Draft(last.id, last) if unfinished and last else Draft(new_id)
            index = len(self.history) - 1 if unfinished else None
        if index is not None:
            self.history.stand_in(exchange, index)

    def receive_some(
        self, exchange: Exchange, chunks: Sequence[UIMessageChunk], at: int, most: int
    ) -> tuple[int, Steps[None] | None]:
        """Apply chunks, up to one in which functions of the user's take part.

        Deltas that follow each other are applied as one; where every change is recorded it is one
        chunk at a time.

        Args:
            exchange: the exchange whose reply they came in.
            chunks: valid chunks.
            at: the place of the first.
            most: how many, at most.

        Returns:
            The place of the next, and what is left to do, as ``receive`` gives it.

        Raises:
            As ``receive``.
        """
        end = min(at + (1 if self.records else most), len(chunks))
        while at < end:
            first = at
            chunk, at = join_deltas(exchange, chunks, first, end)
            steps = self.receive(exchange, chunk)
            exchange.received += at - first - 1
            if steps is not None:
                return at, steps
        return at, None

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
        kind = chunk["type"]
        effect = handler_of(kind)(exchange, chunk)
        exchange.received += 1
        if exchange.resets and kind != "start" and not kind.startswith(_BEFORE_START):
            exchange.resets = False  # no reply begins so: this one goes on
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
        if self.status != "streaming":
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
        given, own = chunk.get("messageId"), exchange.draft.id
        # A user's message keeps its id, and so does the reply. (The SDK leaves a copy behind.)
        message_id = own if given is None or not self.history.is_free(given) else given
        is_other = message_id != own
        resets = self._resets(exchange, is_other)
        exchange.resets = False
        if resets:
            self._begin_anew(exchange, message_id)
        base = exchange.draft.fields.get("metadata")
        check_metadata(exchange, chunk, base, exchange.received - 1)
        if is_other and not resets:
            self.history.rename(exchange, message_id)
        has_metadata = merge_metadata(exchange, chunk)
        if resets or given is not None or has_metadata:
            self._publish(exchange)
            self._changed()

    def _resets(self, exchange: Exchange, is_other: bool) -> bool:
        """Whether a ``start`` throws away what is there of the message."""
        if exchange.received == 1:
            return exchange.resets or (exchange.request.trigger == "resume-stream" and is_other)
        # What came before it in this reply is all there is, or else is lost with the older.
        is_older = exchange.draft.continued > 0 or exchange.draft is self._resumable
        return exchange.resets and is_older

    def _begin_anew(self, exchange: Exchange, message_id: str) -> None:
        index, resumed = self.history.find_reply(message_id), exchange.draft
        before = None if index is None else self.history.at(index)
        exchange.replaces = exchange.replaces or before
        self.history.release()
        exchange.message_index = None
        exchange.draft = Draft(message_id)
        if self._resumable is resumed:
            # What stood there before the reply is not sent again: a step whose calls ran here.
            kept = None if before is None else before.parts[: resumed.continued]
            if before is not None and kept:
                message = before.model_copy(update={"id": message_id, "parts": kept})
                exchange.draft = Draft(message_id, message)
            self._resumable = exchange.draft
        exchange.turn.first_part = exchange.draft.continued

    def _keep_longer(self, exchange: Exchange) -> None:
        """Keep what was there, where a reply that was sent again has not come as far."""
        before, index = exchange.replaces, exchange.message_index
        if before is None or index is None or self.history.at(index).id != before.id:
            return
        now, then = _extent(self.history.at(index)), _extent(before)
        is_less = any(n < t for n, t in zip(now, then, strict=True))
        if is_less and now.calls <= then.calls:  # an answer that came meanwhile counts more
            self.history.replace(index, before)
            short, longer = exchange.draft, Draft(before.id, before)
            longer.continued, longer.finish_reason = short.continued, short.finish_reason
            if self._resumable is short:
                self._resumable = longer
            exchange.draft, exchange.turn.message = longer, before
            self._changed()

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
            update_data(exchange, chunk)
            self._write(exchange)


class _Extent(NamedTuple):
    """How far a message has come: its calls, its parts, its text."""

    calls: int
    parts: int
    text: int


# How far a call has come that has no end.
_STATES = ("input-streaming", "input-available", "approval-requested", "approval-responded")


def _extent(message: UIMessage) -> _Extent:
    states = [part.state for part in message.tool_parts]
    ranks = [_STATES.index(s) if s in _STATES else len(_STATES) for s in states]
    text = sum(len(getattr(part, "text", "")) for part in message.parts)
    return _Extent(sum(ranks), len(message.parts), text)


def _is_unfinished(message: UIMessage) -> bool:
    """Whether a tool call of the message can still get its input or output from the server."""
    return any(
        part.state in ("input-streaming", "approval-responded")
        or (part.state == "input-available" and bool(part.provider_executed))
        for part in message.tool_parts
    )
