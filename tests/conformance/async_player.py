"""Plays a scenario through AsyncChatSession."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
from player import Player

from usechat import AsyncChatSession, AsyncTurn, QueuePausedError

CHECKPOINTS = 12  # after each item: enough for the chat to have nothing more to do


class AsyncPlayer(Player):
    """One AsyncChatSession, played by a scenario; each turn is awaited in a task of its own."""

    tasks: anyio.abc.TaskGroup

    def begun(self, turn: AsyncTurn) -> None:
        self.tasks.start_soon(self.wait_for, turn)

    async def wait_for(self, turn: AsyncTurn) -> None:
        try:
            await turn
        except QueuePausedError:
            return

    async def settle(self) -> None:
        for _ in range(CHECKPOINTS):
            await anyio.lowlevel.checkpoint()

    async def move(self, count: int | None) -> None:
        """Let the network move.

        Args:
            count: by so many items; None: until nothing is left.
        """
        await self.settle()
        while count != 0 and self.network.tick():
            await self.settle()
            count = None if count is None else count - 1

    async def play(self) -> dict[str, Any]:
        chat = AsyncChatSession(**self.options())
        self.observe(chat)
        async with chat as self.chat, anyio.create_task_group() as self.tasks:
            for count in self.moves():
                await self.move(count)
            trace = self.trace()
            chat.stop()
            self.tasks.cancel_scope.cancel()
        return trace
