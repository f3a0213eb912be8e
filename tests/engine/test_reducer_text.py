"""Text and reasoning: chunks in, parts out."""

from __future__ import annotations

import pytest

from usechat.engine.events import (
    PartAdded,
    PartDone,
    PartUpdated,
    ReasoningDelta,
    StatusChanged,
    TextDelta,
)

from .harness import (
    END_STEP,
    RESET,
    STEP,
    parts_of,
    replying,
    text,
    text_delta,
    text_end,
    text_start,
)

KINDS = [("text", TextDelta, {}), ("reasoning", ReasoningDelta, {"id": "t1"})]
EACH = pytest.mark.parametrize(("kind", "delta_type", "own"), KINDS, ids=["text", "reasoning"])
META = {"provider": {"a": 1}}
OTHER = {"provider": {"b": 2}}


def chunk(kind: str, what: str, id: str = "t1", **fields: object) -> dict:
    return {"type": f"{kind}-{what}", "id": id, **fields}


@EACH
def test_a_part_begins_grows_and_ends(kind: str, delta_type: type, own: dict) -> None:
    chat = replying(chunk(kind, "start"), strict=True)
    assert chat.reply_parts() == [{"type": kind, **own, "text": "", "state": "streaming"}]
    chat.receive(chunk(kind, "delta", delta="Hel"), chunk(kind, "delta", delta="lo"))
    assert chat.reply_parts() == [{"type": kind, **own, "text": "Hello", "state": "streaming"}]
    chat.receive(chunk(kind, "end"))
    assert chat.reply_parts() == [{"type": kind, **own, "text": "Hello", "state": "done"}]
    assert chat.status == "streaming"


@EACH
def test_its_events_tell_all_of_it(kind: str, delta_type: type, own: dict) -> None:
    chat = replying(chunk(kind, "start"))
    chat.receive(chunk(kind, "delta", delta="Hel"), chunk(kind, "delta", delta="lo"))
    chat.receive(chunk(kind, "end"))
    assert chat.events()[-4:] == [
        PartAdded("id-1", 0),
        StatusChanged("streaming"),
        delta_type("id-1", 0, "Hello", 0),
        PartDone("id-1", 0),
    ]


@EACH
def test_provider_metadata_is_replaced_by_what_comes_later(
    kind: str, delta_type: type, own: dict
) -> None:
    for chunks, want in (
        ([chunk(kind, "start", providerMetadata=META)], META),
        ([chunk(kind, "start"), chunk(kind, "delta", delta="", providerMetadata=META)], META),
        ([chunk(kind, "start", providerMetadata=META), chunk(kind, "delta", delta="x")], META),
        ([chunk(kind, "start"), chunk(kind, "end", providerMetadata=META)], META),
        (
            [
                chunk(kind, "start", providerMetadata=META),
                chunk(kind, "delta", delta="", providerMetadata=OTHER),
                chunk(kind, "end"),
            ],
            OTHER,
        ),
    ):
        assert parts_of(*chunks)[0]["providerMetadata"] == want


@EACH
def test_provider_metadata_of_a_delta_is_an_update(kind: str, delta_type: type, own: dict) -> None:
    chat = replying(chunk(kind, "start"))
    chat.events()
    chat.receive(chunk(kind, "delta", delta="x", providerMetadata=META))
    assert chat.events() == [delta_type("id-1", 0, "x", 0), PartUpdated("id-1", 0)]


@EACH
def test_a_delta_that_nobody_opened_opens_its_part(kind: str, delta_type: type, own: dict) -> None:
    chat = replying(chunk(kind, "delta", delta="a"), chunk(kind, "delta", delta="b"))
    assert chat.reply_parts() == [{"type": kind, **own, "text": "ab", "state": "streaming"}]
    assert chat.events(PartAdded, delta_type) == [
        PartAdded("id-1", 0),
        delta_type("id-1", 0, "a", 0),
        delta_type("id-1", 0, "b", 1),
    ]


@EACH
def test_an_end_that_nobody_opened_writes_nothing(kind: str, delta_type: type, own: dict) -> None:
    chat = replying(chunk(kind, "end"))
    assert (chat.status, len(chat.messages)) == ("submitted", 1)


@EACH
def test_a_half_character_at_the_end_is_told_with_the_end(
    kind: str, delta_type: type, own: dict
) -> None:
    chat = replying(chunk(kind, "start"), chunk(kind, "delta", delta="a\ud83d"), chunk(kind, "end"))
    assert chat.reply_parts()[0]["text"] == "a\ud83d"
    assert chat.events(delta_type) == [delta_type("id-1", 0, "a\ufffd", 0)]


@EACH
def test_one_id_opened_twice_is_two_parts_and_the_second_grows(
    kind: str, delta_type: type, own: dict
) -> None:
    parts = parts_of(
        chunk(kind, "start"),
        chunk(kind, "delta", delta="a"),
        chunk(kind, "start"),
        chunk(kind, "delta", delta="b"),
        chunk(kind, "end"),
    )
    assert [(p["text"], p["state"]) for p in parts] == [("a", "streaming"), ("b", "done")]


def test_parts_may_stream_at_the_same_time() -> None:
    parts = parts_of(
        text_start("a"),
        text_start("b"),
        chunk("reasoning", "start", "a"),
        text_delta("1", "a"),
        text_delta("2", "b"),
        text_delta("3", "a"),
        chunk("reasoning", "delta", "a", delta="4"),
    )
    assert [part["text"] for part in parts] == ["13", "2", "4"]


def test_text_may_be_cited_when_it_is_complete() -> None:
    citations = [{"source": {"type": "source", "sourceType": "url", "id": "s", "url": "u"}}]
    part = parts_of(text_start(), text_end(citations=citations))[0]
    assert part["citations"] == citations


def test_text_stays_open_when_a_step_ends_and_another_begins() -> None:
    parts = parts_of(STEP, text_start(), text_delta("a"), END_STEP, STEP, text_delta("b"))
    assert [part.get("text") for part in parts] == [None, "ab", None]


def test_text_that_was_taken_back_is_no_longer_open() -> None:
    chat = replying(text_start(), text_delta("a"), RESET, text_delta("b"), strict=True)
    assert "text-delta" in str(chat.error)
    tolerant = replying(text_start(), text_delta("a"), RESET, text_delta("b"))
    assert tolerant.messages[-1].text == "b"


def test_a_fresh_text_part_after_a_whole_one_begins_at_zero() -> None:
    chat = replying(text("one", "a"), text("two", "b"))
    assert chat.events(TextDelta) == [
        TextDelta("id-1", 0, "one", 0),
        TextDelta("id-1", 1, "two", 0),
    ]
