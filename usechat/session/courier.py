"""Brings flushes to the host's thread, not too often and one at a time."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeAlias

from usechat.errors import DispatchError
from usechat.session.loop_thread import loop_thread, running_loop_thread

logger = logging.getLogger("usechat")

Dispatch: TypeAlias = Callable[[Callable[[], object]], object]
"""Runs a function soon on the host's thread: called from any thread, returns at once.

Its attribute ``host_thread``, a ``threading.get_ident()``, says where that is, if it has one; else
the first flush tells, and until then the maker of the session counts as the host."""


class FlushCall:
    """One flush on its way. Thrown away before it has run, it says that nobody will run it.

    Args:
        run: the flush.
        over: told when it has run, be it that Ctrl-C ended it.
        lost: told if it cannot come to pass.
    """

    __slots__ = ("_lost", "_over", "_run")

    def __init__(
        self, run: Callable[[], None], over: Callable[[], None], lost: Callable[[], None]
    ) -> None:
        self._run: Callable[[], None] | None = run
        self._over = over
        self._lost = lost

    def __call__(self) -> None:
        """Run the flush; a second call does nothing."""
        thread = running_loop_thread()
        if thread is not None and thread.is_current:
            raise DispatchError(
                "dispatch called the function at once, on the thread that reads the replies of "
                "all chats. It must bring the function to the thread of the window or the loop."
            )
        run = self._run
        if run is not None:
            try:
                self._run = None
                run()
            finally:
                self._over()

    def disown(self) -> None:
        """Nobody needs to know any more what becomes of it."""
        self._lost = _nothing

    def __del__(self) -> None:
        # On whatever thread and in the middle of whatever: only a note to the loop's thread.
        if getattr(self, "_run", None) is not None:  # Ctrl-C can hit before __init__
            thread = running_loop_thread()
            if thread is not None and thread.is_alive:
                thread.call(self._lost)


def _nothing() -> None:
    """What a disowned flush does when it is lost."""


class Courier:
    """Decides when the host is asked for a flush, and asks.

    Args:
        dispatch: brings a function to the host's thread.
        throttle: seconds between two flushes; 0 or None: they are not held apart.
        flush: applies what came and tells of it.
        left: what a flush has left: nothing (None), or whether that is urgent.
        lost: told, with what ``dispatch`` raised if it did, that the host is gone.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        throttle: float | None,
        flush: Callable[[], None],
        left: Callable[[], bool | None],
        lost: Callable[[Exception | None], None],
    ) -> None:
        self._dispatch = dispatch
        self._throttle = throttle or 0.0
        self._flush = flush
        self._left = left
        self._lost = lost
        self._lock = threading.RLock()
        self._due = 0.0  # when the next flush may be asked for
        self._under_way = False
        self._timer_runs = False
        self._pressed = False  # something urgent came while a flush was under way
        self._held: set[int] = set()

    def want(self, urgent: bool) -> None:
        """There is something to flush. From any thread.

        Args:
            urgent: whether it should not wait.
        """
        calls: list[FlushCall] = []
        try:
            wait = self._claim(urgent)
            if wait is None:
                return
            if wait > 0:
                loop_thread().call_later(wait, self._time_is_up)
            else:
                calls.append(FlushCall(self._flush, self._has_run, self._thrown_away))
                self._dispatch(calls[0])
        except Exception as error:
            for call in calls:  # held by the error's traceback, and lost when nobody expects it
                call.disown()
            self._under_way = self._timer_runs = False
            self._lost(error)
        except BaseException:  # Ctrl-C: perhaps nothing is on its way, so it is asked for again
            for call in calls:
                call.disown()
            self._under_way = self._timer_runs = False
            self._see_to_the_rest()
            raise

    def _claim(self, urgent: bool) -> float | None:
        """In how many seconds to ask the host; None: somebody does already."""
        with self._lock:
            if self._under_way or self._held:
                self._pressed = self._pressed or urgent
                return None  # it will be seen to there
            wait = 0.0 if urgent else self.due_in()
            if wait > 0 and self._timer_runs:
                return None
            if wait > 0:
                self._timer_runs = True
            else:
                self._under_way = True
            return wait

    def due_in(self) -> float:
        """In how many seconds the observers may be told again; 0 or less: now."""
        return self._due - monotonic() if self._throttle else 0.0

    def delivered(self) -> None:
        """The observers are being told, or have been."""
        self._due = monotonic() + self._throttle

    def hurry(self) -> None:
        """Tell the observers without regard to the throttle, now."""
        self._due = 0.0
        self.want(True)

    def hold(self) -> None:
        """The host flushes by itself while it waits, and needs not be asked.

        It is asked once all the same: a host that is gone says so.
        """
        me = threading.get_ident()
        if me not in self._held:
            self.want(True)
            with self._lock:
                self._held.add(me)

    def release(self) -> None:
        """The host waits no longer; nothing if it did not hold."""
        with self._lock:
            if threading.get_ident() not in self._held:
                return
            self._held.remove(threading.get_ident())
        self._see_to_the_rest()

    def _has_run(self) -> None:
        self._under_way = False
        self._see_to_the_rest()

    def _see_to_the_rest(self) -> None:
        pressed, self._pressed = self._pressed, False
        urgent = self._left()
        if urgent is not None:
            self.want(urgent or pressed)

    def _time_is_up(self) -> None:
        self._timer_runs = False
        self._see_to_the_rest()  # an urgent flush may have come before

    def _thrown_away(self) -> None:
        self._under_way = False
        self._lost(None)


class OwnThread:
    """The host of a session that has none: a daemon thread, started at its first use."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._claim = threading.Lock()  # never released: held by the thread that works
        self._lock = threading.RLock()
        self._ended = False

    def __call__(self, function: Callable[[], object]) -> None:
        """Run a function soon.

        Args:
            function: a flush.
        """
        with self._lock:
            if self._ended and not (self._thread and self._thread.is_alive()):
                raise DispatchError("the chat has been closed")
            if self._thread is None or not self._thread.is_alive():
                # Ctrl-C may have hit when another had just been started: it has the claim then.
                self._thread = threading.Thread(
                    target=_work,
                    args=(self._calls, self._claim),
                    name="usechat-observers",
                    daemon=True,
                )
                self._thread.start()
        self._calls.put(function)

    def end(self) -> None:
        """Let it end when it has done what there is to do. From anywhere, also the collector."""
        self._ended = True
        self._calls.put(None)

    def join(self, timeout: float) -> None:
        """Wait for its end, unless on itself.

        Args:
            timeout: in seconds.
        """
        thread = self._thread
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(timeout)


def _work(calls: queue.SimpleQueue[Callable[[], object] | None], claim: threading.Lock) -> None:
    if not claim.acquire(blocking=False):
        return
    ending = False
    while not (ending and calls.empty()):
        call = calls.get()
        if call is None:
            ending = True
            continue
        try:
            call()
        except BaseException:  # an observer raised more than an error: it ends no reply
            logger.exception("An observer or a callback raised")
        del call  # it holds its session
