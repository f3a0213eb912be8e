"""When observers are told: the first change at once, then at most one delivery in a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio


class FlushTimer:
    """Holds deliveries apart, and makes the last one of each while.

    Args:
        throttle: seconds between two deliveries; 0 or None: they are not held apart.
        deliver: makes one.
    """

    def __init__(self, throttle: float | None, deliver: Callable[[], None]) -> None:
        self._throttle = throttle or 0.0
        self._deliver = deliver
        self._due = float("-inf")  # when the next delivery may be made
        self._pending = False
        self._wake = anyio.Event()

    def is_due(self) -> bool:
        """Whether a delivery may be made now; if not, one will be when it may."""
        if not self._throttle or anyio.current_time() >= self._due:
            return True
        self._pending = True
        self._wake.set()
        return False

    def delivered(self) -> None:
        """A delivery is being made."""
        if self._throttle:
            self._pending = False
            self._due = _now() + self._throttle

    async def beside(self, work: Callable[[], Awaitable[None]], *, needed: bool) -> None:
        """Do some work, with the deliveries that come due beside it.

        Args:
            work: what to do.
            needed: whether anything may come due.

        Raises:
            Whatever the work or an observer raises, by itself and in no group.
        """
        if not (needed and self._throttle):
            await work()
            return
        failures: list[BaseException] = []

        async def kept(part: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
            try:
                await part()
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as failure:
                failures.append(failure)
            scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kept, self._run, tasks.cancel_scope)
            await kept(work, tasks.cancel_scope)
        if failures:
            raise failures[0]

    async def _run(self) -> None:
        while True:
            while self._pending:
                await anyio.sleep_until(self._due)
                if self._pending and anyio.current_time() >= self._due:
                    self._pending = False
                    self._deliver()
            if self._wake.is_set():
                self._wake = anyio.Event()
            await self._wake.wait()


def _now() -> float:
    """The loop's time; actions may be called where no loop runs."""
    try:
        return anyio.current_time()
    except RuntimeError:
        return float("-inf")
