"""The two simple protocols: bare text, and JSON over server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usechat import UIMessageChunk
from usechat.model.chunk_validation import validate_chunk
from usechat.model.chunks import STREAM_DONE
from usechat.testing import byte_by_byte, every_split
from usechat.wire import json_sse, text_stream
from usechat.wire.json_sse import JSONSSEDecoder
from usechat.wire.text_stream import TextStreamDecoder

HALF = "\ud83d"
BOM = b"\xef\xbb\xbf"


def cut(stream: bytes, data: st.DataObject) -> list[bytes]:
    at = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    return [stream[a:b] for a, b in zip([0, *at], [*at, len(stream)], strict=True)]


def said(chunks: Iterable[UIMessageChunk]) -> str:
    return "".join(chunk["delta"] for chunk in chunks if chunk["type"] == "text-delta")


# -- the text stream -----------------------------------------------------------------------


def text_of(pieces: Iterable[bytes]) -> str:
    decoder = TextStreamDecoder()
    begin = decoder.open()
    assert [chunk["type"] for chunk in begin] == ["start", "start-step", "text-start"]
    middle = [chunk for piece in pieces for chunk in decoder.feed(piece)]
    *more, end, step, finish = decoder.close()
    assert [end["type"], step["type"], finish["type"]] == ["text-end", "finish-step", "finish"]
    deltas = [*middle, *more]
    assert all(chunk["type"] == "text-delta" and chunk["delta"] for chunk in deltas)
    assert all(validate_chunk(chunk) == chunk for chunk in (*begin, *deltas, end, step, finish))
    assert len({chunk["id"] for chunk in (begin[-1], *deltas, end)}) == 1
    assert decoder.error is None
    return said(deltas)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b"Hello", "Hello"),
        ("Grüße, 🌍!\r\n\u2028".encode(), "Grüße, 🌍!\r\n\u2028"),
        (BOM + b"a" + BOM, "a\ufeff"),
        (BOM, ""),
        (BOM[:2], ""),  # so Python's decoder has it
        (b"a\xff\xf0\x9f\x8c", "a\ufffd\ufffd"),
        (b'data: {"type":"start"}\n\n', 'data: {"type":"start"}\n\n'),
    ],
)
def test_a_text_in_every_split(body: bytes, text: str) -> None:
    assert text_of([body]) == text
    assert text_of(byte_by_byte(body)) == text
    for pieces in every_split(body):
        assert text_of(pieces) == text


@given(st.binary(max_size=40) | st.text().map(str.encode), st.data())
def test_any_bytes_are_text(body: bytes, data: st.DataObject) -> None:
    text = "" if BOM.startswith(body) else body.removeprefix(BOM).decode("utf-8", "replace")
    assert text_of([body]) == text
    assert text_of(byte_by_byte(body)) == text
    assert text_of(cut(body, data)) == text


def test_text_is_written_in_utf_8() -> None:
    assert text_stream.encode_text("Grüße 🌍") == "Grüße 🌍".encode()
    assert text_stream.encode_text(f"a{HALF}b") == b"a?b"
    assert "charset=utf-8" in text_stream.HEADERS["content-type"]


@given(st.lists(st.text()))
def test_text_that_is_written_is_read(texts: list[str]) -> None:
    whole = "".join(texts).removeprefix("\ufeff")
    assert text_of(map(text_stream.encode_text, texts)) == whole


# -- JSON over server-sent events ----------------------------------------------------------

START = {"type": "text-start", "id": "text-1"}
END = {"type": "text-end", "id": "text-1"}


def delta(text: str) -> dict[str, Any]:
    return {"type": "text-delta", "id": "text-1", "delta": text}


def decoded(pieces: Iterable[bytes]) -> tuple[list[UIMessageChunk], tuple[Any, ...] | None]:
    decoder = JSONSSEDecoder()
    chunks = decoder.open()
    for piece in pieces:
        chunks += decoder.feed(piece)
    chunks += decoder.close()
    error = decoder.error
    return chunks, None if error is None else (str(error), error.chunk, error.position)


def events(*data: str) -> bytes:
    return b"".join(f"data: {text}\n\n".encode() for text in data)


@pytest.mark.parametrize(
    ("stream", "chunks"),
    [
        (b"", []),
        (events("[DONE]"), [STREAM_DONE]),
        (events('{"text":"a"}', "[DONE]"), [START, delta("a"), END, STREAM_DONE]),
        (events('{"text":"a"}', '{"text":""}'), [START, delta("a"), delta("")]),
        (
            events('{"text":"a"}', "[DONE]", '{"text":"b"}', "[DONE]", "[DONE]"),
            [START, delta("a"), END, STREAM_DONE, START, delta("b"), END, STREAM_DONE, STREAM_DONE],
        ),
        (events("{}", '{"ping":1}', '{"text":"a","odd":1}'), [START, delta("a")]),
        (b': ping\n\nevent: message\ndata: {"text":\ndata: "a"}\n\n', [START, delta("a")]),
        (events('{"text":"\\ud83d"}'), [START, delta(HALF)]),
        (events('{"error":"no"}'), [{"type": "error", "errorText": "no"}]),
        (
            events('{"text":"a"}', '{"error":{"message":"ö"}}'),
            [START, delta("a"), {"type": "error", "errorText": '{"message":"ö"}'}],
        ),
        (events('{"error":null,"text":"a"}', '{"error":null}'), [START, delta("a")]),
        (events('{"error":"no","text":"a"}'), [{"type": "error", "errorText": "no"}]),
        (events('{"error":""}'), [{"type": "error", "errorText": ""}]),
    ],
)
def test_events_in_every_split(stream: bytes, chunks: list[UIMessageChunk]) -> None:
    assert decoded([stream]) == (chunks, None)
    assert decoded(byte_by_byte(stream)) == (chunks, None)
    for pieces in every_split(stream):
        assert decoded(pieces) == (chunks, None)


@pytest.mark.parametrize(
    "data", ["", "oh no", "[]", '"a"', "7", "null", '{"text":1}', '{"text":null}', '{"text":NaN}']
)
def test_what_is_no_piece_of_text(data: str) -> None:
    chunks, error = decoded([events('{"text":"a"}', data, '{"text":"b"}')])
    assert chunks == [START, delta("a")]
    assert error is not None
    assert "The server sent an event that is not" in error[0]
    assert error[1:] == (data, 2)


@given(st.lists(st.text(st.characters())), st.data())
def test_pieces_that_are_written_are_read(texts: list[str], data: st.DataObject) -> None:
    stream = b"".join(map(json_sse.encode_text, texts)) + json_sse.DONE
    chunks, error = decoded(cut(stream, data))
    assert error is None
    assert chunks[-1] == STREAM_DONE
    assert [c["delta"] for c in chunks if c["type"] == "text-delta"] == texts


def test_an_error_that_is_written_is_read() -> None:
    stream = json_sse.encode_error("Zu viele Anfragen \u2028")
    assert decoded([stream]) == ([{"type": "error", "errorText": "Zu viele Anfragen \u2028"}], None)
    assert json_sse.HEADERS["content-type"] == "text/event-stream"


ODD = st.lists(
    st.binary(max_size=8)
    | st.sampled_from(
        [b"data: ", b"\n\n", b'{"text":"', b'"}', b'{"error":', b"[DONE]", b"\\ud83d"]
    ),
    max_size=12,
).map(b"".join)
ODD_JSON = st.lists(
    st.dictionaries(
        st.sampled_from(["text", "error", "x"]),
        st.none() | st.text() | st.integers() | st.lists(st.integers(), max_size=2),
        max_size=3,
    ),
    max_size=5,
).map(lambda values: events(*map(json.dumps, values)))


@given(ODD | ODD_JSON, st.data())
def test_any_bytes_give_chunks_or_one_error_whatever_the_split(
    stream: bytes, data: st.DataObject
) -> None:
    whole = decoded([stream])
    assert decoded(byte_by_byte(stream)) == whole
    assert decoded(cut(stream, data)) == whole
    for chunk in whole[0]:
        assert chunk == STREAM_DONE or validate_chunk(chunk) == chunk
