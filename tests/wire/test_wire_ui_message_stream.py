"""The UI message stream: strict, tolerant, and the same whatever the split."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usechat import InvalidArgumentError, StreamProtocolError, UIMessageChunk
from usechat.model.chunks import STREAM_DONE
from usechat.testing import byte_by_byte, every_split, text_reply
from usechat.wire.event_stream import EventStreamDecoder, shown
from usechat.wire.ui_message_stream import DONE, HEADERS, UIMessageStreamDecoder, encode_chunk

HALF = "\ud83d"
DELTA = {"type": "text-delta", "id": "t", "delta": "x"}


class OneByOne(UIMessageStreamDecoder):
    """The oracle: without the fast way."""

    def read(self, events: list[str]) -> list[UIMessageChunk]:
        return EventStreamDecoder.read(self, events)


def event(data: str) -> bytes:
    return f"data: {data}\n\n".encode("utf-8", "surrogatepass")


def wire(value: Any) -> bytes:
    return event(json.dumps(value))


def decoded(
    pieces: Iterable[bytes], decoder: UIMessageStreamDecoder | None = None
) -> tuple[list[UIMessageChunk], tuple[Any, ...] | None]:
    """The chunks, and what is to be known of the error."""
    decoder = decoder or UIMessageStreamDecoder()
    chunks = decoder.open()
    for piece in pieces:
        chunks += decoder.feed(piece)
    chunks += decoder.close()
    error = decoder.error
    return chunks, None if error is None else (str(error), error.chunk, error.position)


def only(value: Any, *, strict: bool = False) -> Any:
    """What one chunk is read as; None where it is an error."""
    data = value if isinstance(value, bytes) else wire(value)
    chunks, error = decoded([data], UIMessageStreamDecoder(strict))
    assert len(chunks) <= 1
    if error is not None:
        assert chunks == []
        return None
    return chunks[0] if chunks else "skipped"


# -- whole replies -------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [False, True])
def test_what_is_encoded_is_decoded(strict: bool) -> None:
    reply = [*text_reply("Grüße \u2028 🌍"), {"type": "data-x", "data": [None, 1.5, HALF]}]
    stream = b"".join(map(encode_chunk, reply)) + DONE
    expected = ([*reply, STREAM_DONE], None)
    assert decoded([stream], UIMessageStreamDecoder(strict)) == expected
    assert decoded(byte_by_byte(stream), UIMessageStreamDecoder(strict)) == expected
    for pieces in every_split(stream):
        assert decoded(pieces, UIMessageStreamDecoder(strict)) == expected


def test_an_event_is_one_line_whatever_it_holds() -> None:
    chunk = {"type": "data-x", "data": "a\n\nb\r\u2028c"}
    assert encode_chunk(chunk).count(b"\n") == 2
    assert only(encode_chunk(chunk)) == chunk


def test_an_unserialisable_chunk_is_refused() -> None:
    with pytest.raises(InvalidArgumentError):
        encode_chunk({"type": "data-x", "data": object()})


def test_the_headers_are_the_sdks() -> None:
    assert HEADERS["x-vercel-ai-ui-message-stream"] == "v1"
    assert HEADERS["content-type"] == "text/event-stream"


def test_chunks_after_done_still_count() -> None:
    assert decoded([DONE + wire(DELTA) + DONE]) == ([STREAM_DONE, DELTA, STREAM_DONE], None)


def test_an_event_that_was_not_ended_is_dropped() -> None:
    assert decoded([wire(DELTA), wire(DELTA)[:-1]]) == ([DELTA], None)


def test_nothing_is_read_after_an_error() -> None:
    decoder = UIMessageStreamDecoder()
    assert decoder.feed(wire(DELTA) + event("{oh no") + wire(DELTA)) == [DELTA]
    first = decoder.error
    assert first is not None
    assert (first.chunk, first.position) == ("{oh no", 1)
    assert decoder.feed(wire(DELTA)) == []
    assert decoder.close() == []
    assert decoder.error is first


# -- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    "data",
    [
        "",
        "{",
        "nonsense",
        "[DONE] ",
        "null",
        "[]",
        "7",
        '"text"',
        "{}",
        '{"type":null}',
        '{"type":1}',
        '{"type":["data-x"]}',
        '{"type":"text-delta","id":"t"}',
        '{"type":"text-delta","id":"t","delta":1}',
        '{"type":"data-x","data":NaN}',
        '{"type":"data-x","data":' + "9" * 10_000 + "}",
        '{"type":"data-x","data":' + "[" * 10_000 + "]" * 10_000 + "}",
        '{"type":"steering-message","id":"s","parts":[{"type":"odd"}]}',
        # A name that holds half a character.
        '{"type":"text-delta","id":"t","delta":"x","\\ud83d":1}',
        '{"type":"data-x","data":1,"\\ud83d":1}',
    ],
)
def test_a_bad_chunk_after_good_ones(data: str, strict: bool) -> None:
    stream = wire(DELTA) * 3 + event(data) + wire(DELTA)
    chunks, error = decoded([stream], UIMessageStreamDecoder(strict))
    assert chunks == [DELTA] * 3
    assert error is not None
    said, chunk, position = error
    assert "The server sent" in said
    assert position == 3
    assert chunk == shown(data)
    assert len(chunk) <= 201
    assert decoded(byte_by_byte(stream), UIMessageStreamDecoder(strict)) == (chunks, error)


def test_an_event_that_is_too_large() -> None:
    stream = wire(DELTA) + event("x" * 200)
    for pieces in ([stream], byte_by_byte(stream)):
        chunks, error = decoded(pieces, UIMessageStreamDecoder(False, 100))
        assert chunks == [DELTA]
        assert error is not None
        assert "max_event_size" in error[0]


def test_a_bad_chunk_before_one_that_is_too_large_is_the_error() -> None:
    chunks, error = decoded([event("{") + event("x" * 200)], UIMessageStreamDecoder(False, 100))
    assert chunks == []
    assert error is not None
    assert error[1] == "{"


def test_the_error_tells_of_half_characters_in_print() -> None:
    _, error = decoded([event(f'{{"type":"start","messageId":"{HALF}",}}')])
    assert error is not None
    error[0].encode()
    assert shown(f"a{HALF}") == "a\\ud83d"
    assert shown("x" * 300) == "x" * 200 + "…"


def test_a_decoder_that_knows_no_events() -> None:
    decoder = EventStreamDecoder()
    assert decoder.feed(b"data: a\n\n") == []
    assert isinstance(decoder.error, StreamProtocolError)


# -- strict and tolerant -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"type": "start", "messageId": None}, {"type": "start"}),
        (
            {"type": "start", "messageId": 7, "messageMetadata": None, "odd": None},
            {"type": "start", "messageMetadata": None, "odd": None},
        ),
        ({**DELTA, "providerMetadata": None}, DELTA),
        ({**DELTA, "providerMetadata": {"p": 1}}, DELTA),
        ({"type": "finish", "finishReason": None}, {"type": "finish"}),
        ({"type": "finish", "finishReason": {"r": 1}}, {"type": "finish"}),
        ({"type": "abort", "reason": None}, {"type": "abort"}),
        (
            {"type": "tool-input-available", "toolCallId": "c", "toolName": "n"},
            {"type": "tool-input-available", "toolCallId": "c", "toolName": "n", "input": None},
        ),
        (
            {"type": "tool-output-available", "toolCallId": "c", "dynamic": None},
            {"type": "tool-output-available", "toolCallId": "c", "output": None},
        ),
        (
            {"type": "tool-input-start", "toolCallId": "c", "toolName": "n", "inputEncoding": "x"},
            {"type": "tool-input-start", "toolCallId": "c", "toolName": "n"},
        ),
        ({"type": "message-metadata"}, {"type": "message-metadata", "messageMetadata": None}),
        ({"type": "data-x"}, {"type": "data-x", "data": None}),
        ({"type": "data-x", "data": 1, "id": None, "transient": 1}, {"type": "data-x", "data": 1}),
        ({"type": "text-end", "id": "t", "citations": [{}, 1]}, {"type": "text-end", "id": "t"}),
        (
            {"type": "tool-approval-request", "approvalId": "a", "toolCallId": "c", "reason": None},
            {"type": "tool-approval-request", "approvalId": "a", "toolCallId": "c"},
        ),
    ],
)
def test_optional_fields_that_are_wrong_are_left_out_unless_strict(
    sent: dict[str, Any], read: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    before = copy.deepcopy(sent)
    assert only(sent) == read
    assert len(caplog.records) == 1
    assert sent["type"] in caplog.text
    assert only(sent, strict=True) is None
    assert sent == before


@pytest.mark.parametrize(
    "chunk",
    [
        {"type": "finish", "finishReason": "a reason of tomorrow"},
        {**DELTA, "odd": {"a": None}, "text": 1},
        {"type": "start", "__proto__": {"a": 1}},
        {"type": "data-", "data": None},
        {"type": f"data-{HALF}", "data": {HALF: HALF}},
        {"type": "text-start", "id": HALF},
        {"type": "text-start", "id": ""},
        {"type": "data-x", "data": [[]] * 50},
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_what_both_take_as_it_is(chunk: dict[str, Any], strict: bool) -> None:
    assert only(chunk, strict=strict) == chunk


def test_unknown_types_are_skipped_with_one_log_line_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    odd = {"type": "hologram", "id": "h"}
    stream = [wire(odd), wire(DELTA), wire(odd) * 2, wire({"type": "[DONE]"}), wire(odd)]
    assert decoded(stream) == ([DELTA], None)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert [record.name for record in caplog.records] == ["usechat"] * 2
    assert "hologram" in caplog.messages[0]
    assert "[DONE]" in caplog.messages[1]
    chunks, error = decoded([wire(DELTA), wire(odd)], UIMessageStreamDecoder(strict=True))
    assert chunks == [DELTA]
    assert error is not None
    assert "hologram" in error[0]


def test_the_log_holds_no_values(caplog: pytest.LogCaptureFixture) -> None:
    only({"type": "data-x", "data": "hunter2", "id": {"hunter2": 1}})
    only({"type": "hologram", "data": "hunter2"})
    assert len(caplog.records) == 2
    assert "hunter2" not in caplog.text


# -- any split, any bytes ------------------------------------------------------------------

CHUNKS = st.sampled_from(
    [
        b"[DONE]",
        b"{",
        b'{"type":"start","messageId":null}',
        b'{"type":"hologram"}',
        b'{"type":"data-x","data":1}',
        b'{"type":"data-x"}',
        b'{"type":"text-delta","id":"t","delta":"\\ud83d"}',
        b'{"type":"text-delta","id":"t"}',
        b'{"type":"finish","odd":1}',
        json.dumps(DELTA).encode(),
        json.dumps(DELTA).encode(),
        json.dumps(DELTA).encode(),
    ]
)
STREAMS = st.lists(CHUNKS, max_size=8).map(lambda c: b"".join(b"data: %b\n\n" % d for d in c))


def cut(stream: bytes, data: st.DataObject) -> list[bytes]:
    at = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    return [stream[a:b] for a, b in zip([0, *at], [*at, len(stream)], strict=True)]


@given(STREAMS, st.booleans(), st.data())
def test_the_fast_way_gives_what_the_slow_way_gives(
    stream: bytes, strict: bool, data: st.DataObject
) -> None:
    slow = decoded([stream], OneByOne(strict))
    assert decoded([stream], UIMessageStreamDecoder(strict)) == slow
    assert decoded(cut(stream, data), UIMessageStreamDecoder(strict)) == slow


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["type", "id", "delta", "data", "toolCallId", "toolName", "input", "providerMetadata", "parts"]
)
TYPES = st.sampled_from(
    ["start", "text-delta", "text-end", "tool-input-available", "data-x", "steering-message", "odd"]
)
ODD_CHUNKS = st.builds(
    lambda kind, fields: {**fields, "type": kind},
    TYPES | json_values,
    st.dictionaries(FIELDS, json_values, max_size=4),
)
ODD_STREAMS = st.lists(ODD_CHUNKS | json_values, max_size=5).map(lambda v: b"".join(map(wire, v)))
RAW_STREAMS = st.lists(
    st.binary(max_size=8)
    | st.sampled_from(
        [b"data: ", b"\n\n", b"\r\n", b'{"type":"', b"text-delta", b'"}', b"\\ud83d"]
    ),
    max_size=12,
).map(b"".join)


@given(ODD_STREAMS | RAW_STREAMS, st.booleans(), st.data())
def test_any_bytes_give_chunks_or_one_error_whatever_the_split(
    stream: bytes, strict: bool, data: st.DataObject
) -> None:
    whole = decoded([stream], UIMessageStreamDecoder(strict, 100))
    assert decoded([stream], OneByOne(strict, 100)) == whole
    assert decoded(byte_by_byte(stream), UIMessageStreamDecoder(strict, 100)) == whole
    assert decoded(cut(stream, data), UIMessageStreamDecoder(strict, 100)) == whole
    for chunk in whole[0]:
        assert isinstance(chunk["type"], str)


@given(
    st.lists(st.builds(lambda v: {"type": "data-x", "data": v}, json_values), max_size=4),
    st.data(),
)
def test_any_data_survives_the_way(chunks: list[UIMessageChunk], data: st.DataObject) -> None:
    stream = b"".join(map(encode_chunk, chunks))
    expected = json.loads(
        json.dumps(chunks), parse_constant=lambda _: None
    )  # what JSON lacks is null
    assert decoded(cut(stream, data)) == (expected, None)
