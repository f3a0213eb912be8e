"""How an exchange ends: finished, failed or stopped; and whether its turn goes on.

Source: ai 7.0.173, src/ui/chat.ts, makeRequest.
"""

from __future__ import annotations

import logging
from abc import abstractmethod

from usechat.engine.automatic import is_answered
from usechat.engine.exchange import Exchange, Finish, Outcome, Steps, TurnState
from usechat.engine.exchanges import Exchanges
from usechat.errors import CallbackError, ConnectionBrokenError
from usechat.model.messages import UIMessage

logger = logging.getLogger("usechat")


class Endings(Exchanges):
    """The end of exchanges and turns."""

    def finish(self, exchange: Exchange) -> Steps[None]:
        """The reply ended cleanly.

        Args:
            exchange: the exchange.
        """
        if exchange.over:
            return
        try:
            yield from self._finish(exchange)
        except GeneratorExit:
            # A callback was left by more than an error (an interrupt): nobody goes on from here.
            self._close_turn(exchange.turn, "stopped")
            raise

    def _finish(self, exchange: Exchange) -> Steps[None]:
        turn, reason = exchange.turn, exchange.draft.finish_reason
        self._resumable = None
        self._keep_ends(exchange)
        self._end(exchange)
        if outcome_of(exchange, self.require_finish) != "completed":
            self._keep_longer(exchange)
        interrupted = reason == "interrupted"
        if interrupted or not self._begin_round(exchange):
            self._set_status("settle", None)
        self._note_interruption(exchange)
        before = self._stops
        try:
            yield from self._call_on_finish(exchange)
            stops = self._stops
            free = self.work is None and not turn.over
            if free and not interrupted and stops == before:
                yield from self._go_on(turn)
        except CallbackError as error:
            yield from self._finish_failed(turn, error)
            self._end_noted(exchange)
            return
        if self._is_working(turn):
            return
        self._end_noted(exchange)
        self._close_turn(turn, outcome_of(exchange, self.require_finish))
        if interrupted:
            self._pause()
        else:
            yield from self.settle_queue(stops)

    def nothing_to_resume(self, exchange: Exchange) -> Steps[None]:
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
        yield from self.settle_queue()

    def fail(self, exchange: Exchange, error: Exception) -> Steps[None]:
        """The exchange failed; what came before stays.

        Args:
            exchange: the exchange.
            error: one of ours.
        """
        if exchange.over:
            return
        is_disconnect = isinstance(error, ConnectionBrokenError)
        self._note_resumable(exchange, is_disconnect)
        try:
            yield from self._call("on_error", error)
        except CallbackError as from_callback:
            logger.exception("on_error raised", exc_info=from_callback.__cause__)
        if exchange.over:
            return
        self._end_early(exchange)
        self._set_status("fail", error)
        if not exchange.connecting:
            self._note_interruption(exchange, failed=True)
            try:
                yield from self._call_on_finish(exchange, disconnect=is_disconnect, failed=True)
            except CallbackError as from_callback:
                logger.exception("on_finish raised", exc_info=from_callback.__cause__)
            self._pause()
        if exchange.approval is not None and self._pending_approval is None:
            self._pending_approval = exchange.draft.id
        self._close_turn(exchange.turn, "error", error)
        if exchange.connecting:
            yield from self.settle_queue()  # a resume that failed is no reason to wait

    def _end_early(self, exchange: Exchange) -> None:
        """End an exchange whose reply is not whole: what was there before it counts too."""
        self._end(exchange)
        self._keep_longer(exchange)
        self._end_noted(exchange)

    def _note_resumable(self, exchange: Exchange, is_disconnect: bool) -> None:
        """Remember what a resume goes on with: a reply whose connection broke."""
        if exchange.connecting:
            return
        if is_disconnect:
            self._resumable = exchange.draft
        elif self._resumable is exchange.draft:
            self._resumable = None

    @abstractmethod
    def _keep_ends(self, exchange: Exchange) -> None:
        """Give calls that a resumed reply has brought again the end that they have had."""

    @abstractmethod
    def _end_noted(self, exchange: Exchange) -> None:
        """End calls that were allowed while their reply was coming, and that nothing runs now."""

    @abstractmethod
    def _begin_round(self, exchange: Exchange) -> bool:
        """Begin the tool calls of a reply that run on this side; whether there are any."""

    def _finish_failed(self, turn: TurnState, error: Exception) -> Steps[None]:
        """Something failed after the reply: that is there, but the turn did not end well."""
        try:
            yield from self._call("on_error", error)
        except CallbackError as from_callback:
            logger.exception("on_error raised", exc_info=from_callback.__cause__)
        if self.exchange is not None and self.exchange.turn is turn:
            self._end(self.exchange)  # on_error has let it go on, and nobody has asked yet
        if self.work is None or self._is_working(turn):
            self._set_status("fail", error)
        self._pause()
        self._close_turn(turn, "error", error)

    def end_stopped(self, exchange: Exchange) -> Steps[None]:
        """End the running exchange because somebody wants it to stop.

        Args:
            exchange: the exchange.
        """
        if self._resumable is exchange.draft or exchange.connecting:
            self._resumable = None
        self._end_early(exchange)
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
        self._end_early(exchange)
        yield from self._tell_stopped(exchange)

    def _tell_stopped(self, exchange: Exchange) -> Steps[None]:
        if not exchange.connecting:
            self._note_interruption(exchange, failed=True)
            try:
                yield from self._call_on_finish(exchange, abort=True)
            except CallbackError as error:
                logger.exception("on_finish raised", exc_info=error.__cause__)
            self._pause()
        self._close_turn(exchange.turn, "stopped")

    def _note_interruption(self, exchange: Exchange, failed: bool = False) -> None:
        """Remember that the server was interrupted: late tool outputs send nothing then."""
        if exchange.draft.finish_reason == "interrupted":
            self._interrupted |= {exchange.draft.id}
        elif not failed:
            self._interrupted -= {exchange.draft.id}

    def _go_on(self, turn: TurnState) -> Steps[None]:
        """Send the messages again where the conversation goes on by itself."""
        stops = self._stops
        if self.callbacks.send_automatically_when is None and is_cut(turn.exchange):
            return  # asked again, it would be cut again
        wanted = yield from self._should_send(None)
        last = self.history.last()
        if not wanted or stops != self._stops or self.work is not None or last is None:
            return
        if turn.exchange is not None and self._would_repeat(turn.exchange, last):
            # The same request would bring the same reply, for ever.
            self._close_turn(turn, "incomplete")
            return
        if self.step_limit is not None and turn.requests >= self.step_limit:
            turn.limit_reached = True
            logger.warning("A turn ended after %d requests (max_steps).", turn.requests)
            return
        self.begin(turn, "submit-message", last.id)

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
        if concerned & self._interrupted:
            return False
        if self.callbacks.send_automatically_when is None:
            return bool(self.tools) and is_answered(self.history.snapshot(), self.tools)
        return bool((yield from self._call("send_automatically_when", self.history.snapshot())))

    @abstractmethod
    def settle_queue(self, stops: int | None = None, skip_wait: bool = False) -> Steps[None]:
        """Send the next message that waits, if the chat is free for it.

        Args:
            stops: do nothing if somebody has stopped since this count.
            skip_wait: send although the last message waits for the user.
        """

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
        except GeneratorExit:
            # It was left by more than an error (an interrupt): nobody goes on from here.
            self._close_turn(exchange.turn, "stopped")
            raise
        finally:
            self._finishing = False


def is_cut(exchange: Exchange | None) -> bool:
    """Whether the model's answer was cut off before its end.

    Args:
        exchange: whose reply it was.
    """
    return exchange is not None and exchange.draft.finish_reason in ("length", "content-filter")


def outcome_of(exchange: Exchange, require_finish: bool) -> Outcome:
    """How a reply ended that ended cleanly.

    Args:
        exchange: the exchange.
        require_finish: whether one without the protocol's own end is incomplete.
    """
    if exchange.aborted:
        return "stopped"
    # Where nothing came at all, that it need not end does not make it a reply.
    complete = exchange.ended or (exchange.received > 0 and not require_finish)
    return "completed" if complete else "incomplete"
