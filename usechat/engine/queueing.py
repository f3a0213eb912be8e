"""Messages that wait, and the answered approval that goes before them.

Source: ai 7.0.173, src/ui/chat.ts, experimental_queue.
"""

from __future__ import annotations

from usechat.engine.automatic import has_unsent_approval
from usechat.engine.exchange import RequestOptions, Steps, Trigger, TurnState
from usechat.engine.queue import QueuedMessage
from usechat.engine.repairing import Repairing
from usechat.errors import CallbackError, ChatBusyError, ChatClosedError
from usechat.model.messages import UIMessage


class Queueing(Repairing):
    """One message after the other."""

    @property
    def busy(self) -> bool:
        """Whether a turn runs. A resume without an answer yet is none, nor is one nobody awaits."""
        running = self.exchange
        if running is None:
            return self.round is not None and not self.round.turn.abandoned
        return not (running.connecting or running.turn.abandoned)

    def check_open(self) -> None:
        """Refuse to go on after ``close``.

        Raises:
            ChatClosedError: it has been closed.
        """
        if self.closed:
            raise ChatClosedError("This chat has been closed. Make a new one.")

    def _begin_turn(
        self, trigger: Trigger, message_id: str | None, options: RequestOptions
    ) -> TurnState:
        turn = TurnState(options)
        self.begin(turn, trigger, message_id)
        return turn

    def _end_running(self) -> Steps[None]:
        """Make room for what an action brings."""
        running, paused = self.work, self.queue.paused
        if running is not None:
            self._stops += 1
            yield from self._end_work()
            # Nobody has stopped a turn that nobody awaits.
            self.queue.paused = paused if running.turn.abandoned else self.queue.paused
        self._withdraw()

    def _end_work(self) -> Steps[None]:
        if self.exchange is not None:
            yield from self.end_stopped(self.exchange)
        else:
            self._stop_round()

    def _withdraw(self) -> None:
        """End what ``on_finish`` began while an action ended the exchange before: it is in the way.

        Nobody has made its request yet.
        """
        exchange = self.exchange
        if exchange is not None:
            self._end(exchange)
            self._set_status("settle", None)
            self._close_turn(exchange.turn, "stopped")
        self._stop_round()

    def stop(self) -> Steps[None]:
        """End the running turn; keep what came."""
        self._stops += 1
        self.queue.deferred = None
        yield from self._end_work()
        self._pause()

    def _send_history(self, options: RequestOptions) -> Steps[TurnState]:
        yield from self._end_running()
        message_id = self._pending_approval
        if message_id is None:
            last = self.history.last()
            answered_last = [
                m.id
                for m in self.history.snapshot()
                if m.role == "assistant"
                and any(part.state == "approval-responded" for part in m.tool_parts)
            ]
            message_id = answered_last[-1] if answered_last else (last.id if last else None)
        return self._send_approval(message_id, options)

    def _send_approval(self, message_id: str | None, options: RequestOptions) -> TurnState:
        self.queue.deferred = None
        consumed = self._pending_approval if message_id == self._pending_approval else None
        if consumed is not None:
            self._pending_approval = None
        turn = self._begin_turn("submit-message", message_id, options)
        assert turn.exchange is not None
        turn.exchange.approval = consumed
        return turn

    def _enqueue(self, message: UIMessage, options: RequestOptions) -> Steps[TurnState]:
        if len(self.queue) >= self.queue.limit:
            raise ChatBusyError(
                f"{self.queue.limit} messages wait already (queue_limit). Wait for some of them."
            )
        turn = TurnState(options)
        self._open_turns[turn] = None
        self.queue.add(QueuedMessage(message, turn))
        self._changed()
        # What a pause gave up is known where it is repaired; else it lets the message go as it is.
        yield from self._resume_queue(self.queue.paused and not self.repair, options)
        return turn

    def _resume_queue(self, skip_wait: bool, options: RequestOptions) -> Steps[None]:
        """The user sends again: a paused queue goes on, an answered approval goes first."""
        self.queue.paused = False
        if has_unsent_approval(self.history.last()):
            if not (self.busy or self._finishing):
                yield from self._send_history(options)
                return
            self.queue.deferred = options
        yield from self.settle_queue(skip_wait=skip_wait)

    def settle_queue(self, stops: int | None = None, skip_wait: bool = False) -> Steps[None]:
        """Send the next message that waits, if the chat is free for it.

        Args:
            stops: do nothing if somebody has stopped since this count.
            skip_wait: send although the last message waits for the user.
        """
        stopped = stops is not None and stops != self._stops
        if self.queue.paused or self.busy or self._finishing or stopped:
            return
        deferred, self.queue.deferred = self.queue.deferred, None
        if deferred is not None and has_unsent_approval(self.history.last()):
            yield from self._send_history(deferred)
        elif self.queue and (skip_wait or not self._waits_for_user()):
            yield from self._end_running()
            if not self.queue:
                return  # a callback has taken it
            self._repair()
            entry = self.queue.next()
            self._changed()
            self.history.push(entry.message)
            self._changed()
            try:
                self.begin(entry.turn, "submit-message")
            except CallbackError as error:
                # Whoever let the queue go on is not whose message this is.
                self._set_status("fail", error)
                self._pause()
                self._close_turn(entry.turn, "error", error)

    def remove_queued_message(self, message_id: str) -> None:
        """Take a message out of the queue.

        Args:
            message_id: its id; an unknown one changes nothing.
        """
        entry = self.queue.find(message_id)
        if entry is not None:
            self.queue.remove(entry)
            self._changed()
            self._close_turn(entry.turn, "dropped")

    def send_queued_message_now(self, message_id: str) -> Steps[TurnState]:
        """Stop what runs and send a message that waits; the others follow it.

        Args:
            message_id: its id; an unknown one changes nothing.
        """
        self.check_open()
        entry = self.queue.find(message_id)
        if entry is None:
            return TurnState(RequestOptions(), outcome="completed", message=self.history.last())
        self.queue.move_to_front(entry)
        self._changed()
        stops = self._stops + 1
        yield from self.stop()
        if stops == self._stops:
            yield from self._resume_queue(True, entry.turn.options)
        return entry.turn
