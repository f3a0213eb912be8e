"""The history as chat-completions messages."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_server import Refused, check

from usechat.engine.repairing import NO_ANSWER
from usechat.engine.tool_rounds import NO_RESULT
from usechat.errors import InvalidArgumentError
from usechat.model.messages import UIMessage
from usechat.transport.openai_messages import DENIED, chat_messages, tool_call_ids

HALF = "\ud83d"
STEP = {"type": "step-start"}


def message(role: str, *parts: Any) -> UIMessage:
    made = [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts]
    return UIMessage.model_validate({"id": "m", "role": role, "parts": made})


def call(id: str, state: str = "output-available", name: str = "f", **fields: Any) -> Any:
    given = {"input": {"n": 1}, **({"output": 1} if state == "output-available" else {})}
    return {"type": f"tool-{name}", "toolCallId": id, "state": state, **given, **fields}


def file(url: str, media_type: str, filename: str | None = None) -> Any:
    named = {} if filename is None else {"filename": filename}
    return {"type": "file", "url": url, "mediaType": media_type, **named}


def data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def converted(*messages: UIMessage, system: str | None = None) -> list[dict[str, Any]]:
    """What the API takes, says the server of the tests."""
    made = chat_messages(messages, system)
    if made:
        check({"model": "m", "stream": True, "messages": made})
    return made


def called(id: str, arguments: str = '{"n":1}', name: str = "f") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(id: str, content: str = "1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def test_text() -> None:
    assert converted(
        message("system", "From the history."),
        message("user", "A", "B", {"type": "data-x", "data": 1}),
        message("assistant", "C"),
        message("user"),
        system="First.",
    ) == [
        {"role": "system", "content": "First."},
        {"role": "system", "content": "From the history."},
        {"role": "user", "content": "AB"},
        {"role": "assistant", "content": "C"},
        {"role": "user", "content": ""},
    ]
    assert chat_messages([]) == chat_messages([], "") == []


def test_what_the_model_does_not_need_is_left_out() -> None:
    nothing = [
        {"type": "reasoning", "text": "Hm"},
        {"type": "source-url", "sourceId": "s", "url": "https://e.com"},
        {"type": "data-x", "data": 1},
        file("data:image/png;base64,", "image/png"),
        {"type": "what-is-this"},
        STEP,
        call("p", providerExecuted=True),
        "",
    ]
    assert converted(message("assistant", *nothing)) == []
    assert converted(message("assistant", *nothing, "A", *nothing, "B")) == [
        {"role": "assistant", "content": "A"},
        {"role": "assistant", "content": "B"},
    ]


# --------------------------------------------------------------------------- files


def test_images() -> None:
    there, url = "https://e.com/a.png?k=1", data_url("image/png", b"\x89")
    assert converted(
        message("user", "Look:", file(url, "image/png"), file(there, "IMAGE/*"), "", "And?")
    ) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look:"},
                {"type": "image_url", "image_url": {"url": url}},
                {"type": "image_url", "image_url": {"url": there}},
                {"type": "text", "text": "And?"},
            ],
        }
    ]


def content_of(*parts: Any) -> Any:
    (made,) = converted(message("user", *parts))
    return made["content"]


@pytest.mark.parametrize(
    ("media_type", "format"),
    [("audio/wav", "wav"), ("audio/x-wav", "wav"), ("audio/mpeg", "mp3"), ("audio/mp3", "mp3")],
)
@pytest.mark.parametrize("encoded", [";base64,UklGRg==", ",RIFF", ";base64,UklGRg", ",%52IFF"])
def test_audio(media_type: str, format: str, encoded: str) -> None:
    audio = {"data": "UklGRg==", "format": format}
    assert content_of(file(f"data:{media_type}{encoded}", media_type)) == [
        {"type": "input_audio", "input_audio": audio}
    ]


@pytest.mark.parametrize(
    ("url", "media_type", "text"),
    [
        (data_url("text/plain", "é\r\n".encode()), "text/plain", "é\r\n"),
        (data_url("text/plain", b"\xef\xbb\xbf\xc3\xa9"), "text/markdown", "é"),
        *(
            (data_url("text/plain", "\ufeffé".encode(charset)), "text/plain;charset=latin-1", "é")
            for charset in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
        ),
        *(
            (data_url("a/b", b"a = 1"), media_type, "a = 1")
            for media_type in (
                *("application/xml", "application/xhtml+xml", "application/yaml"),
                *("application/x-yaml", "application/toml", "application/javascript"),
                *("application/x-javascript", "application/x-sh", "application/sql"),
                *("application/x-ndjson", "application/graphql", "application/openapi+yaml"),
            )
        ),
        ("data:text/plain;charset=latin-1,%E9", "text/plain", "é"),
        ("data:,%C3%A9", 'text/plain; charset="utf-8"', "é"),
        ("DATA:text/plain;charset=klingon;BASE64,w6k=", "text/plain", "é"),
        ("data:text/plain;charset=base64,w6k=", "text/plain", "w6k="),
        ('data:application/json,{"a":1}', "application/json", '{"a":1}'),
        ("data:application/geo+json,{}", "application/geo+json", "{}"),
        ("data:text/csv,a,b", "text/csv", "a,b"),
    ],
)
def test_texts_are_put_in(url: str, media_type: str, text: str) -> None:
    assert content_of(file(url, media_type, "notes"), "Sum it up.") == [
        {"type": "text", "text": f"The file notes:\n\n{text}"},
        {"type": "text", "text": "Sum it up."},
    ]


def test_other_files_go_as_they_are() -> None:
    url = data_url("application/pdf", b"%PDF")
    assert content_of(file(url, "application/pdf", "a.pdf"), file(url, "application/pdf")) == [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": url}},
        {"type": "file", "file": {"filename": "file", "file_data": url}},
    ]


@pytest.mark.parametrize(
    ("url", "media_type", "said"),
    [
        ("https://e.com/a.pdf?key=s3cret", "application/pdf", "https://e.com/a.pdf (application"),
        ("https://u:s3cret@e.com/a.txt", "text/plain", "https://e.com/a.txt (text/plain)"),
        ("blob:https://e.com/1", "image/png", "takes URLs of images only. Send the file itself"),
        ("data:text/plain;base64,A", "text/plain", "The file file cannot be sent: its data URL"),
        ("data:text/plain,%E9", "text/plain", "it is no text in UTF-8. Save it as UTF-8, or name"),
        ("data:,%E9", "text/plain;charset=ascii", "it is no text in ascii."),
        ("data:,%E9", "text/plain;charset=klingon", "it is no text in klingon."),
        ("data:,%FF%FEa", "text/plain", "it is no text in utf-16."),
    ],
)
def test_files_that_cannot_be_sent(url: str, media_type: str, said: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        chat_messages([message("user", file(url, media_type))])
    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)


# --------------------------------------------------------------------------- tools


def test_a_round_is_an_answer_and_its_results() -> None:
    assert converted(
        message(
            "assistant",
            STEP,
            "Let me look.",
            call("a"),
            call("b", name="g", output="text", input={"é": [1]}),
            STEP,
            {**call("c", output={"é": None}), "type": "dynamic-tool", "toolName": "h"},
            "It is 1.",
        )
    ) == [
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [called("a"), called("b", '{"é":[1]}', "g")],
        },
        result("a"),
        result("b", "text"),
        {"role": "assistant", "content": None, "tool_calls": [called("c", name="h")]},
        result("c", '{"é":null}'),
        {"role": "assistant", "content": "It is 1."},
    ]


def thought(text: str, field: Any = "reasoning_content") -> Any:
    metadata = {} if field is None else {"providerMetadata": {"openai": {"field": field}}}
    return {"type": "reasoning", "text": text, **metadata}


def test_reasoning_goes_back_with_the_calls_that_it_led_to() -> None:
    assert converted(
        message(
            "assistant",
            *(STEP, thought("H"), thought("m"), "Let me look.", call("a")),
            *(STEP, thought("Oh", "reasoning"), call("b")),
            *(STEP, thought("No", None), thought("No", "content"), thought("No", ["x"]), call("c")),
            *(STEP, {**thought("No"), "providerMetadata": {"openai": 5}}, call("d")),
            *(STEP, thought("So."), "It is 1."),
        )
    ) == [
        {
            "role": "assistant",
            "content": "Let me look.",
            "reasoning_content": "Hm",
            "tool_calls": [called("a")],
        },
        result("a"),
        {"role": "assistant", "content": None, "reasoning": "Oh", "tool_calls": [called("b")]},
        result("b"),
        {"role": "assistant", "content": None, "tool_calls": [called("c")]},
        result("c"),
        {"role": "assistant", "content": None, "tool_calls": [called("d")]},
        result("d"),
        {"role": "assistant", "content": "It is 1."},
    ]


@pytest.mark.parametrize("kept", ["callProviderMetadata", "resultProviderMetadata"])
def test_what_came_with_a_call_goes_back_with_it(kept: str) -> None:
    extra = {"google": {"thought_signature": "S"}}
    first = call("a", **{kept: {"openai": {"extraContent": extra}}})
    made = converted(message("assistant", first, call("b", **{kept: {"openai": {"x": 1}}})))
    assert made[0]["tool_calls"] == [{**called("a"), "extra_content": extra}, called("b")]


@pytest.mark.parametrize(
    ("state", "fields", "content"),
    [
        ("output-available", {"output": ""}, ""),
        ("output-available", {"output": None}, "null"),
        ("output-available", {"output": [1.5, True]}, "[1.5,true]"),
        ("output-available", {"output": {"t": HALF}}, '{"t":"?"}'),
        ("output-available", {"output": HALF}, "\ufffd"),
        ("output-error", {"errorText": "No."}, "No."),
        ("output-error", {}, NO_RESULT),
        ("output-denied", {}, DENIED),
        ("output-denied", {"approval": {"id": "x", "approved": False}}, DENIED),
        (
            "output-denied",
            {"approval": {"id": "x", "approved": False, "reason": "Too dear."}},
            f"{DENIED} The reason: Too dear.",
        ),
        ("approval-responded", {"approval": {"id": "x", "approved": False}}, DENIED),
        ("approval-responded", {"approval": {"id": "x", "approved": True}}, NO_RESULT),
        ("approval-requested", {"approval": {"id": "x"}}, NO_ANSWER),
        ("input-available", {}, NO_RESULT),
        ("input-streaming", {}, NO_RESULT),
    ],
)
def test_every_call_has_a_result(state: str, fields: dict[str, Any], content: str) -> None:
    assert converted(message("assistant", call("a", state, **fields))) == [
        {"role": "assistant", "content": None, "tool_calls": [called("a")]},
        result("a", content),
    ]


@pytest.mark.parametrize(
    ("fields", "arguments"),
    [
        ({"input": None}, "{}"),
        ({"input": [1]}, "{}"),
        ({"input": '{"n":1,"m":[2'}, '{"n":1,"m":[2]}'),
        ({"input": "[1"}, "{}"),
        ({"input": "no"}, "{}"),
        ({"input": None, "rawInput": '{"n":1'}, '{"n":1}'),
        ({"input": {"t": HALF}}, '{"t":"?"}'),
    ],
)
@pytest.mark.parametrize("state", ["input-streaming", "output-error"])
def test_arguments_are_an_object(state: str, fields: dict[str, Any], arguments: str) -> None:
    made = converted(message("assistant", call("a", state, **fields)))
    assert made[0]["tool_calls"] == [called("a", arguments)]


def test_each_call_has_an_id_of_its_own() -> None:
    made = converted(
        message("assistant", call("a"), call("a", output=2), STEP, call("call00001", output=3)),
        message("user", "Again"),
        message("assistant", call("a", output=4), call("", output=5)),
    )
    ids = ["a", "call00002", "call00001", "call00003", "call00004"]
    assert [c["id"] for m in made for c in m.get("tool_calls", [])] == ids
    results = [(m["tool_call_id"], m["content"]) for m in made if m["role"] == "tool"]
    assert results == list(zip(ids, "12345", strict=True))


def test_the_ids_of_the_history() -> None:
    history = [message("user", "A"), message("assistant", call("a"), STEP, call("b"))]
    assert tool_call_ids(history) == {"a", "b"}


def test_half_characters_are_replaced() -> None:
    made = converted(
        message("system", HALF),
        message("user", HALF),
        message("user", HALF, file(f"data:text/plain,{HALF}", "text/plain", HALF)),
        message(
            "user", file(f"data:a/b,{HALF}", "a/b"), file(f"data:image/a;base64,{HALF}", "image/a")
        ),
        message("assistant", HALF, call(HALF, name=HALF, output=HALF, input={HALF: HALF})),
        system=HALF,
    )
    json.dumps(made, ensure_ascii=False).encode()


# ----------------------------------------------------------------- any history at all

STATES = [
    "input-streaming",
    "input-available",
    "approval-requested",
    "approval-responded",
    "output-available",
    "output-error",
    "output-denied",
]
JSON = (
    st.none()
    | st.booleans()
    | st.text(max_size=3)
    | st.dictionaries(st.text(max_size=2), st.none())
)
CALLS = st.builds(
    lambda id, state, given, output, error, executed: {
        "type": "tool-f",
        "toolCallId": id,
        "state": state,
        "input": given,
        "output": output,
        "errorText": error,
        "providerExecuted": executed,
    },
    st.sampled_from(["", "a", "b", "call00001", HALF]),
    st.sampled_from(STATES),
    JSON,
    JSON,
    st.none() | st.text(max_size=3),
    st.none() | st.booleans(),
)
PARTS = st.lists(
    CALLS
    | st.just(STEP)
    | st.sampled_from(["", "A", HALF])
    | st.just({"type": "data-x", "data": 1}),
    max_size=6,
)
MESSAGES = st.builds(
    lambda role, parts: message(role, *parts),
    st.sampled_from(["system", "user", "assistant"]),
    PARTS,
)


@settings(deadline=None)
@given(st.lists(MESSAGES, max_size=4), st.none() | st.text(max_size=3))
def test_any_history_is_one_that_the_api_takes(
    history: list[UIMessage], system: str | None
) -> None:
    try:
        made = converted(*history, system=system)
    except Refused as error:
        pytest.fail(str(error))
    json.dumps(made, ensure_ascii=False).encode()
    ours = [p for m in history if m.role == "assistant" for p in m.tool_parts]
    ids = [c["id"] for m in made for c in m.get("tool_calls", [])]
    assert len(ids) == len(set(ids)) == len([p for p in ours if not p.provider_executed])
