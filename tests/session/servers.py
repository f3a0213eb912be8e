"""Servers in the test's own loop, over real sockets, that do byte by byte what a test says.

A handler is an async function of the test: it gets each request as an ``Exchange`` and may wait for
the test's events between two bytes, see the client leave, or break the connection.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc

from usechat import AsyncChatSession, AsyncTurn, TextDelta
from usechat.testing import ScriptedTransport, text_reply
from usechat.wire.ui_message_stream import DONE, HEADERS, encode_chunk

Chunk = dict[str, Any]
PATIENCE = 10  # seconds; whoever waits longer waits for something that does not come

GREETING: list[Chunk] = text_reply("Hello there", message_id="m1")
BEGUN: list[Chunk] = GREETING[:4]  # up to "Hello "


class Exchange:
    """A request, and what can be done with its connection."""

    def __init__(self, number: int, first: str, headers: dict[str, str], body: bytes) -> None:
        self.number = number
        self.method, self.path, _ = first.split(" ", 2)
        self.headers = headers
        self.body = body
        self.sent = 0
        self.broken = False
        self._stream: anyio.abc.SocketStream
        self._framed = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """What the user said last."""
        return "".join(part.get("text", "") for part in self.json["messages"][-1]["parts"])

    async def raw(self, data: bytes) -> None:
        await self._stream.send(data)
        self.sent += len(data)

    async def head(
        self,
        status: int = 200,
        headers: Mapping[str, str] = HEADERS,
        framing: str = "transfer-encoding: chunked",
    ) -> None:
        lines = [f"HTTP/1.1 {status} Said", *(f"{k}: {v}" for k, v in headers.items()), framing]
        self._framed = "chunked" in framing
        await self.raw("\r\n".join([*filter(None, lines), "", ""]).encode("latin-1"))

    async def piece(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data) if self._framed else data)

    async def send(self, *chunks: Chunk) -> None:
        """Chunks, each in a piece of its own."""
        for chunk in chunks:
            await self.piece(encode_chunk(chunk))

    async def together(self, *chunks: Chunk) -> None:
        """Chunks in one piece."""
        await self.piece(b"".join(map(encode_chunk, chunks)))

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")

    async def begin(self) -> None:
        """Half of a greeting."""
        await self.head()
        await self.send({"type": "start", "messageId": f"m{self.number}"}, *BEGUN[1:])

    async def reply(self, chunks: list[Chunk] | None = None) -> None:
        """A whole reply; a greeting with an id of its own if None."""
        await self.head()
        own = {"type": "start", "messageId": f"m{self.number}"}
        await self.send(*([own, *GREETING[1:]] if chunks is None else chunks))
        await self.piece(DONE)
        await self.end()

    async def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer with a body of a known length."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await self.head(status, named, f"content-length: {len(body)}")
        await self.raw(body)

    async def close(self) -> None:
        """Close the connection cleanly."""
        self.broken = True
        await self._stream.aclose()

    async def reset(self) -> None:
        """Break the connection: TCP RST."""
        raw = self._stream.extra(anyio.abc.SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.close()

    async def left(self) -> None:
        """Wait until the client has left."""
        try:
            while True:
                await self._stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            self.broken = True


Handler = Callable[[Exchange], Awaitable[None]]


class Server:
    """What a test knows of its server."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.origin = ""
        self.exchanges: list[Exchange] = []
        self.open = 0
        self._closed = anyio.Event()

    @property
    def url(self) -> str:
        return f"{self.origin}/api/chat"

    async def all_closed(self) -> None:
        """Wait until no client is connected any more."""
        with anyio.fail_after(PATIENCE):
            while self.open:
                self._closed = anyio.Event()
                await self._closed.wait()

    async def connected(self, stream: anyio.abc.SocketStream) -> None:
        self.open += 1
        try:
            async with stream:
                while await self._exchange(stream):
                    pass
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the client has left
        finally:
            self.open -= 1
            self._closed.set()

    async def _exchange(self, stream: anyio.abc.SocketStream) -> bool:
        exchange = await _read(stream, len(self.exchanges) + 1)
        exchange._stream = stream
        self.exchanges.append(exchange)
        await self.handler(exchange)
        return not exchange.broken


async def _read(stream: anyio.abc.SocketStream, number: int) -> Exchange:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += await stream.receive()
    return Exchange(number, first, headers, body)


@asynccontextmanager
async def serve(handler: Handler) -> AsyncIterator[Server]:
    """A server on a free port of the loopback address."""
    server = Server(handler)
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        server.origin = f"http://127.0.0.1:{port}"
        tasks.start_soon(listener.serve, server.connected)
        yield server
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def chatting(
    handler: Handler, **options: Any
) -> AsyncIterator[tuple[AsyncChatSession, Server]]:
    """A session and its server; at the end no connection is left."""
    async with serve(handler) as server:
        async with AsyncChatSession(server.url, **options) as chat:
            yield chat, server
        await server.all_closed()


def handlers(*each: Handler) -> Handler:
    """A handler for each request in turn; a whole reply where none is left."""

    async def handle(exchange: Exchange) -> None:
        if exchange.number <= len(each):
            await each[exchange.number - 1](exchange)
        else:
            await exchange.reply()

    return handle


async def assert_usable(chat: AsyncChatSession) -> None:
    """After whatever happened the session serves a good reply."""
    before = len(chat.messages)
    with anyio.fail_after(PATIENCE):
        turn = await chat.send_message("Again")
    assert (turn.outcome, turn.text, turn.error) == ("completed", "Hello there", None)
    assert (chat.status, chat.error) == ("ready", None)
    assert len(chat.messages) == before + 2


async def gathered(*calls: Callable[[], Awaitable[Any]], patience: float = PATIENCE) -> list[Any]:
    """What the calls give, each made in a task of its own."""
    results: list[Any] = [None] * len(calls)

    async def call(index: int) -> None:
        results[index] = await calls[index]()

    with anyio.fail_after(patience):
        async with anyio.create_task_group() as tasks:
            for index in range(len(calls)):
                tasks.start_soon(call, index)
    return results


async def hang(exchange: Exchange) -> None:
    """Half a reply, then silence until the client leaves."""
    await exchange.begin()
    await exchange.left()


class Gate:
    """A reply in two halves; the test opens the second one."""

    def __init__(self) -> None:
        self.open = anyio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*BEGUN)
        await self.open.wait()
        await exchange.send(*GREETING[4:])
        await exchange.end()


async def text_came(chat: AsyncChatSession) -> None:
    came = anyio.Event()
    with chat.on(TextDelta, lambda _: came.set()), anyio.fail_after(PATIENCE):
        await came.wait()


def scripted(*replies: Any, **options: Any) -> AsyncChatSession:
    return AsyncChatSession(ScriptedTransport(replies), **options)


async def waits(turn: AsyncTurn) -> None:
    await turn


async def iterates(turn: AsyncTurn) -> None:
    async for _ in turn:
        pass


async def asks_for_events(turn: AsyncTurn) -> None:
    async for _ in turn.events():
        pass


WAYS: list[Callable[[AsyncTurn], Awaitable[None]]] = [waits, iterates, asks_for_events]
