"""What came together is applied together, and the next read has begun by then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
from servers import GREETING, PATIENCE, Exchange, chatting, gathered, handlers

from usechat import (
    AsyncChatSession,
    ChatRequest,
    HttpTransport,
    StreamProtocolError,
    TextDelta,
    UIMessageChunk,
)
from usechat.testing import HANG, FakeServer
from usechat.wire.ui_message_stream import encode_chunk

pytestmark = pytest.mark.anyio

BEGUN: list[Any] = [*GREETING[:4], HANG]


class Wrapped:
    """A transport of a user's, that gives on what another brings."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self.inner = HttpTransport(url, client=client)

    async def send_messages(self, request: ChatRequest) -> AsyncIterator[list[UIMessageChunk]]:
        reply = await self.inner.send_messages(request)

        async def chunks() -> AsyncIterator[list[UIMessageChunk]]:
            async for some in reply:
                yield some

        return chunks()

    async def reconnect_to_stream(self, request: ChatRequest) -> None: ...

    async def aclose(self) -> None:
        await self.inner.aclose()


@pytest.mark.parametrize("reconnect", [False, True])
async def test_a_fault_in_the_same_read_is_met_by_who_awaits_later(reconnect: bool) -> None:
    together = b"".join(map(encode_chunk, GREETING[:4])) + b"data: {broken\n\n"
    with FakeServer([[together, HANG]]) as server:
        async with AsyncChatSession(server.url, reconnect=reconnect) as chat:
            turn = chat.send_message("Hi")
            async for piece in turn:
                assert piece == "Hello "
                break
            with anyio.fail_after(PATIENCE):
                await turn
            assert isinstance(turn.error, StreamProtocolError)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("stops", [False, True])
async def test_what_an_observer_is_left_by_comes_out(
    error: type[BaseException], stops: bool
) -> None:
    with FakeServer([BEGUN, GREETING]) as server:
        async with AsyncChatSession(server.url) as chat:

            def leave(_: TextDelta) -> None:
                if stops:
                    chat.stop()
                raise error("mine")

            watching = chat.on(TextDelta, leave)
            with anyio.fail_after(PATIENCE), pytest.raises(error, match="mine"):
                await chat.send_message("Hi")
            watching()
            assert (await chat.send_message("Again")).text == "Hello there"


async def test_a_reply_that_is_read_to_its_end_gives_its_connection_back() -> None:
    limits = httpx.Limits(max_connections=1)
    with FakeServer([GREETING] * 3) as server:
        async with (
            httpx.AsyncClient(limits=limits) as client,
            AsyncChatSession(Wrapped(server.url, client)) as chat,
        ):
            for _ in range(3):
                with anyio.fail_after(PATIENCE):
                    assert (await chat.send_message("Hi")).text == "Hello there"


async def test_who_drives_anothers_turn_leaves_it_at_once() -> None:
    """An observer drops the message whose turn is awaited, and the server says no more."""
    with FakeServer([BEGUN]) as server:
        async with AsyncChatSession(server.url, when_busy="queue", throttle=0) as chat:
            first = chat.send_message("Hi")
            second = chat.send_message("Then")

            @chat.on(TextDelta)
            def drop(_: TextDelta) -> None:
                for message in chat.queued_messages:
                    chat.remove_queued_message(message.id)

            with anyio.fail_after(PATIENCE):
                await second
            assert (second.outcome, first.over, chat.status) == ("dropped", False, "streaming")
            chat.stop()
            await first


async def test_who_drives_anothers_turn_does_not_take_it_along() -> None:
    """When somebody waits for that turn itself, who drove it may be cancelled and ends nothing."""
    more, rest = anyio.Event(), anyio.Event()

    async def in_three(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*GREETING[:4])
        await more.wait()
        await exchange.send({**GREETING[4], "delta": "you "})
        await rest.wait()
        await exchange.send(*GREETING[4:])
        await exchange.end()

    async with chatting(handlers(in_three), when_busy="queue", throttle=0) as (chat, _):
        first = chat.send_message("Hi")
        second = chat.send_message("Then")
        begun, waits, came = anyio.Event(), anyio.Event(), anyio.Event()
        driver = anyio.CancelScope()

        @chat.on(TextDelta)
        def note(event: TextDelta) -> None:
            (came if "you" in event.text else begun).set()

        async def drive() -> None:
            with driver:
                await second

        async def own() -> None:
            await begun.wait()
            waits.set()
            await first

        async def direct() -> None:
            await waits.wait()
            more.set()
            await came.wait()
            driver.cancel()
            rest.set()

        await gathered(drive, own, direct)
        assert (first.outcome, first.text) == ("completed", "Hello you there")
        assert (await second).text == "Hello there"
