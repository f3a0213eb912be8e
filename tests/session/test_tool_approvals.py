"""Tools that wait for the user's approval, in ``AsyncChatSession``."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from tests.session.tool_replies import Held, answer, call, calls, outputs, states
from usechat import AsyncChatSession, Tool, UIMessage
from usechat.engine.tool_rounds import NO_RESULT, TOO_LATE
from usechat.testing import ScriptedTransport

pytestmark = pytest.mark.anyio

ONE = calls(call("delete", input={"name": "a"}))
TWO = calls(call("delete", "c1", {"name": "a"}), call("delete", "c2", {"name": "b"}))


class Deleting:
    """A tool that is asked for; what it has done."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def tool(self, needs_approval: Any = True) -> Tool:
        def delete(name: str) -> str:
            self.deleted.append(name)
            return f"{name} is gone"

        return Tool(delete, needs_approval=needs_approval)


def chatting(*replies: Any, **options: Any) -> AsyncChatSession:
    return AsyncChatSession(ScriptedTransport(replies), **options)


def asked(message: UIMessage | None) -> list[str]:
    """The approvals that wait."""
    assert message is not None
    waiting = [part for part in message.tool_parts if part.state == "approval-requested"]
    return [part.approval.id for part in waiting if part.approval is not None]


async def test_a_call_waits_and_runs_when_it_is_approved() -> None:
    deleting = Deleting()
    async with chatting(ONE, answer(), tools=[deleting.tool()]) as chat:
        turn = await chat.send_message("Hi")
        assert (turn.outcome, chat.status) == ("completed", "ready")
        assert [part.tool_call_id for part in turn.pending] == ["c1"]
        assert deleting.deleted == []
        (approval,) = asked(turn.message)
        turn = chat.add_tool_approval_response(approval, True, body={"b": 2})
        assert chat.is_loading
        await turn
        assert (turn.outcome, turn.text) == ("completed", "Done.")
        assert outputs(turn.message) == ["a is gone"]
        assert turn.pending == ()
        assert deleting.deleted == ["a"]


async def test_the_follow_up_has_the_options_of_the_approval() -> None:
    transport = ScriptedTransport([ONE, answer()])
    async with AsyncChatSession(transport, tools=[Deleting().tool()]) as chat:
        (approval,) = asked((await chat.send_message("Hi", body={"b": 1})).message)
        await chat.add_tool_approval_response(approval, True, body={"b": 2})
    assert [request.options.body for request in transport.requests] == [{"b": 1}, {"b": 2}]


async def test_a_call_that_is_denied() -> None:
    deleting, transport = Deleting(), ScriptedTransport([ONE, answer()])
    async with AsyncChatSession(transport, tools=[deleting.tool()]) as chat:
        (approval,) = asked((await chat.send_message("Hi")).message)
        turn = await chat.add_tool_approval_response(approval, False, "too dear")
        assert (turn.outcome, turn.text, deleting.deleted) == ("completed", "Done.", [])
    (sent,) = transport.requests[1].messages[-1].tool_parts
    assert sent.state == "output-denied"
    assert sent.approval is not None
    assert (sent.approval.approved, sent.approval.reason) == (False, "too dear")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
async def test_several_at_once(first: bool, second: bool) -> None:
    deleting, transport = Deleting(), ScriptedTransport([TWO, answer()])
    async with AsyncChatSession(transport, tools=[deleting.tool()]) as chat:
        turn = await chat.send_message("Hi")
        one, two = asked(turn.message)
        turn = chat.add_tool_approval_response(two, second)
        await turn
        assert len(transport.requests) == 1  # the other one waits still
        assert (turn.outcome, chat.status) == ("completed", "ready")
        turn = await chat.add_tool_approval_response(one, first)
        assert (turn.text, len(transport.requests)) == ("Done.", 2)
        assert sorted(deleting.deleted) == ["a"] * first + ["b"] * second


async def test_both_answered_before_anybody_waits() -> None:
    deleting, transport = Deleting(), ScriptedTransport([TWO, answer()])
    async with AsyncChatSession(transport, tools=[deleting.tool()]) as chat:
        turn = await chat.send_message("Hi")
        one, two = asked(turn.message)
        first = chat.add_tool_approval_response(one, True)
        assert chat.add_tool_approval_response(two, True) is first
        await first
        assert outputs(first.message) == ["a is gone", "b is gone"]
    assert len(transport.requests) == 2


@pytest.mark.parametrize("approved", [True, False])
async def test_an_answer_while_others_run(approved: bool) -> None:
    held, deleting = Held(), Deleting()
    transport = ScriptedTransport(
        [calls(call("hold"), call("delete", "c2", {"name": "a"})), answer()]
    )
    async with AsyncChatSession(transport, tools=[held.hold, deleting.tool()], throttle=0) as chat:
        is_asked = anyio.Event()
        chat.subscribe(
            lambda chat: (
                is_asked.set() if "approval-requested" in states(chat.messages[-1]) else None
            )
        )
        turn = chat.send_message("Hi")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn.wait)
            await held.begun.wait()
            await is_asked.wait()
            joined = chat.add_tool_approval_response(asked(chat.messages[-1])[0], approved)
            assert len(transport.requests) == 1
            held.go.set()
        await joined
        assert (turn.outcome, turn.text) == ("completed", "Done.")
        assert deleting.deleted == ["a"] * approved
        assert states(turn.message)[1] == ("output-available" if approved else "output-denied")
    assert len(transport.requests) == 2


@pytest.mark.parametrize("approved", [True, False])
async def test_an_answer_after_the_conversation_went_on(approved: bool) -> None:
    deleting, transport = Deleting(), ScriptedTransport([ONE, answer("Well."), answer()])
    async with AsyncChatSession(transport, tools=[deleting.tool()]) as chat:
        (approval,) = asked((await chat.send_message("Hi")).message)
        await chat.send_message("Never mind")
        turn = await chat.add_tool_approval_response(approval, approved)
        assert turn.over
        assert (deleting.deleted, chat.status) == ([], "ready")
        if approved:
            assert outputs(chat.messages[1]) == [TOO_LATE]
        else:
            assert states(chat.messages[1]) == ["output-denied"]
        assert (await chat.send_message("Again")).outcome == "completed"


@pytest.mark.parametrize("approved", [True, False])
async def test_an_answer_in_a_new_session(approved: bool) -> None:
    deleting = Deleting()
    async with chatting(ONE, tools=[deleting.tool()]) as before:
        await before.send_message("Hi")
        saved = json.dumps([message.model_dump() for message in before.messages])
    history = json.loads(saved)
    async with chatting(answer(), messages=history, tools=[deleting.tool()]) as chat:
        (approval,) = asked(chat.messages[-1])
        turn = await chat.add_tool_approval_response(approval, approved)
        assert (turn.outcome, turn.text) == ("completed", "Done.")
        assert deleting.deleted == ["a"] * approved


@pytest.mark.parametrize("again", [True, False])
async def test_an_answer_that_comes_twice(again: bool) -> None:
    deleting, transport = Deleting(), ScriptedTransport([ONE, answer(), answer()])
    async with AsyncChatSession(transport, tools=[deleting.tool()]) as chat:
        (approval,) = asked((await chat.send_message("Hi")).message)
        turn = chat.add_tool_approval_response(approval, True)
        second = chat.add_tool_approval_response(approval, again)
        await turn
        await second
        await chat.add_tool_approval_response(approval, again)
        assert (deleting.deleted, states(chat.messages[-1])) == (["a"], ["output-available"])
        assert chat.status == "ready"
    assert len(transport.requests) == 2


async def test_an_approved_call_that_is_stopped() -> None:
    held = Held()
    tool = Tool(held.hold, needs_approval=True)
    async with chatting(calls(call("hold")), answer(), tools=[tool]) as chat:
        (approval,) = asked((await chat.send_message("Hi")).message)
        turn = chat.add_tool_approval_response(approval, True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn.wait)
            await held.begun.wait()
            chat.stop()
        assert (turn.outcome, outputs(turn.message)) == ("stopped", [NO_RESULT])
        assert (await chat.send_message("Again")).outcome == "completed"


async def test_a_message_while_a_call_waits_for_approval() -> None:
    deleting, transport = Deleting(), ScriptedTransport([ONE, answer("Well.")])
    async with AsyncChatSession(transport, tools=[deleting.tool()]) as chat:
        await chat.send_message("Hi")
        assert (await chat.send_message("And?")).text == "Well."
    assert states(transport.requests[1].messages[1]) == ["approval-requested"]


# -------------------------------------------------------------- who is asked


async def asks_for_b(arguments: dict[str, Any]) -> bool:
    await anyio.lowlevel.checkpoint()
    return bool(arguments["name"] == "b")


@pytest.mark.parametrize("predicate", [lambda arguments: arguments["name"] == "b", asks_for_b])
async def test_a_function_says_which_calls_wait(predicate: Any) -> None:
    deleting = Deleting()
    async with chatting(TWO, answer(), tools=[deleting.tool(predicate)]) as chat:
        turn = await chat.send_message("Hi")
        assert states(turn.message) == ["output-available", "approval-requested"]
        assert deleting.deleted == ["a"]
        turn = await chat.add_tool_approval_response(asked(turn.message)[0], True)
        assert deleting.deleted == ["a", "b"]  # it is not asked again
        assert turn.text == "Done."


async def raises(arguments: dict[str, Any]) -> bool:
    raise ValueError("do not know")


@pytest.mark.parametrize("predicate", [raises, lambda arguments: arguments["nothing"]])
async def test_a_function_that_raises_lets_nothing_run(predicate: Any) -> None:
    deleting = Deleting()
    async with chatting(ONE, answer(), tools=[deleting.tool(predicate)]) as chat:
        turn = await chat.send_message("Hi")
        assert (turn.text, deleting.deleted) == ("Done.", [])
        assert outputs(turn.message)[0] in ("ValueError: do not know", "KeyError: 'nothing'")


async def test_a_stop_while_the_function_is_asked() -> None:
    held, deleting = Held(True), Deleting()
    async with chatting(
        ONE, answer(), tools=[deleting.tool(lambda arguments: held.hold())]
    ) as chat:
        async with anyio.create_task_group() as tasks:
            turn = chat.send_message("Hi")
            tasks.start_soon(turn.wait)
            await held.begun.wait()
            chat.stop()
        assert (turn.outcome, deleting.deleted) == ("stopped", [])
        assert held.told[-1] == "cleaned up"
        assert outputs(turn.message) == [NO_RESULT]


async def test_an_input_that_does_not_fit_asks_nobody() -> None:
    async with chatting(calls(call("delete")), answer(), tools=[Deleting().tool()]) as chat:
        turn = await chat.send_message("Hi")
        assert states(turn.message) == ["output-error"]
        assert turn.text == "Done."


async def test_a_queue_waits_for_an_approval() -> None:
    deleting = Deleting()
    replies = [ONE, answer("First."), answer("Second.")]
    async with chatting(*replies, tools=[deleting.tool()], when_busy="queue") as chat:
        first = chat.send_message("Hi")
        second = chat.send_message("Then")
        await first
        assert second.queued
        await chat.add_tool_approval_response(asked(chat.messages[-1])[0], True)
        await second
        assert [m.text for m in chat.messages] == ["Hi", "First.", "Then", "Second."]
