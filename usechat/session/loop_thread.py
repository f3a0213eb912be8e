"""The thread that reads all replies of all ``ChatSession``s of a process."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context
from time import sleep, thread_time
from typing import Any, TypeVar

from usechat.errors import DispatchError

logger = logging.getLogger("usechat")

T = TypeVar("T")

# How long the exit of the process waits for sockets to be closed, in seconds.
_EXIT_TIMEOUT = 0.5
# After so much work in a row the other threads have a turn, of this length; in seconds.
_WORK = 0.001
_REST = 0.0002


class LoopThread:
    """A daemon thread with an asyncio loop. No plain function of a user's runs on it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_DaemonThreads())
        # With -X dev asyncio would log of the first request, which makes the TLS context.
        self._loop.slow_callback_duration = 1.0
        self._tasks: set[asyncio.Task[Any]] = set()  # a loop holds its tasks weakly
        self._rested = 0.0
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="usechat", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ending:
            try:
                self._loop.run_forever()
            except BaseException:  # a task raised SystemExit: the replies of the others go on
                logger.exception("Something raised on the thread that reads replies")
        self._loop.close()

    @property
    def is_current(self) -> bool:
        """Whether this is the thread that asks."""
        return threading.current_thread() is self._thread

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._thread.is_alive()

    @property
    def is_ending(self) -> bool:
        """Whether the process is about to exit."""
        return self._ending

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function soon, on the thread. May be called anywhere, also by the collector.

        Args:
            function: one of ours.
            arguments: what it gets.
        """
        self._loop.call_soon_threadsafe(function, *arguments)

    def call_later(self, delay: float, function: Callable[[], object]) -> None:
        """Call a function after a while, on the thread.

        Args:
            delay: in seconds.
            function: one of ours.
        """
        self.call(self._loop.call_later, delay, function)

    def timer(self, delay: float, function: Callable[[], object]) -> asyncio.TimerHandle:
        """As ``call_later``, only on the thread itself; it can be cancelled.

        Args:
            delay: in seconds.
            function: one of ours.
        """
        # Without the task's context, which holds a session: an idle loop keeps the last one that
        # was cancelled.
        return self._loop.call_later(delay, function, context=Context())

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task. Only on the thread itself.

        Args:
            work: what to do.
        """
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a task from another thread.

        Args:
            work: what to do.
        """
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def rest(self) -> None:
        """Let other threads run, if this has worked for a while. Only on the thread itself.

        A window gives the interpreter away at each call of its toolkit, and gets it back from a
        thread that works without a pause 5 ms later: a tick of 20 ms became one of 70.
        """
        if thread_time() - self._rested > _WORK:
            sleep(_REST)
            self._rested = thread_time()

    def end(self) -> None:
        """Close what is open, at the exit of the process."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._cancel_all)
            self._thread.join(_EXIT_TIMEOUT)

    def _cancel_all(self) -> None:
        self._ending = True
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        ended = asyncio.gather(*tasks, return_exceptions=True)
        ended.add_done_callback(lambda _: self._loop.stop())


class _DaemonThreads(ThreadPoolExecutor):
    """Runs name lookups, each in a daemon thread: the exit of a process waits for a pool's."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:
                    future.set_exception(error)

        threading.Thread(target=run, name="usechat-lookup", daemon=True).start()
        return future


class _Process:
    """What there is once a process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.thread: LoopThread | None = None
        self.kept: list[LoopThread] = []
        """Loops of the parent process: closed here, they would disturb its sockets."""

    def forked(self) -> None:
        self.lock = threading.RLock()
        if self.thread is not None:
            self.kept.append(self.thread)
            self.thread = None

    def ended(self) -> None:
        if self.thread is not None:
            self.thread.end()


_process = _Process()
atexit.register(_process.ended)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.forked)


def loop_thread() -> LoopThread:
    """The thread, started at its first use; a forked child gets its own.

    Raises:
        DispatchError: the interpreter is shutting down.
    """
    with _process.lock:
        if _process.thread is None or not _process.thread.is_alive:
            try:
                _process.thread = LoopThread()
            except RuntimeError as error:
                raise DispatchError(
                    "No thread can be started: the program is ending, or has too many."
                ) from error
        return _process.thread


def running_loop_thread() -> LoopThread | None:
    """The thread if it has been started, for what only tidies up."""
    return _process.thread
