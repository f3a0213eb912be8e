"""Plain functions of the user's beside the loop, each in a daemon thread of its own.

Not in anyio's threads: those are no daemons, and one that is stuck holds up the process's exit.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, cast

import anyio
from anyio.lowlevel import current_token

logger = logging.getLogger("usechat")

T = TypeVar("T")


async def run_in_thread(function: Callable[[], T], name: str = "usechat-worker") -> T:
    """Call a function in a new thread, in a copy of the context; return what it returns.

    There is no limit of threads. When this is cancelled the thread is left to itself, and what
    comes of it is dropped.

    Args:
        function: what to call.
        name: the thread's.

    Raises:
        Exception: what the function raised.
        RuntimeError: the function raised what no task may: StopIteration, SystemExit, a
            cancellation of its own; it is the ``__cause__``. Or no thread can be started.
    """
    answer = _Answer[T]()

    def run() -> None:
        try:
            made = function()
        except BaseException as error:
            answer.fail(error)
        else:
            answer.give(made)

    _start(run, name)
    return await answer.get()


class ThreadIterator(AsyncIterator[T]):
    """Iterates over a plain iterator in one thread, in a copy of the context.

    The thread starts with the first item and makes each when it is asked for. Who is cancelled
    while he waits for one ends the iteration; so does a ThreadIterator that nobody holds.

    Args:
        make: called in the thread, gives the iterator.
        name: the thread's.

    Attributes:
        returned: what a generator returned, once it is at its end.
    """

    def __init__(self, make: Callable[[], Iterator[T]], name: str = "usechat-worker") -> None:
        self.returned: Any = None
        self._make = make
        self._name = name
        # Its put may be called by the collector, whatever this thread is about to do.
        self._asked: SimpleQueue[_Answer[T] | None] = SimpleQueue()
        self._started = False
        self._over = False

    def __aiter__(self) -> ThreadIterator[T]:
        return self

    async def __anext__(self) -> T:
        """The next item.

        Raises:
            Exception: what the iterator raised; as ``run_in_thread`` has it.
        """
        if self._over:
            raise StopAsyncIteration
        answer = _Answer[T]()
        self._asked.put(answer)
        try:
            if not self._started:
                self._started = True
                # A function that does not hold this object, which the thread would keep.
                _start(_Iteration(self._make, self._asked, self._name).run, self._name)
            return await answer.get()
        except _End as end:
            self._over = True
            self.returned = end.returned
            raise StopAsyncIteration from None
        except BaseException:
            self._end()
            raise

    async def aclose(self) -> None:
        """Tell the thread to stop, and do not wait for it.

        When it has made the item that it is at, it closes the generator.
        """
        self._end()

    def __del__(self) -> None:
        self._end()

    def _end(self) -> None:
        self._over = True
        self._asked.put(None)


class _End(Exception):
    """The iterator is at its end.

    Attributes:
        returned: what the generator returned.
    """

    def __init__(self, returned: Any) -> None:
        super().__init__()
        self.returned = returned


class _Iteration(Generic[T]):
    """What the thread of a ``ThreadIterator`` does.

    Args:
        make: gives the iterator.
        asked: where to give each item; None: no more is wanted.
        name: for messages.
    """

    def __init__(
        self, make: Callable[[], Iterator[T]], asked: SimpleQueue[_Answer[T] | None], name: str
    ) -> None:
        self._make = make
        self._asked = asked
        self._name = name

    def run(self) -> None:
        """Make items as they are asked for, then close the iterator."""
        iterator: Iterator[T] | None = None
        while (answer := self._asked.get()) is not None and not answer.dropped:
            try:
                if iterator is None:
                    iterator = iter(self._make())
                item = self._next(iterator)
            except BaseException as error:
                answer.fail(error)
                break
            answer.give(item)
            del item, answer  # it may be long until the next is wanted
        self._close(iterator)

    @staticmethod
    def _next(iterator: Iterator[T]) -> T:
        try:
            return next(iterator)
        except StopIteration as end:
            raise _End(end.value) from None

    def _close(self, iterator: Iterator[T] | None) -> None:
        close = getattr(iterator, "close", None)
        if close is None:
            return
        try:
            close()
        except BaseException:
            logger.exception("%s raised when it was closed", self._name)


class _Answer(Generic[T]):
    """What a thread gives to the task that has made this.

    Attributes:
        dropped: whether the task was cancelled.
    """

    def __init__(self) -> None:
        self.dropped = False
        self._call_soon = _caller()
        self._given = anyio.Event()
        self._value: T | None = None
        self._error: BaseException | None = None

    def give(self, value: T) -> None:
        """It is this. From any thread."""
        self._value = value
        self._tell()

    def fail(self, error: BaseException) -> None:
        """It failed. From any thread."""
        self._error = error
        self._tell()

    def _tell(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._call_soon(self._given.set)

    async def get(self) -> T:
        """What the thread gave."""
        try:
            await self._given.wait()
        except BaseException:
            self.dropped = True
            raise
        error, self._error = self._error, None
        if error is None:
            return cast("T", self._value)
        try:
            if isinstance(error, Exception) and not isinstance(error, _NOT_TO_BE_RAISED):
                raise error
            raise RuntimeError(f"It was left by {type(error).__name__}.") from error
        finally:
            del error  # its traceback holds this frame


_NOT_TO_BE_RAISED = (StopIteration, StopAsyncIteration)
"""Exceptions that mean something else to whoever awaits or iterates."""


def _caller() -> Callable[[Callable[[], object]], object]:
    """What calls a function on the running loop, from any thread; it does not wait."""
    loop: Any = current_token().native_token
    if isinstance(loop, asyncio.AbstractEventLoop):
        return loop.call_soon_threadsafe
    call: Callable[[Callable[[], object]], object] = loop.run_sync_soon  # trio's
    return call


def _start(function: Callable[[], object], name: str) -> None:
    context = copy_context()
    context.run(_forget_loop)
    threading.Thread(target=context.run, args=(function,), name=name, daemon=True).start()


def _forget_loop() -> None:
    """In a thread there is no loop yet, whatever the context says of the one it comes from."""
    if (sniffio := sys.modules.get("sniffio")) is not None:
        sniffio.current_async_library_cvar.set(None)
