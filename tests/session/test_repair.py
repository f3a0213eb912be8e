"""``repair=True``: what the endpoint gets of tool calls that nobody answered."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from usechat import AsyncChatSession, ChatSession, MessagesReplaced
from usechat.testing import HANG, FakeRequest, FakeServer, text_reply

pytestmark = pytest.mark.anyio

CALL: dict[str, Any] = {
    "type": "tool-weather",
    "toolCallId": "c1",
    "state": "input-available",
    "input": {"city": "Rome"},
}
HISTORY: list[dict[str, Any]] = [
    {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Weather?"}]},
    {
        "id": "a1",
        "role": "assistant",
        "parts": [
            {"type": "step-start"},
            CALL,
            {
                **CALL,
                "toolCallId": "c2",
                "state": "approval-requested",
                "approval": {"id": "ap1"},
            },
        ],
    },
]
CALLS = {"type": "tool-input-available", "toolCallId": "c1", "toolName": "weather", "input": {}}
ASKS = [
    {"type": "start", "messageId": "m1"},
    {"type": "start-step"},
    CALLS,
    {"type": "finish-step"},
    {"type": "finish"},
]
REPLY = text_reply("Hello there")


def states(request: FakeRequest) -> list[list[str]]:
    """The states of the tool calls of each message in a request."""
    messages = request.json["messages"]
    return [[part["state"] for part in m["parts"] if "toolCallId" in part] for m in messages]


async def test_a_history_that_was_loaded_gets_its_ends() -> None:
    with FakeServer([REPLY]) as server:
        async with AsyncChatSession(server.url, messages=HISTORY, repair=True) as chat:
            loaded = chat.messages[1]
            replaced: list[Any] = []
            chat.on(MessagesReplaced, replaced.append)
            turn = chat.send_message("Never mind")
            assert replaced == [MessagesReplaced(1)]
            await turn
            assert loaded.model_dump() == HISTORY[1]
            assert chat.messages[1].model_dump() == server.requests[0].json["messages"][1]
    assert server.requests[0].json["messages"][1]["parts"] == [
        {"type": "step-start"},
        {
            **CALL,
            "state": "output-error",
            "errorText": "The tool call was interrupted: it has no result.",
        },
        {
            **CALL,
            "toolCallId": "c2",
            "state": "output-denied",
            "approval": {
                "id": "ap1",
                "approved": False,
                "reason": "The user did not answer the request for approval.",
            },
        },
    ]


def test_in_a_chat_session_too() -> None:
    with (
        FakeServer([REPLY, REPLY]) as server,
        ChatSession(server.url, messages=HISTORY, repair=True) as chat,
    ):
        assert chat.send_message("Never mind").wait().outcome == "completed"
    assert states(server.requests[0]) == [[], ["output-error", "output-denied"], []]


@pytest.mark.parametrize("when_busy", ["reject", "queue", "interrupt"])
async def test_a_stopped_turn_leaves_nothing_open(when_busy: Any) -> None:
    with FakeServer([[*ASKS[:3], HANG], REPLY]) as server:
        async with AsyncChatSession(
            server.url, repair=True, when_busy=when_busy, on_tool_call=lambda _: chat.stop()
        ) as chat:
            first = await chat.send_message("Weather?")
            assert first.outcome == "stopped"
            assert [part.state for part in first.pending] == ["input-available"]
            second = await chat.send_message("Never mind")
            assert second.text == "Hello there"
            assert chat.messages[1].pending == ()
    assert states(server.requests[1]) == [[], ["output-error"], []]


async def test_a_message_in_the_queue_waits_for_the_tool() -> None:
    with FakeServer([ASKS, REPLY]) as server:
        async with AsyncChatSession(server.url, repair=True, when_busy="queue") as chat:
            await chat.send_message("Weather?")
            turn = chat.send_message("And tomorrow?")
            assert turn.queued
            chat.add_tool_output("c1", "sun")
            with anyio.fail_after(10):
                await turn
    assert states(server.requests[1]) == [[], ["output-available"], []]


async def test_a_regenerate_repairs_and_the_history_as_it_is_does_not() -> None:
    with FakeServer([REPLY, REPLY]) as server:
        history = [*HISTORY, {**HISTORY[0], "id": "u2"}]
        async with AsyncChatSession(server.url, messages=history, repair=True) as chat:
            await chat.send_message()
            await chat.regenerate()
    assert states(server.requests[0])[1] == ["input-available", "approval-requested"]
    assert states(server.requests[1])[1] == ["output-error", "output-denied"]


async def test_an_output_that_comes_late_is_still_taken() -> None:
    with FakeServer([REPLY, REPLY]) as server:
        async with AsyncChatSession(server.url, messages=HISTORY, repair=True) as chat:
            await chat.send_message("Never mind")
            await chat.add_tool_output("c1", "sun")
            await chat.send_message("And now?")
    assert states(server.requests[1])[1] == ["output-available", "output-denied"]


async def test_without_it_the_history_goes_as_it_is() -> None:
    with FakeServer([REPLY]) as server:
        async with AsyncChatSession(server.url, messages=HISTORY) as chat:
            await chat.send_message("Never mind")
    assert server.requests[0].json["messages"][:2] == HISTORY
