"""Tools and approvals against the AI SDK's own server half, as `test_ai7.py` does the rest."""

from __future__ import annotations

from typing import Any

import pytest
from live_server import LiveServer, Log

from usechat import (
    AsyncChatSession,
    ToolCall,
    last_assistant_message_is_complete_with_approval_responses,
    last_assistant_message_is_complete_with_tool_calls,
)

pytestmark = [pytest.mark.anyio, pytest.mark.live]


# ---------------------------------------------------------------- tools on the server


async def test_a_server_tool_goes_through_its_states(ai7: LiveServer) -> None:
    async with AsyncChatSession(ai7.url, throttle=None) as chat:
        seen: list[tuple[str, Any, Any]] = []

        def look(chat: AsyncChatSession) -> None:
            for part in chat.messages[-1].tool_parts:
                state = (part.state, part.input, part.output)
                if state not in seen:
                    seen.append(state)

        chat.subscribe(look)
        turn = await chat.send_message("server tool")

        city, output = {"city": "Osló"}, {"city": "Osló", "degrees": -3.5}
        assert seen == [
            ("input-streaming", None, None),
            ("input-streaming", {"city": ""}, None),
            ("input-streaming", city, None),
            ("input-available", city, None),
            ("output-available", city, output),
        ]
        assert turn.message.tool_parts[0].tool_name == "weather"
        quote = 'The tool said [{"type":"json","value":{"city":"Osló","degrees":-3.5}}].'
        assert turn.text == f"Looking it up.\n\n{quote}"
        assert not turn.pending

        log = await ai7.log()
        assert len(log.bodies) == 1
        assert log.tool_runs == [{"name": "weather", "input": city}]
        assert turn.message.model_dump() == log.last_reply


async def test_a_tool_that_fails_on_the_server_is_no_error_of_the_turn(ai7: LiveServer) -> None:
    async with AsyncChatSession(ai7.url) as chat:
        turn = await chat.send_message("failing tool")

        assert turn.outcome == "completed"
        (part,) = turn.message.tool_parts
        assert (part.state, part.error_text) == ("output-error", "The server says: no such city")
        assert "Error: no such city" in turn.text
        assert turn.message.model_dump() == (await ai7.log()).last_reply


# ---------------------------------------------------------------- tools in the client


def assert_followed_up(chat: AsyncChatSession, log: Log) -> None:
    """Two requests, the second with the assistant message to go on with; one message grew."""
    first, second = log.bodies
    message = chat.messages[-1]
    assert (first["trigger"], second["trigger"]) == ("submit-message", "submit-message")
    assert "messageId" not in first
    assert second["messageId"] == message.id == second["messages"][-1]["id"]
    assert [finish["isContinuation"] for finish in log.finishes] == [False, True]
    assert [m.role for m in chat.messages] == ["user", "assistant"]
    assert message.model_dump() == log.last_reply


async def test_a_client_tool_answered_in_the_callback(ai7: LiveServer) -> None:
    calls: list[ToolCall] = []

    def answer(call: ToolCall) -> None:
        calls.append(call)
        chat.add_tool_output(call.tool_call_id, {"city": "Zürich"})

    async with AsyncChatSession(
        ai7.url,
        on_tool_call=answer,
        send_automatically_when=last_assistant_message_is_complete_with_tool_calls,
    ) as chat:
        turn = await chat.send_message("client tool")

        assert turn.outcome == "completed"
        assert turn.text == 'The tool said [{"type":"json","value":{"city":"Zürich"}}].'
        assert not turn.pending
        (call,) = calls
        assert (call.tool_name, call.input) == ("location", {"precise": True})

        log = await ai7.log()
        assert_followed_up(chat, log)
        sent = log.bodies[1]["messages"][-1]["parts"][-1]
        assert (sent["state"], sent["output"]) == ("output-available", {"city": "Zürich"})


async def test_a_client_tool_answered_later(ai7: LiveServer) -> None:
    async with AsyncChatSession(
        ai7.url, send_automatically_when=last_assistant_message_is_complete_with_tool_calls
    ) as chat:
        asked = await chat.send_message("client tool")
        assert asked.outcome == "completed"
        assert asked.finish_reason == "tool-calls"
        (part,) = asked.pending
        assert (part.tool_name, part.state) == ("location", "input-available")
        assert chat.status == "ready"

        answered = await chat.add_tool_output(part.tool_call_id, {"city": "Zürich"})
        assert answered.outcome == "completed"
        assert answered.text == 'The tool said [{"type":"json","value":{"city":"Zürich"}}].'
        assert not answered.pending
        assert_followed_up(chat, await ai7.log())


async def test_a_client_tool_that_failed(ai7: LiveServer) -> None:
    async with AsyncChatSession(
        ai7.url, send_automatically_when=last_assistant_message_is_complete_with_tool_calls
    ) as chat:
        asked = await chat.send_message("client tool")
        call_id = asked.pending[0].tool_call_id

        answered = await chat.add_tool_output(call_id, error_text="no GPS here")

        assert answered.text == 'The tool said [{"type":"error-text","value":"no GPS here"}].'
        log = await ai7.log()
        assert_followed_up(chat, log)
        sent = log.bodies[1]["messages"][-1]["parts"][-1]
        assert (sent["state"], sent["errorText"]) == ("output-error", "no GPS here")


async def test_the_follow_up_waits_for_the_last_of_two_tools(ai7: LiveServer) -> None:
    async with AsyncChatSession(
        ai7.url, send_automatically_when=last_assistant_message_is_complete_with_tool_calls
    ) as chat:
        asked = await chat.send_message("two client tools")
        first, second = asked.pending

        nothing = await chat.add_tool_output(second.tool_call_id, "B")
        assert nothing.outcome == "completed"
        assert len((await ai7.log()).bodies) == 1

        answered = await chat.add_tool_output(first.tool_call_id, "A")
        quotes = '[{"type":"text","value":"A"},{"type":"text","value":"B"}]'
        assert answered.text == f"The tool said {quotes}."
        assert_followed_up(chat, await ai7.log())


# ---------------------------------------------------------------- approvals


async def ask_for_approval(chat: AsyncChatSession) -> str:
    """Let the model ask whether it may delete a file; gives the approval's id."""
    asked = await chat.send_message("approval")
    assert asked.outcome == "completed"
    (part,) = asked.pending
    assert (part.tool_name, part.state) == ("deleteFile", "approval-requested")
    assert part.input == {"path": "a b.txt"}
    assert part.approval is not None
    return part.approval.id


async def test_an_approval_lets_the_tool_run(ai7: LiveServer) -> None:
    async with AsyncChatSession(
        ai7.url, send_automatically_when=last_assistant_message_is_complete_with_approval_responses
    ) as chat:
        approval_id = await ask_for_approval(chat)
        assert (await ai7.log()).tool_runs == []

        turn = await chat.add_tool_approval_response(approval_id, True)

        assert turn.outcome == "completed"
        assert turn.text == 'The tool said [{"type":"json","value":{"deleted":"a b.txt"}}].'
        (part,) = turn.message.tool_parts
        assert (part.state, part.output) == ("output-available", {"deleted": "a b.txt"})
        assert not turn.pending

        log = await ai7.log()
        assert log.tool_runs == [{"name": "deleteFile", "input": {"path": "a b.txt"}}]
        assert_followed_up(chat, log)
        sent = log.bodies[1]["messages"][-1]["parts"][-1]
        assert sent["state"] == "approval-responded"
        assert sent["approval"] == {"id": approval_id, "approved": True}


async def test_a_denial_keeps_the_tool_from_running(ai7: LiveServer) -> None:
    async with AsyncChatSession(
        ai7.url, send_automatically_when=last_assistant_message_is_complete_with_approval_responses
    ) as chat:
        approval_id = await ask_for_approval(chat)

        turn = await chat.add_tool_approval_response(approval_id, False, reason="too risky")

        assert turn.outcome == "completed"
        assert turn.text == 'The tool said [{"type":"execution-denied","reason":"too risky"}].'
        (part,) = turn.message.tool_parts
        assert part.state == "output-denied"
        assert not turn.pending

        log = await ai7.log()
        assert log.tool_runs == []
        assert_followed_up(chat, log)
        sent = log.bodies[1]["messages"][-1]["parts"][-1]["approval"]
        assert sent == {"id": approval_id, "approved": False, "reason": "too risky"}
