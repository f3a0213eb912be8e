"""Whatever a server does: a documented end, what came is kept, and the session goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import anyio
import httpx
import pytest
from servers import (
    BEGUN,
    PATIENCE,
    Exchange,
    Handler,
    assert_usable,
    chatting,
    handlers,
    serve,
)

from usechat import (
    AsyncChatSession,
    ChatTimeoutError,
    ConnectionBrokenError,
    HTTPStatusError,
    IncompleteReplyError,
    ServerError,
    StreamProtocolError,
    TextDelta,
    TransportError,
    UseChatError,
)
from usechat.wire.ui_message_stream import HEADERS

pytestmark = pytest.mark.anyio


HTML = {"content-type": "text/html"}


def begun_then(*more: bytes) -> Handler:
    """Half a reply, then some events more, then a clean end."""

    async def handle(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*BEGUN)
        for data in more:
            await exchange.piece(b"data: " + data + b"\n\n")
        await exchange.end()

    return handle


def answering(status: int, body: bytes = b"", **headers: str) -> Handler:
    async def handle(exchange: Exchange) -> None:
        await exchange.answer(status, body, **headers)

    return handle


def saying(data: bytes, then: Callable[[Exchange], Awaitable[None]] = Exchange.close) -> Handler:
    """Bare bytes, then a close."""

    async def handle(exchange: Exchange) -> None:
        await exchange.raw(data)
        await then(exchange)

    return handle


def cut(framing: str, then: Callable[[Exchange], Awaitable[None]] = Exchange.close) -> Handler:
    async def handle(exchange: Exchange) -> None:
        await exchange.head(framing=framing)
        await exchange.send(*BEGUN)
        await then(exchange)

    return handle


async def empty_chunked(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.end()


async def no_gzip(exchange: Exchange) -> None:
    await exchange.head(headers={**HEADERS, "content-encoding": "gzip"})
    await exchange.send(*BEGUN)
    await exchange.end()


class Fault(NamedTuple):
    handler: Handler
    error: type[UseChatError] | None
    says: str
    text: str = ""


CHUNKED = "transfer-encoding: chunked"
LONG = "content-length: 100000"
NESTED = b"[" * 10_000 + b"]" * 10_000
DIGITS = b"1" * 10_000

FAULTS = {
    "404": Fault(
        answering(404, b'{"error": "no such chat"}'), HTTPStatusError, "404 .*no such chat"
    ),
    "500 in silence": Fault(answering(500), HTTPStatusError, "500 .* without saying why"),
    "a redirect": Fault(
        answering(307, location="http://127.0.0.1:9/elsewhere"),
        HTTPStatusError,
        "to http://127.0.0.1:9/elsewhere. Redirects are not followed: use that URL",
    ),
    "204": Fault(saying(b"HTTP/1.1 204 No Content\r\n\r\n"), HTTPStatusError, "without a body"),
    "content-length: 0": Fault(answering(200), HTTPStatusError, "without a body"),
    "an error cut in its body": Fault(
        saying(b"HTTP/1.1 500 No\r\ncontent-length: 9\r\n\r\nBad"),
        ConnectionBrokenError,
        "the connection broke",
    ),
    "an empty body": Fault(empty_chunked, None, "holds no reply"),
    "a page": Fault(
        answering(200, b"<!doctype html><p>data: hello</p>", content_type="text/html"),
        StreamProtocolError,
        r"answered 200 \(content-type: text/html\) with what is in no protocol .*: .<!doctype",
    ),
    "no HTTP": Fault(saying(b"SSH-2.0-x\r\n\r\n"), ConnectionBrokenError, "the connection broke"),
    "a close before the headers": Fault(saying(b""), ConnectionBrokenError, "connection broke"),
    "a reset before the headers": Fault(
        saying(b"", Exchange.reset), ConnectionBrokenError, "connection broke"
    ),
    "a close in the headers": Fault(
        saying(b"HTTP/1.1 200 OK\r\ncontent-ty"), ConnectionBrokenError, "connection broke"
    ),
    "a close in a chunked body": Fault(
        cut(CHUNKED), ConnectionBrokenError, "connection broke", "Hello "
    ),
    "a close in a long body": Fault(cut(LONG), ConnectionBrokenError, "connection broke", "Hello "),
    "a close that is an end": Fault(cut("connection: close"), None, "without its end", "Hello "),
    "bad JSON": Fault(
        begun_then(b'{"type": "text-'), StreamProtocolError, 'not JSON .*"text-', "Hello "
    ),
    "no object": Fault(begun_then(b"5"), StreamProtocolError, "cannot be read", "Hello "),
    "a wrong type": Fault(
        begun_then(b'{"type": "text-delta", "id": 1, "delta": []}'),
        StreamProtocolError,
        "cannot be read .*delta",
        "Hello ",
    ),
    "NaN": Fault(
        begun_then(b'{"type": "data-x", "data": NaN}'), StreamProtocolError, "not JSON"
    )._replace(text="Hello "),
    "deep nesting": Fault(
        begun_then(b'{"type": "data-x", "data": ' + NESTED + b"}"),
        StreamProtocolError,
        "not JSON",
        "Hello ",
    ),
    "deep nesting with half a character": Fault(
        begun_then(b'{"type": "data-x", "data": ["\\ud83d", ' + NESTED + b"]}"),
        StreamProtocolError,
        "not JSON",
        "Hello ",
    ),
    "many digits": Fault(
        begun_then(b'{"type": "data-x", "data": ' + DIGITS + b"}"),
        StreamProtocolError,
        "not JSON",
        "Hello ",
    ),
    "an error of the server's": Fault(
        begun_then(b'{"type": "error", "errorText": "No credit."}'),
        ServerError,
        "No credit",
        "Hello ",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_ends_the_turn_and_not_the_session(name: str) -> None:
    fault = FAULTS[name]
    async with chatting(handlers(fault.handler)) as (chat, server):
        turn = await chat.send_message("Hi")
        assert turn.text == fault.text
        assert [m.text for m in chat.messages] == ["Hi", *([fault.text] if fault.text else [])]
        if fault.error is None:
            assert (turn.outcome, turn.error, chat.status) == ("incomplete", None, "ready")
        else:
            assert (turn.outcome, type(turn.error)) == ("error", fault.error)
            assert (chat.status, chat.error) == ("error", turn.error)
        with pytest.raises(fault.error or IncompleteReplyError) as raised:
            await turn.result()
        assert re.search(fault.says, str(raised.value))
        assert fault.error is None or raised.value is turn.error
        await assert_usable(chat)
        assert len(server.exchanges) == 2
        sent = [m["role"] for m in server.exchanges[1].json["messages"]]
        assert sent == ["user", *(["assistant"] if fault.text else []), "user"]


async def test_a_reset_in_the_reply_is_a_broken_connection() -> None:
    async with chatting(handlers(cut(CHUNKED, Exchange.reset))) as (chat, _):
        turn = await chat.send_message("Hi")
        assert (turn.outcome, type(turn.error)) == ("error", ConnectionBrokenError)
        assert turn.text in ("", "Hello ")  # what was not read yet may be lost
        await assert_usable(chat)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio: httpx leaves a generator behind
async def test_broken_compression() -> None:
    async with chatting(handlers(no_gzip)) as (chat, _):
        turn = await chat.send_message("Hi")
        assert isinstance(turn.error, TransportError)
        assert "compression is broken" in str(turn.error)
        await assert_usable(chat)


async def test_an_http_error_has_its_status_headers_and_body() -> None:
    body = json.dumps({"why": "x" * 100_000}).encode()
    async with chatting(answering(429, body, retry_after="7")) as (chat, _):
        turn = await chat.send_message("Hi")
        error = turn.error
        assert isinstance(error, HTTPStatusError)
        assert (error.status_code, error.headers["retry-after"]) == (429, "7")
        assert error.body == body[: 64 * 1024].decode()
        assert len(str(error)) < 1000


async def test_no_redirect_is_followed() -> None:
    async def elsewhere(exchange: Exchange) -> None:
        raise AssertionError("the history went along")

    async with (
        serve(elsewhere) as other,
        chatting(answering(308, location=other.url)) as (chat, _),
    ):
        turn = await chat.send_message("Hi")
        assert isinstance(turn.error, HTTPStatusError)
        assert other.url in str(turn.error)
        assert other.exchanges == []


async def test_nobody_listens() -> None:
    async with serve(handlers()) as server:
        url = server.url
    async with AsyncChatSession(url) as chat:
        turn = await chat.send_message("Hi")
        assert isinstance(turn.error, ConnectionBrokenError)
        assert "Is the server running, and is the URL right?" in str(turn.error)
        assert [m.text for m in chat.messages] == ["Hi"]
        again = await chat.regenerate()
        assert isinstance(again.error, ConnectionBrokenError)


async def silent(exchange: Exchange) -> None:
    await exchange.left()


async def silent_after_the_headers(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.left()


async def silent_in_the_reply(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.send(*BEGUN)
    await exchange.left()


SILENCES = [(silent, ""), (silent_after_the_headers, ""), (silent_in_the_reply, "Hello ")]


@pytest.mark.parametrize(("silence", "text"), SILENCES)
async def test_a_silence_ends_at_its_timeout(silence: Handler, text: str) -> None:
    timeout = httpx.Timeout(PATIENCE, read=0.05)
    async with chatting(handlers(silence), timeout=timeout) as (chat, _):
        turn = await chat.send_message("Hi")
        assert isinstance(turn.error, ChatTimeoutError)
        assert "silent for longer than timeout= allows" in str(turn.error)
        assert (turn.outcome, turn.text) == ("error", text)
        await assert_usable(chat)


@pytest.mark.parametrize(("silence", "text"), SILENCES)
async def test_stop_ends_a_silence_at_once(silence: Handler, text: str) -> None:
    silent_now = anyio.Event()

    async def handle(exchange: Exchange) -> None:
        silent_now.set()
        await silence(exchange)

    async with chatting(handlers(handle)) as (chat, server):
        turn = chat.send_message("Hi")
        with chat.on(TextDelta, lambda _: chat.stop()), anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(turn.wait)
                await silent_now.wait()
                if not text:
                    chat.stop()
            await server.all_closed()
        assert (turn.outcome, turn.text, turn.error) == ("stopped", text, None)
        assert chat.status == "ready"
        await turn.result()
        await assert_usable(chat)
