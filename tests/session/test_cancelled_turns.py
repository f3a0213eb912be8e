"""Cancellation of who waits: the turn stops, the connection closes, nothing comes in groups."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc
import pytest
from servers import (
    BEGUN,
    GREETING,
    PATIENCE,
    WAYS,
    Exchange,
    assert_usable,
    chatting,
    handlers,
    hang,
    scripted,
    text_came,
)

from usechat import (
    AsyncChatSession,
    AsyncTurn,
    TextDelta,
)
from usechat.testing import HANG

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("throttle", [None, 0.0, 0.03])
async def test_cancelling_who_waits_stops_the_turn(
    way: Callable[[AsyncTurn], Awaitable[None]], throttle: float | None
) -> None:
    async with chatting(handlers(hang), throttle=throttle) as (chat, server):
        turn = chat.send_message("Hi")
        with anyio.CancelScope() as scope:
            chat.on(TextDelta, lambda _: scope.cancel())
            await way(turn)
        assert scope.cancelled_caught
        assert (turn.outcome, turn.text, chat.status) == ("stopped", "Hello ", "ready")
        with anyio.fail_after(PATIENCE):
            await server.all_closed()
        await assert_usable(chat)


@pytest.mark.parametrize("way", WAYS)
async def test_a_time_limit_around_a_turn(way: Callable[[AsyncTurn], Awaitable[None]]) -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.left()

    async with chatting(handlers(silent, silent)) as (chat, server):
        turn = chat.send_message("Hi")
        with anyio.move_on_after(0.02) as scope:
            await way(turn)
        assert scope.cancelled_caught
        assert turn.outcome == "stopped"
        with pytest.raises(TimeoutError), anyio.fail_after(0.02):
            await way(chat.send_message("Hi"))
        await server.all_closed()
        await assert_usable(chat)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncio_cancels_and_gathers() -> None:
    async with chatting(handlers(hang, hang)) as (chat, server):
        task = asyncio.ensure_future(chat.send_message("Hi").wait())
        await text_came(chat)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.all_closed()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(chat.send_message("Hi"), 0.02)
        assert chat.status == "ready"
        await server.all_closed()
        turn = chat.send_message("Hi")
        assert await asyncio.gather(turn, turn, turn.wait()) == [turn] * 3
        assert turn.outcome == "completed"
        await assert_usable(chat)


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio_sees_a_bare_cancellation() -> None:
    import trio

    async with chatting(handlers(hang)) as (chat, _):
        turn = chat.send_message("Hi")
        raised: list[BaseException] = []
        with trio.CancelScope() as scope:
            chat.on(TextDelta, lambda _: scope.cancel())
            try:
                await turn
            except BaseException as error:
                raised.append(error)
                raise
        assert [type(error) for error in raised] == [trio.Cancelled]


@pytest.mark.parametrize("when", ["at a delivery", "in the throttle's timer"])
async def test_what_an_observer_must_not_raise_comes_out_bare(when: str) -> None:
    """No exception group ever leaves, not even with a SystemExit in it."""
    held = 3600.0 if when == "at a delivery" else 0.001

    def leave(chat: AsyncChatSession) -> None:
        if len(chat.messages) > 1 and (
            when == "at a delivery" or chat.messages[1].text == "Hello there"
        ):
            raise SystemExit(3)

    reads = [[*BEGUN], GREETING[4:5], HANG]
    async with scripted(reads, throttle=held) as chat:
        chat.subscribe(leave)
        turn = chat.send_message("Hi")
        with pytest.raises(SystemExit):
            await turn
        assert turn.outcome == "stopped"


async def test_a_stop_between_two_pieces_closes_the_connection() -> None:
    async with chatting(handlers(hang)) as (chat, server):
        turn = chat.send_message("Hi")
        async for _ in turn:
            chat.stop()
        with anyio.fail_after(PATIENCE):
            await server.all_closed()
        assert turn.outcome == "stopped"


async def test_a_stop_between_two_events_or_before_a_wait_closes_the_connection() -> None:
    async with chatting(handlers(hang, hang)) as (chat, server):
        turn = chat.send_message("Hi")
        async for event in turn.events():
            if isinstance(event, TextDelta):
                chat.stop()
        with anyio.fail_after(PATIENCE):
            await server.all_closed()
        turn = chat.send_message("Hi")
        await anext(aiter(turn))
        chat.stop()
        await turn
        with anyio.fail_after(PATIENCE):
            await server.all_closed()
