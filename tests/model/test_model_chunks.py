"""Chunks: each type good, and with each of its fields wrong."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest
from pydantic import TypeAdapter, ValidationError

from usechat import DataChunk, ToolCall
from usechat.model.chunk_validation import validate_chunk, validate_chunks
from usechat.model.chunks import CHUNK_TYPES, STREAM_DONE, KnownChunk

META = {"p": {"x": 1}}
TOOL = {
    "toolCallId": "c1",
    "providerExecuted": True,
    "providerMetadata": META,
    "toolMetadata": {"a": 1},
    "dynamic": True,
}
URL_SOURCE = {"type": "source", "sourceType": "url", "id": "s", "url": "u", "title": "t"}
DOCUMENT_SOURCE = {
    "type": "source",
    "sourceType": "document",
    "id": "s",
    "mediaType": "a/b",
    "title": "t",
    "filename": "f",
    "providerMetadata": META,
}

# Every chunk in its fullest form, and which of its fields it cannot do without.
FULL: list[tuple[dict[str, Any], set[str]]] = [
    ({"type": "start", "messageId": "m", "messageMetadata": [1]}, set()),
    ({"type": "start-step"}, set()),
    ({"type": "finish-step"}, set()),
    ({"type": "reset-step"}, set()),
    ({"type": "text-start", "id": "t", "providerMetadata": META}, {"id"}),
    ({"type": "text-delta", "id": "t", "delta": "", "providerMetadata": META}, {"id", "delta"}),
    (
        {
            "type": "text-end",
            "id": "t",
            "providerMetadata": META,
            "citations": [
                {"source": URL_SOURCE, "startIndex": 0, "endIndex": 5, "citedText": "x"},
                {"source": DOCUMENT_SOURCE},
            ],
        },
        {"id"},
    ),
    ({"type": "reasoning-start", "id": "r", "providerMetadata": META}, {"id"}),
    (
        {"type": "reasoning-delta", "id": "r", "delta": "", "providerMetadata": META},
        {"id", "delta"},
    ),
    ({"type": "reasoning-end", "id": "r", "providerMetadata": META}, {"id"}),
    (
        {
            **TOOL,
            "type": "tool-input-start",
            "toolName": "n",
            "inputEncoding": "text",
            "title": "t",
        },
        {"toolCallId", "toolName"},
    ),
    (
        {"type": "tool-input-delta", "toolCallId": "c1", "inputTextDelta": "{"},
        {"toolCallId", "inputTextDelta"},
    ),
    (
        {**TOOL, "type": "tool-input-available", "toolName": "n", "input": None, "title": "t"},
        {"toolCallId", "toolName", "input"},
    ),
    (
        {
            **TOOL,
            "type": "tool-input-error",
            "toolName": "n",
            "input": "{oh",
            "errorText": "no",
            "title": "t",
        },
        {"toolCallId", "toolName", "input", "errorText"},
    ),
    (
        {
            "type": "tool-approval-request",
            "approvalId": "a",
            "toolCallId": "c",
            "approvalDescriptor": {"x": 1},
            "inputSchemaInput": 1,
            "reason": "r",
            "isAutomatic": False,
            "signature": "s",
        },
        {"approvalId", "toolCallId"},
    ),
    (
        {
            "type": "tool-approval-response",
            "approvalId": "a",
            "approved": False,
            "reason": "r",
            "providerExecuted": True,
            "providerMetadata": META,
        },
        {"approvalId", "approved"},
    ),
    (
        {**TOOL, "type": "tool-output-available", "output": None, "preliminary": True},
        {"toolCallId", "output"},
    ),
    ({**TOOL, "type": "tool-output-error", "errorText": "no"}, {"toolCallId", "errorText"}),
    ({"type": "tool-output-denied", "toolCallId": "c"}, {"toolCallId"}),
    ({"type": "custom", "kind": "a.b", "providerMetadata": META}, {"kind"}),
    (
        {"type": "source-url", "sourceId": "s", "url": "u", "title": "t", "providerMetadata": META},
        {"sourceId", "url"},
    ),
    (
        {
            "type": "source-document",
            "sourceId": "s",
            "mediaType": "a/b",
            "title": "t",
            "filename": "f",
            "providerMetadata": META,
        },
        {"sourceId", "mediaType", "title"},
    ),
    (
        {"type": "file", "url": "u", "mediaType": "a/b", "providerMetadata": META},
        {"url", "mediaType"},
    ),
    (
        {"type": "reasoning-file", "url": "u", "mediaType": "a/b", "providerMetadata": META},
        {"url", "mediaType"},
    ),
    (
        {
            "type": "steering-message",
            "id": "s",
            "parts": [
                {"type": "text", "text": "x", "providerMetadata": META},
                {
                    "type": "file",
                    "mediaType": "a/b",
                    "url": "u",
                    "filename": "f",
                    "providerReference": {"a": "b"},
                },
            ],
        },
        {"id", "parts"},
    ),
    ({"type": "message-metadata", "messageMetadata": None}, {"messageMetadata"}),
    ({"type": "finish", "finishReason": "stop", "messageMetadata": {}}, set()),
    ({"type": "abort", "reason": "r"}, set()),
    ({"type": "error", "errorText": "no"}, {"errorText"}),
]
DATA = ({"type": "data-x", "data": None, "id": "d", "transient": True}, {"data"})
ALL = [*FULL, DATA]

# Fields that may hold any JSON value.
ANY = {
    "messageMetadata",
    "input",
    "output",
    "data",
    "approvalDescriptor",
    "inputSchemaInput",
}


def ids(value: Any) -> str | None:
    return value["type"] if isinstance(value, dict) else None


def test_every_type_is_here() -> None:
    assert {chunk["type"] for chunk, _ in FULL} == CHUNK_TYPES
    assert len(FULL) == len(CHUNK_TYPES)


def test_every_field_is_here() -> None:
    union = get_args(get_args(KnownChunk)[0])
    for kind in union:
        hints = get_type_hints(kind)
        for name in get_args(hints["type"]):
            chunk = next(chunk for chunk, _ in FULL if chunk["type"] == name)
            assert chunk.keys() == hints.keys(), name


@pytest.mark.parametrize(("chunk", "required"), ALL, ids=ids)
def test_a_full_and_a_least_chunk_are_valid(chunk: dict[str, Any], required: set[str]) -> None:
    assert validate_chunk(chunk) == chunk
    least = {k: v for k, v in chunk.items() if k in required or k == "type"}
    assert validate_chunk(least) == least


@pytest.mark.parametrize(("chunk", "required"), ALL, ids=ids)
def test_unknown_fields_are_kept(chunk: dict[str, Any], required: set[str]) -> None:
    odd = {**chunk, "odd": None, "some_field": {"a": 1}}
    assert validate_chunk(odd) == odd


@pytest.mark.parametrize(("chunk", "required"), ALL, ids=ids)
def test_each_required_field_missing(chunk: dict[str, Any], required: set[str]) -> None:
    for name in required:
        rest = {k: v for k, v in chunk.items() if k != name}
        with pytest.raises(ValidationError, match=name):
            validate_chunk(rest)


@pytest.mark.parametrize(("chunk", "required"), ALL, ids=ids)
def test_each_field_of_a_wrong_type(chunk: dict[str, Any], required: set[str]) -> None:
    for name in chunk.keys() - ANY - {"type"}:
        # Nothing is converted: neither of 1 and "true" is a boolean.
        for wrong in (None, 1, "true", [None], {"x": 1}):
            if type(wrong) is type(chunk[name]) and name not in ("citations", "parts", META):
                continue
            with pytest.raises(ValidationError):
                validate_chunk({**chunk, name: wrong})


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "start",
        [],
        {},
        {"type": None},
        {"type": 1},
        {"type": ["start"]},
        {"type": "hologram"},
        {"type": "Start"},
        {"type": "data", "data": 1},
        STREAM_DONE,
    ],
)
def test_what_is_no_chunk(value: Any) -> None:
    with pytest.raises(ValidationError):
        validate_chunk(value)
    with pytest.raises(ValidationError):
        validate_chunks([{"type": "start"}, value])


@pytest.mark.parametrize(
    "citation",
    [
        {},
        {"source": None},
        {"source": {"type": "source", "sourceType": "other", "id": "s", "url": "u"}},
        {"source": {"type": "source", "sourceType": "url", "id": "s"}},
        {"source": {"type": "source", "sourceType": "document", "id": "s", "title": "t"}},
        {"source": URL_SOURCE, "startIndex": -1},
        {"source": URL_SOURCE, "endIndex": 1.5},
        {"source": URL_SOURCE, "citedText": 1},
    ],
)
def test_bad_citations(citation: Any) -> None:
    with pytest.raises(ValidationError):
        validate_chunk({"type": "text-end", "id": "t", "citations": [citation]})


def test_unknown_fields_of_citations_are_dropped() -> None:
    citation = {"source": {**URL_SOURCE, "odd": 1}, "odd": 2}
    chunk = validate_chunk({"type": "text-end", "id": "t", "citations": [citation]})
    assert chunk["citations"] == [{"source": URL_SOURCE}]


@pytest.mark.parametrize(
    "part", [{"type": "text"}, {"type": "file", "url": "u"}, {"type": "image", "url": "u"}, None]
)
def test_bad_steering_messages(part: Any) -> None:
    with pytest.raises(ValidationError):
        validate_chunk({"type": "steering-message", "id": "s", "parts": [part]})


def test_many_at_once() -> None:
    values = [chunk for chunk, _ in FULL]
    assert validate_chunks(values) == values
    assert validate_chunks([]) == []
    with pytest.raises(ValidationError):  # data parts are for validate_chunk
        validate_chunks([DATA[0]])


def test_the_given_value_stays_as_it_is() -> None:
    value = {"type": "text-end", "id": "t", "citations": [{"source": URL_SOURCE, "odd": 1}]}
    before = repr(value)
    validate_chunk(value)
    assert repr(value) == before


def test_data_chunk() -> None:
    chunk = DataChunk.model_validate({"type": "data-a-b", "data": {"x": 1}, "odd": 1})
    assert chunk.name == "a-b"
    assert (chunk.data, chunk.id, chunk.transient) == ({"x": 1}, None, None)
    assert chunk.model_dump() == {"type": "data-a-b", "data": {"x": 1}, "odd": 1}


def test_tool_call() -> None:
    wire = {
        "type": "tool-input-available",
        "toolCallId": "c",
        "toolName": "n",
        "input": None,
        "dynamic": True,
        "providerExecuted": False,
        "providerMetadata": META,
        "toolMetadata": {},
        "title": "t",
    }
    call = ToolCall.model_validate(wire)
    assert (call.tool_call_id, call.tool_name, call.input) == ("c", "n", None)
    assert call.model_dump() == wire
    assert ToolCall(tool_call_id="c", tool_name="n", input=1).model_dump() == {
        "type": "tool-input-available",
        "toolCallId": "c",
        "toolName": "n",
        "input": 1,
    }


@pytest.mark.parametrize(
    "value",
    [
        [],
        [{"type": "start", "extra": {"kept": [1]}}, {"type": "finish"}],
        [{"type": "steering-message", "id": "s", "parts": [{"type": "text", "text": "Hi"}]}],
        [{"type": "text-delta", "id": "t"}],
        [{"type": "text-delta", "id": "t", "delta": "a"}] * 3,
        [{"type": "text-delta", "id": "t", "delta": "a"}, {"type": "text-delta", "id": "t"}],
        [{"type": "text-delta", "id": 1, "delta": "a"}],
        [{"type": "text-delta", "id": "t", "delta": None}],
        [{"type": "text-delta", "id": 1, "delta": 1}],
        [{"type": "text-delta", "delta": "a", "more": 1}],
        [{"type": "text-delta", "id": "t", "delta": "a", "providerMetadata": 1}],
        [{"type": "text-end", "id": "t", "citations": [{"source": {"type": "source"}}]}],
        [{"type": "data-x", "data": 1}],
        [{}, None],
        {"type": "start"},
    ],
    ids=repr,
)
def test_many_chunks_are_validated_as_pydantic_would(value: object) -> None:
    def outcome(validate: object) -> object:
        try:
            return validate(value)  # type: ignore[operator]
        except ValidationError as error:
            return error.errors(include_url=False)

    ours, theirs = validate_chunks, TypeAdapter(list[KnownChunk]).validate_python
    assert outcome(ours) == outcome(theirs)
