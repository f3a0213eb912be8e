"""Replies that are being written: several readers can follow one, from its start to its end."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Literal, TypeAlias

import anyio

from usechat.server.script import Chunk

Outcome: TypeAlias = Literal["finished", "stopped"]
"""How a reply ended: by itself; or for want of readers, or for a newer reply to the same chat."""

OnReplyEnd: TypeAlias = Callable[[str, Outcome], object]
"""Called with the chat's id when a reply to it has ended."""

MAX_RUNNING = 100
UNATTENDED_SECONDS = 300.0

_log = logging.getLogger("usechat")


class RunningReply:
    """A reply that is being written, with all that came so far.

    Args:
        source: gives the chunks; ``run`` closes it.
        grace: how many seconds it goes on without a reader.
    """

    def __init__(self, source: AsyncGenerator[Chunk, None], grace: float = 0.0) -> None:
        self._source = source
        self._grace = grace
        self._chunks: list[Chunk] = []
        self._changed = anyio.Event()
        self._scope = anyio.CancelScope()
        self._readers = 0
        self._over = False

    async def run(self) -> Outcome:
        """Write the reply to its end; to be called once."""
        try:
            with self._scope:
                await self._write()
            if self._scope.cancelled_caught:
                self._chunks.append({"type": "abort", "reason": "The reply was stopped."})
                return "stopped"
            return "finished"
        finally:
            self._over = True
            self._changed.set()

    async def _write(self) -> None:
        try:
            async with aclosing(self._source) as source:
                async for chunk in source:
                    self._put(chunk)
        except Exception:
            _log.exception("The demo assistant failed")
            self._put({"type": "error", "errorText": "The demo has a fault; its log says which."})

    def _put(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        self._changed.set()
        self._changed = anyio.Event()

    def stop(self) -> None:
        """End the reply, whoever reads it."""
        self._scope.cancel()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Be a reader: without any the reply is stopped, at once or after its grace."""
        self._readers += 1
        self._scope.deadline = math.inf
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers and not self._over:
                self._leave_alone()

    def _leave_alone(self) -> None:
        if self._grace:
            self._scope.deadline = anyio.current_time() + self._grace
        else:
            self._scope.cancel()

    async def after(self, seen: int) -> list[Chunk]:
        """Wait for chunks.

        Args:
            seen: how many the reader has already.

        Returns:
            All that came after those, at least one; none when the reply is over.
        """
        while len(self._chunks) <= seen and not self._over:
            await self._changed.wait()
        return self._chunks[seen:]


class RunningReplies:
    """The replies that run now, by the id of their chat.

    Args:
        on_end: called when one has ended.
    """

    def __init__(self, on_end: OnReplyEnd | None = None) -> None:
        self._on_end = on_end
        self._running: dict[str, RunningReply] = {}

    @property
    def full(self) -> bool:
        """Whether there are as many as are kept."""
        return len(self._running) >= MAX_RUNNING

    def get(self, chat_id: str) -> RunningReply | None:
        """The reply that runs for a chat, or None."""
        return self._running.get(chat_id)

    def add(self, chat_id: str, reply: RunningReply) -> None:
        """Take a reply in; one that runs for the same chat is stopped."""
        if before := self._running.get(chat_id):
            before.stop()
        self._running[chat_id] = reply

    async def run(self, chat_id: str, reply: RunningReply) -> None:
        """Write a reply that has been added, and forget it when it is over."""
        outcome: Outcome = "stopped"
        try:
            outcome = await reply.run()
        finally:
            if self._running.get(chat_id) is reply:
                del self._running[chat_id]
            if self._on_end:
                self._on_end(chat_id, outcome)

    def stop_all(self) -> None:
        """Stop every reply: the server goes down."""
        for reply in self._running.values():
            reply.stop()
