"""The message that streams: what is shared, what is remembered, what is taken back."""

from __future__ import annotations

import pytest

from usechat.engine.draft import Draft, DraftPart, PartialToolCall
from usechat.engine.partial_json import UNDEFINED
from usechat.engine.text import TextBuffer
from usechat.model.messages import UIMessage
from usechat.model.parts import TextPart

from .harness import assistant, call

STEP = {"type": "step-start"}


def text_part(text: str = "") -> DraftPart:
    return DraftPart({"type": "text"}, TextBuffer(text))


def draft_of(*parts: dict) -> Draft:
    draft = Draft("m")
    for fields in parts:
        draft.add(DraftPart(dict(fields)))
    return draft


def test_a_part_is_built_once_until_it_changes() -> None:
    part = text_part("a")
    built = part.build()
    assert part.build() is built
    assert part.text is not None
    part.text.append("b")
    part.grow()
    assert (built.text, part.build().text) == ("a", "ab")
    part.edit()["state"] = "done"
    assert part.build().state == "done"
    assert built.state is None


def test_a_published_part_is_shared_until_it_is_edited() -> None:
    published = TextPart(text="x")
    part = DraftPart.of(published)
    assert (part.kind, part.look(), part.build()) == (
        "text",
        {"type": "text", "text": "x"},
        published,
    )
    assert part.build() is published
    part.edit()["text"] = "y"
    assert (part.build().text, published.text) == ("y", "x")
    part.edit()["text"] = "z"
    assert part.look()["text"] == "z"


def test_the_input_that_streams_can_be_settled_or_replaced() -> None:
    part = DraftPart(call("input-streaming"))
    partial = PartialToolCall("weather", False, None, None, None)
    part.partial, partial.part = partial, part
    partial.raw.append('{"city":"Ro')
    assert part.look()["input"] == {"city": "Ro"}
    part.settle_input()
    partial.raw.append('me"}')
    assert part.look()["input"] == {"city": "Ro"}
    part.settle_input()
    part.partial = partial
    part.replace(call("output-available"))
    assert (part.partial, partial.part) == (None, None)
    part.replace(call("output-error"))
    assert part.look()["state"] == "output-error"


@pytest.mark.parametrize(
    ("encoding", "raw", "shown"),
    [
        (None, '{"a":1', {"rawInput": '{"a":1', "input": {"a": 1}}),
        ("json", "-", {"rawInput": "-"}),
        ("text", '{"a":1', {"rawInput": '{"a":1', "input": '{"a":1'}),
    ],
)
def test_the_input_is_read_as_it_is_encoded(encoding: str | None, raw: str, shown: dict) -> None:
    partial = PartialToolCall("weather", True, encoding, None, None)
    partial.raw.append(raw)
    assert partial.fields() == shown
    partial.hides_raw = True
    assert "rawInput" not in partial.fields()
    assert UNDEFINED not in shown.values()


def test_a_message_is_continued_with_all_that_it_has() -> None:
    message = UIMessage.model_validate(
        assistant({"type": "text", "text": "x"}, metadata={"a": 1}, createdAt="now")
    )
    draft = Draft(message.id, message)
    assert draft.build() == message
    assert draft.build().parts[0] is message.parts[0]
    assert (draft.continued, draft.announced, draft.written) == (1, 1, 1)


def test_input_that_streams_is_taken_up_where_the_message_is_continued() -> None:
    message = UIMessage.model_validate(
        assistant(
            call("input-streaming", id="old"),
            STEP,
            call(
                "input-streaming", rawInput='{"a', inputEncoding="json", title="T", toolMetadata={}
            ),
            {
                "type": "dynamic-tool",
                "toolName": "d",
                "toolCallId": "c2",
                "state": "input-streaming",
            },
            call("input-available", id="c3"),
        )
    )
    partial_calls = Draft("a1", message).partial_calls
    assert set(partial_calls) == {"c1", "c2"}
    static, dynamic = partial_calls["c1"], partial_calls["c2"]
    assert (static.tool_name, static.dynamic, static.raw.text()) == ("weather", False, '{"a')
    assert (static.encoding, static.title, static.tool_metadata) == ("json", "T", {})
    assert (dynamic.tool_name, dynamic.dynamic, dynamic.raw.text()) == ("d", True, "")


def test_a_call_is_looked_for_in_the_current_step_and_then_from_the_end() -> None:
    draft = draft_of(call("input-available"), STEP, call("output-available"), STEP)
    assert draft.call_in_step(False, "c1") is None
    assert draft.call("c1") is draft.parts[2]
    first, second = (draft.add(DraftPart(call("input-available"))) for _ in "12")
    assert draft.call("c1") is draft.call_in_step(False, "c1") is first
    assert draft.call_in_step(True, "c1") is None
    assert draft.call("?") is None
    assert draft.calls() == [draft.parts[0], draft.parts[2], first, second]


def test_calls_are_in_the_order_of_the_message() -> None:
    draft = draft_of(call("input-available", id="a"), call("input-available", id="b"))
    draft.add(DraftPart(call("input-available", id="a")))
    assert [part.look()["toolCallId"] for part in draft.calls()] == ["a", "b", "a"]


def test_a_data_part_is_known_by_its_type_and_id() -> None:
    draft = draft_of(
        {"type": "data-x", "data": 1},
        {"type": "data-x", "data": 2, "id": "1"},
        {"type": "data-y", "data": 3, "id": "1"},
        {"type": "data-x", "data": 4, "id": "1"},
    )
    assert draft.data("data-x", "1") is draft.parts[1]
    assert draft.data("data-y", "1") is draft.parts[2]
    assert draft.data("data-x", "2") is None


def test_a_step_is_taken_back_with_all_that_was_remembered_of_it() -> None:
    draft = draft_of(call("input-available"), {"type": "data-x", "data": 1, "id": "1"}, STEP)
    draft.write()
    draft.add(DraftPart(call("input-available", id="c2")))
    draft.add(DraftPart({"type": "data-x", "data": 2, "id": "2"}))
    text = draft.add(text_part("x"))
    draft.open_text["t1"] = draft.open_reasoning["r1"] = text
    draft.partial_calls["c2"] = PartialToolCall("weather", False, None, None, None)
    draft.write()
    draft.announced = 6
    assert draft.reset_step() is True
    assert [part.kind for part in draft.parts] == ["tool-weather", "data-x", "step-start"]
    assert (draft.open_text, draft.open_reasoning, draft.partial_calls) == ({}, {}, {})
    assert (draft.call("c2"), draft.data("data-x", "2")) == (None, None)
    assert (draft.call("c1"), draft.data("data-x", "1")) == (draft.parts[0], draft.parts[1])
    assert (draft.announced, draft.written) == (3, 3)
    assert draft.reset_step() is False


def test_without_a_step_all_is_taken_back() -> None:
    draft = draft_of(call("input-available"))
    assert draft.reset_step() is True
    assert draft.parts == []


def test_what_is_published_is_what_was_last_written() -> None:
    draft = draft_of({"type": "text", "text": "x"})
    draft.write()
    draft.add(DraftPart(dict(STEP)))
    assert (len(draft.published().parts), len(draft.build().parts)) == (1, 2)


def test_fields_that_nobody_knows_are_kept() -> None:
    part = DraftPart({"type": "text", "text": "x", "more": {"a": None}})
    assert part.build().model_dump() == {"type": "text", "text": "x", "more": {"a": None}}
