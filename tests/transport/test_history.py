"""``history=``: which messages a request carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio.lowlevel
import pytest

from usechat import (
    AsyncChatSession,
    CallbackError,
    InvalidArgumentError,
    SendRequest,
    UIMessage,
    last_assistant_message_is_complete_with_tool_calls,
)
from usechat.testing import FakeServer, text_reply

pytestmark = pytest.mark.anyio

TALK = [
    {"id": f"m{i}", "role": role, "parts": [{"type": "text", "text": f"{role} {i}"}]}
    for i, role in enumerate(["user", "assistant"] * 3)
]
NEW = {"id": "new", "role": "user", "parts": [{"type": "text", "text": "And?"}]}
ANSWER = text_reply("Yes.")
CALL = [
    {"type": "start", "messageId": "a"},
    {"type": "tool-input-available", "toolCallId": "c", "toolName": "ask", "input": {}},
    {"type": "finish"},
]


def sent(server: FakeServer) -> list[list[str]]:
    """The ids of the messages in each request."""
    return [[message["id"] for message in request.json["messages"]] for request in server.requests]


async def test_all_go_along_by_default() -> None:
    with FakeServer([ANSWER]) as server:
        async with AsyncChatSession(server.url, messages=TALK) as chat:
            await chat.send_message(NEW)
        assert sent(server) == [[*(m["id"] for m in TALK), "new"]]


async def test_the_last_alone() -> None:
    with FakeServer([ANSWER] * 3) as server:
        async with AsyncChatSession(server.url, messages=TALK, history="last") as chat:
            await chat.send_message(NEW)
            await chat.regenerate()
            await chat.send_message("Once more", message_id="m2")
            assert len(chat.messages) == 4  # here they are all
        assert sent(server) == [["new"], ["new"], ["m2"]]
        assert [r.json["trigger"] for r in server.requests] == [
            "submit-message",
            "regenerate-message",
            "submit-message",
        ]
        assert server.requests[2].json["messageId"] == "m2"
        assert all(request.json["id"] == chat.id for request in server.requests)


async def test_the_output_of_a_tool_is_in_the_last() -> None:
    with FakeServer([CALL, ANSWER]) as server:
        async with AsyncChatSession(
            server.url,
            history="last",
            on_tool_call=lambda call: chat.add_tool_output(call.tool_call_id, 7),
            send_automatically_when=last_assistant_message_is_complete_with_tool_calls,
        ) as chat:
            await chat.send_message({**NEW, "id": "u"})
        assert sent(server) == [["u"], ["a"]]
        assert server.requests[1].json["messages"][0]["parts"][0]["output"] == 7


async def chosen_later(messages: tuple[UIMessage, ...]) -> list[UIMessage]:
    await anyio.lowlevel.checkpoint()
    return [messages[0], messages[-1]]


@pytest.mark.parametrize(
    "choose",
    [
        lambda messages: [messages[0], messages[-1]],
        lambda messages: (m.model_dump() for m in (messages[0], messages[-1])),
        chosen_later,
    ],
)
async def test_a_function_chooses(choose: Callable[..., Any]) -> None:
    with FakeServer([ANSWER]) as server:
        async with AsyncChatSession(server.url, messages=TALK, history=choose) as chat:
            turn = await chat.send_message(NEW)
        assert turn.outcome == "completed"
        assert sent(server) == [["m0", "new"]]


async def test_the_hook_gets_what_would_be_sent() -> None:
    seen: list[SendRequest] = []

    def note(request: SendRequest) -> None:
        seen.append(request)

    with FakeServer([ANSWER]) as server:
        async with AsyncChatSession(
            server.url, messages=TALK, history="last", prepare_send_request=note
        ) as chat:
            await chat.send_message(NEW)
    assert [message.id for message in seen[0].messages] == ["new"]


def explode(messages: object) -> Any:
    raise LookupError("no such history")


def break_off(messages: tuple[UIMessage, ...]) -> Any:
    yield messages[0]
    raise ValueError("no more")


@pytest.mark.parametrize(
    ("choose", "kind", "said"),
    [
        (lambda messages: None, InvalidArgumentError, "history returned NoneType"),
        (lambda messages: "abc", InvalidArgumentError, "history returned str"),
        (lambda messages: [5], InvalidArgumentError, "This is no message"),
        (break_off, CallbackError, "history raised ValueError: no more"),
        (explode, CallbackError, "history raised LookupError: no such history"),
    ],
)
async def test_a_function_that_fails_ends_the_turn(
    choose: Callable[..., Any], kind: type[Exception], said: str
) -> None:
    with FakeServer([ANSWER]) as server:
        async with AsyncChatSession(server.url, messages=TALK, history=choose) as chat:
            turn = await chat.send_message("And?")
            assert isinstance(turn.error, kind)
            assert said in str(turn.error)
        assert server.requests == []
