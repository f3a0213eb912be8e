"""The Node server on its own, by bare httpx: whether it does what the session's tests rely on."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx
import pytest
from live_server import REPLY_SECONDS, LiveServer

pytestmark = [pytest.mark.anyio, pytest.mark.live]


def user(text: str, message_id: str = "u1") -> dict[str, Any]:
    return {"id": message_id, "role": "user", "parts": [{"type": "text", "text": text}]}


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=REPLY_SECONDS, trust_env=False)


async def post(ai7: LiveServer, *messages: dict[str, Any]) -> str:
    body = {"id": "chat-1", "messages": list(messages), "trigger": "submit-message"}
    async with client() as http:
        reply = await http.post(ai7.url, json=body)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.headers["x-vercel-ai-ui-message-stream"] == "v1"
    return reply.content.decode("utf-8")


def chunks_of(body: str) -> list[dict[str, Any]]:
    *frames, done, rest = body.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def types_of(chunks: list[dict[str, Any]]) -> list[str]:
    """The chunks' types, repeated ones once."""
    types = [chunk["type"] for chunk in chunks]
    return [kind for kind, before in zip(types, [None, *types], strict=False) if kind != before]


async def test_a_text_goes_over_the_wire_in_halves_of_characters(ai7: LiveServer) -> None:
    body = await post(ai7, user("text"))

    assert '"delta":"\\ud83d"' in body
    assert '"delta":"\u2028"' in body
    chunks = chunks_of(body)
    assert types_of(chunks) == [
        *("start", "start-step", "text-start", "text-delta", "text-end", "finish-step", "finish")
    ]
    assert chunks[0]["messageId"].startswith("msg-")


async def test_the_log_keeps_what_was_asked_and_what_was_answered(ai7: LiveServer) -> None:
    await post(ai7, user("héllo \U0001f600"))

    log = await ai7.log()
    assert log.bodies[0]["messages"] == [user("héllo \U0001f600")]
    assert log.headers[0]["content-type"] == "application/json"
    finish = log.finishes[0]
    assert finish["finishReason"] == "stop"
    assert finish["responseMessage"]["parts"][-1]["text"] == "Message 1: héllo \U0001f600"
    assert (log.aborts, log.errors, log.tool_runs) == ([], [], [])

    ai7.reset()
    assert (await ai7.log()).bodies == []


async def test_a_client_tool_ends_the_reply_and_its_output_is_quoted(ai7: LiveServer) -> None:
    first = chunks_of(await post(ai7, user("client tool")))
    assert first[-1]["finishReason"] == "tool-calls"
    message = (await ai7.log()).finishes[0]["responseMessage"]
    assert message["parts"][-1]["state"] == "input-available"

    message["parts"][-1] |= {"state": "output-available", "output": {"city": "Rom"}}
    second = chunks_of(await post(ai7, user("client tool"), message))

    assert second[0] == {"type": "start", "messageId": message["id"]}
    finish = (await ai7.log()).finishes[1]
    assert finish["isContinuation"] is True
    quote = 'The tool said [{"type":"json","value":{"city":"Rom"}}].'
    assert finish["responseMessage"]["parts"][-1]["text"] == quote


@pytest.mark.parametrize("approved", [True, False])
async def test_an_approval_decides_whether_the_tool_runs(ai7: LiveServer, approved: bool) -> None:
    first = chunks_of(await post(ai7, user("approval")))
    assert types_of(first)[-3:] == ["tool-approval-request", "finish-step", "finish"]
    message = (await ai7.log()).finishes[0]["responseMessage"]

    message["parts"][-1]["state"] = "approval-responded"
    message["parts"][-1]["approval"] |= {"approved": approved}
    second = types_of(chunks_of(await post(ai7, user("approval"), message)))

    assert ("tool-output-available" in second) is approved
    assert ("tool-output-denied" in second) is not approved
    ran = [{"name": "deleteFile", "input": {"path": "a b.txt"}}] if approved else []
    assert (await ai7.log()).tool_runs == ran


async def test_an_error_comes_in_mid_text(ai7: LiveServer) -> None:
    chunks = chunks_of(await post(ai7, user("error")))

    error = {"type": "error", "errorText": "The server says: provider exploded"}
    assert chunks[chunks.index(error) - 1]["delta"] == "Half a sen"
    assert (await ai7.log()).errors == ["provider exploded"]


async def test_a_client_that_leaves_aborts_the_model(ai7: LiveServer) -> None:
    aborts: list[dict[str, Any]] = []

    async def wait() -> None:
        aborts.append(await ai7.wait_abort())

    body = {"id": "chat-1", "messages": [user("stall")], "trigger": "submit-message"}
    async with anyio.create_task_group() as group, client() as http:
        group.start_soon(wait)
        async with http.stream("POST", ai7.url, json=body) as reply:
            # A cancelled read unwinds httpx's generators; a `break` leaves them to the collector.
            received = b""
            with anyio.CancelScope() as leaving:
                async for piece in reply.aiter_raw():
                    received += piece
                    if b"Once upon a time" in received:
                        assert aborts == []
                        leaving.cancel()

    assert aborts == [{"chatId": "chat-1", "reason": "client left"}]
    log = await ai7.log()
    assert log.aborts == aborts
    assert await ai7.wait_abort() == aborts[0]
