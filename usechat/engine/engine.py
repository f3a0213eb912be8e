"""The chat as a state machine: what its users can do.

A plain synchronous object. It knows no thread, clock or socket: actions and chunks go in, requests
to make and events come out. Source: ai 7.0.173, src/ui/chat.ts, AbstractChat.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from usechat.engine.answers import Answer, ApprovalResponse, ToolOutput, answered
from usechat.engine.automatic import waiting_calls
from usechat.engine.events import ErrorChanged
from usechat.engine.exchange import Exchange, RequestOptions, Steps, TurnState
from usechat.engine.restoring import Restoring
from usechat.errors import ChatBusyError, InvalidArgumentError
from usechat.model.messages import UIMessage, message_from

logger = logging.getLogger("usechat")


class ChatEngine(Restoring):
    """The chat. Operations that may call functions of the user's are ``Steps`` to be driven."""

    def send_message(
        self, fields: Mapping[str, Any] | None, edit: str | None, options: RequestOptions
    ) -> Steps[TurnState]:
        """Send a message, put another in the place of one, or send the history as it is.

        Args:
            fields: the message in wire form, its id and role if it has any; None: no message.
            edit: the id of the user's message to replace.
            options: for the requests.

        Raises:
            ChatBusyError: a turn runs, and this does not wait for it.
            InvalidArgumentError: it is no message, or there is none to edit.
        """
        self.check_open()
        if fields is None:
            if self.busy:
                raise ChatBusyError(
                    "A turn is running. send_message(None) sends the history as it is: "
                    "wait for the turn, or stop it first."
                )
            return (yield from self._send_history(options))
        if edit is not None:
            return (yield from self._edit(fields, edit, options))
        waits = self.when_busy == "queue" and (
            self.busy or self._finishing or bool(self.queue) or self._waits_for_user()
        )
        if waits:
            return (yield from self._enqueue(self._user_message(fields), options))
        if self.busy and self.when_busy == "reject":
            raise ChatBusyError(
                "A turn is running, or waits for somebody to await it. Wait for it, stop it, "
                "or say when_busy='queue' or 'interrupt'."
            )
        message = self._user_message(fields)
        yield from self._end_running()
        self._repair()
        self.history.push(message)
        self._changed()
        self.queue.paused = False
        return self._begin_turn("submit-message", None, options)

    def _user_message(self, fields: Mapping[str, Any], message_id: str | None = None) -> UIMessage:
        made = {"role": "user", **{k: v for k, v in fields.items() if k != "messageId"}}
        if made.get("id") is None:
            made["id"] = self._generate_id() if message_id is None else message_id
        if made["role"] is None:
            made["role"] = "user"
        return message_from(made)

    def _edit(
        self, fields: Mapping[str, Any], edit: str, options: RequestOptions
    ) -> Steps[TurnState]:
        self._index_to_edit(edit)
        message = self._user_message(fields, edit)
        yield from self._change_history()
        index = self._index_to_edit(edit)
        self.history.cut(index + 1)
        self._changed()
        self._repair()
        self.history.replace(index, message)
        self._changed()
        self.queue.paused = False
        return self._begin_turn("submit-message", edit, options)

    def _index_to_edit(self, edit: str) -> int:
        index = self.history.find(edit)
        if index is None:
            raise InvalidArgumentError(f'There is no message "{edit}" to edit.')
        if self.history.at(index).role != "user":
            raise InvalidArgumentError(f'Message "{edit}" is not the user\'s, it cannot be edited.')
        return index

    def _change_history(self) -> Steps[None]:
        """What waited was sent after a history that will be another: it is dropped.

        Callbacks run here, which may change the list: indexes are to be looked up again.
        """
        self._drop_queue()
        yield from self._end_running()

    def _drop_queue(self) -> None:
        for turn in self.queue.clear():
            self._close_turn(turn, "dropped")

    def regenerate(self, message_id: str | None, options: RequestOptions) -> Steps[TurnState]:
        """Ask for a reply again.

        Args:
            message_id: an assistant's message, which is dropped with all after it, or a user's,
                which stays; None: the last message.
            options: for the requests.

        Raises:
            InvalidArgumentError: there is no such message.
        """
        self.check_open()
        self._index_to_regenerate(message_id)
        yield from self._change_history()
        index = self._index_to_regenerate(message_id)
        is_reply = self.history.at(index).role == "assistant"
        self.history.cut(index if is_reply else index + 1)
        self._changed()
        self._repair()
        return self._begin_turn("regenerate-message", message_id, options)

    def _index_to_regenerate(self, message_id: str | None) -> int:
        index = len(self.history) - 1 if message_id is None else self.history.find(message_id)
        if index is None or index < 0:
            what = "message" if message_id is None else f'message "{message_id}"'
            raise InvalidArgumentError(f"There is no {what} to regenerate.")
        return index

    def resume_stream(self, options: RequestOptions) -> Steps[TurnState]:
        """Ask for the reply that is running on the server.

        Args:
            options: for the request.
        """
        self.check_open()
        running = self.exchange
        if running is not None and running.request.trigger == "resume-stream":
            yield from self.end_superseded(running)
            self._withdraw()
        else:
            yield from self._end_running()
        return self._begin_turn("resume-stream", None, options)

    def add_answer(self, answer: Answer, options: RequestOptions) -> Steps[TurnState]:
        """Answer a tool call or an approval; the conversation may go on by itself.

        Args:
            answer: the answer. One that nothing waits for changes nothing.
            options: for the requests.
        """
        self.check_open()
        if isinstance(answer, ApprovalResponse):
            in_the_way = self.exchange is not None and not self.busy  # a resume without an answer
            if in_the_way and self._call_to_run(answer) is not None:
                yield from self._end_running()
            turn = self._run_approved(answer, options)
            if turn is not None:
                return turn
            answer = self._without_server(answer)
        elif isinstance(answer, ToolOutput) and self.round is not None:
            round, run = self.round, self._run_for(answer.tool_call_id)
            if run is not None:  # it has been answered by somebody else
                yield from self.tool_ended(round, run, answer)
                return round.turn
        message_id = self._answer(answer)
        stops = self._stops
        if message_id is not None and not self.busy:
            wanted = yield from self._should_send(message_id)
            if wanted and stops == self._stops and not self.busy:
                yield from self._end_running()
                if isinstance(answer, ApprovalResponse):
                    return self._send_approval(message_id, options)
                return self._begin_turn("submit-message", message_id, options)
        yield from self.settle_queue(stops)
        if self.round is not None:
            return self.round.turn
        return TurnState(options, outcome="completed", message=self.history.last())

    def _answer(self, answer: Answer) -> str | None:
        """Put an answer where it belongs; the id of the message that it was for."""
        exchange = self.exchange
        streaming = None if exchange is None else exchange.message_index
        message_id: str | None = None
        for index, message in enumerate(self.history.snapshot()):
            new = answered(message, answer)
            if new is None:
                continue
            message_id = message.id
            if index != streaming:
                self.history.replace(index, new)
            break
        else:
            logger.warning("An answer that nothing waits for changes nothing: %r", answer.of)
            index = -1
        if exchange is not None:
            self._answer_draft(exchange, answer, published=index == streaming)
        if message_id is not None:
            if isinstance(answer, ApprovalResponse):
                self._pending_approval = message_id
            self._changed()
        return message_id

    def _answer_draft(self, exchange: Exchange, answer: Answer, published: bool) -> None:
        """The streaming message gets the answer too, to be shown at its next write."""
        for part in exchange.draft.calls():
            if answer.matches(part.build()):
                part.replace(answer.applied(part.look()))
                exchange.answered.append(part.index)
        if published:
            exchange.announce()
            self.history.written()

    def stop_turn(self, turn: TurnState) -> Steps[None]:
        """End a turn, be it running or waiting.

        Args:
            turn: one of the chat's turns.
        """
        waiting = self.queue.entry_of(turn)
        if waiting is not None:
            self.remove_queued_message(waiting.message.id)
        elif self._is_working(turn):
            yield from self.stop()

    def set_messages(
        self, messages: Iterable[UIMessage], before: tuple[UIMessage, ...] | None = None
    ) -> Steps[bool]:
        """Put other messages in place of all; ends the running turn first.

        Args:
            messages: the new ones.
            before: those that they were made of, if the others must not be lost.

        Returns:
            Whether it was done: not if ``before`` is no longer what is there.
        """
        self.check_open()
        yield from self._end_running()
        if before is not None and self.history.snapshot() is not before:
            return False
        known = waiting_calls(self.history.last())
        self.history.replace_all(messages)
        self._given_up |= waiting_calls(self.history.last()) - known
        self._changed()
        yield from self.settle_queue()  # what messages waited for may be gone
        return True

    def clear_error(self) -> None:
        """From ``error`` back to ``ready``."""
        if self.status == "error":
            self.error = None
            self.outbox.add(ErrorChanged(None))
            self._set_status("clear", None)

    def clear(self) -> Steps[None]:
        """Begin a new chat: stop, forget all, take a new id."""
        self.check_open()
        yield from self.stop()
        self._withdraw()
        self._drop_queue()
        self.queue.paused = False
        self.history.replace_all(())
        self.clear_error()
        self._chat_id = self._pending_approval = self._resumable = None
        self._interrupted = self._given_up = frozenset()
        self._changed()

    def close(self) -> Steps[None]:
        """End everything; nothing can be sent any more."""
        if not self.closed:
            self.closed = True
            self._drop_queue()
            yield from self.stop()
