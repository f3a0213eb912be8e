"""Tools that use their chat, and many chats with tools."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from tests.session.tool_replies import (
    PATIENCE,
    answer,
    call,
    calls,
    outputs,
    states,
)
from usechat import (
    AsyncChatSession,
    AsyncTurn,
    ChatBusyError,
    InputChanged,
    PartUpdated,
    ToolContext,
)
from usechat.testing import ScriptedTransport

pytestmark = pytest.mark.anyio

HELD = calls(call("hold"))


def chatting(*replies: Any, **options: Any) -> AsyncChatSession:
    return AsyncChatSession(ScriptedTransport(replies), **options)


# -------------------------------------------------------- tools and their chat


async def test_a_tool_that_reads_and_sends() -> None:
    async with chatting(
        calls(call("look")), answer("First."), answer("Second."), when_busy="queue"
    ) as chat:
        made: list[Any] = []

        @chat.tool
        async def look(ctx: ToolContext) -> list[str]:
            made.append(ctx.chat.send_message("Then"))
            return states(ctx.chat.messages[-1])

        turn = await chat.send_message("Hi")
        assert outputs(turn.message) == [["input-available"]]
        await made[0]
        assert [m.text for m in chat.messages] == ["Hi", "First.", "Then", "Second."]


async def test_what_a_tool_sends_is_awaited_by_who_awaits_its_turn() -> None:
    replies = [calls(call("note")), answer("First."), answer("Second.")]
    async with chatting(*replies, when_busy="queue") as chat:

        @chat.tool
        async def note(ctx: ToolContext) -> None:
            ctx.chat.send_message("Then")

        await chat.send_message("Hi")
        assert [m.text for m in chat.messages] == ["Hi", "First.", "Then", "Second."]
        assert chat.status == "ready"


ACTIONS: dict[str, Callable[[AsyncChatSession], Any]] = {
    "stop": lambda chat: chat.stop(),
    "send_message": lambda chat: chat.send_message("Then"),
    "set_messages": lambda chat: chat.set_messages([]),
    "clear_error": lambda chat: chat.clear_error(),
    "remove_queued_message": lambda chat: chat.remove_queued_message("?"),
    "input": lambda chat: chat.handle_input_change("text"),
    "submit": lambda chat: chat.submit(),
    "tool": lambda chat: chat.tool(answer),
}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
async def test_an_action_on_another_thread_is_refused_before_it_changes_anything(
    action: Callable[[AsyncChatSession], Any],
) -> None:
    async with chatting(calls(call("act")), answer(), when_busy="queue", input="Text") as chat:

        @chat.tool
        def act(ctx: ToolContext) -> list[str]:
            with pytest.raises(ChatBusyError, match="thread of the event loop"):
                action(ctx.chat)
            return [message.text for message in ctx.chat.messages]

        with anyio.fail_after(PATIENCE):
            turn = await chat.send_message("Hi")
        assert outputs(turn.message) == [["Hi", ""]]
        assert (turn.outcome, chat.input) == ("completed", "Text")
        assert ([tool.name for tool in chat.tools], chat.queued_messages) == (["act"], ())


WAITS: dict[str, Callable[[AsyncChatSession, AsyncTurn], Any]] = {
    "a message that interrupts": lambda chat, turn: chat.send_message("Then"),
    "stop": lambda chat, turn: chat.stop() or turn,
    "its own output": lambda chat, turn: chat.add_tool_output("c1", 1),
    "close": lambda chat, turn: chat.aclose(),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
async def test_a_tool_that_has_ended_its_round_cannot_wait_for_its_chat(
    wait: Callable[[AsyncChatSession, AsyncTurn], Any],
) -> None:
    chat = chatting(calls(call("wait")), answer("Then."), answer(), when_busy="interrupt")
    left: list[str] = []

    @chat.tool(name="wait")
    async def tool(ctx: ToolContext) -> None:
        try:
            await wait(ctx.chat, turn)
            await anyio.sleep_forever()
        except BaseException as error:
            left.append(type(error).__name__)
            raise

    async with chat:
        turn = chat.send_message("Hi")
        with anyio.fail_after(PATIENCE):
            await turn
        assert (turn.over, chat.status, len(left)) == (True, "ready", 1)


async def test_what_a_tool_sends_after_its_round_is_awaited_too() -> None:
    chat = chatting(calls(call("send")), answer("Second."), when_busy="interrupt")

    @chat.tool
    async def send(ctx: ToolContext) -> None:
        ctx.chat.send_message("Then")

    async with chat:
        turn = await chat.send_message("Hi")
        assert (turn.outcome, chat.status) == ("stopped", "ready")
        assert [m.text for m in chat.messages] == ["Hi", "", "Then", "Second."]


async def test_what_a_tool_sends_and_waits_for_the_user_goes_with_a_later_turn() -> None:
    replies = [calls(call("send"), call("ask", "c2")), answer("First."), answer("Second.")]
    chat = chatting(*replies, when_busy="queue")

    @chat.tool
    async def send(ctx: ToolContext) -> None:
        ctx.chat.send_message("Then")

    @chat.tool(needs_approval=True)
    async def ask() -> None: ...

    async with chat:
        turn = await chat.send_message("Hi")
        assert [m.text for m in chat.queued_messages] == ["Then"]
        (part,) = turn.pending
        await chat.add_tool_approval_response(part.approval.id, True)
        assert [m.text for m in chat.messages] == ["Hi", "First.", "Then", "Second."]
        assert chat.status == "ready"


def test_a_chat_may_go_on_in_another_thread_when_nobody_waits_for_it() -> None:
    chat = chatting(answer("One."), answer("Two."))

    async def send() -> str:
        return (await chat.send_message("Hi")).text

    assert anyio.run(send) == "One."
    with ThreadPoolExecutor(1) as other:
        assert other.submit(anyio.run, send).result() == "Two."
        other.submit(chat.stop).result()
        other.submit(anyio.run, chat.aclose).result()


async def test_observers_of_what_a_tool_does_are_no_tool() -> None:
    async with anyio.create_task_group() as tasks:
        chat = chatting(calls(call("write")), answer())
        outcomes: list[str | None] = []

        @chat.tool
        async def write(ctx: ToolContext) -> None:
            ctx.chat.input = "text"

        async def outcome() -> None:
            outcomes.append((await turn).outcome)

        chat.on(InputChanged, lambda _: tasks.start_soon(outcome))
        async with chat:
            turn = chat.send_message("Hi")
            await turn
    assert outcomes == ["completed"]


async def test_a_task_that_an_observer_of_a_tool_begins_is_no_tool() -> None:
    async with anyio.create_task_group() as tasks:
        chat = chatting(calls(call("show")), answer(), throttle=0)
        outcomes: list[str | None] = []

        @chat.tool
        async def show() -> AsyncIterator[int]:
            yield 1
            yield 2

        async def outcome(turn: AsyncTurn) -> None:
            outcomes.append((await turn).outcome)

        @chat.on(PartUpdated)
        def begin(_: PartUpdated) -> None:
            tasks.start_soon(outcome, turn)

        async with chat:
            turn = chat.send_message("Hi")
            await turn
    assert set(outcomes) == {"completed"}


async def test_a_tool_of_a_chat_within_a_tool_cannot_wait_for_the_outer_turn() -> None:
    turns: list[AsyncTurn] = []
    inner = chatting(calls(call("ask_outer")), answer("Inner."))
    outer = chatting(calls(call("ask_inner")), answer("Outer."))

    @inner.tool
    async def ask_outer() -> str:
        return (await turns[0]).text

    @outer.tool
    async def ask_inner() -> str:
        turn = await inner.send_message("Hi")
        return str(outputs(turn.message)[0])

    async with inner, outer:
        turns.append(outer.send_message("Hi"))
        with anyio.fail_after(PATIENCE):
            await turns[0]
    assert turns[0].text == "Outer."
    assert outputs(turns[0].message)[0].startswith("ChatBusyError: ")


@pytest.mark.parametrize("what", ["its own", "one that is queued"])
async def test_a_tool_that_waits_for_itself_is_told_so(what: str) -> None:
    replies = [calls(call("wait")), answer("First."), answer("Second.")]
    async with chatting(*replies, when_busy="queue") as chat:
        made: list[Any] = []

        @chat.tool
        async def wait(ctx: ToolContext) -> None:
            if what != "its own":
                made.append(ctx.chat.send_message("Then"))
            with anyio.fail_after(PATIENCE):
                await made[-1]

        made.append(chat.send_message("Hi"))
        turn = await made[0]
        assert outputs(turn.message)[0].startswith("ChatBusyError: ")
        await made[-1]
        assert chat.status == "ready"


async def test_a_tool_that_asks_another_chat() -> None:
    async with (
        chatting(answer("From there.")) as other,
        chatting(calls(call("ask")), answer()) as chat,
    ):

        @chat.tool
        async def ask() -> str:
            return (await other.send_message("Hi")).text

        turn = await chat.send_message("Hi")
        assert outputs(turn.message) == ["From there."]


async def test_many_chats_at_once() -> None:
    count, running, all_run = 200, 0, anyio.Event()

    async def meet(n: int) -> int:
        nonlocal running
        running += 1
        if running == count:
            all_run.set()
        await all_run.wait()
        return n

    made: dict[int, Any] = {}

    async def one(n: int) -> None:
        async with chatting(calls(call("meet", input={"n": n})), answer(), tools=[meet]) as chat:
            made[n] = outputs((await chat.send_message("Hi")).message)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for n in range(count):
                tasks.start_soon(one, n)
    assert made == {n: [n] for n in range(count)}


@pytest.mark.parametrize("busy", [False, True])
async def test_a_session_is_collected_after_its_tools(
    busy: bool,
) -> None:
    async def tool() -> int:
        return 1

    async def one() -> weakref.ref[Any]:
        chat = chatting(calls(call("tool")), answer(), tools=[tool])
        await chat.send_message("Hi")
        await chat.aclose()
        return weakref.ref(chat)

    async with anyio.create_task_group() as tasks:
        if busy:  # some other timer of the loop
            tasks.start_soon(anyio.sleep, 3600)
        gone = await one()
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        gc.collect()
        assert gone() is None
        tasks.cancel_scope.cancel()
