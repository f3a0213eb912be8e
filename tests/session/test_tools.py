"""Python functions that answer a model's calls, in ``AsyncChatSession``."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from tests.session.tool_replies import (
    PATIENCE,
    answer,
    call,
    calls,
    outputs,
    scripted,
    states,
    weather,
)
from usechat import (
    AsyncChatSession,
    InvalidArgumentError,
    PartUpdated,
    Tool,
    ToolContext,
)
from usechat.testing import FakeServer

pytestmark = pytest.mark.anyio

OF_THE_CALLER: ContextVar[str] = ContextVar("OF_THE_CALLER", default="nobody")


# ------------------------------------------------------------ what is called


async def test_a_request_says_what_there_is() -> None:
    transport = scripted(answer(), answer())
    async with AsyncChatSession(transport, tools=[weather]) as chat:

        @chat.tool
        def place() -> str:
            """Where we are."""
            return "Bern"

        @chat.tool(name="add", description="Adds.", timeout=5)
        async def plus(a: int, b: int = 2) -> int:
            return a + b

        assert (place(), await plus(1)) == ("Bern", 3)  # they are still what they were
        assert [tool.name for tool in chat.tools] == ["weather", "place", "add"]
        await chat.send_message("Hi")
        chat.tool(Tool(weather, name="again"))
        await chat.send_message("Hi")
    first, second = (tuple(request.tools) for request in transport.requests)
    assert [tool.name for tool in first] == ["weather", "place", "add"]
    assert [tool.name for tool in second] == ["weather", "place", "add", "again"]
    assert first[0].description == "What it is like."
    assert first[0].input_schema["properties"]["city"]["description"] == "where."
    assert first[2].description == "Adds."
    assert first[2].input_schema["required"] == ["a"]


async def test_two_of_one_name_are_refused_and_a_later_one_replaces() -> None:
    with pytest.raises(InvalidArgumentError, match="two tools of the name 'weather'"):
        AsyncChatSession(scripted(), tools=[weather, Tool(len, name="weather")])
    async with AsyncChatSession(scripted(), tools=[weather]) as chat:
        chat.tool(weather)  # a notebook's cell that runs again

        @chat.tool(name="weather")
        def other(town: str) -> str:
            return town

        (tool,) = chat.tools
        assert list(tool.input_schema["properties"]) == ["town"]


@pytest.mark.parametrize("tools", ["weather", weather, [1], ["weather"], [None], 1])
async def test_what_is_no_list_of_tools_is_refused(tools: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        AsyncChatSession(scripted(), tools=tools)


async def test_a_call_is_answered_and_the_conversation_goes_on() -> None:
    transport = scripted(calls(call("weather", input={"city": "Bern"})), answer("It is sunny."))
    seen: list[str] = []
    async with AsyncChatSession(transport, tools=[weather]) as chat:
        chat.subscribe(lambda chat: seen.append(chat.status))
        turn = await chat.send_message("Hi")
        assert (turn.outcome, turn.text, turn.pending) == ("completed", "It is sunny.", ())
        assert outputs(turn.message) == ["sun in Bern"]
        assert (await turn.result()).id == chat.messages[-1].id
    assert [m.role for m in chat.messages] == ["user", "assistant"]
    sent = transport.requests[1].messages[-1]
    assert (states(sent), outputs(sent)) == (["output-available"], ["sun in Bern"])
    assert seen[-1] == "ready"
    assert "ready" not in seen[:-1]


async def test_a_server_gets_the_output() -> None:
    with FakeServer([calls(call("weather")), answer()]) as server:
        async with AsyncChatSession(server.url, tools=[weather]) as chat:
            turn = await chat.send_message("Hi", headers={"x-a": "1"}, body={"b": 2})
            assert turn.outcome == "completed"
        bodies = [request.json for request in server.requests]
        (part,) = [p for p in bodies[1]["messages"][-1]["parts"] if p["type"] == "tool-weather"]
        assert (part["state"], part["output"]) == ("output-available", "sun in Rome")
        assert [body["b"] for body in bodies] == [2, 2]
        assert [request.headers["x-a"] for request in server.requests] == ["1", "1"]


async def test_calls_of_a_reply_run_at_the_same_time() -> None:
    in_place, barrier = [anyio.Event() for _ in range(3)], threading.Barrier(3)

    async def asynchronous(n: int) -> int:
        in_place[n].set()
        for event in in_place:
            await event.wait()
        return n

    def synchronous(n: int) -> int:
        barrier.wait(PATIENCE)
        return n

    chunks = [
        call(name, f"{name}{n}", {"n": n})
        for name in ("asynchronous", "synchronous")
        for n in range(3)
    ]
    transport = scripted(calls(*chunks), answer())
    async with AsyncChatSession(transport, tools=[asynchronous, synchronous]) as chat:
        with anyio.fail_after(PATIENCE):
            turn = await chat.send_message("Hi")
        assert outputs(turn.message) == [0, 1, 2, 0, 1, 2]
    assert len(transport.requests) == 2


async def test_where_they_run_and_with_which_context() -> None:
    places: dict[str, Any] = {}

    def synchronous(ctx: ToolContext) -> None:
        places["sync"] = (threading.current_thread(), OF_THE_CALLER.get())
        places["ctx"] = (ctx.chat, ctx.tool_call_id, ctx.stopped.is_set())

    async def asynchronous() -> None:
        places["async"] = (threading.current_thread(), OF_THE_CALLER.get())

    transport = scripted(calls(call("synchronous"), call("asynchronous", "c2")), answer())
    async with AsyncChatSession(transport, tools=[synchronous, asynchronous]) as chat:
        OF_THE_CALLER.set("the caller")
        await chat.send_message("Hi")
        assert places["ctx"] == (chat, "c1", False)
    assert places["async"] == (threading.current_thread(), "the caller")
    thread, name = places["sync"]
    assert thread is not threading.current_thread()
    assert (thread.daemon, name) == (True, "the caller")


class Model(BaseModel):
    n: int


@dataclass
class Data:
    n: int


def generating() -> Iterator[int]:
    yield 1
    yield 2


async def generating_async() -> AsyncIterator[int]:
    yield 1
    yield 2


OUTPUTS: dict[str, tuple[Any, Any]] = {
    "a model": (Model(n=1), {"n": 1}),
    "a dataclass": (Data(1), {"n": 1}),
    "nothing": (None, None),
    "bytes": (b"ab", "ab"),
    "a tuple": ((1, "a"), [1, "a"]),
    "a half of a pair": ("\ud800", "\ud800"),
    "an empty text": ("", ""),
    "nested": ({"a": [Model(n=2)]}, {"a": [{"n": 2}]}),
}


@pytest.mark.parametrize(("made", "sent"), OUTPUTS.values(), ids=OUTPUTS.keys())
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_outputs(kind: str, made: Any, sent: Any) -> None:
    def give() -> Any:
        return made

    async def give_later() -> Any:
        return made

    tool = Tool(give if kind == "sync" else give_later, name="give")
    transport = scripted(calls(call("give")), answer())
    async with AsyncChatSession(transport, tools=[tool]) as chat:
        turn = await chat.send_message("Hi")
        assert states(turn.message) == ["output-available"]
        assert outputs(turn.message) == [sent]
    assert outputs(transport.requests[1].messages[-1]) == [sent]
    json.loads(chat.messages[-1].model_dump_json())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1: object()}])
async def test_what_is_no_json_is_the_models_error(
    value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def give() -> Any:
        return value

    async with AsyncChatSession(scripted(calls(call("give")), answer()), tools=[give]) as chat:
        turn = await chat.send_message("Hi")
        assert (turn.outcome, turn.text) == ("completed", "Done.")
        if states(turn.message) == ["output-error"]:
            assert "cannot be written as JSON" in outputs(turn.message)[0]
        else:
            assert outputs(turn.message) == [None]  # as JSON.stringify has it


@pytest.mark.parametrize("function", [generating, generating_async])
async def test_outputs_that_come_bit_by_bit(function: Any) -> None:
    transport = scripted(calls(call("bits")), answer())
    tool = Tool(function, name="bits")
    seen: list[Any] = []
    async with AsyncChatSession(transport, tools=[tool], throttle=None) as chat:

        @chat.on(PartUpdated)
        def note(event: PartUpdated) -> None:
            part: Any = chat.messages[-1].parts[event.part_index]
            seen.append((part.output, part.preliminary))

        turn = await chat.send_message("Hi")
    assert turn.message is not None
    assert seen == [(1, True), (2, True), (2, None)]
    (sent,) = transport.requests[1].messages[-1].tool_parts
    assert "preliminary" not in sent.model_dump()


@pytest.mark.parametrize("throttle", [0.03, 0, None])
@pytest.mark.parametrize("way", ["wait", "text", "events"])
async def test_what_is_preliminary_is_seen_while_the_tool_runs(
    throttle: float | None, way: str
) -> None:
    shown = [anyio.Event() for _ in range(3)]

    async def slowly() -> AsyncIterator[int]:
        for n in range(3):
            yield n
            with anyio.fail_after(PATIENCE):
                await shown[n].wait()  # it goes on only when observers have seen that

    transport = scripted(calls(call("slowly")), answer())
    async with AsyncChatSession(transport, tools=[slowly], throttle=throttle) as chat:

        @chat.subscribe
        def note(chat: AsyncChatSession) -> None:
            for part in chat.messages[-1].tool_parts:
                if part.output is not None:
                    shown[part.output].set()

        turn = chat.send_message("Hi")
        if way == "text":
            assert [piece async for piece in turn] == ["Done."]
        elif way == "events":
            assert [event async for event in turn.events()]
        await turn
        assert outputs(turn.message) == [2]


@pytest.mark.parametrize("way", ["wait", "text"])
async def test_who_subscribes_while_a_tool_runs_sees_what_it_shows(
    way: str,
) -> None:
    seen = anyio.Event()

    async def show(ctx: ToolContext) -> AsyncIterator[bool]:
        ctx.chat.subscribe(lambda _: seen.set())
        yield False
        with anyio.move_on_after(1):
            await seen.wait()
        yield seen.is_set()

    transport = scripted(calls(call("show")), answer())
    async with AsyncChatSession(transport, tools=[show]) as chat:
        turn = chat.send_message("Hi")
        if way == "text":
            assert [piece async for piece in turn] == ["Done."]
        await turn
        assert outputs(turn.message) == [True]


async def test_what_a_tool_raises_is_told_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails() -> None:
        raise ValueError("no such city")

    async def exits() -> None:
        sys.exit(3)

    def silent() -> None:
        raise KeyError

    transport = scripted(
        calls(call("fails"), call("exits", "c2"), call("silent", "c3"), call("weather", "c4")),
        answer(),
    )
    async with AsyncChatSession(transport, tools=[fails, exits, silent, weather]) as chat:
        turn = await chat.send_message("Hi")
        assert turn.outcome == "completed"
    sent = outputs(transport.requests[1].messages[-1])
    assert sent == ["ValueError: no such city", "SystemExit: 3", "KeyError", "sun in Rome"]
    logged = [r for r in caplog.records if r.name == "usechat" and r.levelno == logging.WARNING]
    assert len(logged) == 3


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_tool_that_takes_too_long(kind: str) -> None:
    told = threading.Event()

    async def asynchronous(ctx: ToolContext) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            told.set()

    def synchronous(ctx: ToolContext) -> str:
        assert ctx.stopped.wait(PATIENCE)
        told.set()
        return "late"

    function = asynchronous if kind == "async" else synchronous
    transport = scripted(calls(call("slow"), call("weather", "c2")), answer())
    tools = [Tool(function, name="slow", timeout=0.01), weather]
    async with AsyncChatSession(transport, tools=tools) as chat:
        turn = await chat.send_message("Hi")
        assert outputs(turn.message) == [
            "The tool did not answer within 0.01 seconds.",
            "sun in Rome",
        ]
        assert await anyio.to_thread.run_sync(told.wait, PATIENCE)
