"""The session against the AI SDK's own server half: npm `ai` 7.0.173 with a scripted model.

Each test looks at both ends: what the client shows, and what the server's log says it received.
The log also has the reply as the SDK itself puts it together, which the client's must equal.
Tools and approvals are in `test_ai7_tools.py`.
"""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from live_server import LiveServer

from usechat import AsyncChatSession, ServerError, TextDelta

pytestmark = [pytest.mark.anyio, pytest.mark.live]

ODD = (
    "a\u2028b\u2029c\u0085d\u000be\u000cf\u001cg\r\nh\ri\n\nj e\u0301 \u00e9 \u65e5\u672c\u8a9e "
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f600 \"double\" 'single' \\back\\ "
    '\ufeff\u0000\u007f data: [DONE]\n\ndata: {"type":"error"} \u202eend'
)
"""The reply to "text", as `server.mjs` has it; there it comes in halves of surrogate pairs."""


def user_texts(body: dict[str, Any]) -> list[str]:
    """The texts of the user messages that a request carried."""
    return [m["parts"][0]["text"] for m in body["messages"] if m["role"] == "user"]


# ---------------------------------------------------------------- text


async def test_a_text_arrives_exactly(ai7: LiveServer) -> None:
    async with AsyncChatSession(ai7.url) as chat:
        turn = await chat.send_message("text")

        assert turn.outcome == "completed"
        assert turn.text == ODD
        assert turn.finish_reason == "stop"
        assert turn.error is None
        assert chat.status == "ready"
        assert [message.role for message in chat.messages] == ["user", "assistant"]
        assert chat.messages[-1].metadata == {"totalTokens": 10}

        log = await ai7.log()
        question = chat.messages[0]
        assert log.bodies == [
            {"id": chat.id, "messages": [question.model_dump()], "trigger": "submit-message"}
        ]
        assert question.text == "text"
        assert log.headers[0]["content-type"] == "application/json"
        assert turn.message.model_dump() == log.last_reply


async def test_the_pieces_of_a_text_make_the_text(ai7: LiveServer) -> None:
    async with AsyncChatSession(ai7.url) as chat:
        turn = chat.send_message("text")
        pieces = [piece async for piece in turn]

        assert "".join(pieces) == ODD == turn.text
        for piece in pieces:
            piece.encode()  # no half of a character is ever shown


async def test_odd_characters_reach_the_server(ai7: LiveServer) -> None:
    async with AsyncChatSession(ai7.url) as chat:
        turn = await chat.send_message(ODD)

        assert turn.text == f"Message 1: {ODD}"
        assert user_texts((await ai7.log()).bodies[0]) == [ODD]


async def test_the_history_goes_along(ai7: LiveServer) -> None:
    async with AsyncChatSession(ai7.url) as chat:
        first = await chat.send_message("one")
        second = await chat.send_message("two")

        assert (first.text, second.text) == ("Message 1: one", "Message 3: two")
        body = (await ai7.log()).bodies[1]
        assert body["messages"] == [message.model_dump() for message in chat.messages[:3]]


async def test_reasoning_stands_beside_the_text(ai7: LiveServer) -> None:
    async with AsyncChatSession(ai7.url) as chat:
        turn = await chat.send_message("reasoning")

        assert turn.text == "Thought."
        assert turn.message.reasoning == "Let me think \U0001f914."
        assert [part.type for part in turn.message.parts] == ["step-start", "reasoning", "text"]
        assert turn.message.model_dump() == (await ai7.log()).last_reply


# ---------------------------------------------------------------- errors


async def test_an_error_in_mid_text_keeps_the_text(ai7: LiveServer) -> None:
    async with AsyncChatSession(ai7.url) as chat:
        turn = await chat.send_message("error")

        assert turn.outcome == "error"
        assert isinstance(turn.error, ServerError)
        assert turn.error.error_text == "The server says: provider exploded"
        assert turn.text == "Half a sen"
        assert (chat.status, chat.error) == ("error", turn.error)
        assert chat.messages[-1].text == "Half a sen"
        with pytest.raises(ServerError, match="provider exploded"):
            await turn.result()

        retried = await chat.regenerate()
        assert (retried.outcome, len(chat.messages)) == ("error", 2)

        after = await chat.send_message("and now?")
        assert (after.outcome, after.text) == ("completed", "Message 3: and now?")
        assert (chat.status, chat.error) == ("ready", None)
        assert (await ai7.log()).errors == ["provider exploded"] * 2


# ---------------------------------------------------------------- stop


async def assert_server_saw_the_stop(ai7: LiveServer, chat: AsyncChatSession) -> None:
    assert await ai7.wait_abort() == {"chatId": chat.id, "reason": "client left"}
    assert chat.messages[-1].text == "Once upon a time"
    assert chat.status == "ready"
    assert chat.error is None

    after = await chat.send_message("go on")
    assert (after.outcome, after.text) == ("completed", "Message 3: go on")


async def test_a_stop_is_seen_by_the_server(ai7: LiveServer) -> None:
    async with AsyncChatSession(ai7.url) as chat:
        with chat.on(TextDelta, lambda _: chat.stop()):
            turn = await chat.send_message("stall")

        assert turn.outcome == "stopped"
        assert turn.text == "Once upon a time"
        await assert_server_saw_the_stop(ai7, chat)


async def test_leaving_a_stream_block_is_seen_by_the_server(ai7: LiveServer) -> None:
    async with AsyncChatSession(ai7.url) as chat:
        async with chat.stream("stall") as turn:
            async for piece in turn:
                assert piece == "Once upon a time"
                break

        assert turn.outcome == "stopped"
        await assert_server_saw_the_stop(ai7, chat)


async def test_a_cancelled_wait_is_seen_by_the_server(ai7: LiveServer) -> None:
    async with AsyncChatSession(ai7.url) as chat:
        with anyio.CancelScope() as scope, chat.on(TextDelta, lambda _: scope.cancel()):
            await chat.send_message("stall")

        assert scope.cancelled_caught
        await assert_server_saw_the_stop(ai7, chat)


# ---------------------------------------------------------------- going back


async def test_regenerate_gives_a_new_answer(ai7: LiveServer) -> None:
    async with AsyncChatSession(ai7.url) as chat:
        first = await chat.send_message("count")
        question = chat.messages[0]

        second = await chat.regenerate()

        assert (first.text, second.text) == ("Answer 1.", "Answer 2.")
        assert second.message.id != first.message.id
        assert chat.messages == (question, second.message)
        log = await ai7.log()
        assert log.bodies[1] == {
            "id": chat.id,
            "messages": [question.model_dump()],
            "trigger": "regenerate-message",
        }
        assert second.message.model_dump() == log.last_reply


async def test_regenerate_of_an_earlier_answer_cuts_the_history(ai7: LiveServer) -> None:
    async with AsyncChatSession(ai7.url) as chat:
        first = await chat.send_message("count")
        await chat.send_message("and then?")

        again = await chat.regenerate(first.message.id)

        assert again.text == "Answer 3."
        assert len(chat.messages) == 2
        body = (await ai7.log()).bodies[2]
        assert (body["trigger"], body["messageId"]) == ("regenerate-message", first.message.id)
        assert user_texts(body) == ["count"]


async def test_an_edit_cuts_the_history(ai7: LiveServer) -> None:
    async with AsyncChatSession(ai7.url) as chat:
        await chat.send_message("one")
        await chat.send_message("two")
        first = chat.messages[0]

        turn = await chat.send_message("uno", message_id=first.id)

        assert turn.text == "Message 1: uno"
        assert [message.text for message in chat.messages] == ["uno", "Message 1: uno"]
        assert chat.messages[0].id == first.id
        log = await ai7.log()
        assert log.bodies[2] == {
            "id": chat.id,
            "messages": [chat.messages[0].model_dump()],
            "trigger": "submit-message",
            "messageId": first.id,
        }
        assert turn.message.model_dump() == log.last_reply
