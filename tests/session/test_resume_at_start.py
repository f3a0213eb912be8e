"""``resume=True``: a session that begins with the reply that is running on the server."""

from __future__ import annotations

import gc
import warnings
from typing import Any

import pytest

from usechat import AsyncChatSession, ChatSession, ConnectionBrokenError, TextDelta
from usechat.testing import FakeReply, FakeServer, ScriptedTransport, text_reply

pytestmark = pytest.mark.anyio

QUESTION: dict[str, Any] = {
    "id": "u1",
    "role": "user",
    "parts": [{"type": "text", "text": "Tell me"}],
}
HALF: dict[str, Any] = {
    "id": "m1",
    "role": "assistant",
    "parts": [{"type": "step-start"}, {"type": "text", "text": "Hello th", "state": "streaming"}],
}
REPLY = text_reply("Hello there", message_id="m1")
NOTHING = FakeReply(status=204)


@pytest.mark.parametrize("history", [[QUESTION], [QUESTION, HALF]])
async def test_the_reply_is_whole_and_single(history: list[dict[str, Any]]) -> None:
    heard: list[str] = []
    with FakeServer([REPLY]) as server:
        async with AsyncChatSession(server.url, id="c1", messages=history, resume=True) as chat:
            chat.on(TextDelta, lambda event: heard.append(event.text))
            assert chat.resumed is not None
            turn = await chat.resumed
        assert server.requests[0].path == "/api/chat/c1/stream"
    assert (turn.outcome, turn.text, "".join(heard)) == ("completed", "Hello there", "Hello there")
    assert [(m.id, m.text) for m in chat.messages] == [("u1", "Tell me"), ("m1", "Hello there")]


@pytest.mark.parametrize("history", [[QUESTION], [QUESTION, HALF]])
def test_in_a_chat_session_it_runs_by_itself(history: list[dict[str, Any]]) -> None:
    with (
        FakeServer([REPLY]) as server,
        ChatSession(server.url, id="c1", messages=history, resume=True) as chat,
    ):
        assert chat.resumed is not None
        assert "".join(chat.resumed) == "Hello there"
        assert [message.text for message in chat.messages] == ["Tell me", "Hello there"]


async def test_where_nothing_runs_nothing_happens() -> None:
    with FakeServer([NOTHING, REPLY]) as server:
        async with AsyncChatSession(server.url, messages=[QUESTION, HALF], resume=True) as chat:
            assert chat.resumed is not None
            turn = await chat.resumed
            assert (turn.outcome, turn.message, chat.status) == ("completed", None, "ready")
            assert chat.messages[1].text == "Hello th"
            assert (await chat.regenerate()).text == "Hello there"


async def test_an_endpoint_that_cannot_be_asked_says_so() -> None:
    with FakeServer() as server:
        url = server.url
    async with AsyncChatSession(url, resume=True) as chat:
        assert chat.resumed is not None
        assert isinstance((await chat.resumed).error, ConnectionBrokenError)


async def test_a_message_takes_its_place() -> None:
    transport = ScriptedTransport([text_reply("New")], resume=[REPLY])
    async with AsyncChatSession(transport, resume=True) as chat:
        turn = await chat.send_message("Hi")
        assert turn.text == "New"
        assert chat.resumed is not None
        assert chat.resumed.outcome == "stopped"


async def test_without_it_there_is_none() -> None:
    async with AsyncChatSession(ScriptedTransport()) as chat:
        assert chat.resumed is None
    with ChatSession(ScriptedTransport()) as chat:
        assert chat.resumed is None


async def test_one_that_nobody_awaits_is_told_of() -> None:
    chat = AsyncChatSession(ScriptedTransport(), resume=True)
    assert chat.status == "ready"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del chat
        gc.collect()
    assert any("never awaited" in str(warning.message) for warning in told)


async def test_so_does_closing_it() -> None:
    chat = AsyncChatSession(ScriptedTransport(resume=[REPLY]), resume=True)
    with pytest.warns(RuntimeWarning, match=r"Use `await chat\.resumed`"):
        await chat.aclose()
    assert chat.resumed is not None
    assert chat.resumed.outcome == "stopped"


async def test_nothing_is_told_of_one_whose_place_was_taken() -> None:
    transport = ScriptedTransport([text_reply("New")], resume=[REPLY])
    async with AsyncChatSession(transport, resume=True) as chat:
        await chat.send_message("Hi")
