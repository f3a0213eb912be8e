"""What a reply is in, told from its bytes with the headers as a hint."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usechat import StreamProtocolError, UIMessageChunk
from usechat.model.chunks import STREAM_DONE
from usechat.testing import byte_by_byte, every_split
from usechat.wire.auto import AutoDecoder
from usechat.wire.detect import ENOUGH, begins_like, sort_of

SSE = {"content-type": "text/event-stream"}
PLAIN = {"content-type": "text/plain; charset=utf-8"}
UI = {**SSE, "x-vercel-ai-ui-message-stream": "v1"}
V4 = {**PLAIN, "x-vercel-ai-data-stream": "v1"}
HTML = {"content-type": "text/html; charset=utf-8"}
NOTHING: dict[str, str] = {}
LABELS = {"sse": SSE, "plain": PLAIN, "ui": UI, "v4": V4, "html": HTML, "nothing": NOTHING}

START = b'data: {"type":"start"}\n\n'
UI_BODY = START + b'data: {"type":"text-delta","id":"1","delta":"Hi"}\n\ndata: [DONE]\n\n'
V4_BODY = b'0:"Hi"\nd:{"finishReason":"stop"}\n'
JSON_BODY = b'data: {"text":"Hi"}\n\ndata: [DONE]\n\n'


def decoder(headers: dict[str, str], **options: object) -> AutoDecoder:
    return AutoDecoder(200, headers, **options)  # type: ignore[arg-type]


def detected(auto: AutoDecoder) -> str | None:
    return None if auto.detection is None else auto.detection.protocol


def text_of(chunks: list[UIMessageChunk]) -> str:
    return "".join(chunk["delta"] for chunk in chunks if chunk["type"] == "text-delta")


def read(body: bytes, headers: dict[str, str]) -> tuple[AutoDecoder, list[UIMessageChunk]]:
    auto = decoder(headers)
    return auto, [*auto.open(), *auto.feed(body), *auto.close()]


# ---------------------------------------------------------------- the label may lie


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize(
    ("protocol", "body"),
    [("ui", UI_BODY), ("data-stream", V4_BODY), ("json-sse", JSON_BODY)],
)
def test_what_can_be_one_thing_only_is_read_as_that(label: str, protocol: str, body: bytes) -> None:
    for pieces in [[body], byte_by_byte(body), *every_split(body)]:
        auto = decoder(LABELS[label])
        chunks = [chunk for piece in pieces for chunk in auto.feed(piece)] + auto.close()
        assert detected(auto) == auto.protocol == protocol
        assert auto.error is None
        assert text_of(chunks) == "Hi"


@pytest.mark.parametrize(
    "heartbeat",
    [
        b": ping\n\n",
        b"\n\n",
        b"\r\n",
        b": a\n: b\n\n\n",
        b":\n\n",
        b"event: ping\n\n",
        b"retry: 9\n",
    ],
)
@pytest.mark.parametrize("label", LABELS)
def test_heartbeats_tell_nothing(label: str, heartbeat: bytes) -> None:
    for pieces in every_split(heartbeat + UI_BODY):
        auto = decoder(LABELS[label])
        chunks = [chunk for piece in pieces for chunk in auto.feed(piece)] + auto.close()
        assert (detected(auto), text_of(chunks)) == ("ui", "Hi")


@pytest.mark.parametrize("heartbeat", [b": ping\n\n", b"\n", b":\n"])
@pytest.mark.parametrize("label", ["plain", "v4"])
def test_heartbeats_of_the_data_stream_too(label: str, heartbeat: bytes) -> None:
    auto = decoder(LABELS[label])
    chunks = auto.feed(heartbeat * 3 + V4_BODY)
    assert (detected(auto), text_of(chunks)) == ("data-stream", "Hi")


@pytest.mark.parametrize("padding", [2048, 100_000])
def test_a_long_comment_tells_nothing_either(padding: int) -> None:
    auto = decoder(PLAIN)
    body = b":" + b" " * padding + b"\n\n" + UI_BODY
    chunks = [chunk for at in range(0, len(body), 700) for chunk in auto.feed(body[at : at + 700])]
    assert (detected(auto), text_of(chunks)) == ("ui", "Hi")


@pytest.mark.parametrize("value", [b"{}", b"", b" ", b'{"pong": 1}', b'{"type": 7}'])
def test_events_that_say_nothing_wait_for_one_that_does(value: bytes) -> None:
    auto = decoder(SSE)
    assert auto.feed(b"data: " + value + b"\n\n") == []
    assert detected(auto) is None
    assert text_of(auto.feed(JSON_BODY)) == "Hi"
    assert detected(auto) == "json-sse"


def test_a_byte_order_mark_hides_nothing() -> None:
    for body, protocol in ((UI_BODY, "ui"), (V4_BODY, "data-stream"), (b"Hi", "text")):
        for pieces in every_split(b"\xef\xbb\xbf" + body):
            auto = decoder(PLAIN)
            chunks = [chunk for piece in pieces for chunk in auto.feed(piece)] + auto.close()
            assert (detected(auto), text_of(chunks)) == (protocol, "Hi")


# ---------------------------------------------------------------- plain text

TEXTS = [
    "Hello",
    "The answer is 42.",
    "a",
    "0",
    "0: zero, 1: one",
    "2: [not, json",
    "data is plural",
    "data: the new oil",
    "data: {so to say}\n\n",
    "data",
    "event: a party\nat noon",
    "id",
    ":-) a smile\nand more",
    ": x",
    "\n\n  indented\n",
    " ",
    "\r\n",
    "d:{}x",
    '0:"zero" and 1:"one"',
    'data: {"a": 1} is how an event looks',
    "e: {}\nis a dict",
    'data: {"a": 1} ' + "word " * 120 + "\n",
    "b: be",
    "é\u2028ü\u0085",
    "{}",
    '{"type":"start"}',
    "[DONE]",
    "<p>",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_labelled_text_is_text(text: str) -> None:
    for pieces in [[text.encode()], byte_by_byte(text.encode()), *every_split(text.encode())]:
        auto = decoder(PLAIN)
        chunks = [chunk for piece in pieces for chunk in auto.feed(piece)] + auto.close()
        assert auto.protocol == "text"
        assert text_of(chunks) == text
        assert [chunk["type"] for chunk in chunks if chunk["type"] != "text-delta"] == [
            "start",
            "start-step",
            "text-start",
            "text-end",
            "finish-step",
            "finish",
        ]


@pytest.mark.parametrize("begin", ["Hello", "data is", "data: T", "a b", "0 ", "{", "x"])
def test_text_that_can_be_nothing_else_is_not_held_back(begin: str) -> None:
    auto = decoder(PLAIN)
    assert text_of(auto.feed(begin.encode())) == begin
    assert auto.detection is not None
    assert "text/plain" in auto.detection.reason


@pytest.mark.parametrize("begin", [b"event: ", b"id: ", b"data"])
def test_a_long_line_is_waited_for_up_to_a_limit(begin: bytes) -> None:
    auto = decoder(PLAIN)
    line = begin + b"x" * ENOUGH
    got = [chunk for piece in byte_by_byte(line[: ENOUGH - 1]) for chunk in auto.feed(piece)]
    if begin == b"data":
        assert text_of(got) == (line[: ENOUGH - 1]).decode()
        return
    assert got == []
    assert text_of(auto.feed(line[ENOUGH - 1 :])) == line.decode()


@pytest.mark.parametrize(
    ("begin", "protocol"),
    [(b'data: {"type":"data-x","data":"', None), (b'0:"', "data-stream"), (b'g:"', "data-stream")],
)
def test_a_long_first_chunk_need_not_end(begin: bytes, protocol: str | None) -> None:
    auto = decoder(PLAIN)
    assert auto.feed(begin + b"x" * 2 * ENOUGH) == []
    assert detected(auto) == protocol
    if protocol is None:
        assert len(auto.feed(b'"}\n\n')) == 1
        assert detected(auto) == "ui"
    else:
        assert len(text_of(auto.feed(b'"\n')) or "r") > 0
        assert auto.error is None


@pytest.mark.parametrize("begun", [b'0:"Hel', b'9:{"toolCallId":', b'data: {"type":"sta'])
def test_what_was_cut_in_its_first_line_is_no_text(begun: bytes) -> None:
    auto, chunks = read(begun, PLAIN)
    assert text_of(chunks) == ""
    assert auto.protocol != "text"


# ---------------------------------------------------------------- what is none

PAGE = b"<!DOCTYPE html>\n<html><body>It works!</body></html>"


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (PAGE, HTML, ["200", "text/html", "<!DOCTYPE html>", "URL"]),
        (b"<html>no line end", HTML, ["<html>no line end"]),
        (b'{"error":"no"}', {"content-type": "application/json"}, ["application/json", "no"]),
        (b"Hello", NOTHING, ["no content-type", "Hello", "protocol='text'"]),
        (b"data: Hello\n\n", SSE, ["text/event-stream", "Hello"]),
        (b'data: "Hello"\n\n', SSE, ['"Hello"']),
        (b'data: {"choices":[],"object":"chat.completion.chunk"}\n\n', SSE, ["OpenAI"]),
        (b'{"choices":[],"object":"chat.completion"}', HTML, ["OpenAI"]),
        (b"x" * 3 * ENOUGH, HTML, ["xxx…"]),
        (b"\xff\xfe\x00", HTML, ["\ufffd"]),
        (b"da", HTML, ["da"]),
        (b":", HTML, [":"]),
    ],
)
def test_what_is_none_says_what_came(body: bytes, headers: dict[str, str], said: list[str]) -> None:
    for pieces in [[body], byte_by_byte(body)]:
        auto = decoder(headers)
        chunks = [chunk for piece in pieces for chunk in auto.feed(piece)] + auto.close()
        assert chunks == []
        assert isinstance(auto.error, StreamProtocolError)
        for words in said:
            assert words in str(auto.error)
        assert (detected(auto), auto.protocol) == (None, None)
        assert auto.feed(UI_BODY) == auto.close() == []


def test_a_page_is_refused_before_its_end() -> None:
    auto = decoder(HTML)
    assert auto.feed(PAGE[:10]) == []
    assert auto.error is None  # the first characters are to be shown
    auto.feed(PAGE[10:20])
    assert auto.error is not None


@pytest.mark.parametrize("label", sorted(LABELS.keys() - {"plain"}))
@pytest.mark.parametrize("body", [b"", b"\n", b": ping\n\n", b": a\n\n: b\n\n"])
def test_a_reply_of_nothing_is_none(label: str, body: bytes) -> None:
    auto, chunks = read(body, LABELS[label])
    assert chunks == []
    assert auto.error is None
    assert detected(auto) is None


def test_no_byte_of_plain_text_is_no_text() -> None:
    auto, chunks = read(b"", PLAIN)
    assert (chunks, auto.error, auto.protocol) == ([], None, None)


def test_the_end_alone_is_an_end() -> None:
    auto, chunks = read(b"data: [DONE]\n\n", SSE)
    assert chunks == [STREAM_DONE]
    assert auto.error is None


def test_what_follows_the_end_still_counts() -> None:
    _, chunks = read(b"data: [DONE]\n\n" + UI_BODY, SSE)
    assert chunks[0] == STREAM_DONE
    assert text_of(chunks) == "Hi"


def test_a_ui_label_makes_broken_json_the_ui_streams_fault() -> None:
    auto, chunks = read(START.replace(b"}", b""), UI)
    assert chunks == []
    assert "not JSON" in str(auto.error)
    assert detected(auto) == "ui"


# ---------------------------------------------------------------- limits


def test_an_event_that_is_too_large_is_an_error_before_anything_is_known() -> None:
    auto = decoder(SSE, max_event_size=50)
    assert auto.feed(b"data: {}\n\ndata: " + b"x" * 60) == []
    assert "more than 50 characters" in str(auto.error)
    assert auto.feed(UI_BODY) == []


def test_chunks_before_an_event_that_is_too_large_are_there() -> None:
    auto = decoder(SSE, max_event_size=50)
    assert auto.feed(START + b"data: " + b"x" * 60) == [{"type": "start"}]
    assert "more than 50 characters" in str(auto.error)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("beat", [b"\n", b": ping\n\n"])
def test_heartbeats_are_not_kept_for_ever(label: str, beat: bytes) -> None:
    auto = decoder(LABELS[label], max_event_size=1000)
    for _ in range(2000):
        auto.feed(beat)
    assert len(auto._held) < 1100
    assert auto.error is None
    if label != "plain":  # so long a text is one
        auto.feed(UI_BODY)
        assert detected(auto) == "ui"


def test_a_page_without_lines_is_refused_before_its_end() -> None:
    auto = decoder(HTML)
    auto.feed(b"<html>" + b"x" * ENOUGH)
    assert "<html>" in str(auto.error)


def test_a_byte_order_mark_is_one_at_the_begin_only() -> None:
    auto, chunks = read(b"\n\xef\xbb\xbf" + UI_BODY, PLAIN)
    assert auto.protocol == "text"
    assert text_of(chunks).startswith("\n\ufeffdata:")


def test_openais_events_are_not_ours_whatever_else_they_hold() -> None:
    auto, _ = read(b'data: {"choices":[{"text":"Hi"}],"text":"Hi"}\n\n', SSE)
    assert "OpenAI" in str(auto.error)


def test_a_comment_without_end_is_not_kept_for_ever() -> None:
    auto = decoder(PLAIN, max_event_size=1000)
    assert auto.feed(b":" + b"x" * 998) == []
    assert len(text_of(auto.feed(b"yy"))) == 1001


# ---------------------------------------------------------------- what is passed on


def test_the_reading_is_as_strict_as_asked() -> None:
    body = START + b'data: {"type":"unknown"}\n\n'
    assert read(body, UI)[0].error is None
    strict = decoder(UI, strict=True)
    strict.feed(body)
    assert strict.error is not None
    assert strict.error.position == 1


def test_a_reply_that_continues_has_no_id_of_its_own() -> None:
    body = b'f:{"messageId":"m"}\n0:"Hi"\n'
    for continues in (False, True):
        chunks = decoder(V4, continues=continues).feed(body)
        assert ({"type": "start", "messageId": "m"} in chunks) is not continues


def test_event_ids_are_those_of_the_present_connection() -> None:
    auto = decoder(SSE)
    assert (auto.first_event_id, auto.last_event_id) == (None, None)
    auto.feed(b"id: 1\n" + START + b"id: 2\n" + START + b"id: 3\ndata: {")
    assert (auto.first_event_id, auto.last_event_id) == ("1", "2")
    auto.reconnected()
    assert (auto.first_event_id, auto.last_event_id) == (None, "2")
    assert auto.feed(b"id: 4\n" + START) == [{"type": "start"}]
    assert (auto.first_event_id, auto.last_event_id) == ("4", "4")


@pytest.mark.parametrize("headers", [PLAIN, SSE])
@pytest.mark.parametrize("begun", [b"", b'data: {"typ', b"id: 7\ndata: {", b"\n: x"])
def test_another_connection_begins_with_a_whole_line(headers: dict[str, str], begun: bytes) -> None:
    auto = decoder(headers)
    assert auto.feed(begun) == []
    auto.reconnected()
    assert text_of(auto.feed(UI_BODY)) == "Hi"
    assert detected(auto) == "ui"


# ---------------------------------------------------------------- anything


@given(st.binary(max_size=80), st.sampled_from(sorted(LABELS)))
def test_any_bytes_give_chunks_or_an_error(body: bytes, label: str) -> None:
    whole, chunks = read(body, LABELS[label])
    split = decoder(LABELS[label])
    pieces = [chunk for piece in byte_by_byte(body) for chunk in split.feed(piece)] + split.close()
    assert text_of(chunks) == text_of(pieces)
    # Of what is refused as many characters are shown as there were.
    assert (whole.protocol, type(whole.error)) == (split.protocol, type(split.error))


@pytest.mark.parametrize(
    ("line", "sort"),
    [
        (b"", "blank"),
        (b":", "comment"),
        (b"data", "data"),
        (b"data:", "data"),
        (b"dat", "other"),
        (b"event", "field"),
        (b"id: 4", "field"),
        (b"retry:1", "field"),
        (b"database: x", "other"),
        (b'0:"x"', "code"),
        (b'0: "x"', "other"),
        (b'0:"x', "other"),
        (b"0:", "other"),
        (b"0:7", "other"),
        (b"2:[1]", "code"),
        (b"2:{}", "other"),
        (b"d:{}", "code"),
        (b"k:{}", "code"),
        (b"l:{}", "other"),
        (b"0", "other"),
        (b'00:"x"', "other"),
        (b'0:"\xff"', "code"),
    ],
)
def test_what_a_whole_line_is(line: bytes, sort: str) -> None:
    assert sort_of(line, whole=True) == sort


@pytest.mark.parametrize(
    ("line", "sort"),
    [
        (b"", None),
        (b":", None),
        (b"d", None),
        (b"data", None),
        (b"data:", "data"),
        (b"datu", "other"),
        (b"i", None),
        (b"0", None),
        (b"0:", None),
        (b"0: ", "other"),
        (b'0:"', None),
        (b'0:"' + b"x" * ENOUGH, None),
        (b"0:x", "other"),
        (b"00", "other"),
        (b"H", "other"),
    ],
)
def test_what_the_begin_of_a_line_tells(line: bytes, sort: str | None) -> None:
    assert sort_of(line, whole=False) == sort


def test_the_last_line_may_lack_its_end() -> None:
    auto, chunks = read(b'0:"Hi"', PLAIN)
    assert (detected(auto), text_of(chunks), auto.error) == ("data-stream", "Hi", None)


def test_what_a_line_that_was_cut_speaks_for() -> None:
    assert begins_like(b'data: {"type":"st') == "events"
    assert begins_like(b"data:{") == "events"
    assert begins_like(b'data: {"a": 1} and more') is begins_like(b'0:"H" and more') is None
    assert begins_like(b'0:"H') == begins_like(b"9:{") == begins_like(b"8:[") == "data-stream"
    for unclear in (b"", b"0", b"0:", b"9: {", b"data:", b"data: H", b"0:{", b"x:{"):
        assert begins_like(unclear) is None


def test_a_ui_chunk_in_a_long_reply_is_not_looked_at_twice() -> None:
    auto = decoder(SSE)
    events = [json.dumps({"type": "text-delta", "id": "1", "delta": "x" * 9}) for _ in range(100)]
    body = b"".join(b"data: " + event.encode() + b"\n\n" for event in events)
    assert len(auto.feed(body)) == 100
    assert auto.detection is not None
    assert '"type"' in auto.detection.reason
