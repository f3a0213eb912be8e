"""A server that drops, stalls and errs at random, and else says what ``replies`` computes.

    python -m tests.stress.server SEED

prints its port. A line on its input is answered by one of JSON: the connections that are open, the
replies of each kind, what went wrong in it. It ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
import traceback
from collections import Counter
from contextlib import suppress
from typing import Any

from tests.stress.replies import CALM, deltas
from usechat.wire.ui_message_stream import DONE, encode_chunk

HEAD = "HTTP/1.1 {} {}\r\ncontent-type: {}\r\n{}\r\n\r\n"
STALL = 30.0  # seconds; no client waits so long

FAULTS = (
    "stall_before",
    "stall_mid",
    "http_500",
    "redirect",
    "html",
    "empty",
    "error_chunk",
    "bad_json",
    "bad_chunk",
    "bad_coding",
    "drop",
    "cut",
    "reset",
    "no_end",
    "abort",
)
CALM_WAYS = ("fast", "split", "slow", "late", "closing")


class Gone(Exception):
    """This connection is of no more use."""


def key_of(body: Any, number: int) -> tuple[str, bool]:
    """What a request asks, with a number of its own; and whether it may have no fault."""
    if body is None:
        return f"resumed#{number}", False
    last = body["messages"][-1] if body["messages"] else {"role": "user", "parts": []}
    if last["role"] == "user":
        prompt = "".join(p.get("text", "") for p in last["parts"] if p["type"] == "text")
    else:
        calls = [p["toolCallId"] for p in last["parts"] if "toolCallId" in p]
        prompt = f"out:{calls[-1] if calls else 'none'}"
    return f"{prompt}#{number}", prompt.startswith(CALM)


def events_of(key: str, number: int, chance: random.Random) -> list[bytes]:
    """The events of a whole reply."""
    start: dict[str, Any] = {"type": "start"}
    if chance.random() < 0.3:
        start["messageId"] = f"m{number}"
    chunks: list[dict[str, Any]] = [start, {"type": "start-step"}]
    if chance.random() < 0.2:
        chunks += [
            {"type": "reasoning-start", "id": "r"},
            {"type": "reasoning-delta", "id": "r", "delta": "hm"},
            {"type": "reasoning-end", "id": "r"},
        ]
    if chance.random() < 0.2:
        chunks += [
            {"type": "data-note", "data": {"n": number}},
            {"type": "data-passing", "data": number, "transient": True},
        ]
    said: list[dict[str, Any]] = [
        {"type": "text-delta", "id": "t", "delta": piece} for piece in deltas(key)
    ]
    chunks += [{"type": "text-start", "id": "t"}, *said, {"type": "text-end", "id": "t"}]
    if "tool" in key and not key.startswith("out:"):
        call = {"toolCallId": f"call{number}", "toolName": "ask", "input": {"n": number}}
        at = chance.choice((2, len(chunks) - 1, len(chunks)))
        chunks.insert(at, {"type": "tool-input-available", **call})
    chunks += [{"type": "finish-step"}, {"type": "finish", "finishReason": "stop"}]
    return [*(encode_chunk(chunk) for chunk in chunks), DONE]


class Server:
    """Its connections and what it did."""

    def __init__(self, seed: str) -> None:
        self.chance = random.Random(seed)
        self.number = 0
        self.open = 0
        self.kinds: Counter[str] = Counter()
        self.errors: list[str] = []

    def stats(self) -> dict[str, Any]:
        """What it is asked for."""
        return {"open": self.open, "kinds": self.kinds, "errors": self.errors}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.open += 1
        try:
            while True:
                await self.exchange(reader, writer)
        except (Gone, asyncio.IncompleteReadError, OSError):
            pass
        except Exception:
            self.errors.append(traceback.format_exc())
        finally:
            self.open -= 1
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request and its reply."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
        body = json.loads(await reader.readexactly(length) or "null")
        self.number += 1
        if body is None and self.number % 3:
            self.kinds["nothing_to_resume"] += 1
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            return
        key, calm = key_of(body, self.number)
        faulty = not calm and self.chance.random() < 0.45
        kind = self.chance.choice(FAULTS if faulty else CALM_WAYS)
        self.kinds[kind] += 1
        reply = Reply(kind, key, self.number, random.Random(self.chance.random()), reader, writer)
        await reply.send()
        if faulty or kind == "closing":
            raise Gone


class Reply:
    """One reply on its way."""

    def __init__(
        self,
        kind: str,
        key: str,
        number: int,
        chance: random.Random,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.kind, self.chance, self.reader, self.writer = kind, chance, reader, writer
        self.events = events_of(key, number, chance)

    async def send(self) -> None:
        """Send it, in its way."""
        plain = {
            "http_500": (500, "Error", "text/plain", "content-length: 4", b"oops"),
            "redirect": (302, "Found", "text/plain", "location: /other\r\ncontent-length: 0", b""),
            "html": (200, "OK", "text/html", "content-length: 13", b"<html></html>"),
            "empty": (200, "OK", "text/event-stream", "content-length: 0", b""),
        }
        if self.kind == "drop":
            raise Gone
        if self.kind == "stall_before":
            await self.stall()
        if self.kind == "late":
            await asyncio.sleep(self.chance.uniform(0, 0.3))
        if self.kind in plain:
            *head, body = plain[self.kind]
            self.writer.write(HEAD.format(*head).encode() + body)
            await self.writer.drain()
            return
        how = "transfer-encoding: chunked"
        if self.kind == "closing":
            how += "\r\nconnection: close"
        self.writer.write(HEAD.format(200, "OK", "text/event-stream", how).encode())
        await self.body()

    async def body(self) -> None:
        """The events, as far as they get."""
        if self.kind in CALM_WAYS:
            await self.pieces(b"".join(self.events))
            self.writer.write(b"0\r\n\r\n")
            await self.writer.drain()
            return
        # Not all of them: the end of the protocol is missing.
        before = b"".join(self.events[: self.chance.randrange(len(self.events) - 1)])
        if self.kind in ("cut", "reset"):
            before = before[: self.chance.randrange(len(before) + 1)]
        await self.pieces(before)
        await self.fault()

    async def fault(self) -> None:
        """What comes instead of the rest."""
        said = {
            "error_chunk": encode_chunk({"type": "error", "errorText": "no more"}),
            "bad_json": b'data: {"type": "text-del\n\n',
            "bad_chunk": encode_chunk({"type": "text-delta", "id": 3, "delta": ["x"]}),
            "abort": encode_chunk({"type": "abort"}),
        }.get(self.kind)
        if self.kind == "stall_mid":
            await self.stall()
        elif self.kind == "reset":
            linger = struct.pack("ii", 1, 0)
            plug = self.writer.get_extra_info("socket")
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        elif self.kind == "bad_coding":
            self.writer.write(b"this is no length\r\n")
        elif self.kind != "cut":
            if said is not None:
                await self.pieces(said)
            self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def pieces(self, data: bytes) -> None:
        """Bytes in chunked coding, cut where chance will have it."""
        at = 0
        while at < len(data):
            size = len(data) if self.kind == "fast" else self.chance.choice((1, 7, 60, 500, 5000))
            piece = data[at : at + size]
            at += size
            self.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await self.writer.drain()
            if self.kind == "slow" and self.chance.random() < 0.1:
                await asyncio.sleep(self.chance.uniform(0, 0.02))
            elif self.chance.random() < 0.1:
                await asyncio.sleep(0)

    async def stall(self) -> None:
        """Say nothing until the client goes."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.reader.read(), STALL)
        raise Gone


async def main(seed: str) -> None:
    """Serve until the input ends."""
    server = Server(seed)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=1000)
    print(listener.sockets[0].getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(server.stats()), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
