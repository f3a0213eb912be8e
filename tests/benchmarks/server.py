"""A server that streams as fast as it can, in a process of its own.

    python -m tests.benchmarks.server

prints its port. ``POST /chat?deltas=20000&piece=300`` answers with a reply of so many deltas, cut
into network pieces of so many bytes.
"""

from __future__ import annotations

import asyncio
import sys
from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

from usechat.wire.ui_message_stream import DONE, encode_chunk

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def delta(number: int) -> str:
    """The text of a delta: words of several lengths, some beyond ASCII, now and then a new line."""
    if number % 100 == 99:
        return "\n\n"
    words = ("the ", "quick ", "brown ", "føx ", "jumps ", "over ", "it, ", "and ", "so ", "on. ")
    return words[number % len(words)]


def text(deltas: int) -> str:
    """What a reply says in all."""
    return "".join(map(delta, range(deltas)))


@lru_cache(maxsize=8)
def reply(deltas: int, piece: int) -> bytes:
    """A whole reply in HTTP's chunked coding."""
    begin = [{"type": "start"}, {"type": "start-step"}, {"type": "text-start", "id": "t"}]
    end = [{"type": "text-end", "id": "t"}, {"type": "finish-step"}, {"type": "finish"}]
    events = [encode_chunk(chunk) for chunk in begin]
    events += [
        encode_chunk({"type": "text-delta", "id": "t", "delta": delta(number)})
        for number in range(deltas)
    ]
    body = b"".join([*events, *(encode_chunk(chunk) for chunk in end), DONE])
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
    coded = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    return HEAD + b"".join(coded) + b"0\r\n\r\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode().split("\r\n")
            lengths = [line for line in lines if line.lower().startswith("content-length")]
            await reader.readexactly(int(lengths[0].split(":")[1]) if lengths else 0)
            query = parse_qs(urlsplit(lines[0].split(" ")[1]).query)
            writer.write(reply(int(query["deltas"][0]), int(query["piece"][0])))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the client is done
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The benchmark ends the server by closing its input.
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
