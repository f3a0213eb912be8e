"""A server that streams as fast as it can, in a process of its own.

    python -m tests.benchmarks.server

prints its port. ``POST /chat?deltas=20000&piece=300`` answers with a reply of so many deltas, cut
into network pieces of so many bytes; see ``Reply`` for what else can be asked.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.files import allow_many
from tests.benchmarks.replies import Reply, encoded

SLICE = 4096  # bytes; replies that come together are sent in turn, so much of each


class Server:
    """Answers requests; those that ask for it all at once."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Event] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                lengths = [line for line in lines if line.lower().startswith("content-length")]
                await reader.readexactly(int(lengths[0].split(":")[1]) if lengths else 0)
                reply = Reply.of_query(urlsplit(lines[0].split(" ")[1]).query)
                await self._answer(reply, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is done
        finally:
            writer.close()

    async def _answer(self, reply: Reply, writer: asyncio.StreamWriter) -> None:
        whole = encoded(reply)
        if reply.together == 1:
            writer.write(whole)
            return await writer.drain()
        await self._all_there(reply.together)
        for at in range(0, len(whole), SLICE):
            writer.write(whole[at : at + SLICE])
            await writer.drain()
            await asyncio.sleep(0)

    async def _all_there(self, count: int) -> None:
        there = asyncio.Event()
        self._waiting.append(there)
        if len(self._waiting) == count:
            for event in self._waiting:
                event.set()
            self._waiting = []
        await there.wait()


@contextmanager
def running() -> Iterator[str]:
    """The URL of a server that runs in another process."""
    command = [sys.executable, "-m", "tests.benchmarks.server"]
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/chat"
        process.communicate()


async def main() -> None:
    allow_many()
    server = await asyncio.start_server(Server().serve, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The benchmark ends the server by closing its input.
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
