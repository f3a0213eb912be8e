"""Turns that several tasks wait for, and queues."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc
import pytest
from servers import (
    PATIENCE,
    WAYS,
    Exchange,
    Gate,
    assert_usable,
    chatting,
    gathered,
    handlers,
    hang,
    scripted,
    text_came,
)

from usechat import (
    AsyncChatSession,
    AsyncTurn,
    ConnectionBrokenError,
    QueuePausedError,
    TurnFinished,
)
from usechat.testing import HANG, text_reply

pytestmark = pytest.mark.anyio


async def test_two_tasks_wait_and_one_iterates() -> None:
    gate = Gate()
    async with chatting(gate) as (chat, _):
        turn = chat.send_message("Hi")

        async def pieces() -> list[str]:
            return [piece async for piece in turn]

        async def let_go() -> None:
            await text_came(chat)
            gate.open.set()

        a, b, c, d, _ = await gathered(turn.wait, turn.wait, pieces, turn.result, let_go)
        assert a is b is turn
        assert c == ["Hello ", "there"]
        assert d is turn.message


async def test_two_iterations_each_give_all_of_the_text() -> None:
    words = [f"w{n} " for n in range(20)]
    async with scripted([[chunk] for chunk in text_reply("".join(words))]) as chat:
        turn = chat.send_message("Hi")
        got: list[str] = []

        async def iterate() -> None:
            got.append("".join([piece async for piece in turn]))

        await gathered(iterate, iterate)
        assert got == [turn.text, turn.text] == ["".join(words)] * 2


async def test_cancelling_one_who_waits_for_another_leaves_the_turn_alone() -> None:
    gate = Gate()
    async with chatting(gate) as (chat, _):
        turn = chat.send_message("Hi")

        async def cancel() -> None:
            await text_came(chat)  # the first one drives
            with anyio.CancelScope() as second:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(turn.wait)
                    await anyio.wait_all_tasks_blocked()
                    second.cancel()
            assert second.cancelled_caught
            assert not turn.over
            gate.open.set()

        await gathered(turn.wait, cancel)
        assert (turn.outcome, turn.text) == ("completed", "Hello there")


async def test_cancelling_who_drives_stops_the_turn_for_all() -> None:
    async with chatting(handlers(hang)) as (chat, server):
        turn = chat.send_message("Hi")
        first = anyio.CancelScope()

        async def drive() -> None:
            with first:
                await turn

        async def cancel() -> None:
            await text_came(chat)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(turn.wait)
                await anyio.wait_all_tasks_blocked()
                first.cancel()

        await gathered(drive, cancel)
        assert turn.outcome == "stopped"
        await server.all_closed()
        await assert_usable(chat)


async def test_one_who_waits_goes_on_where_an_iteration_was_left() -> None:
    gate = Gate()
    async with chatting(gate) as (chat, _):
        turn = chat.send_message("Hi")

        async def leave() -> None:
            async for _ in turn:
                break
            gate.open.set()

        await gathered(leave, turn.wait)
        assert (turn.outcome, turn.text) == ("completed", "Hello there")


@pytest.mark.parametrize("way", WAYS)
async def test_closing_while_another_task_waits(
    way: Callable[[AsyncTurn], Awaitable[None]],
) -> None:
    async with chatting(handlers(hang)) as (chat, server):
        turn = chat.send_message("Hi")

        async def close() -> None:
            await text_came(chat)
            await chat.aclose()
            await server.all_closed()

        await gathered(lambda: way(turn), close)
        assert (turn.outcome, turn.text) == ("stopped", "Hello ")


async def test_leaving_a_stream_block_whose_turn_another_task_drives() -> None:
    async with chatting(handlers(hang)) as (chat, server):
        turns = []

        async def block() -> None:
            async with chat.stream("Hi") as turn:
                turns.append(turn)
                tasks.start_soon(turn.wait)
                await text_came(chat)
            await server.all_closed()

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                await block()
        assert turns[0].outcome == "stopped"
        await assert_usable(chat)


async def test_a_stopped_reply_does_not_hold_up_the_next_turn() -> None:
    """Several who wait come while the stale reply of a left iteration is being closed."""
    async with chatting(handlers(hang)) as (chat, server):
        async for _ in chat.send_message("Hi"):
            break
        chat.stop()
        turn = chat.send_message("Again")
        await gathered(turn.wait, turn.wait, turn.result, turn.wait)
        assert turn.text == "Hello there"
        assert len(server.exchanges) == 2


async def test_a_stream_block_does_not_wait_for_other_turns() -> None:
    async with scripted(HANG, when_busy="queue") as chat:
        first = chat.send_message("1")

        async def block() -> None:
            async with chat.stream("2") as turn:
                assert turn.queued
            assert turn.outcome == "dropped"
            chat.stop()

        await gathered(first.wait, block)
        assert first.outcome == "stopped"


async def test_queued_turns_run_in_order_whoever_waits() -> None:
    async with chatting(handlers(), when_busy="queue") as (chat, server):
        turns = [chat.send_message(str(n)) for n in range(5)]
        assert [turn.queued for turn in turns] == [False, True, True, True, True]
        assert repr(turns[1]) == "<AsyncTurn queued>"
        assert [m.text for m in chat.queued_messages] == ["1", "2", "3", "4"]
        finished: list[AsyncTurn] = []
        chat.on(TurnFinished, lambda e: finished.append(e.turn.text))
        await gathered(*(turn.result for turn in reversed(turns)))
        assert [turn.outcome for turn in turns] == ["completed"] * 5
        assert [e.text for e in server.exchanges] == ["0", "1", "2", "3", "4"]
        assert len(finished) == 5
        await turns[0]


async def test_awaiting_the_last_one_drives_those_before_it() -> None:
    async with chatting(handlers(), when_busy="queue") as (chat, _):
        turns = [chat.send_message(str(n)) for n in range(3)]
        assert [piece async for piece in turns[2]] in (["Hello ", "there"], ["Hello there"])
        assert [turn.outcome for turn in turns] == ["completed"] * 3


async def test_a_paused_queue_tells_who_waits() -> None:
    async with chatting(handlers(hang), when_busy="queue") as (chat, _):
        first, second, third = (chat.send_message(str(n)) for n in range(3))

        async def waits_in_vain(turn: AsyncTurn) -> None:
            with pytest.raises(QueuePausedError, match="send_queued_message_now"):
                await turn
            with pytest.raises(QueuePausedError):
                await anext(aiter(turn))

        async def stop() -> None:
            await text_came(chat)
            chat.stop()

        await gathered(
            first.wait, lambda: waits_in_vain(second), lambda: waits_in_vain(third), stop
        )
        assert first.outcome == "stopped"
        assert (second.queued, third.queued) == (True, True)
        assert chat.send_queued_message_now(chat.queued_messages[1].id).over is False
        await gathered(second.wait, third.wait)
        assert [m.text for m in chat.messages if m.role == "user"] == ["0", "2", "1"]
        await assert_usable(chat)


async def test_an_error_pauses_the_queue_and_the_next_send_lets_it_go_on() -> None:
    async def broken(exchange: Exchange) -> None:
        await exchange.close()

    async with chatting(handlers(broken), when_busy="queue") as (chat, _):
        first, second = chat.send_message("1"), chat.send_message("2")
        assert isinstance((await first).error, ConnectionBrokenError)
        with pytest.raises(QueuePausedError):
            await second
        third = chat.send_message("3")
        await third
        assert (second.outcome, third.outcome) == ("completed", "completed")


async def test_interrupt_ends_what_runs() -> None:
    async with chatting(handlers(hang), when_busy="interrupt") as (chat, server):
        first = chat.send_message("1")
        second: list[AsyncTurn] = []

        async def interrupt() -> None:
            await text_came(chat)
            second.append(chat.send_message("2"))
            await second[0]

        await gathered(first.wait, interrupt)
        assert (first.outcome, first.text) == ("stopped", "Hello ")
        assert (second[0].outcome, second[0].text) == ("completed", "Hello there")
        assert server.open == 1
        await assert_usable(chat)


async def test_a_cancelled_waiter_does_not_stop_anothers_turn() -> None:
    """One who waits in the queue leaves the reading to whoever waits for the turn that runs."""
    gate = Gate()
    async with chatting(gate, when_busy="queue") as (chat, _):
        first, second = chat.send_message("first"), chat.send_message("second")

        async def wait_in_vain() -> None:
            await text_came(chat)
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(second.wait)
                    await anyio.wait_all_tasks_blocked()
                    scope.cancel()
            assert (first.outcome, chat.status) == (None, "streaming")
            gate.open.set()

        await gathered(first.wait, wait_in_vain)
        assert first.outcome == "completed"


async def test_a_follow_up_from_inside_an_iteration() -> None:
    """An iterator that waits for its consumer keeps nobody from moving the chat on."""
    async with scripted(text_reply("one two"), text_reply("three"), when_busy="queue") as chat:
        answers = []
        async for _ in chat.send_message("1"):
            if not answers:
                answers.append((await chat.send_message("2")).text)
        assert answers == ["three"]


async def test_an_iterator_that_is_kept_blocks_nobody() -> None:
    async with scripted(text_reply("one two"), text_reply("three"), when_busy="queue") as chat:
        first = chat.send_message("1")
        pieces, events = aiter(first), first.events()
        await anext(pieces)
        await anext(events)
        assert (await chat.send_message("2")).text == "three"
        assert first.outcome == "completed"


async def test_a_queued_turn_that_was_dropped_does_not_block_the_chat() -> None:
    async with scripted(
        text_reply("1"), text_reply("2"), text_reply("3"), when_busy="queue"
    ) as chat:
        first = chat.send_message("a")
        chat.send_message("b")
        gc.collect()
        await first
        assert (await chat.send_message("c")).outcome == "completed"


async def test_who_left_an_iteration_lets_others_move_on() -> None:
    async with scripted(text_reply("one"), text_reply("two"), when_busy="queue") as chat:
        first, second = chat.send_message("1"), chat.send_message("2")
        async for _ in first:
            break
        assert (await second).text == "two"
        assert first.outcome == "completed"


def drop(chat: AsyncChatSession) -> None:
    """Send without awaiting, and let the collector see it."""
    chat.send_message("1")
    gc.collect()


async def test_a_turn_that_was_dropped_unawaited_does_not_block_the_next() -> None:
    async with scripted(text_reply("one"), text_reply("two")) as chat:
        with pytest.warns(RuntimeWarning, match="never awaited"):
            drop(chat)
        assert (await chat.send_message("2")).outcome == "completed"
