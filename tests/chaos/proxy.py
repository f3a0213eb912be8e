"""A TCP proxy that cuts a response at a byte."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

_PIECE = 65536


class Proxy:
    """Stands between a client and a server on 127.0.0.1; an async context manager.

    Args:
        port: the server's.

    Attributes:
        url: of the endpoint, as the client is to see it.
        cut_at: how many bytes of the response to the next POST get through, its head with them;
            None: all.
        resets: whether the cut is a TCP reset instead of a close.
        cuts: how many responses were cut.
    """

    def __init__(self, port: int) -> None:
        self.url = ""
        self.cut_at: int | None = None
        self.resets = False
        self.cuts = 0
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/api/chat"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._connection(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        server, forth = await asyncio.open_connection("127.0.0.1", self._port)
        left: list[int | None] = [None]
        answering = asyncio.create_task(self._answer(server, back, left))
        try:
            with suppress(OSError):
                while data := await client.read(_PIECE):
                    if data.startswith(b"POST "):
                        left[0], self.cut_at = self.cut_at, None
                    forth.write(data)
                    await forth.drain()
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            for writer in (forth, back):
                writer.transport.abort()

    async def _answer(
        self, server: asyncio.StreamReader, back: asyncio.StreamWriter, left: list[int | None]
    ) -> None:
        with suppress(OSError):
            while data := await server.read(_PIECE):
                if left[0] is None:
                    back.write(data)
                    await back.drain()
                    continue
                back.write(data[: left[0]])
                await back.drain()
                left[0] -= len(data)
                if left[0] <= 0:
                    self.cuts += 1
                    self._cut(back)
                    return
        back.close()

    def _cut(self, back: asyncio.StreamWriter) -> None:
        if self.resets:
            linger = struct.pack("ii", 1, 0)
            back.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        back.close()
