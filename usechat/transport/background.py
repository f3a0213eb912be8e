"""A task of the running loop that is in nobody's scope: a backend in this process.

What runs in a reader's own task may leave no scope open from one read to the next, and users'
generators do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import anyio
import anyio.lowlevel

# A loop holds its tasks weakly: one that is collected along with its Background could no longer
# be cancelled.
_running: set[asyncio.Task[None]] = set()

# What is cancelled for the second time has no more to clean up, in seconds.
_AT_LAST = 0.1


class Background:
    """Runs a function in a task of its own, in a copy of the context.

    On asyncio it is cancelled as its tasks are, once: its ``finally`` blocks may await. On trio
    what they await must be shielded, as everywhere.

    Args:
        work: the function; it is started at once.

    Attributes:
        loop: where it runs.
        error: what it raised, once it has ended.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.loop = anyio.lowlevel.current_token()
        self.error: BaseException | None = None
        self._work = work
        self._ended = anyio.Event()
        self._scope = anyio.CancelScope()
        self._cancel: Callable[[], object] = self._scope.cancel
        self._call_soon: Callable[[Callable[[], object]], object]
        loop: Any = self.loop.native_token
        if isinstance(loop, asyncio.AbstractEventLoop):
            self._call_soon = loop.call_soon_threadsafe
            task = asyncio.create_task(self._run())
            self._cancel = task.cancel
            _running.add(task)
            task.add_done_callback(self._done)
        else:
            import trio

            self._call_soon = loop.run_sync_soon
            trio.lowlevel.spawn_system_task(self._run, context=copy_context())

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._ended.is_set()

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._work()
        except BaseException as error:  # nothing may come out of a task that nobody awaits
            self.error = error
        finally:
            self._ended.set()

    def _done(self, task: asyncio.Task[None]) -> None:
        _running.discard(task)
        self._ended.set()  # one that is cancelled before its first step has not run at all

    async def wait(self) -> None:
        """Wait until it has ended."""
        await self._ended.wait()

    async def end(self, clean_up: float) -> None:
        """Cancel it, and wait until it has ended, whoever cancels this.

        Args:
            clean_up: how long that may take, in seconds; then it is cancelled once more, and soon
                left to itself.
        """
        for patience in (clean_up, _AT_LAST):
            self._cancel()
            with anyio.move_on_after(patience, shield=True):
                await self._ended.wait()
                return

    def cancel_soon(self) -> None:
        """Cancel it, and do not wait. From any thread, the collector's too."""
        if not self.over:
            with suppress(RuntimeError):  # the loop is closed, and its tasks with it
                self._call_soon(self._cancel)
