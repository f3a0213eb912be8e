"""Which calls of a reply are run, and how a turn goes on with what they gave."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.session.tool_replies import (
    Held,
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
    PendingToolError,
    ServerError,
    Tool,
)

pytestmark = pytest.mark.anyio

# -------------------------------------------------------- what is not called


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (calls(call("weather"))[:-1], "incomplete"),
        ([*calls(call("weather"))[:-1], {"type": "abort"}], "stopped"),
        ([*calls(call("weather"))[:-1], {"type": "error", "errorText": "no"}], "error"),
        ([*calls(call("weather"))[:-1], OSError("cut")], "error"),
    ],
)
async def test_a_reply_that_did_not_end_well_calls_nothing(reply: Any, outcome: str) -> None:
    ran: list[int] = []
    tool = Tool(lambda: ran.append(1), name="weather")
    async with AsyncChatSession(scripted(reply), tools=[tool]) as chat:
        turn = await chat.send_message("Hi")
        assert (turn.outcome, ran) == (outcome, [])
        assert not isinstance(turn.error, ServerError) or turn.error.args


ANSWERED = {"type": "tool-output-available", "toolCallId": "c1", "output": "theirs"}
REQUEST = {"type": "tool-approval-request", "toolCallId": "c1", "approvalId": "ap"}
NOT_OURS: dict[str, tuple[list[Any], str]] = {
    "answered by the server": ([call("weather"), ANSWERED], "output-available"),
    "the provider's": ([call("weather", providerExecuted=True)], "input-available"),
    "unknown": ([call("other")], "input-available"),
    "a server asks": ([call("weather"), REQUEST], "approval-requested"),
}


@pytest.mark.parametrize(("chunks", "state"), NOT_OURS.values(), ids=NOT_OURS.keys())
async def test_what_is_not_for_this_side_is_not_run(chunks: list[Any], state: str) -> None:
    ran: list[int] = []
    tool = Tool(lambda: ran.append(1), name="weather")
    transport = scripted(calls(*chunks), answer())
    async with AsyncChatSession(transport, tools=[tool]) as chat:
        turn = await chat.send_message("Hi")
        assert turn.outcome == "completed"
        assert states(turn.message) == [state]
        assert ran == []
        pending = [] if state == "output-available" else turn.pending
        assert chat.status == "ready"
        assert len(pending) == (state != "output-available" and "provider" not in str(chunks))


async def test_a_call_that_a_server_wants_approved_runs_when_it_is() -> None:
    transport = scripted(calls(call("weather"), REQUEST), answer())
    async with AsyncChatSession(transport, tools=[weather]) as chat:
        await chat.send_message("Hi")
        turn = await chat.add_tool_approval_response("ap", True)
        assert (turn.outcome, outputs(turn.message)) == ("completed", ["sun in Rome"])
    assert len(transport.requests) == 2


async def test_an_unknown_tool_waits_and_the_others_run() -> None:
    transport = scripted(calls(call("weather"), call("other", "c2")), answer())
    async with AsyncChatSession(transport, tools=[weather]) as chat:
        turn = await chat.send_message("Hi")
        assert states(turn.message) == ["output-available", "input-available"]
        assert [part.tool_call_id for part in turn.pending] == ["c2"]
        turn = await chat.add_tool_output("c2", 1)
        assert (turn.outcome, turn.text) == ("completed", "Done.")


async def test_calls_of_tools_that_have_no_types() -> None:
    transport = scripted(calls(call("weather", dynamic=True)), answer())
    async with AsyncChatSession(transport, tools=[weather]) as chat:
        turn = await chat.send_message("Hi")
        assert outputs(turn.message) == ["sun in Rome"]
        assert turn.message is not None
        assert turn.message.tool_parts[0].type == "dynamic-tool"


# ------------------------------------------------------------ several rounds


async def test_every_request_of_a_turn_has_the_options_of_its_action() -> None:
    transport = scripted(calls(call("weather")), calls(call("weather", "c2")), answer("End."))
    async with AsyncChatSession(transport, tools=[weather]) as chat:
        turn = await chat.send_message(
            "Hi", headers={"x-a": "1"}, body={"b": 2}, request_metadata="m"
        )
        assert turn.text == "End."
        assert outputs(turn.message) == ["sun in Rome"] * 2
    assert len(transport.requests) == 3
    for request in transport.requests:
        said = request.options
        assert (said.headers, said.body, said.metadata) == ({"x-a": "1"}, {"b": 2}, "m")


async def test_text_and_usage_of_several_rounds() -> None:
    text = [c for c in answer("Let me see.") if c["type"].startswith("text")]
    used = {"type": "message-metadata", "messageMetadata": {"usage": {"inputTokens": 3}}}
    transport = scripted(calls(*text, call("weather"), used), answer("Sunny."))
    async with AsyncChatSession(transport, tools=[weather]) as chat:
        turn = chat.send_message("Hi")
        assert "".join([piece async for piece in turn]) == "Let me see.\n\nSunny."
        assert turn.text == "Let me see.\n\nSunny."
        assert turn.usage is not None
        assert turn.message == chat.messages[-1]


@pytest.mark.parametrize(("max_steps", "requests"), [(None, 20), (1, 1), (3, 3)])
async def test_a_loop_ends(
    max_steps: int | None, requests: int, caplog: pytest.LogCaptureFixture
) -> None:
    transport = scripted(*(calls(call("weather", f"c{n}")) for n in range(30)))
    async with AsyncChatSession(transport, tools=[weather], max_steps=max_steps) as chat:
        turn = await chat.send_message("Hi")
        assert (turn.outcome, turn.limit_reached) == ("completed", True)
        assert len(transport.requests) == requests
        assert set(states(turn.message)) == {"output-available"}
        with pytest.raises(PendingToolError):
            await turn.result()
        assert (chat.status, chat.error) == ("ready", None)


@pytest.mark.parametrize("where", ["the next step", "another message"])
async def test_a_model_that_repeats_an_id(where: str) -> None:
    ran: list[str] = []
    again = calls(call("note", input={"what": "b"}), id="m2" if "message" in where else None)
    transport = scripted(calls(call("note", input={"what": "a"}), id="m1"), again, answer())
    async with AsyncChatSession(transport) as chat:

        @chat.tool
        def note(what: str) -> str:
            ran.append(what)
            return what

        turn = await chat.send_message("Hi")
        assert turn.outcome == "completed"
        assert ran == ["a", "b"]
        made = [output for message in chat.messages for output in outputs(message)]
        assert made == ["a", "b"]


async def test_a_users_answer_for_a_call_that_runs() -> None:
    held = Held()
    transport = scripted(calls(call("hold"), call("weather", "c2")), answer())
    async with AsyncChatSession(transport, tools=[held.hold, weather]) as chat:
        turn = chat.send_message("Hi")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn.wait)
            await held.begun.wait()
            joined = chat.add_tool_output("c1", "mine")
        await joined
        assert held.told == ["began", "cancelled", "cleaned up"]
        assert (turn.outcome, turn.text) == ("completed", "Done.")
        assert outputs(turn.message) == ["mine", "sun in Rome"]
    assert len(transport.requests) == 2
