"""Loops whose time jumps as soon as nothing is left to do: hours pass in no time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anyio
import trio.testing

from usechat import ChatRequest


class JumpingLoop(asyncio.SelectorEventLoop):
    """asyncio with the time of ``trio.testing.MockClock(autojump_threshold=0)``."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__()
        select = self._selector.select

        def jump(timeout: float | None = None) -> Any:
            ready = select(0 if timeout is not None else None)
            if not ready and timeout:
                self._now += timeout
            return ready

        self._selector.select = jump

    def time(self) -> float:
        return self._now


def backend(name: str) -> tuple[str, dict[str, Any]]:
    """What anyio takes for a backend with such a clock."""
    if name == "asyncio":
        return name, {"loop_factory": JumpingLoop}
    return name, {"clock": trio.testing.MockClock(autojump_threshold=0)}


class Timed:
    """A transport whose replies are reads with seconds of silence between them."""

    def __init__(self, *reads: list[dict[str, Any]] | float) -> None:
        self._reads = reads

    async def send_messages(self, request: ChatRequest) -> AsyncIterator[list[dict[str, Any]]]:
        return self._reply()

    async def _reply(self) -> AsyncIterator[list[dict[str, Any]]]:
        await anyio.lowlevel.checkpoint()
        for read in self._reads:
            if isinstance(read, float):
                await anyio.sleep(read)
            else:
                yield read

    async def reconnect_to_stream(self, request: ChatRequest) -> None:
        return None

    async def aclose(self) -> None: ...
