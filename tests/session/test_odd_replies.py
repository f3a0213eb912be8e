"""Replies that are odd, or too much."""

from __future__ import annotations

import json
import logging
import tracemalloc

import pytest
from servers import (
    BEGUN,
    GREETING,
    Exchange,
    assert_usable,
    chatting,
    handlers,
)

from usechat import (
    AsyncChatSession,
    StreamProtocolError,
    TextDelta,
)
from usechat.wire.ui_message_stream import DONE, HEADERS

pytestmark = pytest.mark.anyio


async def test_an_unknown_chunk_is_skipped_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    odd = {"type": "hologram", "x": 1}
    reply = [GREETING[0], odd, odd, {**GREETING[1], "more": 1}, odd, *GREETING[2:]]

    async def handle(exchange: Exchange) -> None:
        await exchange.reply(reply)

    async with chatting(handle) as (chat, _):
        with caplog.at_level(logging.WARNING, "usechat"):
            turn = await chat.send_message("Hi")
        assert (turn.outcome, turn.text) == ("completed", "Hello there")
        assert [r.getMessage() for r in caplog.records if "hologram" in r.getMessage()] == [
            "A hologram chunk is not as it should be: its type is unknown; it is skipped"
        ]
    async with chatting(handle, strict=True) as (chat, _):
        turn = await chat.send_message("Hi")
        assert isinstance(turn.error, StreamProtocolError)


async def test_a_huge_event_ends_the_turn_and_is_not_kept() -> None:
    async def flood(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*BEGUN)
        await exchange.piece(b'data: {"type": "text-delta", "id": "t", "delta": "')
        for _ in range(1600):
            await exchange.piece(b"x" * 65536)
        raise AssertionError("the client has read 100 MB")

    async with chatting(handlers(flood), max_event_size=1_000_000) as (chat, server):
        tracemalloc.start()
        try:
            turn = await chat.send_message("Hi")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        await server.all_closed()
        assert isinstance(turn.error, StreamProtocolError)
        assert "more than 1,000,000 characters. Raise max_event_size" in str(turn.error)
        assert turn.text == "Hello "
        assert server.exchanges[0].sent < 30_000_000  # what the sockets hold, beside what was read
        assert peak < 8_000_000
        await assert_usable(chat)


async def test_lone_surrogates_in_a_reply() -> None:
    def delta(text: str) -> bytes:
        data = {"type": "text-delta", "id": "text-1", "delta": text}
        return b"data: " + json.dumps(data).encode() + b"\n\n"

    async def handle(exchange: Exchange) -> None:
        if exchange.number > 1:
            await exchange.reply()
            return
        await exchange.head()
        await exchange.send(*GREETING[:3])
        for text in ("a\ud83d", "\ude00b", "\udc00", "c\ud83d"):
            await exchange.piece(delta(text))
        await exchange.send(*GREETING[-3:])
        await exchange.piece(DONE)
        await exchange.end()

    async with chatting(handle) as (chat, server):
        shown: list[str] = []
        chat.on(TextDelta, lambda e: shown.append(e.text))
        turn = await chat.send_message("Hi")
        assert turn.outcome == "completed"
        assert turn.text == "".join(shown) == "a😀b\ufffdc\ufffd"
        turn.text.encode()
        assert chat.messages[1].parts[1].text == "a😀b\udc00c\ud83d"
        await assert_usable(chat)
        sent = server.exchanges[1].json["messages"][1]["parts"][1]
        assert sent == {"type": "text", "text": "a😀b\udc00c\ud83d", "state": "done"}


async def test_a_cookie_is_no_other_sessions() -> None:
    async def handle(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.head(headers={**HEADERS, "set-cookie": "user=ann; Path=/"})
            await exchange.send(*GREETING)
            await exchange.end()
        else:
            await exchange.reply()

    async with chatting(handle) as (ann, server), AsyncChatSession(server.url) as bob:
        await ann.send_message("Hi")
        await bob.send_message("Hi")
        await ann.send_message("Hi")
        assert [e.headers.get("cookie") for e in server.exchanges] == [None, None, "user=ann"]
