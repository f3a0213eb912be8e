"""What stands between a ``ChatSession`` and its threads."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import wait
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

from httpx import AsyncClient

from usechat.engine.engine import ChatEngine
from usechat.engine.events import Batch, ChatState
from usechat.engine.exchange import Steps, TurnState
from usechat.errors import ChatBusyError, DispatchError, QueuePausedError
from usechat.session.courier import Courier, Dispatch, OwnThread
from usechat.session.guard import Guard, IdsAhead, ReenteredError
from usechat.session.host_flush import FlushHost, HostFlush
from usechat.session.inbox import Inbox
from usechat.session.loop_thread import running_loop_thread
from usechat.session.reader import Reader
from usechat.session.toolbox import Toolbox, is_tool_of
from usechat.session.waiting import News
from usechat.transport.base import ChatTransport
from usechat.transport.http import HttpTransport

# How long close() waits for sockets to be closed and observers to be told, in seconds.
_CLOSE_TIMEOUT = 1.0
# How long the maker of a session waits for another thread to turn out to be the host, in seconds.
_PATIENCE = 0.05
# To keep the state costs at most this part of the time that flushes take.
_PUBLISH_SHARE = 0.05


class Hosting:
    """Brings what is read to the host's thread, and what is published to whoever looks.

    Args:
        engine: the chat.
        transport: brings the replies.
        tools: the tools that run on this side.
        chat: the session, for tools.
        owns_transport: whether it is closed with the session.
        dispatch: as ``ChatSession`` has it.
        throttle: as ``ChatSession`` has it.
        ids: makes the engine's ids.
        drive: drives an operation of the engine, calling the user's functions on its way.
        tell: delivers one batch.
        interrupted: stops the turn.

    Attributes:
        guard: held while the engine is looked at or changed.
        flush: applies and tells.
    """

    def __init__(
        self,
        engine: ChatEngine,
        transport: ChatTransport,
        tools: Toolbox,
        chat: Any,
        owns_transport: bool,
        dispatch: Dispatch | None,
        throttle: float | None,
        ids: IdsAhead,
        drive: Callable[[Steps[Any]], Any],
        tell: Callable[[Batch], None],
        interrupted: Callable[[], object],
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._tools = tools
        self._chat = chat
        self._owns_transport = owns_transport
        self._dispatch = dispatch
        self._throttle = throttle
        self._ids = ids
        self._drive = drive
        self._tell = tell
        self._interrupted = interrupted
        self._next_publish = 0.0
        self._checkpoint = engine.checkpoint()
        # Who may flush before any flush has come to the host.
        self._maker = threading.get_ident() if dispatch is not None else None
        self._connect()

    def _connect(self) -> None:
        """Make what belongs to this process: locks, threads, what is on its way."""
        self._own_thread: OwnThread | None = None
        dispatch = self._dispatch
        if dispatch is None:
            dispatch = self._own_thread = OwnThread()
        self._patience: float | None = None  # until when the maker waits for another to flush
        self._eager: set[int] = set()  # threads that wait for text or events
        self.guard = Guard(self._restore, self._ids)
        self._news = News()
        self._inbox = Inbox()
        self._reader = Reader(
            self._engine, self._transport, self._inbox, self._came, self._tools, self._chat
        )
        self.flush = HostFlush(
            self._engine,
            self.guard,
            self._inbox,
            FlushHost(
                drive=self._drive_and_follow,
                tell=self._tell,
                took=self._reader.make_room,
                publish=self._publish_cheaply,
                due=lambda: self._courier.due_in() <= 0,
                telling=lambda: self._courier.delivered(),
                told=self._told,
                interrupted=self._interrupted,
            ),
        )
        self.flush.thread = getattr(dispatch, "host_thread", None)
        self._courier = Courier(
            dispatch,
            self._throttle,
            self._flush_now,
            self._left,
            self._host_gone,
        )
        weakref.finalize(self, _let_go, self._own_thread).atexit = False
        if getattr(self._transport, "made_client", self) is None:
            self._transport.made_client = _close_when_collected  # type: ignore[attr-defined]

    @property
    def state(self) -> ChatState:
        """What the chat shows."""
        # In a signal handler, in the middle of a change, that is what was published last.
        with suppress(ReenteredError):
            if not self.guard.fresh:
                self.publish()
        return self._checkpoint.state

    def publish(self) -> None:
        """Keep the state as it is now, for whoever looks and for after an interrupt."""

        def keep() -> None:
            self._checkpoint = self._engine.checkpoint()
            self.guard.fresh = True

        self.guard.look(keep)

    def _publish_cheaply(self) -> None:
        """Keep the state after a flush, unless its size makes that a great part of the work."""
        began = monotonic()
        if began >= self._next_publish:
            self.publish()
            self._next_publish = began + (monotonic() - began) / _PUBLISH_SHARE

    def _restore(self) -> None:
        self._engine.restore(self._checkpoint)

    def progressed(self) -> None:
        """Something happened: read what is to be read now, wake who waits.

        It is called wherever the engine may have begun or ended an exchange.
        """
        try:
            self._reader.follow()
        except DispatchError as error:
            self._host_gone(error)
        self._news.tell()

    def _drive_and_follow(self, steps: Steps[Any]) -> Any:
        try:
            return self._drive(steps)
        finally:
            self.progressed()

    def call_later(self, function: Callable[[], object]) -> None:
        """Have a function called on the host's thread, after what there is to tell now.

        Args:
            function: raises nothing but ``CallbackError``.
        """

        def put() -> None:
            self.flush.collect()
            self.flush.outgoing.append(function)

        self.guard.change(put)

    def deliver(self) -> None:
        """Tell the observers what there is, here or on the host's thread."""
        if self.flush.is_here:
            self.flush.tell()
        elif self.flush.needed:
            self._news.tell()
            self._courier.want(self._engine.outbox.urgent or bool(self.flush.outgoing))

    def close(self) -> None:
        """Tell what is left to tell, close what is open, end the thread; for 2 s at most."""
        if self.flush.needed:
            self._courier.hurry()
        thread = running_loop_thread()
        if thread is not None and not thread.is_current:
            wait({self._reader.close(self._owns_transport)}, _CLOSE_TIMEOUT)
        if self._own_thread is not None:
            self._own_thread.end()
            self._own_thread.join(_CLOSE_TIMEOUT)

    def _came(self, urgent: bool) -> None:
        """Something was read. On the loop's thread."""
        self._news.tell()
        self._courier.want(urgent or bool(self._eager))
        thread = running_loop_thread()
        if self._own_thread is None and thread is not None:  # a window, which is to run smoothly
            thread.rest()

    def _told(self) -> None:
        self._courier.delivered()
        self._news.tell()

    def _flush_now(self) -> None:
        """What ``dispatch`` brings to the host's thread."""
        try:
            self.flush.run()
        finally:
            self._news.tell()

    def _left(self) -> bool | None:
        if not self.flush.needed:
            return None
        return self.flush.cut_short or self._engine.outbox.urgent or bool(self.flush.outgoing)

    def _host_gone(self, error: Exception | None) -> None:
        """Nobody will run the flushes: the turn ends, and nobody is told."""
        failure = DispatchError(
            "The host of the chat is gone: dispatch "
            + (f"raised {type(error).__name__}: {error}" if error else "threw the function away.")
        )
        failure.__cause__ = error
        self.guard.change(partial(self._fail_silently, failure))
        self.flush.forget()
        self.publish()
        with suppress(DispatchError):
            self._reader.follow()
        self._news.tell()

    def _fail_silently(self, failure: DispatchError) -> None:
        for _ in self._engine.fail_work(failure):
            pass  # a callback that nobody is there to run

    def wait_for(self, turn: TurnState, ready: Callable[[], bool]) -> None:
        """Wait until something of a turn is ready, or it is over and told of.

        What comes meanwhile is applied at once, whatever the throttle of the observers.

        Args:
            turn: the turn.
            ready: whether it is.
        """
        me = threading.get_ident()
        self._eager.add(me)
        try:
            if self._inbox:
                self._courier.want(True)
            self.wait(turn, ready, None)
        finally:
            self._eager.discard(me)

    def wait(self, turn: TurnState, ready: Callable[[], bool], timeout: float | None) -> None:
        """Wait until a turn is over and told of, or something is ready.

        Args:
            turn: the turn.
            ready: whether it is.
            timeout: in seconds; None: no limit.

        Raises:
            TimeoutError: it is not over by then.
            QueuePausedError: it waits in a queue that is paused.
            ChatBusyError: called by what the turn itself waits for.
        """
        until = None if timeout is None else monotonic() + timeout
        try:
            while True:
                seen = self._news.count
                if ready() or self._is_settled(turn):
                    return
                self._wait_for_more(turn, seen, until)
        finally:
            if not self.flush.is_here:  # else a wait further up goes on
                self._courier.release()

    def _wait_for_more(self, turn: TurnState, seen: int, until: float | None) -> None:
        self._check_may_wait(turn)
        left = None if until is None else until - monotonic()
        if left is not None and left <= 0:
            raise TimeoutError("The turn is not over yet. It goes on.")
        if self._is_host():
            self._work_or_wait(seen, left)
        else:
            self._courier.release()  # flushes have come to another thread meanwhile
            self._news.wait(seen, self._patient(left))

    def _is_settled(self, turn: TurnState) -> bool:
        """Whether a turn is over and the observers know; those who are being told wait not."""
        told = self.guard.look(lambda: turn.over and turn not in self.flush.ended)
        return told or (turn.over and self.flush.is_here)

    def _is_host(self) -> bool:
        me = threading.get_ident()
        if self.flush.thread is not None or me != self._maker:
            return me == self.flush.thread
        # The maker seems to be the host, unless the first flush comes to another thread now.
        if self._patience is None:
            self._patience = monotonic() + _PATIENCE
        return monotonic() >= self._patience

    def _patient(self, left: float | None) -> float | None:
        if self.flush.thread is not None or threading.get_ident() != self._maker:
            return left
        patience = max(0.0, (self._patience or 0.0) - monotonic())
        return patience if left is None else min(patience, left)

    def _work_or_wait(self, seen: int, left: float | None) -> None:
        """On the host's thread: do what its loop would be asked to do, or wait for that."""
        if self.flush.is_here:  # in an observer, which is being told of something
            if not self.flush.apply():
                self._news.wait(seen, left)
            return
        self._courier.hold()
        due = max(0.0, self._courier.due_in())
        if self.flush.pressing or (self.flush.needed and not due):
            if self.flush.run():
                return
        elif self.flush.needed:
            left = due if left is None else min(due, left)
        self._news.wait(seen, left)

    def _check_may_wait(self, turn: TurnState) -> None:
        thread = running_loop_thread()
        inside = self.flush.is_here and self.flush.driving
        on_loop = thread is not None and thread.is_current
        if inside or on_loop or is_tool_of(self._engine.work):
            raise ChatBusyError(
                "This is called by what the turn waits for (a callback, a tool). "
                "Wait on another thread, or let an observer of TurnFinished go on."
            )
        if self.guard.look(lambda: self._is_stuck(turn)):
            raise QueuePausedError(
                "This message waits in a queue that a stop or an error has paused. "
                "Send something, or send_queued_message_now()."
            )

    def _is_stuck(self, turn: TurnState) -> bool:
        return turn.queued and self._engine.work is None and self._engine.queue.paused

    def forked(self) -> None:
        """In a child process: the parent's threads are not here, and its sockets not to be used."""
        if not self.guard.torn:
            self._checkpoint = self._engine.checkpoint()
        self._engine.restore(self._checkpoint)
        self._connect()


def _let_go(own_thread: OwnThread | None) -> None:
    """What is left of a session that was collected."""
    if own_thread is not None:
        own_thread.end()


def _close_when_collected(transport: HttpTransport, client: AsyncClient) -> None:
    """Close a client of this thread's where its transport, with its session, is just dropped."""
    thread = running_loop_thread()
    if thread is not None and thread.is_current:  # else it belongs to another loop
        weakref.finalize(transport, _close_client, client).atexit = False


def _close_client(client: AsyncClient) -> None:
    thread = running_loop_thread()
    if thread is not None and thread.is_alive:
        thread.call(lambda: thread.start(client.aclose()))
