"""The scripted network for ChatSession: the loop's thread reads it, the player's moves it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio.lowlevel
import httpx
from network import Connection, Network

from usechat.engine.exchange import Exchange
from usechat.transport.user_functions import CALLER


class ThreadedConnection(Connection):
    """A response's body; an item is released only when the session has asked for it.

    Args:
        items: what it brings.
        network: the network that it belongs to.
        exchange: whose reply it is.
    """

    def __init__(self, items: list[Any], network: ThreadedNetwork, exchange: Exchange) -> None:
        super().__init__(items)
        self.network = network
        self.exchange = exchange
        self.loop = asyncio.get_running_loop()

    def release(self) -> None:
        self.network.moves(self.exchange)
        super().release()

    def awaken(self) -> None:
        self.loop.call_soon_threadsafe(self.wake.set)

    async def until_released(self) -> None:
        # What is closed asks once more, to be cancelled: that is not a wait for the network.
        await anyio.lowlevel.checkpoint_if_cancelled()
        self.wake = anyio.Event()
        with self.network.waited_for_by(self.exchange):
            await self.wake.wait()

    def end(self) -> None:
        super().end()
        self.network.ended(self.exchange)


class ThreadedNetwork(Network):
    """Answers requests on the loop's thread. A session has one open at a time.

    Args:
        replies: one for each request.
        protocol: ``ui`` or ``text``, for replies given as chunks.

    Attributes:
        changed: told of all that changes here; its lock guards what follows.
        open: the exchange whose request is not over.
        resting: the exchange that waits for the network to move, or for headers that never come.
    """

    def __init__(self, replies: list[dict[str, Any]], protocol: str) -> None:
        super().__init__(replies, protocol)
        self.changed = threading.Condition()
        self.open: Exchange | None = None
        self.resting: Exchange | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = asking()
        with self.changed:
            assert self.open is None, "two requests at a time"
            self.open = exchange
        try:
            response = await super().handle_async_request(request)
        except BaseException:
            self.ended(exchange)
            raise
        if not isinstance(response.stream, ThreadedConnection):
            self.ended(exchange)
        return response

    async def hang(self) -> None:
        with self.waited_for_by(asking()):
            await super().hang()

    def connection(self, items: list[Any]) -> Connection:
        return ThreadedConnection(items, self, asking())

    @contextmanager
    def waited_for_by(self, exchange: Exchange) -> Iterator[None]:
        """While an exchange waits for the network to move."""
        with self.changed:
            self.resting = exchange
            self.changed.notify_all()
        try:
            yield
        finally:
            with self.changed:
                self.resting = None

    def moves(self, exchange: Exchange) -> None:
        """An exchange gets what it waits for: from now on it does not wait."""
        with self.changed:
            assert self.resting is exchange, "an item is released that nobody has asked for"
            self.resting = None

    def ended(self, exchange: Exchange) -> None:
        """The request of an exchange is over: it failed, or its body was read or closed."""
        with self.changed:
            if self.open is exchange:
                self.open = None
                self.changed.notify_all()

    def is_at_rest(self, exchange: Exchange | None) -> bool:
        """Whether nothing happens before the network moves or somebody does something.

        Args:
            exchange: the session's; None: it has none, and nothing of the last is to be open.
        """
        return self.open is None if exchange is None else self.resting is exchange


def asking() -> Exchange:
    """The exchange whose request is made in this task.

    Nothing public says it, and the request alone does not: that of the exchange before may look the
    same. The session's reader names it in what would call the user's functions in this task.
    """
    caller: Any = CALLER.get()
    exchange = caller.call.args[0]
    assert isinstance(exchange, Exchange)
    return exchange
