"""The simplest form: one message, its answer as text."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest
from servers import PATIENCE, Exchange, Handler, serve

from usechat import (
    ChatTimeoutError,
    ConnectionBrokenError,
    HTTPStatusError,
    IncompleteReplyError,
    InvalidArgumentError,
    ServerError,
    StreamProtocolError,
    stream_chat,
)
from usechat.server import running_demo
from usechat.wire.json_sse import DONE, HEADERS, encode_error, encode_text

pytestmark = pytest.mark.anyio

WORDS = ["Hello ", "😀", "", "two\nlines\u2028", "and \ud83d\ude00 halves \ud83d"]


def saying(*pieces: bytes, headers: dict[str, str] = HEADERS, end: str = "end") -> Handler:
    async def handle(exchange: Exchange) -> None:
        await exchange.head(headers=headers)
        for piece in pieces:
            await exchange.piece(piece)
        await getattr(exchange, end)()

    return handle


async def test_the_answer_comes_piece_by_piece() -> None:
    pieces: list[str] = []
    async with serve(saying(*map(encode_text, WORDS), DONE)) as server:
        text = await stream_chat("Hi \ud83d", pieces.append, api=server.url)
        await server.all_closed()
    assert text == "".join(pieces)
    assert [piece for piece in pieces if piece][:3] == ["Hello ", "😀", "two\nlines\u2028"]
    (exchange,) = server.exchanges
    assert (exchange.method, exchange.json) == ("POST", {"message": "Hi \ud83d"})
    assert exchange.headers["accept"] == "text/event-stream"
    assert exchange.headers["content-type"] == "application/json"


async def test_an_async_function_is_awaited_before_the_next_piece() -> None:
    order: list[str] = []

    async def on_chunk(text: str) -> None:
        order.append(f"begin {text}")
        await anyio.lowlevel.checkpoint()
        order.append(f"end {text}")

    body = encode_text("a") + encode_text("b") + DONE
    async with serve(saying(body)) as server:
        assert await stream_chat("Hi", on_chunk, api=server.url) == "ab"
        assert await stream_chat("Hi", api=server.url) == "ab"
    assert order == ["begin a", "end a", "begin b", "end b"]


async def test_heartbeats_are_no_text() -> None:
    beats = b"id: 7\n" + encode_text("a") + b": beat\n\n" + b"id: 8\n\n" + b"event: ping\n\n"
    async with serve(saying(beats, encode_text("b"), b'data: {"more": 1}\n\n', DONE)) as server:
        assert await stream_chat("Hi", api=server.url) == "ab"


async def refuse(exchange: Exchange) -> None:
    await exchange.answer(402, b"Pay first.")


async def redirect(exchange: Exchange) -> None:
    await exchange.answer(307, location="/elsewhere")


async def hang_up(exchange: Exchange) -> None:
    await exchange.close()


HALF = encode_text("Hel")
FAULTS: dict[str, tuple[Handler, type[Exception], str]] = {
    "no end": (saying(HALF), IncompleteReplyError, r"without \[DONE\], after 3 characters"),
    "no answer": (saying(), IncompleteReplyError, "after 0 characters"),
    "a bad status": (refuse, HTTPStatusError, "402 .*Pay first"),
    "a redirect": (redirect, HTTPStatusError, "/elsewhere. Redirects are not followed"),
    "a hang-up": (hang_up, ConnectionBrokenError, "connection broke"),
    "a cut": (saying(HALF, end="close"), ConnectionBrokenError, "connection broke"),
    "a reset": (saying(HALF, end="reset"), ConnectionBrokenError, "connection broke"),
    "an error": (saying(HALF, encode_error("No credit."), DONE), ServerError, "No credit"),
    "a page": (
        saying(b"<!doctype html>", headers={"content-type": "text/html"}),
        StreamProtocolError,
        "something else than server-sent events .*text/html",
    ),
    "bad JSON": (saying(HALF, b"data: {\n\n"), StreamProtocolError, "not JSON"),
    "another object": (saying(b"data: [1]\n\n"), StreamProtocolError, 'not {"text"'),
    "a wrong type": (saying(b'data: {"text": 5}\n\n'), StreamProtocolError, 'not {"text"'),
    "deep nesting": (
        saying(b'data: {"text": ' + b"[" * 10_000 + b"]" * 10_000 + b"}\n\n"),
        StreamProtocolError,
        "not JSON",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_raises(name: str) -> None:
    handler, error, says = FAULTS[name]
    pieces: list[str] = []
    async with serve(handler) as server:
        with pytest.raises(error, match=says):
            await stream_chat("Hi", pieces.append, api=server.url)
        await server.all_closed()
    if name != "a reset":  # what was not read yet is lost
        assert pieces == (["Hel"] if name in ("no end", "a cut", "an error", "bad JSON") else [])


async def test_nobody_listens() -> None:
    async with serve(refuse) as server:
        url = server.url
    with pytest.raises(ConnectionBrokenError, match="Is the server running"):
        await stream_chat("Hi", api=url)


@pytest.mark.parametrize("api", ["http://[::1", "chat", "/api/stream", "ftp://x/y", None])
async def test_what_is_no_url_is_refused(api: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        await stream_chat("Hi", api=api)


async def test_what_is_no_message_is_refused() -> None:
    message: Any = object()
    with pytest.raises(InvalidArgumentError, match="Give values of str"):
        await stream_chat(message, api="http://127.0.0.1:9/x")


@pytest.mark.parametrize("is_async", [False, True])
async def test_what_on_chunk_raises_comes_out_unchanged(is_async: bool) -> None:
    mine = httpx.ReadError("mine")

    def plain(_: str) -> None:
        raise mine

    async def later(_: str) -> None:
        raise mine

    async with serve(saying(HALF, end="left")) as server:
        with pytest.raises(httpx.ReadError) as raised, anyio.fail_after(PATIENCE):
            await stream_chat("Hi", later if is_async else plain, api=server.url)
        assert raised.value is mine
        await server.all_closed()


async def test_cancelling_closes_the_connection() -> None:
    async with serve(saying(HALF, end="left")) as server:
        with anyio.CancelScope() as scope:
            await stream_chat("Hi", lambda _: scope.cancel(), api=server.url)
        assert scope.cancelled_caught
        await server.all_closed()

        async def forever(_: str) -> None:
            scope.cancel()
            await anyio.sleep_forever()

        with anyio.CancelScope() as scope:
            await stream_chat("Hi", forever, api=server.url)
        await server.all_closed()


async def test_cancelling_in_a_silence() -> None:
    async def silent(exchange: Exchange) -> None:
        scope.cancel()
        await exchange.left()

    async with serve(silent) as server:
        with anyio.CancelScope() as scope:
            await stream_chat("Hi", api=server.url)
        await server.all_closed()


async def test_a_client_of_the_users() -> None:
    async with (
        serve(saying(HALF, DONE)) as server,
        httpx.AsyncClient(base_url=server.origin) as client,
    ):
        assert await stream_chat("Hi", api="/api/stream", client=client) == "Hel"
        assert not client.is_closed
        assert server.exchanges[0].path == "/api/stream"


async def test_a_timeout_is_ours() -> None:
    async def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("")

    async with httpx.AsyncClient(transport=httpx.MockTransport(slow)) as client:
        with pytest.raises(ChatTimeoutError, match="has been silent"):
            await stream_chat("Hi", api="http://x/y", client=client)


async def test_against_the_demo() -> None:
    with running_demo(delay=0) as origin:
        pieces: list[str] = []
        text = await stream_chat("odd", pieces.append, api=f"{origin}/api/stream")
        assert text == "".join(pieces)
        assert len(pieces) > 3
        assert "👩‍👩‍👧‍👦" in text
        with pytest.raises(ServerError):
            await stream_chat("error", api=f"{origin}/api/stream")
        with pytest.raises(HTTPStatusError, match="404"):
            await stream_chat("Hi", api=f"{origin}/api/nowhere")
