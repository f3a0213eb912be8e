"""A task of the running loop that is in nobody's scope: a backend in this process.

What runs in a reader's own task may leave no scope open from one read to the next, and users'
generators do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

import anyio
import anyio.lowlevel


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
        self._task: asyncio.Task[None] | None = None  # a loop holds its tasks weakly
        if isinstance(self.loop.native_token, asyncio.AbstractEventLoop):
            self._task = asyncio.create_task(self._run())
        else:
            import trio

            trio.lowlevel.spawn_system_task(self._run, context=copy_context())

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._work()
        except BaseException as error:  # nothing may come out of a task that nobody awaits
            self.error = error
        finally:
            self._ended.set()

    async def wait(self) -> None:
        """Wait until it has ended."""
        await self._ended.wait()

    async def end(self, clean_up: float) -> None:
        """Cancel it, and wait until it has ended, whoever cancels this.

        Args:
            clean_up: how long that may take, in seconds; then it is cancelled once more, and left
                to itself.
        """
        for _ in range(2):
            if self._task is not None:
                self._task.cancel()
            else:
                self._scope.cancel()
            with anyio.move_on_after(clean_up, shield=True):
                await self._ended.wait()
                return
