"""Tools whose turn is stopped, cancelled, left or replaced while they run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from tests.session.tool_replies import (
    PATIENCE,
    Held,
    HeldThread,
    answer,
    call,
    calls,
    outputs,
    states,
)
from usechat import (
    AsyncChatSession,
    ChatBusyError,
    ChatClosedError,
    PartUpdated,
    ToolContext,
)
from usechat.engine.tool_rounds import NO_RESULT
from usechat.testing import ScriptedTransport

pytestmark = pytest.mark.anyio

HELD = calls(call("hold"))


def chatting(*replies: Any, **options: Any) -> AsyncChatSession:
    return AsyncChatSession(ScriptedTransport(replies), **options)


async def held_turn(chat: AsyncChatSession, held: Held, tasks: Any) -> Any:
    """A turn whose tool runs, driven by a task."""
    turn = chat.send_message("Hi")
    tasks.start_soon(turn.wait)
    await held.begun.wait()
    return turn


async def usable(chat: AsyncChatSession) -> None:
    """It serves a good reply."""
    turn = await chat.send_message("Again")
    assert (turn.outcome, turn.text, chat.status) == ("completed", "Done.", "ready")


# -------------------------------------------------------------------- stops


async def test_stop_cancels_async_ones_and_waits_for_them() -> None:
    held = Held()
    async with chatting(HELD, answer(), tools=[held.hold]) as chat:
        async with anyio.create_task_group() as tasks:
            turn = await held_turn(chat, held, tasks)
            assert (chat.status, chat.is_loading) == ("streaming", True)
            chat.stop()
            assert (turn.outcome, chat.status) == ("stopped", "ready")
            assert outputs(turn.message) == [NO_RESULT]
        assert held.told == ["began", "cancelled", "cleaned up"]
        await usable(chat)


async def test_stop_abandons_sync_ones_and_drops_what_comes_late() -> None:
    begun = anyio.Event()
    left = threading.Event()
    contexts: list[ToolContext] = []

    def hold(ctx: ToolContext) -> Any:
        contexts.append(ctx)
        assert ctx.stopped.wait(PATIENCE)
        try:
            yield "late"
        finally:
            left.set()

    async with chatting(calls(call("hold"), call("wait", "c2")), answer(), tools=[hold]) as chat:

        @chat.tool
        async def wait() -> None:
            while not contexts:
                await anyio.lowlevel.checkpoint()
            begun.set()
            await anyio.sleep_forever()

        async with anyio.create_task_group() as tasks:
            turn = chat.send_message("Hi")
            tasks.start_soon(turn.wait)
            await begun.wait()
            chat.stop()
            after = chat.messages
        assert contexts[0].stopped.is_set()
        assert await anyio.to_thread.run_sync(left.wait, PATIENCE)
        assert chat.messages is after or chat.messages == after
        assert outputs(turn.message) == [NO_RESULT] * 2
        await usable(chat)


async def test_a_turn_does_not_wait_for_a_thread_that_goes_on() -> None:
    held = HeldThread()
    async with chatting(HELD, answer(), tools=[held.hold]) as chat:
        try:
            async with anyio.create_task_group() as tasks:
                turn = chat.send_message("Hi")
                tasks.start_soon(turn.wait)
                assert await anyio.to_thread.run_sync(held.began.wait, PATIENCE)
                chat.stop()
            assert not held.left.is_set()
            await usable(chat)
        finally:
            held.go.set()
        assert await anyio.to_thread.run_sync(held.left.wait, PATIENCE)
        assert outputs(chat.messages[1]) == [NO_RESULT]


@pytest.mark.parametrize("who", ["an observer", "another thread's call", "a tool", "a sync tool"])
async def test_who_stops(who: str) -> None:
    held = Held()
    names = ["hold", "stopper"] if "tool" in who else ["hold"]
    reply = calls(*(call(name, f"c{n}") for n, name in enumerate(names)))
    async with chatting(reply, answer(), tools=[held.hold]) as chat:
        after: list[str] = []
        if who == "a tool":

            async def stopper(ctx: ToolContext) -> str:
                await held.begun.wait()
                ctx.chat.stop()
                after.append("went on")
                await anyio.lowlevel.checkpoint()
                after.append("too far")
                return "late"

            chat.tool(stopper)
        elif who == "a sync tool":
            from_loop = anyio.lowlevel.current_token()

            def stopper_in_thread(ctx: ToolContext) -> str:
                anyio.from_thread.run(held.begun.wait, token=from_loop)
                anyio.from_thread.run_sync(ctx.chat.stop, token=from_loop)
                assert ctx.stopped.wait(PATIENCE)
                return "late"

            chat.tool(name="stopper")(stopper_in_thread)
        async with anyio.create_task_group() as tasks:
            turn = chat.send_message("Hi")
            tasks.start_soon(turn.wait)
            await held.begun.wait()
            if who == "an observer":
                with chat.subscribe(lambda chat: chat.stop()):
                    chat.input = "stop"
            elif who == "another thread's call":
                token = anyio.lowlevel.current_token()
                await anyio.to_thread.run_sync(
                    lambda: anyio.from_thread.run_sync(chat.stop, token=token)
                )
        assert turn.outcome == "stopped"
        assert set(outputs(turn.message)) == {NO_RESULT}
        assert held.told[-1] == "cleaned up"
        assert "too far" not in after
        await usable(chat)


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_cancelling_who_waits_stops_the_tools(kind: str) -> None:
    held, in_thread = Held(), HeldThread()
    hold: Any = held.hold if kind == "async" else in_thread.hold
    async with chatting(HELD, answer(), tools=[hold]) as chat:
        async with anyio.create_task_group() as tasks:
            turn = chat.send_message("Hi")
            tasks.start_soon(turn.wait)
            if kind == "async":
                await held.begun.wait()
            else:
                assert await anyio.to_thread.run_sync(in_thread.began.wait, PATIENCE)
            tasks.cancel_scope.cancel()
        in_thread.go.set()
        assert (turn.outcome, outputs(turn.message)) == ("stopped", [NO_RESULT])
        assert kind == "sync" or held.told == ["began", "cancelled", "cleaned up"]
        await usable(chat)


@pytest.mark.parametrize("way", ["stream()", "aclose()"])
async def test_leaving_stops_the_tools(way: str) -> None:
    held = Held()
    chat = chatting(HELD, tools=[held.hold])
    async with anyio.create_task_group() as tasks:
        if way == "stream()":
            async with chat.stream("Hi") as turn:
                tasks.start_soon(turn.wait)
                await held.begun.wait()
            assert held.told[-1] == "cleaned up"
        else:
            turn = await held_turn(chat, held, tasks)
            await chat.aclose()
            assert held.told[-1] == "cleaned up"
            with pytest.raises(ChatClosedError):
                chat.send_message("Hi")
        assert (turn.outcome, outputs(turn.message)) == ("stopped", [NO_RESULT])
    await chat.aclose()


@pytest.mark.parametrize("way", ["text", "events"])
async def test_an_iteration_that_is_cancelled(way: str) -> None:
    held = Held()
    async with chatting(HELD, answer(), tools=[held.hold]) as chat:
        turn = chat.send_message("Hi")

        async def iterate() -> None:
            async for _ in turn if way == "text" else turn.events():
                pass

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(iterate)
            await held.begun.wait()
            tasks.cancel_scope.cancel()
        assert (turn.outcome, held.told[-1]) == ("stopped", "cleaned up")
        await usable(chat)


# ------------------------------------------------------- what takes its place


async def test_a_message_interrupts_tools() -> None:
    held = Held()
    async with chatting(HELD, answer(), tools=[held.hold], when_busy="interrupt") as chat:
        async with anyio.create_task_group() as tasks:
            first = await held_turn(chat, held, tasks)
            second = await chat.send_message("Now")
        assert (first.outcome, second.outcome) == ("stopped", "completed")
        assert held.told[-1] == "cleaned up"
        assert outputs(chat.messages[1]) == [NO_RESULT]
        assert [m.text for m in chat.messages] == ["Hi", "", "Now", "Done."]


async def test_a_message_waits_for_tools() -> None:
    held = Held()
    replies = [HELD, answer("First."), answer("Second.")]
    async with chatting(*replies, tools=[held.hold], when_busy="queue") as chat:
        async with anyio.create_task_group() as tasks:
            first = await held_turn(chat, held, tasks)
            second = chat.send_message("Then")
            assert second.queued
            held.go.set()
            await second
        assert (first.text, second.text) == ("First.", "Second.")
        assert [m.text for m in chat.messages] == ["Hi", "First.", "Then", "Second."]


async def test_a_message_is_refused_while_tools_run() -> None:
    held = Held()
    async with chatting(HELD, answer(), tools=[held.hold]) as chat:
        async with anyio.create_task_group() as tasks:
            turn = await held_turn(chat, held, tasks)
            with pytest.raises(ChatBusyError):
                chat.send_message("Now")
            with pytest.raises(ChatBusyError):
                chat.send_message(None)
            held.go.set()
        assert turn.text == "Done."


Change = Callable[[AsyncChatSession], Any]
CHANGES: dict[str, tuple[Change, int]] = {
    "set_messages": (lambda chat: chat.set_messages([]), 0),
    "set_messages of what was there": (lambda chat: chat.set_messages(lambda m: m), 2),
    "clear": (lambda chat: chat.clear(), 0),
    "regenerate": (lambda chat: chat.regenerate(), 2),
    "an edit": (lambda chat: chat.send_message("New", message_id=chat.messages[0].id), 2),
    "resume_stream": (lambda chat: chat.resume_stream(), 2),
}


@pytest.mark.parametrize(("change", "count"), CHANGES.values(), ids=CHANGES.keys())
async def test_what_replaces_messages_ends_the_tools(change: Change, count: int) -> None:
    held = Held()
    async with chatting(HELD, answer(), answer(), tools=[held.hold]) as chat:
        async with anyio.create_task_group() as tasks:
            turn = await held_turn(chat, held, tasks)
            made = change(chat)
            assert turn.outcome == "stopped"
            if made is not None:
                await made
                assert made.outcome == "completed"
        assert held.told == ["began", "cancelled", "cleaned up"]
        assert (len(chat.messages), chat.status) == (count, "ready")
        assert "input-available" not in [s for m in chat.messages for s in states(m)]
        await usable(chat)


async def test_nothing_is_changed_by_a_tool_that_shows_something_after_a_stop() -> None:
    seen: list[Any] = []

    async def stubborn() -> Any:
        try:
            begun.set()
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
                return "late"  # noqa: B012

    begun = anyio.Event()
    async with chatting(calls(call("stubborn")), answer(), tools=[stubborn]) as chat:
        async with anyio.create_task_group() as tasks:
            turn = chat.send_message("Hi")
            tasks.start_soon(turn.wait)
            await begun.wait()
            chat.stop()
            chat.on(PartUpdated, seen.append)
        assert seen == []
        assert outputs(turn.message) == [NO_RESULT]
        await usable(chat)
