"""A reply that is cut, at any byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest
from servers import (
    Exchange,
    Handler,
    assert_usable,
    chatting,
    handlers,
)

from usechat import (
    AsyncChatSession,
    ConnectionBrokenError,
)
from usechat.wire.ui_message_stream import DONE, HEADERS, encode_chunk

pytestmark = pytest.mark.anyio


def saying(data: bytes, then: Callable[[Exchange], Awaitable[None]] = Exchange.close) -> Handler:
    """Bare bytes, then a close."""

    async def handle(exchange: Exchange) -> None:
        await exchange.raw(data)
        await then(exchange)

    return handle


class Bytes(httpx.AsyncByteStream):
    """A body that ends, or breaks, after some bytes."""

    def __init__(self, data: bytes, breaks: bool) -> None:
        self._data = data
        self._breaks = breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._data:
            yield self._data
        await anyio.lowlevel.checkpoint()
        if self._breaks:
            raise httpx.ReadError("Connection reset by peer")


class Cutter(httpx.AsyncBaseTransport):
    """Cuts a reply at a byte."""

    def __init__(self) -> None:
        self.body = b""
        self.breaks = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=HEADERS, stream=Bytes(self.body, self.breaks))


REPLY: list[dict[str, Any]] = [
    *({"type": "start", "messageId": "m1"}, {"type": "start-step"}),
    *({"type": "text-start", "id": "t1"}, {"type": "text-delta", "id": "t1", "delta": "Hé"}),
    *({"type": "text-delta", "id": "t1", "delta": "llo "}, {"type": "text-end", "id": "t1"}),
    {"type": "tool-input-start", "toolCallId": "c1", "toolName": "look"},
    {"type": "tool-input-available", "toolCallId": "c1", "toolName": "look", "input": {"at": 1}},
    {"type": "tool-output-available", "toolCallId": "c1", "output": {"seen": "🐟"}},
    {"type": "finish-step"},
    {"type": "finish", "finishReason": "stop", "messageMetadata": {"n": 1}},
]
EVENTS = [*map(encode_chunk, REPLY), DONE]
BODY = b"".join(EVENTS)


def whole_events(length: int) -> int:
    """How many events are whole in so many bytes."""
    ends = [len(b"".join(EVENTS[: n + 1])) for n in range(len(EVENTS))]
    return sum(end <= length for end in ends)


@pytest.mark.parametrize("breaks", [False, True])
async def test_a_reply_cut_at_any_byte(breaks: bool) -> None:
    cutter = Cutter()
    texts = dict.fromkeys(range(4), "") | {4: "Hé"}
    async with (
        httpx.AsyncClient(transport=cutter) as client,
        AsyncChatSession("http://cut/api/chat", client=client) as chat,
    ):
        for length in range(len(BODY) + 1):
            cutter.body, cutter.breaks = BODY[:length], breaks
            turn = await chat.send_message("Hi")
            whole = whole_events(length)
            assert turn.text == texts.get(whole, "Hé" + "llo "), length
            if breaks:
                assert isinstance(turn.error, ConnectionBrokenError), length
            else:
                complete = whole >= len(REPLY)
                assert turn.outcome == ("completed" if complete else "incomplete"), length
            chat.set_messages([])
            if length % 20 == 0:
                cutter.body, cutter.breaks = BODY, False
                assert (await chat.send_message("Hi")).outcome == "completed"
                chat.set_messages([])


RAW = b"\r\n".join(
    [
        b"HTTP/1.1 200 OK",
        *(f"{name}: {value}".encode() for name, value in HEADERS.items()),
        b"content-length: %d" % len(BODY),
        b"",
        BODY,
    ]
)


@pytest.mark.parametrize("then", [Exchange.close, Exchange.reset])
async def test_a_reply_cut_at_some_bytes_of_a_socket(
    then: Callable[[Exchange], Awaitable[None]],
) -> None:
    lengths = range(0, len(RAW), 41)
    cuts = [saying(RAW[:length], then) for length in lengths]
    async with chatting(handlers(*cuts)) as (chat, _):
        for length in lengths:
            turn = await chat.send_message("Hi")
            assert isinstance(turn.error, ConnectionBrokenError), length
            assert "Héllo ".startswith(turn.text)
            chat.set_messages([])
        await assert_usable(chat)
