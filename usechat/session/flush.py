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
        self._last = float("-inf")
        self._running = False
        self._wanted = anyio.Event()

    def is_due(self) -> bool:
        """Whether a delivery may be made now; if not, one will be when it may."""
        if not self._throttle or anyio.current_time() - self._last >= self._throttle:
            return True
        self._wanted.set()
        return False

    def delivered(self) -> None:
        """A delivery is being made."""
        if self._throttle:
            self._last = _now()

    async def beside(self, work: Callable[[], Awaitable[None]], *, needed: bool) -> None:
        """Do some work, with the deliveries that come due beside it.

        Args:
            work: what to do.
            needed: whether anything may come due.

        Raises:
            Whatever the work or an observer raises, by itself and in no group.
        """
        if not (needed and self._throttle) or self._running:
            await work()
            return
        failures: list[BaseException] = []
        self._running = True
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._run, failures)
                try:
                    await work()
                except anyio.get_cancelled_exc_class():
                    raise
                except BaseException as failure:
                    failures.append(failure)
                tasks.cancel_scope.cancel()
        finally:
            self._running = False
        if failures:
            raise failures[0]

    async def _run(self, failures: list[BaseException]) -> None:
        try:
            while True:
                await anyio.sleep_until(self._last + self._throttle)
                if anyio.current_time() - self._last >= self._throttle:
                    self._deliver()
                await self._wanted.wait()
                self._wanted = anyio.Event()
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as failure:
            failures.append(failure)
            raise


def _now() -> float:
    """The loop's time; actions may be called where no loop runs."""
    try:
        return anyio.current_time()
    except RuntimeError:
        return float("-inf")
