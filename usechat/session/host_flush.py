"""A flush: what came is applied and the observers are told, on the host's thread."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

from usechat.engine.engine import ChatEngine
from usechat.engine.events import Batch
from usechat.engine.exchange import Exchange, Steps, TurnState
from usechat.errors import CallbackError
from usechat.model.chunks import UIMessageChunk
from usechat.session import replies
from usechat.session.guard import Guard
from usechat.session.inbox import Inbox, Item

logger = logging.getLogger("usechat")

_SLICE = 0.010  # seconds after which a flush stops and asks for the next
_BITE = 64  # chunks applied before another thread may look


class FlushHost(NamedTuple):
    """What a flush needs of its session.

    Attributes:
        drive: drives an operation of the engine, calling the user's functions on its way.
        tell: delivers one batch.
        took: something was taken out of the inbox.
        publish: keeps the state as it is now.
        due: whether the observers may be told now.
        telling: the observers are being told.
        told: they have been told that turns are over.
        interrupted: stops the turn.
    """

    drive: Callable[[Steps[Any]], Any]
    tell: Callable[[Batch], None]
    took: Callable[[], None]
    publish: Callable[[], None]
    due: Callable[[], bool]
    telling: Callable[[], None]
    told: Callable[[], None]
    interrupted: Callable[[], object]


class HostFlush:
    """Applies and tells. One thread at a time does, and by turns it may be another.

    Args:
        engine: the chat.
        guard: held while the engine is looked at or changed.
        inbox: what came.
        host: the session.

    Attributes:
        outgoing: what the observers are yet to be told, and calls that go in between.
        ended: turns that are over and whose observers have not heard of it.
        thread: the thread that last flushed.
        driving: how many operations of the engine are under way in this flush, one in the other.
        cut_short: whether the last flush left something because its time was over.
    """

    def __init__(self, engine: ChatEngine, guard: Guard, inbox: Inbox, host: FlushHost) -> None:
        self.outgoing: deque[Batch | Callable[[], object]] = deque()
        self.ended: set[TurnState] = set()
        self.thread: int | None = None
        self.driving = 0
        self.cut_short = False
        self._engine = engine
        self._guard = guard
        self._inbox = inbox
        self._host = host
        self._turn = threading.Lock()  # held by the thread that flushes, as long as it does
        self._here: int | None = None
        self._telling = False
        self._piece: list[UIMessageChunk] | None = None  # what one read brought
        self._at = 0  # how much of it has been applied
        self._exchange: Exchange | None = None

    @property
    def is_here(self) -> bool:
        """Whether it is this thread that flushes now."""
        return self._here == threading.get_ident() and self._turn.locked()

    @property
    def needed(self) -> bool:
        """Whether there is anything to do."""
        outbox = self._engine.outbox
        return bool(self._piece is not None or self._inbox or outbox.changed or self.outgoing)

    @property
    def pressing(self) -> bool:
        """Whether there is something to do that does not wait for the throttle."""
        to_apply = self._piece is not None or bool(self._inbox)
        return to_apply or bool(self.outgoing) or self._engine.outbox.urgent

    def run(self) -> bool:
        """Apply what came, for a while, and tell of it if it is time or cannot wait.

        Returns:
            Whether this thread could; not while another does.
        """
        if self._turn.locked():
            return False
        with self._turn:
            # Ctrl-C may have left these as they were in the middle of the flush before.
            self._telling, self.driving = False, 0
            self._here = self.thread = threading.get_ident()
            try:
                self._run()
            finally:
                self._here = None
        return True

    def _run(self) -> None:
        until = perf_counter() + _SLICE
        applied = True
        try:
            while applied and perf_counter() < until:
                applied = self.apply()
        except Exception:
            raise
        except BaseException:  # Ctrl-C: what was being applied may be lost, and nobody may miss it
            self._host.interrupted()
            raise
        self.cut_short = applied
        self._host.publish()
        if self._engine.outbox.urgent or self.outgoing or self._host.due():
            self.tell(until)

    def apply(self) -> bool:
        """Apply a little of what came; False: there is nothing."""
        if self._piece is None:
            item = self._inbox.take()
            if item is None:
                return False
            self._host.took()
            if not item.work.over:
                self._begin(item)
        else:
            self._bite()
        return True

    def _begin(self, item: Item) -> None:
        if item.chunks is not None:
            assert isinstance(item.work, Exchange)
            self._exchange, self._piece, self._at = item.work, item.chunks, 0
            self._bite()
        elif item.steps is not None:
            self._drive(item.steps())
        elif item.call is not None:
            item.call()

    def _bite(self) -> None:
        exchange = self._exchange
        assert exchange is not None
        assert self._piece is not None
        steps: Steps[None] | None = None
        try:
            steps = self._guard.change(partial(self._receive_some, exchange, self._piece))
        except replies.REJECTED as error:
            self._piece = None
            steps = replies.rejected(self._engine, exchange, error)
        if steps is not None:
            self._drive(steps)
        if self._engine.records:
            self.tell()

    def _receive_some(self, exchange: Exchange, piece: list[UIMessageChunk]) -> Steps[None] | None:
        """Apply chunks until one wants a function of the user's called, or there were enough."""
        self._at, steps = self._engine.receive_some(exchange, piece, self._at, _BITE)
        if self._at >= len(piece) or exchange.over:
            self._piece = None
        return steps

    def _drive(self, steps: Steps[None]) -> None:
        with self.calling():
            self._host.drive(steps)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """While callbacks may run, what they wait for cannot be waited for here."""
        self.driving += 1
        try:
            yield
        finally:
            self.driving -= 1

    def tell(self, until: float = float("inf")) -> None:
        """Tell the observers all that waits; what they cause is told by the same loop.

        Args:
            until: when to leave the rest to the next flush.
        """
        if self._telling:
            return
        self._telling = True
        try:
            while self._engine.outbox.changed or self.outgoing:
                self._host.telling()
                ended = self._guard.change(self.collect)
                while (waiting := self._next()) is not None:
                    self._tell_one(waiting)
                self.ended.difference_update(ended)
                if perf_counter() >= until:
                    break
        finally:
            self._telling = False
            self._all_told()

    def _next(self) -> Batch | Callable[[], object] | None:
        with suppress(IndexError):  # another thread may have dropped them
            return self.outgoing.popleft()
        return None

    def _all_told(self) -> None:
        """Let those go on who wait until the observers know, be it that one was interrupted."""
        self._guard.look(self._forget_ended)
        self._host.told()

    def _forget_ended(self) -> None:
        if not (self._engine.outbox.changed or self.outgoing):
            self.ended.clear()

    def collect(self) -> list[TurnState]:
        """Take what the engine has to tell, in its place after what waits. The guard is held.

        Returns:
            The turns whose end is told with it.
        """
        if self._engine.outbox.changed:
            self.outgoing.extend(self._engine.outbox.take())
        return list(self.ended)

    def _tell_one(self, waiting: Batch | Callable[[], object]) -> None:
        if isinstance(waiting, Batch):
            self._host.tell(waiting)
            return
        try:
            waiting()
        except CallbackError as error:
            logger.exception("A callback raised", exc_info=error.__cause__)

    def forget(self) -> None:
        """Nobody will be told any more of what waits."""

        def drop() -> None:
            self._engine.outbox.take()
            self.outgoing.clear()
            self.ended.clear()

        self._guard.change(drop)
