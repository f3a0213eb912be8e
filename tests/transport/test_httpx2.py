"""A client of httpx2 works as one of httpx does, and what it raises is told in our words."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from usechat import (
    AsyncChatSession,
    ChatSession,
    ChatTimeoutError,
    ConnectionBrokenError,
    HTTPStatusError,
    InvalidArgumentError,
    Reconnect,
    stream_chat,
)
from usechat.session.loop_thread import loop_thread
from usechat.testing import CUT, HANG, RESET, FakeReply, FakeServer, text_reply

pytestmark = pytest.mark.anyio

WHOLE = text_reply("Grüße \u2028 \U0001f600")


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        yield client


async def test_it_talks(client: httpx2.AsyncClient) -> None:
    with FakeServer([WHOLE, WHOLE]) as server:
        async with AsyncChatSession(server.url, client=client) as chat:
            turn = await chat.send_message("Hi")
            assert (turn.outcome, turn.text) == ("completed", "Grüße \u2028 \U0001f600")
            assert "".join([piece async for piece in chat.regenerate()]) == turn.text
        assert not client.is_closed


async def test_its_base_url_completes_ours() -> None:
    with FakeServer([WHOLE]) as server:
        base = server.url.removesuffix("/api/chat")
        async with (
            httpx2.AsyncClient(base_url=base, trust_env=False) as client,
            AsyncChatSession("/api/chat", client=client) as chat,
        ):
            assert (await chat.send_message("Hi")).outcome == "completed"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ([*WHOLE[:4], CUT], ConnectionBrokenError),
        ([*WHOLE[:4], RESET], ConnectionBrokenError),
        (CUT, ConnectionBrokenError),
        ([*WHOLE[:4], HANG], ChatTimeoutError),
        (FakeReply(b"no", status=500), HTTPStatusError),
    ],
)
async def test_what_it_raises_is_ours(
    client: httpx2.AsyncClient, reply: object, kind: type[Exception]
) -> None:
    with FakeServer([reply]) as server:  # type: ignore[list-item]
        async with AsyncChatSession(server.url, client=client, timeout=0.3) as chat:
            turn = await chat.send_message("Hi")
    assert turn.outcome == "error"
    assert isinstance(turn.error, kind)


async def test_a_refused_connection(client: httpx2.AsyncClient) -> None:
    with FakeServer() as server:
        url = server.url
    async with AsyncChatSession(url, client=client, reconnect=Reconnect(delay=1000)) as chat:
        turn = await chat.send_message("Hi")
    assert isinstance(turn.error, ConnectionBrokenError)
    assert "cannot connect" in str(turn.error)


async def test_a_header_that_cannot_be_sent(client: httpx2.AsyncClient) -> None:
    with FakeServer() as server:
        async with AsyncChatSession(server.url, client=client, headers={"x": "a\nb"}) as chat:
            turn = await chat.send_message("Hi")
    assert isinstance(turn.error, InvalidArgumentError)


async def test_it_reconnects(client: httpx2.AsyncClient) -> None:
    with FakeServer([[*WHOLE[:4], CUT], WHOLE]) as server:
        async with AsyncChatSession(
            server.url, client=client, reconnect=Reconnect(delay=0)
        ) as chat:
            turn = await chat.send_message("Hi")
    assert (turn.outcome, turn.text) == ("completed", "Grüße \u2028 \U0001f600")


async def test_its_timeout_is_one() -> None:
    timeout = httpx2.Timeout(5, read=0.1)
    with FakeServer([HANG]) as server:
        async with AsyncChatSession(server.url, timeout=timeout) as chat:  # type: ignore[arg-type]
            turn = await chat.send_message("Hi")
    assert isinstance(turn.error, ChatTimeoutError)


async def test_stream_chat_takes_it(client: httpx2.AsyncClient) -> None:
    events = [b'data: {"text": "Hi"}\n\n', b"data: [DONE]\n\n"]
    sse = {"content-type": "text/event-stream"}
    with FakeServer([FakeReply(events, headers=sse), FakeReply([events[0], CUT])]) as server:
        assert await stream_chat("?", api=server.url, client=client) == "Hi"  # type: ignore[arg-type]


def test_a_chat_session_takes_it() -> None:
    client = httpx2.AsyncClient(trust_env=False)
    with FakeServer([WHOLE]) as server:
        with ChatSession(server.url, client=client) as chat:  # type: ignore[arg-type]
            assert chat.send_message("Hi").result(5).text == "Grüße \u2028 \U0001f600"
        assert not client.is_closed
        loop_thread().submit(client.aclose()).result(10)
