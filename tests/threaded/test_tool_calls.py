"""Python functions that answer a model's calls, in ``ChatSession``."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from held_tools import HELD, Held, released, stopped, usable
from hosting import PATIENCE, Asked, Host, chatting, hosted, scripted, told

from tests.session.tool_replies import answer, call, calls, outputs, states, weather
from usechat import (
    ChatSession,
    DispatchError,
    PartUpdated,
    Tool,
    ToolContext,
    Turn,
)
from usechat.engine.tool_rounds import NO_RESULT
from usechat.session.loop_thread import running_loop_thread
from usechat.testing import HANG, FakeServer

# ------------------------------------------------------------ what is called


def test_a_request_says_what_there_is() -> None:
    transport = scripted(answer())
    with ChatSession(transport, tools=[weather]) as chat:

        @chat.tool(timeout=5, name="add")
        def plus(a: int) -> int:
            return a

        @chat.tool
        async def place() -> str:
            return "Bern"

        assert plus(1) == 1
        chat.tool(weather)  # in the place of what has its name
        chat.send_message("Hi").wait(PATIENCE)
        assert [tool.name for tool in chat.tools] == ["weather", "add", "place"]
    assert [tool.name for tool in transport.requests[0].tools] == ["weather", "add", "place"]


def test_calls_are_answered_and_the_conversation_goes_on() -> None:
    barrier = threading.Barrier(3)
    threads: list[threading.Thread] = []

    def meet(n: int) -> int:
        threads.append(threading.current_thread())
        barrier.wait(PATIENCE)
        return n

    async def on_loop() -> bool:
        thread = running_loop_thread()
        return thread is not None and thread.is_current

    reply = calls(*(call("meet", f"c{n}", {"n": n}) for n in range(3)), call("on_loop", "c3"))
    with hosted(reply, answer(), tools=[meet, on_loop]) as (chat, host):
        turn = host.ask(lambda: chat.send_message("Hi"))
        assert "".join(turn) == "Done."
        assert outputs(turn.message) == [0, 1, 2, True]
        assert len(set(threads)) == 3
        assert host.thread not in threads
        assert threading.current_thread() not in threads
        assert all(thread.daemon for thread in threads)


def test_a_server_gets_the_outputs() -> None:
    with FakeServer([calls(call("weather")), answer()]) as server:
        with ChatSession(server.url, tools=[weather]) as chat:
            turn = chat.send_message("Hi", headers={"x-a": "1"}, body={"b": 2}).wait(PATIENCE)
            assert (turn.outcome, turn.text) == ("completed", "Done.")
        for request in server.requests:
            assert (request.headers["x-a"], request.json["b"]) == ("1", 2)
        (part,) = [
            part
            for part in server.requests[1].json["messages"][-1]["parts"]
            if part["type"] == "tool-weather"
        ]
        assert part["output"] == "sun in Rome"


@pytest.mark.parametrize("throttle", [0.03, 0, None])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_is_preliminary_is_seen_on_the_hosts_thread(kind: str, throttle: float | None) -> None:
    shown = [threading.Event() for _ in range(3)]
    seen: list[Any] = []
    where: set[threading.Thread] = set()

    def slowly() -> Iterator[int]:
        for n in range(3):
            yield n
            told(shown[n], f"output {n}")

    async def slowly_async() -> AsyncIterator[int]:
        for n in range(3):
            yield n
            await anyio.to_thread.run_sync(shown[n].wait, PATIENCE)

    tool = Tool(slowly if kind == "sync" else slowly_async, name="slowly")
    with hosted(calls(call("slowly")), answer(), tools=[tool], throttle=throttle) as (chat, host):

        @chat.on(PartUpdated)
        def note(event: PartUpdated) -> None:
            part: Any = chat.messages[-1].parts[event.part_index]
            where.add(threading.current_thread())
            if part.state == "output-available":
                seen.append((part.output, part.preliminary))
                shown[part.output].set()

        turn = host.ask(lambda: chat.send_message("Hi")).wait(PATIENCE)
        assert seen == [(0, True), (1, True), (2, True), (2, None)]
        assert where == {host.thread}
        assert outputs(turn.message) == [2]


def test_what_fails_is_told_to_the_model() -> None:
    def fails() -> None:
        raise ValueError("no such city")

    async def slow() -> None:
        await anyio.sleep_forever()

    tools = [fails, Tool(slow, timeout=0.01)]
    with chatting(calls(call("fails"), call("slow", "c2")), answer(), tools=tools) as chat:
        turn = chat.send_message("Hi").wait(PATIENCE)
        assert outputs(turn.message) == [
            "ValueError: no such city",
            "The tool did not answer within 0.01 seconds.",
        ]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_tool_that_ends_what_it_must_not(
    kind: str, error: type[BaseException], logged: pytest.LogCaptureFixture
) -> None:
    def leave() -> None:
        raise error

    async def leave_async() -> None:
        raise error

    tool = Tool(leave if kind == "sync" else leave_async, name="leave")
    with chatting(calls(call("leave")), answer(), answer(), tools=[tool]) as chat:
        turn = chat.send_message("Hi").wait(PATIENCE)
        assert turn.outcome in ("completed", "error")
        assert states(turn.message) == ["output-error"]
        usable(chat)


# ----------------------------------------------------------- approvals, chats


@pytest.mark.parametrize("approved", [True, False])
def test_a_call_that_waits_for_approval(approved: bool) -> None:
    tool = Tool(weather, needs_approval=True)
    with chatting(calls(call("weather")), answer(), tools=[tool]) as chat:
        turn = chat.send_message("Hi").wait(PATIENCE)
        (part,) = turn.pending
        assert part.approval is not None
        turn = chat.add_tool_approval_response(part.approval.id, approved, "why")
        assert turn.wait(PATIENCE).text == "Done."
        assert states(turn.message) == ["output-available" if approved else "output-denied"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_tool_that_waits_for_itself_is_told_so(kind: str) -> None:
    made: list[Any] = []

    def wait(ctx: ToolContext) -> None:
        assert states(ctx.chat.messages[-1]) == ["input-available"]
        ctx.chat.send_message("Then").wait(PATIENCE)

    async def wait_async(ctx: ToolContext) -> None:
        made.append(ctx.chat.send_message("Then"))
        made[0].wait(PATIENCE)

    tool = Tool(wait if kind == "sync" else wait_async, name="wait")
    replies = [calls(call("wait")), answer("First."), answer("Second.")]
    with chatting(*replies, tools=[tool], when_busy="queue") as chat:
        turn = chat.send_message("Hi").wait(PATIENCE)
        assert outputs(turn.message)[0].startswith("ChatBusyError: ")
        ended = threading.Event()
        chat.subscribe(lambda chat: ended.set() if len(chat.messages) == 4 else None)
        if len(chat.messages) < 4:
            told(ended)
        for then in made:
            assert then.wait(PATIENCE).text == "Second."


def test_events_while_tools_run(held: Held) -> None:
    with chatting(HELD, answer(), tools=[held.hold]) as chat:
        turn = chat.send_message("Hi")
        events = turn.events()
        Asked(lambda: (told(held.began), released(held)))
        came = [type(event).__name__ for event in events]
        assert came[-1] == "TurnFinished"
        assert "PartUpdated" in came
        assert turn.text == "Done."


def test_many_chats_at_once() -> None:
    count = 100
    barrier = threading.Barrier(count)

    def meet(n: int) -> int:
        barrier.wait(PATIENCE)
        return n

    chats = [
        chatting(calls(call("meet", input={"n": n})), answer(), tools=[meet]) for n in range(count)
    ]
    turns = [chat.send_message("Hi") for chat in chats]
    assert [outputs(turn.wait(PATIENCE).message) for turn in turns] == [[n] for n in range(count)]
    for chat in chats:
        chat.close()


# ------------------------------------------------------------ hosts, lifetime


@contextmanager
def left_by_its_host(held: Held) -> Iterator[Turn]:
    """A turn whose tool runs, and whose host is gone."""
    gone = threading.Event()
    host = Host()

    def dispatch(fn: Any) -> None:
        if gone.is_set():
            raise RuntimeError("the window is gone")
        host(fn)

    # What came before the host was gone may let the turn go on.
    transport = scripted(HELD, [HANG])
    chat = host.ask(lambda: ChatSession(transport, dispatch=dispatch, tools=[held.hold]))
    try:
        turn = host.ask(lambda: chat.send_message("Hi"))
        told(held.began)
        gone.set()
        yield turn
    finally:
        chat.close()
        host.end()


def test_a_host_that_is_gone_ends_the_tools(held: Held, logged: Any) -> None:
    with left_by_its_host(held) as turn:
        released(held)
        turn.wait(PATIENCE)
        assert (turn.outcome, type(turn.error)) == ("error", DispatchError)
        assert outputs(turn.message) in ([NO_RESULT], ["ok"])


def test_a_host_that_is_gone_is_noticed_while_a_tool_runs(held: Held, logged: Any) -> None:
    with left_by_its_host(held) as turn:
        turn.wait(PATIENCE)  # somebody looks every second
        assert (turn.outcome, outputs(turn.message)) == ("error", [NO_RESULT])
        stopped(held)


def test_the_hosts_thread_runs_flushes_while_it_waits(held: Held) -> None:
    host = Host(thread=False)
    with ChatSession(
        scripted(HELD, answer()), dispatch=host, tools=[held.hold], throttle=0
    ) as chat:
        turn = chat.send_message("Hi")
        Asked(lambda: (told(held.began), released(held)))
        assert turn.wait(PATIENCE).text == "Done."


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_tool_of_a_chat_within_a_tool_cannot_wait_for_the_outer_turn(kind: str) -> None:
    inner = ChatSession(scripted(calls(call("ask_outer")), answer("Inner.")))
    outer = ChatSession(scripted(calls(call("ask_inner")), answer("Outer.")))
    turns: list[Turn] = []

    def ask_outer() -> str:
        return turns[0].wait().text

    async def ask_outer_async() -> str:
        return ask_outer()

    inner.tool(name="ask_outer")(ask_outer if kind == "plain" else ask_outer_async)

    @outer.tool
    def ask_inner() -> Any:
        return outputs(inner.send_message("Hi").wait().message)[0]

    with inner, outer:
        turns.append(outer.send_message("Hi"))
        turns[0].wait(PATIENCE)
    assert turns[0].text == "Outer."
    assert outputs(turns[0].message)[0].startswith("ChatBusyError: ")
