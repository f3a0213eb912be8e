"""Messages and their parts: what came in goes out as the same JSON value."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from usechat import (
    CustomPart,
    DataPart,
    DynamicToolPart,
    FilePart,
    InvalidArgumentError,
    ReasoningFilePart,
    ReasoningPart,
    SourceDocumentPart,
    SourceUrlPart,
    SteeringMessagePart,
    StepStartPart,
    TextPart,
    ToolPart,
    UIMessage,
    UnknownPart,
    generate_id,
)
from usechat.model.messages import message_from, printable, text_of_parts, where_wrong
from usechat.model.parts import ToolState, tag_of_part

HALF = "\ud83d"
META = {"p": {"x": [1, None, {"y": "ö"}]}}
STATES: tuple[str, ...] = get_args(ToolState)

# Each part in its least and in its fullest form.
PARTS: list[tuple[type[Any], dict[str, Any]]] = [
    (TextPart, {"type": "text", "text": ""}),
    (
        TextPart,
        {
            "type": "text",
            "text": "Grüße 🌍",
            "state": "streaming",
            "citations": [{"source": {"type": "source"}, "startIndex": 0}],
            "providerMetadata": META,
        },
    ),
    (ReasoningPart, {"type": "reasoning", "text": "Hm"}),
    (
        ReasoningPart,
        {"type": "reasoning", "text": "Hm", "id": "r1", "state": "done", "providerMetadata": META},
    ),
    (FilePart, {"type": "file", "url": "data:,x", "mediaType": "text/plain"}),
    (
        FilePart,
        {
            "type": "file",
            "url": "https://x/y",
            "mediaType": "image/png",
            "filename": "a.png",
            "providerReference": {"openai": "file-1"},
            "providerMetadata": META,
        },
    ),
    (ReasoningFilePart, {"type": "reasoning-file", "url": "data:,x", "mediaType": "a/b"}),
    (SourceUrlPart, {"type": "source-url", "sourceId": "s", "url": "https://x", "title": "T"}),
    (
        SourceDocumentPart,
        {
            "type": "source-document",
            "sourceId": "s",
            "mediaType": "a/b",
            "title": "T",
            "filename": "f",
        },
    ),
    (StepStartPart, {"type": "step-start"}),
    (CustomPart, {"type": "custom", "kind": "openai.compaction", "providerMetadata": META}),
    (
        SteeringMessagePart,
        {"type": "steering-message", "id": "s", "parts": [{"type": "text", "text": "also"}]},
    ),
    (DataPart, {"type": "data-weather", "data": {"t": [1.5, None]}}),
    (DataPart, {"type": "data-", "id": "d1", "data": None}),
    *(
        (
            ToolPart,
            {"type": "tool-get_weather", "toolCallId": "c1", "state": state, "input": {"q": 1}},
        )
        for state in STATES
    ),
    *(
        (
            DynamicToolPart,
            {"type": "dynamic-tool", "toolName": "dyn", "toolCallId": "c1", "state": state},
        )
        for state in STATES
    ),
    (
        ToolPart,
        {
            "type": "tool-x",
            "toolCallId": "c1",
            "state": "output-error",
            "title": "T",
            "input": None,
            "rawInput": "{oh",
            "inputEncoding": "json",
            "output": None,
            "errorText": "no",
            "preliminary": False,
            "providerExecuted": True,
            "approval": {
                "id": "a1",
                "approved": True,
                "reason": "r",
                "requestReason": "rr",
                "descriptor": {"d": 1},
                "isAutomatic": False,
                "signature": "s",
                "inputSchemaInput": [1],
                "odd": None,
            },
            "toolMetadata": {"a": 1},
            "callProviderMetadata": META,
            "resultProviderMetadata": META,
        },
    ),
    (UnknownPart, {"type": "hologram", "someField": {"tool_name": 1}, "other_field": None}),
]


def message(*parts: Any, **fields: Any) -> UIMessage:
    return UIMessage(id="m1", role="assistant", parts=parts, **fields)


def wired(parts: list[Any], **fields: Any) -> dict[str, Any]:
    return {"id": "m1", "role": "assistant", "parts": parts, **fields}


# -- the same JSON value -------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "part"), PARTS)
def test_every_part_goes_out_as_it_came_in(kind: type[Any], part: dict[str, Any]) -> None:
    wire = wired([part])
    read = UIMessage.model_validate(wire)
    assert type(read.parts[0]) is kind
    assert read.model_dump() == wire
    assert json.loads(json.dumps(read.model_dump())) == wire
    assert json.loads(read.model_dump_json()) == wire
    assert json.loads(read.encoded()) == wire
    assert UIMessage(**read.model_dump()) == read
    assert UIMessage.model_validate_json(read.model_dump_json()) == read
    assert part["type"] in repr(read.parts[0])


@pytest.mark.parametrize(("kind", "part"), PARTS)
def test_unknown_fields_and_nulls_are_kept(kind: type[Any], part: dict[str, Any]) -> None:
    optional = {
        (field.alias or name): None
        for name, field in kind.model_fields.items()
        if not field.is_required() and name != "type"
    }
    odd = {**part, **optional, "odd": None, "some_field": 1, "someField": {"a_b": 1}, "_x": 2}
    read = UIMessage.model_validate(wired([odd], odd=None, _encoded="mine", text="t"))
    assert read.model_dump() == wired([odd], odd=None, _encoded="mine", text="t")
    assert json.loads(read.encoded()) == read.model_dump()
    assert UIMessage(**read.model_dump()) == read


def test_python_names_are_taken_too() -> None:
    by_name = FilePart(url="u", media_type="a/b", provider_metadata={})
    assert by_name == FilePart.model_validate(
        {"type": "file", "url": "u", "mediaType": "a/b", "providerMetadata": {}}
    )
    assert by_name.model_dump(by_alias=False) == {
        "type": "file",
        "url": "u",
        "media_type": "a/b",
        "provider_metadata": {},
    }


def test_unset_is_absent_and_null_is_null() -> None:
    assert message().model_dump() == wired([])
    assert message(metadata=None).model_dump() == wired([], metadata=None)
    assert message(TextPart(text="", state=None)).model_dump() == wired(
        [{"type": "text", "text": "", "state": None}]
    )
    without = UIMessage(id="m1", role="user")
    assert without.model_dump() == {"id": "m1", "role": "user", "parts": []}
    assert UIMessage(**without.model_dump()) == without
    # What the wire form needs is there even where pydantic is told to leave it out.
    assert without.model_dump(exclude_unset=True) == without.model_dump()
    assert without.model_dump(exclude_defaults=True) == without.model_dump()


def test_dumps_can_be_narrowed() -> None:
    whole = message(TextPart(text="a"), metadata=1)
    assert whole.model_dump(include={"id"}) == {"id": "m1"}
    assert whole.model_dump(exclude={"parts"}) == {"id": "m1", "role": "assistant", "metadata": 1}
    assert json.loads(whole.model_dump_json(exclude={"metadata"})) == wired(
        [{"type": "text", "text": "a"}]
    )
    assert message().model_dump(exclude={"id"}) == {"role": "assistant", "parts": []}


def test_a_message_may_hold_parts_and_mappings() -> None:
    mixed = message(TextPart(text="a"), {"type": "text", "text": "b"})
    assert mixed.text == "ab"
    assert isinstance(mixed.parts, tuple)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, json_values, st.text(st.characters()))
def test_any_json_values_are_kept(metadata: Any, data: Any, text: str) -> None:
    wire = wired(
        [{"type": "data-x", "data": data}, {"type": "text", "text": text}], metadata=metadata
    )
    read = UIMessage.model_validate(wire)
    assert read.model_dump() == wire
    assert json.loads(read.encoded()) == wire
    assert json.loads(read.model_dump_json()) == wire


# -- half characters -----------------------------------------------------------------------


def test_half_characters() -> None:
    odd = message(
        TextPart(text=f"a{HALF}"),
        ReasoningPart(text=f"{HALF}b"),
        DataPart(type=f"data-{HALF}", data={HALF: [HALF]}),
        metadata=HALF,
    )
    assert odd.text == "a\ufffd"
    assert odd.reasoning == "\ufffdb"
    wire = odd.model_dump()
    assert wire["parts"][0]["text"] == f"a{HALF}"
    for text in (odd.encoded(), odd.model_dump_json(), odd.model_dump_json(indent=2)):
        assert json.loads(text) == wire
    assert UIMessage(**wire) == odd
    assert pickle.loads(pickle.dumps(odd)) == odd
    part = odd.parts[0]
    assert json.loads(part.model_dump_json()) == {"type": "text", "text": f"a{HALF}"}
    ascii(odd)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("abc", "abc"),
        ("ö🌍", "ö🌍"),
        (f"ö{HALF}", "ö\ufffd"),
        (f"{HALF}\ude00", "😀"),
        (f"\ude00{HALF}", "\ufffd\ufffd"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters()))
def test_printable_can_be_printed(text: str) -> None:
    assert len(printable(text).encode()) >= len(text)


# -- what a value is not -------------------------------------------------------------------


def test_messages_and_parts_are_frozen() -> None:
    whole = message(TextPart(text="a"))
    with pytest.raises(ValidationError, match="frozen"):
        whole.id = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        whole.parts[0].text = "b"  # type: ignore[misc, union-attr]


def test_copies_and_pickles_are_equal_and_encode_alike() -> None:
    whole = message(TextPart(text="a"), DataPart(type="data-x", data={"a": [1]}), metadata={})
    for encoded_before in (False, True):
        if encoded_before:
            assert whole.encoded() is whole.encoded()
        for made in (copy.copy(whole), copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
            assert made == whole
            assert made.model_dump() == whole.model_dump()
            assert made.encoded() == whole.encoded()


def test_a_changed_copy_leaves_the_message_and_is_encoded_anew() -> None:
    whole = message(TextPart(text="a"))
    assert b'"m1"' in whole.encoded()
    other = whole.model_copy(update={"id": "m2"})
    assert (whole.id, other.id) == ("m1", "m2")
    assert json.loads(other.encoded())["id"] == "m2"
    deep = whole.model_copy(update={"metadata": 1}, deep=True)
    assert json.loads(deep.encoded())["metadata"] == 1


def test_the_encoded_form_is_in_no_dump_and_no_comparison() -> None:
    one, two = message(TextPart(text="a")), message(TextPart(text="a"))
    one.encoded()
    assert one == two
    assert "encoded" not in repr(one)
    assert one.model_dump() == two.model_dump()


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({}, "id: field required"),
        ({"id": 1, "role": "user", "parts": []}, "id: input should be a valid string"),
        ({"id": "1", "role": "tool", "parts": []}, "role: input should be 'system'"),
        ({"id": "1", "role": "user", "parts": None}, "parts: input should be a valid tuple"),
        ({"id": "1", "role": "user", "parts": "text"}, "parts: input should be a valid tuple"),
        (wired([{"type": "text"}]), "parts.0.text.text: field required"),
        (wired([{"typ": "text"}]), "parts.0.unknown.type: field required"),
        (wired([{"type": 1}]), "parts.0.unknown.type: input should be a valid string"),
        (wired(["text"]), "parts.0.unknown: input should be a valid dictionary"),
        (wired([{"type": "tool-x", "toolCallId": "c", "state": "call"}]), "parts.0.tool.state:"),
        (None, "the value: input should be a valid dictionary"),
        ("text", "the value: input should be a valid dictionary"),
    ],
)
def test_what_is_no_message_is_told_where(value: Any, where: str) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        message_from(value)
    assert str(raised.value).startswith(f"This is no message: {where}")
    assert "\n" not in str(raised.value)


def test_where_wrong_tells_no_value() -> None:
    with pytest.raises(ValidationError) as raised:
        UIMessage.model_validate(wired([{"type": "text", "text": {"secret": "hunter2"}}]))
    assert "hunter2" not in where_wrong(raised.value)


def test_a_message_is_taken_as_it_is() -> None:
    whole = message()
    assert message_from(whole) is whole
    assert message_from(wired([])) == whole


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ({"type": "text"}, "text"),
        ({"type": "tool-"}, "tool"),
        ({"type": "data-"}, "data"),
        ({"type": "tool"}, "unknown"),
        ({}, "unknown"),
        ({"type": ["text"]}, "unknown"),
        (TextPart(text=""), "text"),
        (DataPart(type="data-x"), "data"),
        (7, "unknown"),
    ],
)
def test_tag_of_part(value: Any, tag: str) -> None:
    assert tag_of_part(value) == tag


# -- conveniences --------------------------------------------------------------------------

STEP = StepStartPart()


def text(said: str) -> TextPart:
    return TextPart(text=said)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], ""),
        ([STEP], ""),
        ([text("a")], "a"),
        ([text("a"), text("b")], "ab"),
        ([STEP, text("a"), STEP, text("b")], "a\n\nb"),
        ([text("a"), STEP, text("b"), text("c")], "a\n\nbc"),
        ([STEP, text(""), STEP, text("b")], "b"),
        ([STEP, text("a"), STEP, STEP, text("")], "a"),
        ([STEP, text("a"), STEP, StepStartPart(), text("b")], "a\n\nb"),
        ([text("a"), ReasoningPart(text="hm"), DataPart(type="data-x"), text("b")], "ab"),
    ],
)
def test_text_has_a_blank_line_between_steps(parts: list[Any], said: str) -> None:
    assert message(*parts).text == said
    assert text_of_parts(parts) == said


def test_reasoning_has_a_blank_line_between_parts() -> None:
    assert message(STEP, ReasoningPart(text="a"), text("x"), ReasoningPart(text="b")).reasoning == (
        "a\n\nb"
    )


def test_tool_parts_and_pending() -> None:
    calls = [
        ToolPart(type="tool-a", tool_call_id=f"{i}", state=state) for i, state in enumerate(STATES)
    ]
    dynamic = DynamicToolPart(tool_name="b", tool_call_id="d", state="input-available")
    at_server = ToolPart(
        type="tool-c", tool_call_id="s", state="input-available", provider_executed=True
    )
    whole = message(STEP, *calls, text("x"), dynamic, at_server)
    assert whole.tool_parts == (*calls, dynamic, at_server)
    assert [part.state for part in whole.pending] == [
        "input-available",
        "approval-requested",
        "input-available",
    ]
    assert whole.pending[-1] is dynamic


def test_names_of_tools_and_data() -> None:
    assert ToolPart(type="tool-get-x", tool_call_id="c", state="input-available").tool_name == (
        "get-x"
    )
    assert DynamicToolPart(tool_name="y", tool_call_id="c", state="input-available").tool_name == (
        "y"
    )
    assert DataPart(type="data-weather-now").name == "weather-now"


def test_ids() -> None:
    ids = {generate_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(i) == 16 and i.isascii() and i.isalnum() for i in ids)


def test_a_dump_without_what_is_unset_still_says_the_types() -> None:
    whole = UIMessage(id="m", role="user", parts=(TextPart(text="x"), StepStartPart()))
    dumped = whole.model_dump(exclude_unset=True)
    assert dumped["parts"] == [{"type": "text", "text": "x"}, {"type": "step-start"}]
    assert UIMessage(**dumped) == whole
