"""Turns as one task waits for them: awaited, iterated, left, used as a block."""

from __future__ import annotations

import gc
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import pytest
from servers import (
    BEGUN,
    GREETING,
    Gate,
    assert_usable,
    chatting,
    handlers,
    hang,
    scripted,
)

from usechat import (
    AsyncChatSession,
    AsyncTurn,
    IncompleteReplyError,
    PendingToolError,
    ServerError,
    TextDelta,
    TransportError,
    UseChatError,
)
from usechat.testing import HANG, ScriptedTransport, text_reply

pytestmark = pytest.mark.anyio


async def test_awaiting_gives_the_turn() -> None:
    async with chatting(handlers()) as (chat, _):
        turn = chat.send_message("Hi")
        assert (turn.over, turn.outcome, turn.message, turn.text) == (False, None, None, "")
        assert repr(turn) == "<AsyncTurn running>"
        assert (chat.status, chat.is_loading) == ("submitted", True)
        assert await turn is turn
        assert await turn is turn
        assert (turn.over, turn.outcome, turn.finish_reason) == (True, "completed", "stop")
        assert repr(turn) == "<AsyncTurn completed>"
        assert turn.message is chat.last_message
        assert (turn.text, turn.error, turn.pending, turn.usage) == ("Hello there", None, (), None)
        assert await turn.result() is turn.message
        # Each iteration is from the begin.
        assert [piece async for piece in turn] == ["Hello there"]
        assert [piece async for piece in turn] == ["Hello there"]


async def test_iterating_gives_the_text_as_it_comes() -> None:
    gate = Gate()
    async with chatting(gate) as (chat, _):
        turn = chat.send_message("Hi")
        pieces = []
        async for piece in turn:
            pieces.append(piece)
            assert "".join(pieces) == turn.text
            if len(pieces) == 1:
                assert chat.status == "streaming"
                gate.open.set()
        assert pieces == ["Hello ", "there"]
        assert turn.outcome == "completed"


async def test_an_iteration_that_is_left_can_be_taken_up() -> None:
    gate = Gate()
    async with chatting(gate) as (chat, _):
        turn = chat.send_message("Hi")
        async for piece in turn:
            assert piece == "Hello "
            break
        assert (turn.over, chat.status) == (False, "streaming")
        gate.open.set()
        assert [piece async for piece in turn] == ["Hello ", "there"]
        assert (await turn).outcome == "completed"


async def test_an_iteration_that_is_left_can_be_stopped() -> None:
    async with chatting(handlers(hang)) as (chat, server):
        turn = chat.send_message("Hi")
        async for _ in turn:
            break
        chat.stop()
        assert (turn.outcome, turn.text, chat.status) == ("stopped", "Hello ", "ready")
        await assert_usable(chat)
        assert server.open == 1  # the stopped one is closed


async def test_an_iteration_that_is_left_is_closed_with_the_session() -> None:
    async with chatting(handlers(hang)) as (chat, server):
        turn = chat.send_message("Hi")
        async for _ in turn:
            break
        await chat.aclose()
        await server.all_closed()
        assert turn.outcome == "stopped"


async def test_two_turns_one_after_the_other() -> None:
    async with chatting(handlers()) as (chat, server):
        for number in range(1, 4):
            pieces = [piece async for piece in chat.send_message("Hi")]
            assert "".join(pieces) == "Hello there"
            assert len(chat.messages) == 2 * number
        assert [len(e.json["messages"]) for e in server.exchanges] == [1, 3, 5]


ERROR_CHUNK = {"type": "error", "errorText": "No credit."}


async def collect(turn: AsyncTurn, pieces: list[str]) -> None:
    async for piece in turn:
        pieces.append(piece)


RESULTS: dict[str, tuple[Any, type[Exception], str]] = {
    "incomplete": (BEGUN, IncompleteReplyError, "use require_finish=False"),
    "error": ([*BEGUN, ERROR_CHUNK], ServerError, "No credit"),
    "foreign": ([*BEGUN, ZeroDivisionError("oops")], TransportError, "raised ZeroDivisionError"),
    "refused": (OSError("gone"), TransportError, "raised OSError: gone"),
}


@pytest.mark.parametrize("name", RESULTS)
async def test_result_and_iteration_raise_what_waiting_does_not(name: str) -> None:
    script, error, says = RESULTS[name]
    async with scripted(script, script, script, text_reply("Hello there")) as chat:
        turn = await chat.send_message("Hi")
        assert turn.outcome == ("incomplete" if name == "incomplete" else "error")
        with pytest.raises(error, match=says):
            await turn.result()
        with pytest.raises(error, match=says):
            await chat.send_message("Hi").result()
        pieces: list[str] = []
        with pytest.raises(error, match=says):
            await collect(chat.send_message("Hi"), pieces)
        assert "".join(pieces) == ("" if name == "refused" else "Hello ")
        await assert_usable(chat)


async def test_result_of_other_outcomes() -> None:
    call = {"type": "tool-input-available", "toolCallId": "c1", "toolName": "look", "input": {}}
    done = {"type": "tool-output-available", "toolCallId": "c1", "output": 1}
    again = [*GREETING[:2], call, done, *GREETING[-2:]]
    abort = [*BEGUN, {"type": "abort"}]
    async with scripted(again, abort, send_automatically_when=lambda _: not aborted) as chat:
        aborted: list[bool] = []
        chat._engine.max_steps = 1
        turn = await chat.send_message("Hi")
        assert (turn.outcome, turn.limit_reached) == ("completed", True)
        with pytest.raises(PendingToolError, match="after 1 requests"):
            await turn.result()
        aborted.append(True)
        turn = await chat.send_message("Hi")
        assert turn.outcome == "stopped"
        assert (await turn.result()).text == "Hello "
    async with scripted(HANG, when_busy="queue") as chat:
        turn, queued = chat.send_message("1"), chat.send_message("2")
        chat.remove_queued_message(chat.queued_messages[0].id)
        assert (queued.outcome, queued.over) == ("dropped", True)
        with pytest.raises(UseChatError, match="taken out of the queue"):
            await queued.result()
        chat.stop()
        assert (await turn.result()).parts == ()


async def test_without_require_finish_an_early_end_is_an_end() -> None:
    chat = AsyncChatSession(ScriptedTransport([BEGUN], require_finish=False))
    async with chat:
        assert (await chat.send_message("Hi").result()).text == "Hello "


async def test_a_turn_nobody_awaits_warns() -> None:
    async with scripted(HANG) as chat:
        turn = chat.send_message("Hi")
        with pytest.warns(RuntimeWarning, match="never awaited: its request was not made"):
            del turn
        chat.stop()
        turn = chat.send_message("Hi")
        chat.stop()
        del turn
        gc.collect()


async def fail_in(block: AbstractAsyncContextManager[AsyncTurn]) -> None:
    async with block as turn:
        async for _ in turn:
            raise ZeroDivisionError


async def test_a_stream_block_that_is_left_stops_its_turn() -> None:
    async with chatting(handlers(hang, hang, hang)) as (chat, server):
        async with chat.stream("Hi") as turn:
            async for piece in turn:
                assert piece == "Hello "
                break
        assert (turn.outcome, turn.text) == ("stopped", "Hello ")
        await server.all_closed()
        with pytest.raises(ZeroDivisionError):
            await fail_in(chat.stream("Hi"))
        assert chat.messages[-1].text == "Hello "
        assert turn.outcome == "stopped"
        await server.all_closed()
        async with chat.stream("Hi") as turn:
            pass  # before its request is made
        assert turn.outcome == "stopped"
        assert len(server.exchanges) == 2


async def test_a_stream_block_to_its_end() -> None:
    async with chatting(handlers()) as (chat, server):
        async with chat.stream("Hi", files=b"x", metadata={"n": 1}) as turn:
            assert "".join([piece async for piece in turn]) == "Hello there"
        assert turn.outcome == "completed"
        sent = server.exchanges[0].json["messages"][0]
        assert [part["type"] for part in sent["parts"]] == ["file", "text"]
        assert sent["metadata"] == {"n": 1}


async def test_events_that_are_left_leave_nothing() -> None:
    for leave in ("break", "aclosing"):
        async with chatting(handlers(hang)) as (chat, server):
            turn = chat.send_message("Hi")
            if leave == "break":
                async for event in turn.events():
                    if isinstance(event, TextDelta):
                        break
            else:
                async with aclosing(turn.events()) as events:
                    async for event in events:
                        if isinstance(event, TextDelta):
                            break
                    with pytest.raises(ZeroDivisionError):
                        await events.athrow(ZeroDivisionError())
                    assert [e async for e in events] == []
            gc.collect()
            assert not chat._observers
            chat.stop()
            await chat.aclose()
            await server.all_closed()


async def test_events_of_a_turn_that_is_over() -> None:
    async with scripted(text_reply("Hi")) as chat:
        turn = await chat.send_message("Hi")
        assert [event async for event in turn.events()] == []
        assert turn.outcome == "completed"
