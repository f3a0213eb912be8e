"""Python functions as tools, called by real servers: each says in its answer what it got.

Both sessions go through the same scenarios with the same servers. The request's body says which
tools there are, and the question which of them are to be called.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

import anyio
import anyio.to_thread
import pytest
from backends import BACKENDS, Backend
from live_server import REPLY_SECONDS, LiveServer

from usechat import AsyncChatSession, ChatSession, PendingToolError, Tool, ToolContext
from usechat.engine.repairing import NO_ANSWER
from usechat.engine.tool_rounds import NO_RESULT

SERVERS = [
    backend._replace(always=True)
    for backend in BACKENDS
    if backend.name in ("ai7", "pydantic-ai-sdk7", "usechat-demo")
]
SESSIONS = [("asyncio", AsyncChatSession), ("trio", AsyncChatSession), ("asyncio", ChatSession)]

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.live,
    pytest.mark.parametrize("backend", SERVERS, ids=lambda backend: backend.name),
    pytest.mark.parametrize(
        ("anyio_backend", "session"), SESSIONS, ids=["asyncio", "trio", "not-async"]
    ),
]

Session: TypeAlias = type[AsyncChatSession] | type[ChatSession]


@asynccontextmanager
async def chatting(
    session: Session,
    live: LiveServer,
    backend: Backend,
    *tools: Callable[..., Any],
    **options: Any,
) -> AsyncIterator[Any]:
    """A chat of either kind; the server is told of its tools."""

    def body() -> dict[str, Any]:
        told = [
            {"name": t.name, "description": t.description, "inputSchema": t.input_schema}
            for t in chat.tools
        ]
        return {"tools": told}

    chat = session(live.base + backend.path, tools=tools, body=body, **options)
    with anyio.fail_after(REPLY_SECONDS):
        if isinstance(chat, AsyncChatSession):
            async with chat:
                yield chat
        else:
            with chat:
                yield chat


async def done(wait: Callable[..., Any]) -> Any:
    """What the wait or result of a turn gives, of either kind."""
    if iscoroutinefunction(wait):
        return await wait()
    return await anyio.to_thread.run_sync(partial(wait, REPLY_SECONDS))


async def happened(event: threading.Event) -> bool:
    return await anyio.to_thread.run_sync(event.wait, REPLY_SECONDS)


def states(chat: Any) -> list[tuple[str, Any, str | None]]:
    """What became of each call of the last message."""
    parts = chat.messages[-1].tool_parts
    return [(part.state, part.output, part.error_text) for part in parts]


def sent(body: dict[str, Any]) -> list[tuple[str, Any, str | None]]:
    """The same, as a request has brought it to the server."""
    parts = body["messages"][-1]["parts"]
    calls = [part for part in parts if "toolCallId" in part]
    return [(part["state"], part.get("output"), part.get("errorText")) for part in calls]


async def assert_told(live: LiveServer, backend: Backend, chat: Any) -> None:
    """The second request brought what became of the calls; the SDK has the same message then."""
    log = await live.log()
    assert len(log.bodies) == 2
    assert sent(log.bodies[1]) == states(chat)
    if backend.name == "ai7":
        assert log.last_reply == chat.messages[-1].model_dump()


def double(number: int) -> dict[str, int]:
    """Twice a number."""
    return {"twice": 2 * number}


async def test_one(live: LiveServer, backend: Backend, session: Session) -> None:
    async with chatting(session, live, backend, double) as chat:
        turn = await done(chat.send_message('call double({"number": 21})').wait)

        assert (turn.outcome, turn.error, turn.pending) == ("completed", None, ())
        assert '{"twice":42}' in turn.text
        assert states(chat) == [("output-available", {"twice": 42}, None)]
        assert [message.role for message in chat.messages] == ["user", "assistant"]
        assert (chat.status, turn.limit_reached) == ("ready", False)
        await assert_told(live, backend, chat)

        # The history is one that can be gone on with.
        after = await done(chat.send_message('call double({"number": 4})').wait)
        assert '{"twice":8}' in after.text
        assert len((await live.log()).bodies) == 4


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_three_at_once(
    live: LiveServer, backend: Backend, session: Session, kind: str
) -> None:
    all_there = threading.Barrier(3, timeout=REPLY_SECONDS)
    waiting: list[anyio.Event] = []

    def meet(name: str) -> str:
        all_there.wait()
        return f"{name} met the others"

    async def meet_async(name: str) -> str:
        waiting.append(anyio.Event())
        mine = waiting[-1]
        if len(waiting) == 3:
            for event in waiting:
                event.set()
        await mine.wait()
        return f"{name} met the others"

    tool = Tool(meet if kind == "plain" else meet_async, name="meet")
    async with chatting(session, live, backend, tool) as chat:
        names = ["Ann", "Bob", "Cem"]
        calls = " ".join(f'meet({{"name": "{name}"}})' for name in names)
        turn = await done(chat.send_message(f"call {calls}").wait)

        assert turn.outcome == "completed"
        found = [turn.text.find(f"{name} met the others") for name in names]
        assert -1 < found[0] < found[1] < found[2]
        assert [output for _, output, _ in states(chat)] == [f"{n} met the others" for n in names]
        await assert_told(live, backend, chat)


async def test_one_that_raises(
    live: LiveServer, backend: Backend, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "usechat")

    def look_up(city: str) -> str:
        raise LookupError(f"there is no {city}")

    async with chatting(session, live, backend, look_up, double) as chat:
        text = 'call look_up({"city": "Atlantis"}) double({"number": 1}) look_up({"town": 1})'
        turn = await done(chat.send_message(text).wait)

        assert (turn.outcome, turn.error) == ("completed", None)
        raised, doubled, unfit = states(chat)
        assert raised == ("output-error", None, "LookupError: there is no Atlantis")
        assert doubled == ("output-available", {"twice": 2}, None)
        assert unfit[0] == "output-error"
        assert "city: Field required" in (unfit[2] or "")
        for seen in ("LookupError: there is no Atlantis", '{"twice":2}', "city: "):
            assert seen in turn.text
        assert "Traceback" not in turn.text
        await assert_told(live, backend, chat)


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_one_that_times_out(
    live: LiveServer, backend: Backend, session: Session, kind: str
) -> None:
    ended = threading.Event()

    def dawdle(ctx: ToolContext) -> str:
        assert ctx.stopped.wait(REPLY_SECONDS)
        ended.set()
        return "too late"

    async def dawdle_async() -> str:
        try:
            return await anyio.sleep_forever()
        finally:
            ended.set()

    tool = Tool(dawdle if kind == "plain" else dawdle_async, name="dawdle", timeout=0.05)
    async with chatting(session, live, backend, tool) as chat:
        turn = await done(chat.send_message("call dawdle()").wait)

        why = "The tool did not answer within 0.05 seconds."
        assert turn.outcome == "completed"
        assert why in turn.text
        assert states(chat) == [("output-error", None, why)]
        assert await happened(ended)
        await assert_told(live, backend, chat)


@pytest.mark.parametrize("approved", [True, False], ids=["yes", "no"])
async def test_one_that_needs_approval(
    live: LiveServer, backend: Backend, session: Session, approved: bool
) -> None:
    ran: list[str] = []

    def delete(path: str) -> str:
        ran.append(path)
        return f"{path} is gone"

    tool = Tool(delete, needs_approval=True)
    async with chatting(session, live, backend, tool, double) as chat:
        text = 'call delete({"path": "a b.txt"}) double({"number": 3})'
        asked = await done(chat.send_message(text).wait)
        assert (asked.outcome, chat.status, ran) == ("completed", "ready", [])
        (part,) = asked.pending
        assert (part.tool_name, part.state) == ("delete", "approval-requested")
        assert len((await live.log()).bodies) == 1

        answer = chat.add_tool_approval_response(part.approval.id, approved, "too risky")
        turn = await done(answer.wait)
        assert (turn.outcome, turn.error, turn.pending) == ("completed", None, ())
        assert '{"twice":6}' in turn.text
        assert ("a b.txt is gone" in turn.text, "too risky" in turn.text) == (
            approved,
            not approved,
        )
        assert ran == (["a b.txt"] if approved else [])
        state, output, _ = states(chat)[0]
        assert (state, output) == (
            ("output-available", "a b.txt is gone") if approved else ("output-denied", None)
        )
        await assert_told(live, backend, chat)

        after = await done(chat.send_message('call double({"number": 4})').wait)
        assert (after.outcome, after.error) == ("completed", None)
        assert '{"twice":8}' in after.text


async def test_an_approval_that_nobody_gives(
    live: LiveServer, backend: Backend, session: Session
) -> None:
    tool = Tool(double, needs_approval=True)
    # Else `ai` gives its model a call without a result, which a provider refuses.
    async with chatting(session, live, backend, tool, repair=True) as chat:
        asked = await done(chat.send_message('call double({"number": 3})').wait)
        (part,) = asked.pending

        after = await done(chat.send_message("recall").wait)
        assert (after.outcome, after.error) == ("completed", None)
        assert chat.messages[1].tool_parts[0].state == "output-denied"
        assert NO_ANSWER in str((await live.log()).bodies[1]["messages"][1])
        assert backend.name == "usechat-demo" or NO_ANSWER in after.text

        late = await done(chat.add_tool_approval_response(part.approval.id, True).wait)
        assert (late.outcome, len((await live.log()).bodies)) == ("completed", 2)


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_one_that_is_stopped(
    live: LiveServer, backend: Backend, session: Session, kind: str
) -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def work(ctx: ToolContext) -> str:
        threads.append(threading.current_thread())
        begun.set()
        assert ctx.stopped.wait(REPLY_SECONDS)
        ended.set()
        assert may_end.wait(REPLY_SECONDS)
        return "too late"

    async def work_async() -> str:
        begun.set()
        try:
            return await anyio.sleep_forever()
        finally:
            ended.set()

    tool = Tool(work if kind == "plain" else work_async, name="work")
    async with chatting(session, live, backend, tool, double) as chat:
        turn = chat.send_message('call work() double({"number": 5})')
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(done, turn.wait)
            assert await happened(begun)
            assert chat.is_loading
            chat.stop()
        assert (turn.outcome, chat.status, chat.is_loading) == ("stopped", "ready", False)
        assert await happened(ended)
        stopped = states(chat)
        assert stopped[0] == ("output-error", None, NO_RESULT)
        assert len((await live.log()).bodies) == 1

        after = chat.send_message("recall")
        may_end.set()
        await done(after.wait)
        assert (after.outcome, after.error, chat.status) == ("completed", None, "ready")
        for thread in threads:
            await anyio.to_thread.run_sync(thread.join, REPLY_SECONDS)
        assert chat.messages[1].tool_parts[0].error_text == NO_RESULT
        assert "too late" not in str(chat.messages)
        log = await live.log()
        assert NO_RESULT in str(log.bodies[1]["messages"][1])
        assert backend.name == "usechat-demo" or NO_RESULT in after.text

        again = await done(chat.send_message('call double({"number": 6})').wait)
        assert '{"twice":12}' in again.text


async def test_a_loop_ends(live: LiveServer, backend: Backend, session: Session) -> None:
    counted: list[int] = []

    def count() -> str:
        counted.append(len(counted) + 1)
        return f"number {counted[-1]}"

    async with chatting(session, live, backend, count, max_steps=3) as chat:
        turn = await done(chat.send_message("call count() again and again").wait)

        assert (turn.outcome, turn.limit_reached, chat.status) == ("completed", True, "ready")
        with pytest.raises(PendingToolError, match="3 requests"):
            await done(turn.result)
        # The calls of the last reply have their outputs, for which no request was left.
        told = [f"number {n}" for n in (1, 2, 3)]
        assert [text in turn.text for text in told] == [True, True, False]
        assert [output for _, output, _ in states(chat)] == told
        assert counted == [1, 2, 3]
        assert len((await live.log()).bodies) == 3

        after = await done(chat.send_message("hello").wait)
        assert (after.outcome, after.limit_reached) == ("completed", False)
        assert "number 3" in str((await live.log()).bodies[3])
