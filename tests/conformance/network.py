"""A scripted network under httpx: it moves only when it is told to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx

NO_BODY = (204, 205, 304)


class Connection(httpx.AsyncByteStream):
    """A response's body; each item is released by a tick."""

    def __init__(self, items: list[bytes | Exception | None]) -> None:
        self.items = items  # bytes, an exception to raise, or None for the end
        self.released: list[bytes | Exception | None] = []
        self.delivered = 0
        self.closed = False
        self.wake = anyio.Event()

    def release(self) -> None:
        self.delivered += 1
        self.released.append(self.items.pop(0))
        self.awaken()

    def awaken(self) -> None:
        self.wake.set()

    def end(self) -> None:
        self.closed = True

    async def until_released(self) -> None:
        """Wait for the next item: the session has asked for it."""
        self.wake = anyio.Event()
        await self.wake.wait()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while not self.released:
                await self.until_released()
            item = self.released.pop(0)
            if item is None or isinstance(item, Exception):
                self.end()
                if item is None:
                    return
                raise item
            yield item

    async def aclose(self) -> None:
        self.end()


class Network(httpx.AsyncBaseTransport):
    """Answers requests in their order with scripted replies.

    Args:
        replies: one for each request.
        protocol: ``ui`` or ``text``, for replies given as chunks.
    """

    def __init__(self, replies: list[dict[str, Any]], protocol: str) -> None:
        self.replies = replies
        self.protocol = protocol
        self.requests: list[dict[str, Any]] = []
        self.connections: list[Connection] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(recorded(request))
        number = len(self.requests) - 1
        reply = self.replies[number] if number < len(self.replies) else {"refuse": True}
        if reply.get("refuse"):
            raise httpx.ConnectError(str(reply["refuse"]), request=request)
        if reply.get("hangHeaders"):
            await self.hang()
        status = reply.get("status", 200)
        headers = reply.get("headers", {})
        if reply.get("nullBody") or status in NO_BODY:
            return httpx.Response(status, headers={**headers, "content-length": "0"})
        connection = self.connection(self.items(reply, request))
        self.connections.append(connection)
        return httpx.Response(status, headers=headers, stream=connection)

    async def hang(self) -> None:
        """Wait for headers that never come."""
        await anyio.sleep_forever()

    def connection(self, items: list[Any]) -> Connection:
        """The body of a response."""
        return Connection(items)

    def items(self, reply: dict[str, Any], request: httpx.Request) -> list[Any]:
        items: list[Any] = pieces_of(reply, self.protocol)
        if reply.get("cut"):
            items.append(httpx.ReadError(str(reply["cut"]), request=request))
        elif not reply.get("hang"):
            items.append(None)
        return items

    def tick(self) -> bool:
        """Release one item of the open connection that has had the fewest; False: none is left."""
        waiting = [c for c in self.connections if not c.closed and c.items]
        if not waiting:
            return False
        min(waiting, key=lambda connection: connection.delivered).release()
        return True


def recorded(request: httpx.Request) -> dict[str, Any]:
    """A request as the trace has it, without what the HTTP client adds by itself."""
    own = {"host", "user-agent", "accept", "accept-encoding", "connection", "content-length"}
    content = request.content
    return {
        "url": str(request.url).removeprefix("http://player"),
        "method": request.method,
        "headers": {k.lower(): v for k, v in request.headers.items() if k.lower() not in own},
        "body": json.loads(content) if content else None,
    }


def pieces_of(reply: dict[str, Any], protocol: str) -> list[bytes]:
    """The network pieces of a reply."""
    if "raw" in reply:
        pieces = [bytes_of(piece) for piece in reply["raw"]]
    else:
        write = as_text if protocol == "text" else as_event
        pieces = [write(chunk) for chunk in reply.get("chunks", [])]
        if "chunks" in reply and reply.get("done"):
            pieces.append(b"data: [DONE]\n\n")
    return resplit(pieces, reply["split"]) if "split" in reply else pieces


def bytes_of(piece: Any) -> bytes:
    if isinstance(piece, str):
        return piece.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    return bytes.fromhex(piece["hex"])


def as_event(chunk: Any) -> bytes:
    # JavaScript writes lone surrogates as escapes and all else as it is.
    text = json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode("utf-8", "backslashreplace")


def as_text(chunk: Any) -> bytes:
    return bytes_of(chunk if isinstance(chunk, str) else json.dumps(chunk, separators=(",", ":")))


def resplit(pieces: list[bytes], split: int | list[int]) -> list[bytes]:
    data = b"".join(pieces)
    if isinstance(split, int):
        cuts = list(range(0, len(data), split))
    else:
        cuts = [0, *(len(data) + at if at < 0 else at for at in split)]
    ends = [*cuts[1:], len(data)]
    return [data[a:b] for a, b in zip(cuts, ends, strict=True) if a < b]
