"""Requests for servers of version 4: the form that its convertToCoreMessages reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.engine.harness import Chat
from usechat import InvalidArgumentError, SendRequest, UIMessage
from usechat.transport.data_stream_request import v4_body, v4_message
from usechat.transport.urls import v4_stream_url
from usechat.wire.data_stream import DataStreamDecoder

HALF = "\ud83d"
STEP = {"type": "step-start"}


def asked(*messages: UIMessage, **body: Any) -> SendRequest:
    return SendRequest(
        api="http://host/api/chat",
        chat_id="chat-1",
        messages=messages,
        headers={},
        body=body,
        request_metadata=None,
        trigger="submit-message",
        message_id=None,
    )


def text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "state": "done"}


def message(*parts: dict[str, Any], role: str = "assistant") -> UIMessage:
    return UIMessage(id="m1", role=role, parts=parts)


def written(*parts: dict[str, Any], role: str = "assistant") -> dict[str, Any]:
    """A message as it is in the body."""
    body = json.loads(v4_body(asked(message(*parts, role=role))))
    (made,) = body["messages"]
    assert isinstance(made, dict)
    return made


def call(state: str, **fields: Any) -> dict[str, Any]:
    return {"type": "tool-weather", "toolCallId": "c1", "state": state, **fields}


def invocation(part: dict[str, Any]) -> dict[str, Any]:
    """The tool invocation that a tool call becomes."""
    made = written(part)
    (ours,) = made["parts"]
    assert made["toolInvocations"] == [ours["toolInvocation"]]
    assert ours["type"] == "tool-invocation"
    assert isinstance(ours["toolInvocation"], dict)
    return ours["toolInvocation"]


def details(*parts: dict[str, Any]) -> list[Any]:
    """The details of each reasoning part that reasoning parts become."""
    return [part["details"] for part in written(*parts)["parts"] if part["type"] == "reasoning"]


def reasoning(text: str, **own: str) -> dict[str, Any]:
    more = {"providerMetadata": {"ai4": own}} if own else {}
    return {"type": "reasoning", "text": text, **more}


# -- the body ------------------------------------------------------------------------------


def test_the_body_has_the_fields_given_for_it_last_and_they_win() -> None:
    user = UIMessage(id="u1", role="user", parts=[text("Grüße \u2028")])
    body = v4_body(asked(user, data={"a": 1}, model="m", id="mine"))
    assert list(json.loads(body)) == ["id", "messages", "data", "model"]
    assert json.loads(body) == {
        "id": "mine",
        "messages": [
            {
                "id": "u1",
                "role": "user",
                "content": "Grüße \u2028",
                "parts": [{"type": "text", "text": "Grüße \u2028"}],
            }
        ],
        "data": {"a": 1},
        "model": "m",
    }


def test_half_a_character_arrives() -> None:
    assert written(text(HALF))["content"] == HALF


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(InvalidArgumentError):
        v4_body(asked(odd=object()))


# -- messages ------------------------------------------------------------------------------


def test_the_content_is_all_text() -> None:
    made = written(STEP, text("Checking. "), STEP, text("It is 21."))
    assert made["content"] == "Checking. It is 21."
    assert [part["type"] for part in made["parts"]] == ["step-start", "text"] * 2
    assert written(text("Be brief."), role="system")["content"] == "Be brief."
    assert written() == {"id": "m1", "role": "assistant", "content": "", "parts": []}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            call("input-streaming", input={"ci": "R"}),
            {"state": "partial-call", "args": {"ci": "R"}},
        ),
        (call("input-streaming"), {"state": "partial-call", "args": {}}),
        (call("input-available", input={"a": 1}), {"state": "call", "args": {"a": 1}}),
        (
            call("approval-requested", input={}, approval={"id": "a"}),
            {"state": "call", "args": {}},
        ),
        (
            call("approval-responded", input={}, approval={"id": "a", "approved": True}),
            {"state": "call", "args": {}},
        ),
        (
            call("output-available", input={}, output={"temp": 21}),
            {"state": "result", "args": {}, "result": {"temp": 21}},
        ),
        (call("output-available", input=[]), {"state": "result", "args": [], "result": None}),
        (
            call("output-error", input="raw", errorText="no city"),
            {"state": "result", "args": "raw", "result": "The tool failed: no city"},
        ),
        (
            call("output-denied", input={}),
            {"state": "result", "args": {}, "result": "The call was denied."},
        ),
        (
            call("approval-responded", approval={"id": "a", "approved": False, "reason": "no!"}),
            {"state": "result", "args": {}, "result": "The call was denied: no!"},
        ),
    ],
)
def test_a_tool_call(part: dict[str, Any], expected: dict[str, Any]) -> None:
    base = {"step": 0, "toolCallId": "c1", "toolName": "weather"}
    assert invocation(part) == {**base, **expected}


def test_a_dynamic_tool_has_its_name() -> None:
    part = {**call("input-available", input={}), "type": "dynamic-tool", "toolName": "clock"}
    assert invocation(part)["toolName"] == "clock"


def test_steps_are_counted_but_those_that_are_empty() -> None:
    source = {"type": "source-url", "sourceId": "s", "url": "u"}
    done = call("output-available", input={}, output=1)
    parts = [STEP, source, STEP, done, STEP, text("a"), STEP, reasoning("b"), STEP, done]
    assert [made["step"] for made in written(*parts)["toolInvocations"]] == [0, 3]


def test_reasoning_has_the_details_that_the_server_gave() -> None:
    assert details(
        reasoning("a"), reasoning("", redactedData="d"), reasoning("b", signature="s")
    ) == [
        [
            {"type": "text", "text": "a"},
            {"type": "redacted", "data": "d"},
            {"type": "text", "text": "b", "signature": "s"},
        ]
    ]
    assert details(reasoning("a"), text("x"), reasoning("b")) == [
        [{"type": "text", "text": "a"}],
        [{"type": "text", "text": "b"}],
    ]
    odd = {**reasoning("a"), "providerMetadata": {"ai4": 1}}
    assert details(odd) == [[{"type": "text", "text": "a"}]]


def test_sources() -> None:
    url = {"type": "source-url", "sourceId": "s", "url": "u", "title": "T"}
    document = {
        "type": "source-document",
        "sourceId": "d",
        "mediaType": "text/plain",
        "title": "D",
    }
    assert [part["source"] for part in written(url, document)["parts"]] == [
        {"sourceType": "url", "id": "s", "url": "u", "title": "T"},
        {"sourceType": "document", "id": "d", "mediaType": "text/plain", "title": "D"},
    ]


@pytest.mark.parametrize(
    ("url", "data"),
    [
        ("data:text/plain;base64,aGk=", "aGk="),
        ("DATA:text/plain;charset=utf-8;BASE64,aGk=", "aGk="),
        ("data:text/plain,h%69", "aGk="),
        ("data:,\u00fc", "w7w="),
    ],
)
def test_a_file_of_the_assistants(url: str, data: str) -> None:
    part = {"type": "file", "url": url, "mediaType": "text/plain"}
    assert written(part)["parts"] == [{"type": "file", "mimeType": "text/plain", "data": data}]


def test_what_has_no_place_is_left_out() -> None:
    made = written(
        {"type": "file", "url": "https://e.x/a.png", "mediaType": "image/png"},
        {"type": "data-weather", "data": 1},
        {"type": "data-data", "data": 1},
        {"type": "custom", "kind": "a.b"},
        {"type": "hologram"},
    )
    assert made == {"id": "m1", "role": "assistant", "content": "", "parts": []}


def test_files_of_the_users_are_attachments() -> None:
    made = written(
        {"type": "file", "url": "data:image/png;base64,AA==", "mediaType": "image/png"},
        {"type": "file", "url": "https://e.x/a.pdf", "mediaType": "a/pdf", "filename": "a.pdf"},
        text("Look"),
        role="user",
    )
    assert made["experimental_attachments"] == [
        {"contentType": "image/png", "url": "data:image/png;base64,AA=="},
        {"name": "a.pdf", "contentType": "a/pdf", "url": "https://e.x/a.pdf"},
    ]
    assert made["parts"] == [{"type": "text", "text": "Look"}]


def test_annotations_stand_beside_the_parts() -> None:
    made = written({"type": "data-annotation", "data": {"k": 1}}, text("a"))
    assert made["annotations"] == [{"k": 1}]
    assert [part["type"] for part in made["parts"]] == ["text"]


def test_what_a_server_sent_goes_back_to_it() -> None:
    lines = [
        'f:{"messageId":"msg-1"}',
        'g:"I think"',
        'j:{"signature":"sig"}',
        'i:{"data":"secret"}',
        '8:[{"k":1}]',
        '0:"Hi"',
        'h:{"sourceType":"url","id":"s","url":"u","providerMetadata":{"p":{"q":1}}}',
        'k:{"mimeType":"image/png","data":"AA=="}',
        '9:{"toolCallId":"c1","toolName":"weather","args":{"city":"Rome"}}',
        'a:{"toolCallId":"c1","result":21}',
        'e:{"finishReason":"tool-calls","isContinued":false}',
        'f:{"messageId":"msg-1"}',
        '0:"It is 21."',
        'd:{"finishReason":"stop"}',
    ]
    chat = Chat()
    chat.send()
    chat.receive(*DataStreamDecoder().feed("\n".join([*lines, ""]).encode()))
    chat.finish()
    call = {
        "state": "result",
        "step": 0,
        "toolCallId": "c1",
        "toolName": "weather",
        "args": {"city": "Rome"},
        "result": 21,
    }
    assert v4_message(chat.messages[-1]) == {
        "id": "msg-1",
        "role": "assistant",
        "content": "HiIt is 21.",
        "parts": [
            {"type": "step-start"},
            {
                "type": "reasoning",
                "reasoning": "I think",
                "details": [
                    {"type": "text", "text": "I think", "signature": "sig"},
                    {"type": "redacted", "data": "secret"},
                ],
            },
            {"type": "text", "text": "Hi"},
            {
                "type": "source",
                "source": {
                    "sourceType": "url",
                    "id": "s",
                    "url": "u",
                    "providerMetadata": {"p": {"q": 1}},
                },
            },
            {"type": "file", "mimeType": "image/png", "data": "AA=="},
            {"type": "tool-invocation", "toolInvocation": call},
            {"type": "step-start"},
            {"type": "text", "text": "It is 21."},
        ],
        "toolInvocations": [call],
        "annotations": [{"k": 1}],
    }


# -- where a running reply is --------------------------------------------------------------


@pytest.mark.parametrize(
    ("api", "url"),
    [
        ("/api/chat", "/api/chat?chatId=c"),
        ("http://h:1/api/chat?a=1", "http://h:1/api/chat?a=1&chatId=c"),
        ("http://h/api/chat?", "http://h/api/chat?chatId=c"),
        ("http://h/chat?a=1#f?x", "http://h/chat?a=1&chatId=c#f?x"),
        ("http://h/chat#", "http://h/chat?chatId=c#"),
    ],
)
def test_the_url_of_a_running_reply(api: str, url: str) -> None:
    assert v4_stream_url(api, "c") == url


def test_an_id_is_encoded_for_the_url() -> None:
    assert v4_stream_url("/c", "a/b ?&=#é~'").endswith("?chatId=a%2Fb%20%3F%26%3D%23%C3%A9~'")
    with pytest.raises(InvalidArgumentError, match="URL"):
        v4_stream_url("/c", HALF)
