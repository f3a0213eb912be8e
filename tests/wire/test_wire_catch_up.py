"""What a second connection brings again is left out, whatever it cuts its deltas into."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usechat import StreamProtocolError, UIMessageChunk
from usechat.model.chunks import STREAM_DONE
from usechat.wire.catch_up import CatchUp

START: UIMessageChunk = {"type": "start", "messageId": "m"}
STEP: UIMessageChunk = {"type": "start-step"}
BEGIN: UIMessageChunk = {"type": "text-start", "id": "t"}
END: UIMessageChunk = {"type": "text-end", "id": "t"}


def delta(text: str, part_id: str = "t", **more: Any) -> UIMessageChunk:
    return {"type": "text-delta", "id": part_id, "delta": text, **more}


def text_of(chunks: list[UIMessageChunk]) -> str:
    joined = "".join(chunk["delta"] for chunk in chunks if chunk["type"] == "text-delta")
    return joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def test_a_first_connection_passes_as_it_is() -> None:
    seen = CatchUp()
    chunks = [START, STEP, BEGIN, delta(""), delta("a"), delta("a"), END, STEP, BEGIN, STREAM_DONE]
    assert seen.take(chunks) == chunks
    assert seen.take([]) == []
    assert not seen.advanced  # by nothing


@pytest.mark.parametrize("replays", [True, None])
def test_a_reply_that_is_repeated(replays: bool | None) -> None:
    seen = CatchUp()
    seen.take([START, STEP, BEGIN, delta("Hel"), delta("lo")])
    seen.reconnected(replays)
    assert seen.take([START, STEP]) == []
    assert seen.take([BEGIN, delta("Hello"), delta(" you")]) == [delta(" you")]
    assert seen.take([END, {"type": "finish"}]) == [END, {"type": "finish"}]


@pytest.mark.parametrize("replays", [False, None])
def test_a_reply_that_goes_on(replays: bool | None) -> None:
    seen = CatchUp()
    seen.take([START, STEP, BEGIN, delta("ha")])
    seen.reconnected(replays)
    rest = [delta("ha"), END, STEP, BEGIN, delta("ha"), END]
    assert seen.take(rest) == rest


def test_a_delta_without_text_comes_once() -> None:
    signed = delta("", providerMetadata={"x": {"signature": "s"}})
    seen = CatchUp()
    assert seen.take([BEGIN, delta(""), signed]) == [BEGIN, delta(""), signed]
    seen.reconnected(True)
    assert seen.take([BEGIN, delta(""), signed, delta(""), delta("a")]) == [delta(""), delta("a")]


def test_a_delta_that_is_partly_new_is_cut() -> None:
    seen = CatchUp()
    seen.take([BEGIN, delta("Grü\U0001f600")])
    seen.reconnected(True)
    assert seen.take([BEGIN, delta("Grü\U0001f600ße", x=1)]) == [delta("ße", x=1)]


@pytest.mark.parametrize("again", ["Hex", "Other", "He", "Helo"])
def test_another_text_is_refused(again: str) -> None:
    seen = CatchUp()
    seen.take([START, BEGIN, delta("Hel"), delta("lo")])
    seen.reconnected(None)
    with pytest.raises(StreamProtocolError, match="another reply"):
        seen.take([START, BEGIN, delta(again), delta(" and more"), END, STREAM_DONE])


def test_a_reply_that_ends_before_it_has_come_as_far_is_refused() -> None:
    seen = CatchUp()
    seen.take([START, BEGIN, delta("Hello")])
    seen.reconnected(None)
    with pytest.raises(StreamProtocolError, match="another reply"):
        seen.take([START, BEGIN, delta("Hel"), END, {"type": "finish"}])


@pytest.mark.parametrize("end", ["error", "abort"])
def test_one_that_fails_before_that_has_failed(end: str) -> None:
    seen = CatchUp()
    seen.take([START, BEGIN, delta("Hello")])
    seen.reconnected(None)
    assert seen.take([START, BEGIN, delta("Hel"), {"type": end}]) == [{"type": end}]


def test_a_long_text_is_compared_where_it_had_come_to() -> None:
    seen = CatchUp()
    seen.take([BEGIN, delta("x" * 1000), delta("y" * 1000)])
    seen.reconnected(True)
    assert seen.take([BEGIN, delta("x" * 1000 + "y" * 999), delta("yz")]) == [delta("z")]
    seen.reconnected(True)
    with pytest.raises(StreamProtocolError):
        seen.take([BEGIN, delta("x" * 1001 + "y" * 999 + "?")])


def test_what_comes_before_the_start_does_not_hide_a_replay() -> None:
    def note(n: int) -> UIMessageChunk:
        return {"type": "data-resumed", "transient": True, "data": n}

    seen = CatchUp()
    seen.take([START, BEGIN, delta("Hel")])
    seen.reconnected(None)
    assert seen.take([note(1)]) == [note(1)]
    assert seen.take([START, BEGIN, delta("Hello")]) == [delta("lo")]


def test_a_start_tells_where_the_first_chunk_does_not() -> None:
    seen = CatchUp()
    seen.take([STEP, BEGIN, delta("one"), END])
    seen.reconnected(None, first_tells=False)
    assert seen.take([STEP, BEGIN, delta("two"), END]) == [STEP, BEGIN, delta("two"), END]


@pytest.mark.parametrize(("before", "after"), [("m", None), (None, "m")])
def test_an_id_that_is_missing_contradicts_nothing(before: str | None, after: str | None) -> None:
    def begin(message_id: str | None) -> UIMessageChunk:
        return {"type": "start", **({"messageId": message_id} if message_id else {})}

    seen = CatchUp()
    seen.take([begin(before), BEGIN, delta("a")])
    seen.reconnected(None)
    assert seen.take([begin(after), BEGIN, delta("ab")]) == [delta("b")]


def test_the_order_of_fields_is_nothing_new() -> None:
    seen = CatchUp()
    seen.take([START, {"type": "data-x", "data": {"a": 1, "b": 2}}])
    seen.reconnected(None)
    assert seen.take([START, {"type": "data-x", "data": {"b": 2, "a": 1}}]) == []


def test_what_brings_a_reply_further() -> None:
    def clock(n: int) -> UIMessageChunk:
        return {"type": "data-clock", "data": n}

    seen = CatchUp()
    seen.take([START, BEGIN, delta("a"), clock(1)])
    assert seen.advanced
    seen.reconnected(None)
    assert seen.take([START, BEGIN, delta(""), delta("a"), clock(2)]) != []
    assert seen.advanced  # one chunk more than before
    seen.reconnected(None)
    assert seen.take([START, BEGIN, delta(""), delta("a"), clock(3)]) == [clock(3)]
    assert not seen.advanced
    seen.reconnected(None)
    assert seen.take([START, BEGIN, delta("ab")]) == [delta("b")]
    assert seen.advanced


def test_halves_of_characters_count_as_a_javascript_server_counts_them() -> None:
    seen = CatchUp()
    seen.take([BEGIN, delta("a\ud83d")])
    seen.reconnected(True)
    assert seen.take([BEGIN, delta("a\U0001f600b")]) == [delta("\ude00b")]
    seen.reconnected(True)
    assert seen.take([BEGIN, delta("a\ud83d"), delta("\ude00bc")]) == [delta("c")]


def test_parts_with_one_id_after_the_other_are_told_apart() -> None:
    seen = CatchUp()
    seen.take([BEGIN, delta("one"), END, BEGIN, delta("tw")])
    seen.reconnected(True)
    again = [BEGIN, delta("one"), END, BEGIN, delta("two"), END, BEGIN, delta("three")]
    assert seen.take(again) == [delta("o"), END, BEGIN, delta("three")]


def test_reasoning_and_tool_input_too() -> None:
    seen = CatchUp()
    thought = {"type": "reasoning-delta", "id": "t", "delta": "hm"}
    call = {"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": '{"a'}
    seen.take([thought, call])
    seen.reconnected(True)
    assert seen.take([{**thought, "delta": "hm hm"}, {**call, "inputTextDelta": '{"a":1}'}]) == [
        {**thought, "delta": " hm"},
        {**call, "inputTextDelta": '":1}'},
    ]


def test_the_same_content_twice_is_twice() -> None:
    note: UIMessageChunk = {"type": "data-note", "data": "x"}
    seen = CatchUp()
    seen.take([START, note, note])
    seen.reconnected(True)
    assert seen.take([START, note, note, note, {**note, "data": "y"}]) == [
        note,
        {**note, "data": "y"},
    ]


def test_content_that_was_left_out_of_the_repeat_is_not_missed() -> None:
    """A server that repeats may keep the last of several preliminary outputs only."""
    outputs = [{"type": "tool-output-available", "toolCallId": "c", "output": n} for n in range(3)]
    seen = CatchUp()
    seen.take([START, *outputs[:2]])
    seen.reconnected(None)
    assert seen.take([START, outputs[2]]) == [outputs[2]]


def test_structure_counts_whatever_else_it_says() -> None:
    seen = CatchUp()
    seen.take([{**START, "messageMetadata": {"at": 1}}, BEGIN])
    seen.reconnected(None)
    assert seen.take([{**START, "messageMetadata": {"at": 2}}, {**BEGIN, "x": 1}]) == []


def test_another_reply_is_refused() -> None:
    seen = CatchUp()
    seen.take([START, BEGIN])
    seen.reconnected(None)
    with pytest.raises(StreamProtocolError, match="another reply"):
        seen.take([{"type": "start", "messageId": "other"}])


def test_a_server_without_start_is_known_by_its_first_chunk() -> None:
    seen = CatchUp()
    seen.take([BEGIN, delta("a")])
    seen.reconnected(None)
    assert seen.take([BEGIN, delta("ab")]) == [delta("b")]
    seen.reconnected(None)
    assert seen.take([delta("ab")]) == [delta("ab")]


def test_nothing_had_come_yet() -> None:
    seen = CatchUp()
    seen.reconnected(None)
    assert seen.take([BEGIN, delta("a")]) == [BEGIN, delta("a")]


@pytest.mark.parametrize("end", ["finish", "abort", "error", "[DONE]"])
def test_an_end_is_noticed(end: str) -> None:
    seen = CatchUp()
    seen.take([BEGIN, delta("a")])
    assert not seen.ended
    seen.take([{"type": end}])
    assert seen.ended


def cut(text: str, at: list[int]) -> list[UIMessageChunk]:
    """A text in deltas, cut between UTF-16 units."""
    raw = text.encode("utf-16-le")
    ends = sorted({2 * min(a, len(raw) // 2) for a in at} | {0, len(raw)})
    pieces = [raw[a:b].decode("utf-16-le", "surrogatepass") for a, b in pairwise(ends)]
    return [START, BEGIN, *map(delta, pieces), END]


@given(
    st.text(max_size=20),
    st.lists(st.lists(st.integers(0, 40), max_size=5), min_size=1, max_size=4),
    st.lists(st.integers(0, 12), min_size=4, max_size=4),
)
def test_any_text_is_whole_however_often_the_connection_breaks(
    text: str, cuts: list[list[int]], breaks: list[int]
) -> None:
    seen, got = CatchUp(), []
    for at, stop in zip(cuts, breaks, strict=False):
        got += seen.take(cut(text, at)[:stop])
        seen.reconnected(None)
    got += seen.take(cut(text, []))
    assert text_of(got) == text
    assert [c["type"] for c in got if c["type"] != "text-delta"] == [
        "start",
        "text-start",
        "text-end",
    ]
