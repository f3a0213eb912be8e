"""Server-sent events: the HTML standard's rules, whatever the split."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable

import httpx
import httpx_sse
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usechat import StreamProtocolError
from usechat.testing import byte_by_byte, every_split
from usechat.wire.sse import DEFAULT_MAX_EVENT_SIZE, SSEDecoder

BOM = b"\xef\xbb\xbf"

# A stream and the data of its events.
STREAMS: list[tuple[bytes, list[str]]] = [
    (b"", []),
    (b"data: a\n\n", ["a"]),
    (b"data: a\r\n\r\n", ["a"]),
    (b"data: a\r\rdata: b\r\r", ["a"]),  # the last CR may be half of a CRLF
    (b"data: a\r\rdata: b\r\r\n", ["a", "b"]),
    (b"data: a\n\r\ndata: b\r\n\ndata: c\r\n\rdata: d\n\r\n", ["a", "b", "c", "d"]),
    (b"data: a\n\ndata: b\n\n\n\ndata: c\n\n", ["a", "b", "c"]),
    (b"data: a\ndata: b\n\n", ["a\nb"]),
    (b"data: a\ndata:\ndata\ndata: b\n\n", ["a\n\n\nb"]),
    (b"data\n\n", [""]),
    (b"data:\n\n", [""]),
    (b"data: \n\n", [""]),
    (b"data:  a \n\n", [" a "]),
    (b"data:a\n\n", ["a"]),
    (b"data:\ta\n\n", ["\ta"]),
    (b"data: a: b\n\n", ["a: b"]),
    (b"data : a\n\nDATA: b\n\n data: c\n\ndata-x: d\n\ndatax\n\n", []),
    (b"event: x\nid: 1\nretry: 5\ndata: a\nid\nodd: 1\n\n", ["a"]),
    (b"event: x\n\nid: 1\n\ndata: a\n\n", ["a"]),
    (b": comment\n\n:\n\n: data: x\ndata: a\n:\n\n", ["a"]),
    (b"data: a\n\ndata: never ended\n", ["a"]),
    (b"data: a\n\ndata: never ended", ["a"]),
    (b"\n\n\ndata: a\n\n", ["a"]),
    (BOM + b"data: a\n\n", ["a"]),
    (BOM + BOM + b"data: a\n\ndata: b\n\n", ["b"]),  # only one is stripped
    (b"data: a\n\n" + BOM + b"data: b\n\n", ["a"]),
    (b"data: a" + BOM + b"\n\n", ["a\ufeff"]),
    ("data: a\u2028b\u0085c\vd\fe\x1cf\u2029\n\n".encode(), ["a\u2028b\u0085c\vd\fe\x1cf\u2029"]),
    ("data: Grüße 🌍 日本\n\n".encode(), ["Grüße 🌍 日本"]),
    (b"data: \xff\xf0\x9f\x8c\n\ndata: \xc3\n\n", ["\ufffd\ufffd", "\ufffd"]),
    (b"data: \xed\xa0\xbd\n\n", ["\ufffd\ufffd\ufffd"]),  # half a character in UTF-8
    (b"data: \x00\n\n", ["\x00"]),
    (b"<!DOCTYPE html>\n<html>\n\n</html>", []),
]


def decoded(pieces: Iterable[bytes], bound: int = DEFAULT_MAX_EVENT_SIZE) -> tuple[list[str], bool]:
    """The data of the events, and whether one was too large."""
    decoder = SSEDecoder(bound)
    events: list[str] = []
    for piece in pieces:
        try:
            events += decoder.feed(piece)
        except StreamProtocolError:
            return events + decoder.completed, True
        assert decoder.completed == [] or events[-len(decoder.completed) :] == decoder.completed
    return events, False


@pytest.mark.parametrize(("stream", "events"), STREAMS)
def test_a_stream_whole_in_bytes_and_in_every_split(stream: bytes, events: list[str]) -> None:
    assert decoded([stream]) == (events, False)
    assert decoded(byte_by_byte(stream)) == (events, False)
    assert decoded([b"", *byte_by_byte(stream), b""]) == (events, False)
    for pieces in every_split(stream):
        assert decoded(pieces) == (events, False), pieces


@pytest.mark.parametrize(
    "stream",
    [
        b"data: a\r\n\r\ndata: b\r\rdata: c\n\n",
        "data: ü🌍\ndata\r\n\n:c\r\n\r\n".encode(),
        BOM + b"data: a\n\ndata: b\r\n\r\n",
    ],
)
def test_every_split_in_three(stream: bytes) -> None:
    whole = decoded([stream])
    assert whole[0]
    for pieces in every_split(stream, 3):
        assert decoded(pieces) == whole, pieces


def test_two_streams_do_not_share_a_byte_order_mark() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(BOM) == []
    assert decoder.feed(b"data: a\n\n") == ["a"]


# -- the oracle ----------------------------------------------------------------------------

END = st.sampled_from(["\n", "\r\n"])
LINE_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), max_size=12)


@st.composite
def well_formed(draw: st.DrawFn) -> bytes:
    """A stream as servers write them, ended with a whole event."""
    end = draw(END)
    lines: list[str] = []
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            lines.append(f": {draw(LINE_TEXT)}")
        data = draw(st.lists(LINE_TEXT, min_size=1, max_size=3))
        space = draw(st.sampled_from(["", " "]))
        lines += [f"data:{space}{text}" for text in data]
        lines.append("")
    return "".join(line + end for line in lines).encode()


@given(well_formed(), st.data())
def test_httpx_sse_reads_the_same(stream: bytes, data: st.DataObject) -> None:
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    oracle = [event.data for event in httpx_sse.EventSource(response).iter_sse()]
    assert decoded([stream]) == (oracle, False)
    assert decoded(cut(stream, data)) == (oracle, False)


def cut(stream: bytes, data: st.DataObject) -> list[bytes]:
    at = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    return [stream[a:b] for a, b in zip([0, *at], [*at, len(stream)], strict=True)]


BITS = [b"data: ", b"data:", b"data", b"\n", b"\r", b"\r\n", b"\n\n", b":", b" ", b"a", b"bc"]
ODD_BITS = ["ü".encode(), "🌍".encode(), BOM, b"\xff", b"\xf0\x9f", b"id: 1"]
NASTY = st.lists(st.sampled_from([*BITS, *ODD_BITS]), max_size=25).map(b"".join)


@given(NASTY | st.binary(max_size=60), st.integers(1, 20), st.data())
def test_any_bytes_give_the_same_whatever_the_split(
    stream: bytes, bound: int, data: st.DataObject
) -> None:
    for size in (DEFAULT_MAX_EVENT_SIZE, bound):
        whole = decoded([stream], size)
        assert decoded(byte_by_byte(stream), size) == whole
        assert decoded(cut(stream, data), size) == whole


# -- the bound -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "fits"),
    [
        (b"data: 1234\n\n", True),
        (b"data: 12345\n\n", False),
        (b"data: 1234\n\n" * 5, True),
        (b"data: 123\ndata\n\n", True),
        (b"data: 1234\ndata: 5\n\n", False),
        (b"data\n" * 6 + b"\n", True),
        (b"data\n" * 12, False),
        (b": 456789012\n\n", False),
        (b": 4567890\n" * 5, True),
        (b"data: a\n\ndata: 12345", False),
    ],
)
def test_what_is_too_large_is_so_in_every_split(stream: bytes, fits: bool) -> None:
    whole = decoded([stream], 10)
    assert whole[1] is not fits
    assert decoded(byte_by_byte(stream), 10) == whole
    for pieces in every_split(stream):
        assert decoded(pieces, 10) == whole, pieces


def test_events_before_the_large_one_are_kept_and_the_message_says_what_to_do() -> None:
    decoder = SSEDecoder(2000)
    with pytest.raises(StreamProtocolError, match=r"more than 2,000 characters.*max_event_size"):
        decoder.feed(b"data: a\n\ndata: b\n\ndata: " + b"x" * 2000)
    assert decoder.completed == ["a", "b"]


@pytest.mark.parametrize("piece", [b"x" * 65536, b"data: 12345678901\n" * 4096, b"data\n" * 13107])
def test_an_event_of_100_mb_ends_at_the_bound(piece: bytes) -> None:
    bound = 128 * 1024
    decoder = SSEDecoder(bound)
    fed = 0

    def feed_all() -> None:
        nonlocal fed
        decoder.feed(b"data: ")
        while fed < 100_000_000:
            fed += len(piece)
            decoder.feed(piece)

    tracemalloc.start()
    try:
        with pytest.raises(StreamProtocolError):
            feed_all()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A line "data" is one character of an event, and some bytes more as an item of a list.
    assert fed <= 6 * bound
    assert peak < 30 * bound


def test_comments_without_end_hold_nothing() -> None:
    decoder = SSEDecoder(100)
    for _ in range(10_000):
        assert decoder.feed(b": heartbeat\n") == []
    assert decoder.feed(b"data: a\n\n") == ["a"]


def test_an_event_in_many_pieces_is_joined_once() -> None:
    # Were the pieces joined as they come, their number would not grow.
    decoder = SSEDecoder()
    decoder.feed(b"data: ")
    for _ in range(1000):
        decoder.feed(b"x" * 100)
    assert len(decoder._line) == 1001
    assert decoder.feed(b"\n\n") == ["x" * 100_000]
    assert decoder._line == []
