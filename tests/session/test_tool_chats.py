"""Tools that use their chat, and many chats with tools."""

from __future__ import annotations

import gc
import weakref
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
