"""An HTTP server for tests, on the loopback interface, that replies as a script says."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, TypeAlias

from usechat.errors import InvalidArgumentError
from usechat.model.chunks import UIMessageChunk
from usechat.testing.script import HANG, RESET, Marker
from usechat.wire.ui_message_stream import DONE, HEADERS, encode_chunk

_MAX_HEAD = 1024 * 1024
_JOIN_SECONDS = 5.0
_TEXT_HEADERS = {"content-type": "text/plain; charset=utf-8"}


@dataclass(frozen=True)
class FakeRequest:
    """A request as it came.

    Attributes:
        method: ``POST``.
        path: with its query, ``/api/chat?x=1``.
        headers: names in lower case.
        body: the bytes.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as a JSON value; None where there is no body.

        Raises:
            ValueError: the body is no JSON.
        """
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True)
class FakeReply:
    """A reply with a status and headers of its own.

    Attributes:
        body: bytes, or a list: bytes go out as they are, chunks as events (unchecked: a test may
            want to send bad ones); ``HANG``, ``CUT`` or ``RESET`` as the last item says how it
            ends. After a chunk as the last item comes ``[DONE]``.
        status: the HTTP status.
        headers: all but those about length; None: those of the UI message stream, or of plain
            text where the status is not 200. With ``content-length`` among them the body is sent
            as it is, else in chunked coding.
    """

    body: bytes | Sequence[bytes | UIMessageChunk | Marker] = b""
    status: int = 200
    headers: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for item in [self.body] if isinstance(self.body, bytes) else self.body:
            if not isinstance(item, (bytes, Mapping, Marker)):
                raise InvalidArgumentError(
                    f"FakeReply: expected bytes, a chunk, HANG, CUT or RESET, not {item!r}."
                )

    def items(self) -> list[bytes | Marker]:
        """What is sent, piece by piece, and a marker where it ends early."""
        if isinstance(self.body, bytes):
            return [self.body] if self.body else []
        items = [encode_chunk(i) if isinstance(i, Mapping) else i for i in self.body]
        if self.body and isinstance(self.body[-1], Mapping):
            items.append(DONE)
        return [item for item in items if item != b""]

    def head(self, framing: str | None) -> bytes:
        """The status line and the headers.

        Args:
            framing: the header that says how long the body is.
        """
        phrase = HTTPStatus(self.status).phrase if self.status in set(HTTPStatus) else ""
        own = self.headers
        if own is None:
            own = HEADERS if self.status == 200 else _TEXT_HEADERS
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{k}: {v}" for k, v in own.items())]
        if framing is not None:
            lines.append(framing)
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def framing(self) -> str | None:
        """The header that says how long the body is; None: nothing need be said."""
        if any(name.lower() == "content-length" for name in self.headers or ()):
            return None
        if self.status in (204, 304):
            return None
        return "transfer-encoding: chunked" if self.items() else "content-length: 0"


_ServerReply: TypeAlias = FakeReply | Sequence[bytes | UIMessageChunk | Marker] | Marker
_ServerScript: TypeAlias = _ServerReply | Callable[[FakeRequest], _ServerReply]


class FakeServer:
    """A real HTTP server on 127.0.0.1, in a thread of its own; a context manager.

    >>> import asyncio
    >>> from usechat import AsyncChatSession
    >>> from usechat.testing import CUT, FakeServer, text_reply
    >>> async def main():
    ...     with FakeServer([text_reply("Hello"), [*text_reply("Hello")[:4], CUT]]) as server:
    ...         async with AsyncChatSession(server.url) as chat:
    ...             print((await chat.send_message("Hi")).text)
    ...             print(type((await chat.send_message("Again")).error).__name__)
    ...         print(server.requests[0].method, server.requests[0].json["trigger"])
    >>> asyncio.run(main())
    Hello
    ConnectionBrokenError
    POST submit-message

    Args:
        replies: one for each request, in the order in which they come: a list as for
            ``FakeReply.body``, a ``FakeReply``, a function that gets the ``FakeRequest`` and
            returns one of these (called on the server's thread), or ``HANG``, ``CUT`` or
            ``RESET`` alone: then no headers come. Where none is left the server answers 500 and
            says so.

    Attributes:
        url: of the endpoint, ``http://127.0.0.1:…/api/chat``; every path is answered.
        requests: what came, in order.
        disconnects: how many clients left before their reply was complete.
    """

    def __init__(self, replies: Iterable[_ServerScript] = ()) -> None:
        self.url = ""
        self.requests: list[FakeRequest] = []
        self.disconnects = 0
        self._replies = deque(r if callable(r) else _as_reply(r) for r in replies)
        self._changed = threading.Condition()

    def __enter__(self) -> FakeServer:
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/chat"
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(
            target=self._run, args=(listener,), name="FakeServer", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_JOIN_SECONDS)

    def wait_request(self, count: int = 1, timeout: float = 5.0) -> FakeRequest:
        """Wait until a request has come; return it. This blocks: see ``wait_disconnect``.

        Args:
            count: which one, counted from 1.
            timeout: seconds.

        Raises:
            TimeoutError: it has not come in time.
        """
        self._wait(lambda: len(self.requests) >= count, timeout, f"request {count} has not come")
        return self.requests[count - 1]

    def wait_disconnect(self, count: int = 1, timeout: float = 5.0) -> None:
        """Wait until clients have left before their replies were complete.

        This blocks. In async code whose client has yet to leave use
        ``await anyio.to_thread.run_sync(server.wait_disconnect)``.

        Args:
            count: how many, since the server was started.
            timeout: seconds.

        Raises:
            TimeoutError: fewer have left in time.
        """
        self._wait(lambda: self.disconnects >= count, timeout, "the client has not disconnected")

    def _wait(self, reached: Callable[[], bool], timeout: float, otherwise: str) -> None:
        with self._changed:
            if not self._changed.wait_for(reached, timeout):
                raise TimeoutError(f"FakeServer: {otherwise} within {timeout} s.")

    # ------------------------------------------------- on the server's thread

    def _run(self, listener: socket.socket) -> None:
        try:
            self._loop.run_until_complete(self._serve(listener))
        finally:
            self._loop.close()

    async def _serve(self, listener: socket.socket) -> None:
        server = await asyncio.start_server(self._accept, sock=listener, limit=_MAX_HEAD)
        await self._stop.wait()
        own = asyncio.current_task()
        # No more is accepted, but the server is closed when what has been accepted is done with:
        # before that asyncio loses a connection, and a cancelled one too.
        with suppress(NotImplementedError):
            self._loop.remove_reader(listener.fileno())
        while others := asyncio.all_tasks() - {own}:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(others)
        server.close()
        left = list(self._writers)  # their tasks were cancelled before they began
        for writer in left:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in left), return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: asyncio would log that it was cancelled, by us and on purpose.
        self._writers.add(writer)
        task = self._loop.create_task(self._connection(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Each drain then waits until all is with the kernel, which an abort leaves alone.
        writer.transport.set_write_buffer_limits(0)
        # asyncio sets this only where a socket names its protocol; else a reply waits 40 ms for
        # the acknowledgement of its head.
        with suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while await self._exchange(reader, writer):
                pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its reply; whether the connection is still of use."""
        try:
            request = await _read_request(reader)
        except (asyncio.IncompleteReadError, OSError):
            return False  # between two requests a client may go
        except (asyncio.LimitOverrunError, ValueError):
            return False  # this is no HTTP
        reply = self._reply_to(request)
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
        try:
            return await _send(reply, reader, writer)
        except OSError:
            with self._changed:
                self.disconnects += 1
                self._changed.notify_all()
            return False

    def _reply_to(self, request: FakeRequest) -> FakeReply | Marker:
        if not self._replies:
            said = f"FakeServer has no reply left for {request.method} {request.path}."
            return FakeReply(said.encode(), status=500)
        script = self._replies.popleft()
        if not callable(script):
            return script
        try:
            return _as_reply(script(request))
        except Exception as error:
            said = f"FakeServer: the function of this reply raised {error!r}."
            return FakeReply(said.encode(), status=500)


def _as_reply(reply: _ServerReply) -> FakeReply | Marker:
    return reply if isinstance(reply, (FakeReply, Marker)) else FakeReply(reply)


async def _read_request(reader: asyncio.StreamReader) -> FakeRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    body = await _read_body(reader, headers)
    return FakeRequest(method, path, headers, body)


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body


async def _send(
    reply: FakeReply | Marker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """Send a reply; whether the connection is still of use."""
    if isinstance(reply, Marker):
        return await _end(reply, reader, writer)
    framing = reply.framing()
    chunked = framing is not None and "chunked" in framing
    await _write(reply.head(framing), reader, writer)
    for item in reply.items():
        if isinstance(item, Marker):
            return await _end(item, reader, writer)
        await _write(b"%x\r\n%b\r\n" % (len(item), item) if chunked else item, reader, writer)
    if chunked:
        await _write(b"0\r\n\r\n", reader, writer)
    return True


async def _write(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(data)
    await writer.drain()
    await asyncio.sleep(0)
    if reader.at_eof():
        raise ConnectionResetError("the client has gone")


async def _end(marker: Marker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """End a reply before its end."""
    if marker is HANG:
        while await reader.read(_MAX_HEAD):
            pass
        raise ConnectionResetError("the client has gone")
    if marker is RESET:
        linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    return False
