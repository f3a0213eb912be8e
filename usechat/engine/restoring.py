"""Back to a state that was whole.

An interrupt (Ctrl-C) may hit between any two lines, and leave an operation half done. Nothing that
it may have been changing is trusted then; only what cannot change is: published messages, tuples,
and the one who holds them, the ``Checkpoint``.
"""

from __future__ import annotations

from typing import NamedTuple

from usechat.engine.answers import ToolOutput, answered_at
from usechat.engine.automatic import waiting_calls
from usechat.engine.draft import Draft
from usechat.engine.events import (
    ChatState,
    ErrorChanged,
    Event,
    Mark,
    MessagesReplaced,
    QueueChanged,
    StatusChanged,
    TurnFinished,
)
from usechat.engine.exchange import Exchange, RequestOptions, TurnState
from usechat.engine.queue import QueuedMessage
from usechat.engine.queueing import Queueing
from usechat.engine.tool_round import ToolRun
from usechat.engine.tool_rounds import NO_RESULT
from usechat.model.messages import UIMessage


class Running(NamedTuple):
    """What has to be remembered of an exchange that runs, and of its turn.

    Attributes:
        exchange: the exchange.
        message_index: as the exchange has it.
        finish_reason: as its draft has it.
        requests: as its turn has it.
        first_part: as its turn has it.
    """

    exchange: Exchange
    message_index: int | None
    finish_reason: str | None
    requests: int
    first_part: int


class Checkpoint(NamedTuple):
    """A state to go back to.

    Attributes:
        state: what the chat showed.
        queue: the messages that waited, with their turns.
        paused: whether the queue waited for the user.
        deferred: request options for an answered approval that had to be sent first.
        chat_id: the chat's id, if it was made already.
        pending_approval: the message with an answered approval that was not sent.
        given_up: the tool calls that nobody is about to answer.
        interrupted: the messages whose server was interrupted.
        running: the exchange that ran.
        calls: the tool calls that ran, where no exchange did.
        busy: whether a turn had begun and was not over, perhaps between two exchanges.
        closed: whether the chat was closed.
        mark: what the observers had still to be told.
    """

    state: ChatState
    queue: tuple[QueuedMessage, ...]
    paused: bool
    deferred: RequestOptions | None
    chat_id: str | None
    pending_approval: str | None
    given_up: frozenset[str]
    interrupted: frozenset[str]
    running: Running | None
    calls: tuple[ToolRun, ...]
    busy: bool
    closed: bool
    mark: Mark


class Restoring(Queueing):
    """The way back."""

    def checkpoint(self) -> Checkpoint:
        """What ``restore`` needs; costs what ``state`` does."""
        return Checkpoint(
            self.state(),
            self.queue.entries,
            self.queue.paused,
            self.queue.deferred,
            self._chat_id,
            self._pending_approval,
            self._given_up,
            self._interrupted,
            self._running(),
            () if self.round is None else tuple(r for r in self.round.runs if not r.over),
            len(self._open_turns) > len(self.queue),
            self.closed,
            self.outbox.mark(),
        )

    def _running(self) -> Running | None:
        exchange = self.exchange
        if exchange is None:
            return None
        turn = exchange.turn
        reason = exchange.draft.finish_reason
        return Running(exchange, exchange.message_index, reason, turn.requests, turn.first_part)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back, out of whatever state: what ran is stopped, what waited waits again.

        An interrupt may hit here too: to do it all again does it all.

        Args:
            checkpoint: a state of this chat.
        """
        self._stops += 1
        checkpoint = _without_calls(checkpoint)
        waiting = [entry.turn for entry in checkpoint.queue]
        ended = [turn for turn in self._open_turns if turn not in waiting]
        for turn in ended:
            self._end_torn(turn, checkpoint)
        for exchange in self._torn_exchanges(checkpoint):
            _let_go(exchange)
        self._put_back(checkpoint)
        self._tell_restored(checkpoint, ended, waiting)
        # Only now: this is how the turns and exchanges are found again after an interrupt.
        self._open_turns = dict.fromkeys(waiting)
        for turn in waiting:
            turn.wait_again()
        self.exchange = None
        if self.round is not None:
            self.round.over, self.round = True, None
        if self.records:
            self.outbox.close_batch(self.state())

    def _end_torn(self, turn: TurnState, checkpoint: Checkpoint) -> None:
        """Stop a turn, unless it is over."""
        if turn.over:
            return
        messages, running = checkpoint.state.messages, checkpoint.running
        if running is not None and running.exchange.turn is turn:
            turn.exchange = running.exchange
            turn.requests, turn.first_part = running.requests, running.first_part
            turn.finish_reason = running.finish_reason
            index = running.message_index
            turn.message = None if index is None else messages[index]
        elif turn.exchange is not None:
            turn.finish_reason = turn.exchange.draft.finish_reason
            turn.message = _reply(messages, turn.exchange.draft.id)
        turn.error = None
        turn.limit_reached = turn.queued = False
        turn.outcome = "stopped"  # last, since whoever waits looks at the others then

    def _torn_exchanges(self, checkpoint: Checkpoint) -> list[Exchange]:
        """All that may still be written to."""
        running = checkpoint.running
        found = [None if running is None else running.exchange, self.exchange]
        found += [turn.exchange for turn in self._open_turns]
        return [exchange for exchange in found if exchange is not None]

    def _put_back(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.state
        self.history.restore(state.messages)
        paused = checkpoint.paused or checkpoint.busy  # to be stopped pauses the queue
        self.queue.restore(checkpoint.queue, paused, checkpoint.deferred)
        self.status = "ready" if state.status in ("submitted", "streaming") else state.status
        self.error = state.error
        self.closed = checkpoint.closed
        self._chat_id = checkpoint.chat_id
        self._pending_approval = checkpoint.pending_approval
        stopped = waiting_calls(self.history.last()) if checkpoint.busy else frozenset()
        self._given_up = checkpoint.given_up | stopped
        self._interrupted = checkpoint.interrupted
        self._resumable = None
        self._finishing = False

    def _tell_restored(
        self, checkpoint: Checkpoint, ended: list[TurnState], waiting: list[TurnState]
    ) -> None:
        redraw: list[Event] = [
            MessagesReplaced(0),
            StatusChanged(self.status),
            ErrorChanged(self.error),
            QueueChanged(self.queue.messages),
        ]
        finished: list[Event] = [TurnFinished(self.view_of(turn)) for turn in ended]
        again: list[Event] = [TurnFinished(self.view_of(turn)) for turn in waiting if turn.over]
        self.outbox.restore(checkpoint.mark, redraw, finished, again)


def _without_calls(checkpoint: Checkpoint) -> Checkpoint:
    """The state with an end for the tool calls that ran: no request may go out without."""
    if not checkpoint.calls:
        return checkpoint
    messages = list(checkpoint.state.messages)
    for run in checkpoint.calls:
        error = ToolOutput.error(run.tool_call_id, NO_RESULT)
        before = messages[run.message_index]
        messages[run.message_index] = answered_at(before, run.part_index, error)
    return checkpoint._replace(state=checkpoint.state._replace(messages=tuple(messages)))


def _reply(messages: tuple[UIMessage, ...], message_id: str) -> UIMessage | None:
    found = (m for m in reversed(messages) if m.id == message_id and m.role == "assistant")
    return next(found, None)


def _let_go(exchange: Exchange) -> None:
    """Let nothing more come in, and show what its turn shows."""
    exchange.over = True
    torn, message = exchange.draft, exchange.turn.message
    draft = Draft(torn.id if message is None else message.id, message)
    draft.finish_reason = exchange.turn.finish_reason
    exchange.draft = draft
