"""The data stream of version 4: what its client makes of it, the same whatever the split."""

from __future__ import annotations

import codecs
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.harness import Chat
from usechat import ServerError, UIMessageChunk
from usechat.model.chunk_validation import validate_chunk
from usechat.model.chunks import STREAM_DONE
from usechat.server.demo import KEYWORDS, write
from usechat.server.script import SILENCE
from usechat.testing import byte_by_byte, every_split
from usechat.wire.data_stream import HEADERS, DataStreamDecoder
from usechat.wire.data_stream_encoder import DataStreamEncoder
from usechat.wire.event_stream import shown

HALF = "\ud83d"
FOLDER = Path(__file__).parent.parent / "data_streams"
EXPECTED = sorted((FOLDER / "expected").glob("*.json"))


def body_of(name: str) -> bytes:
    return (FOLDER / f"{name}.http").read_bytes().partition(b"\r\n\r\n")[2]


def line(code: str, value: Any) -> bytes:
    return f"{code}:{json.dumps(value)}\n".encode()


def decoded(
    pieces: Iterable[bytes], decoder: DataStreamDecoder | None = None
) -> tuple[list[UIMessageChunk], tuple[Any, ...] | None]:
    """The chunks, all of them valid, and what is to be known of the error."""
    decoder = decoder or DataStreamDecoder()
    chunks = decoder.open()
    for piece in pieces:
        chunks += decoder.feed(piece)
    chunks += decoder.close()
    assert [validate_chunk(chunk) for chunk in chunks] == chunks
    error = decoder.error
    return chunks, None if error is None else (str(error), error.chunk, error.position)


def read(*lines: bytes, continues: bool = False) -> list[UIMessageChunk]:
    """The chunks of lines in which nothing is wrong."""
    chunks, error = decoded(lines, DataStreamDecoder(continues=continues))
    assert error is None
    return chunks


def text(*deltas: str, id: str = "text-1", ends: bool = False) -> list[UIMessageChunk]:
    """The chunks of a text part that begins."""
    chunks: list[UIMessageChunk] = [{"type": "text-start", "id": id}]
    chunks += [{"type": "text-delta", "id": id, "delta": delta} for delta in deltas]
    return [*chunks, {"type": "text-end", "id": id}] if ends else chunks


STEP = line("f", {"messageId": "m1"})
END_STEP = line("e", {"finishReason": "stop", "isContinued": False})
CALL = {"toolCallId": "c1", "toolName": "weather"}


# -- replies of real servers ---------------------------------------------------------------

STATES = {"partial-call": "input-streaming", "call": "input-available"}


def our_part(part: dict[str, Any]) -> dict[str, Any]:
    """A part of a message of version 4, in our form."""
    kind = part["type"]
    if kind == "reasoning":
        return {"type": kind, "text": part["reasoning"]}
    if kind == "source":
        source = dict(part["source"])
        return {
            "type": f"source-{source.pop('sourceType')}",
            "sourceId": source.pop("id"),
            **source,
        }
    if kind == "tool-invocation":
        call = part["toolInvocation"]
        ours = {
            "type": f"tool-{call['toolName']}",
            "toolCallId": call["toolCallId"],
            "state": STATES.get(call["state"], "output-available"),
            "input": call["args"],
        }
        return {**ours, "output": call["result"]} if "result" in call else ours
    return part


def without_states(part: dict[str, Any]) -> dict[str, Any]:
    """A part of ours without what version 4 has no field for."""
    dropped = ["rawInput"]
    if not part["type"].startswith("tool-"):
        dropped += ["id", "state"]
    return {name: value for name, value in part.items() if name not in dropped}


def data_of(parts: list[dict[str, Any]], kind: str) -> list[Any]:
    return [part["data"] for part in parts if part["type"] == kind]


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_a_reply_is_what_the_client_of_version_4_makes_of_it(path: Path) -> None:
    expected = json.loads(path.read_text("utf-8"))
    chat = Chat()
    turn = chat.send()
    chat.receive(*read(body_of(path.stem)))
    if chat.engine.exchange is not None:
        chat.finish()
    message, theirs = chat.dump()[-1], expected["message"]
    parts = message["parts"]
    assert data_of(parts, "data-data") == expected["data"]
    assert data_of(parts, "data-annotation") == theirs.get("annotations", [])
    shown_parts = [without_states(p) for p in parts if not p["type"].startswith("data-")]
    assert shown_parts == [our_part(part) for part in theirs["parts"]]
    if not theirs["id"].startswith("id-"):  # one that the client had to make
        assert message["id"] == theirs["id"]
    if "thrown" in expected:
        assert isinstance(chat.error, ServerError)
        assert str(chat.error) == expected["thrown"]
    else:
        finish = expected["finish"]
        assert chat.error is None
        assert (turn.finish_reason or "unknown") == finish["finishReason"]
        # The client adds the total, and has no numbers where there is no finish.
        usage = message.get("metadata", {}).get("usage", {})
        assert usage == {name: finish["usage"][name] for name in usage}


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_a_reply_is_the_same_at_every_cut(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    body = body_of(path.stem)
    expected = decoded([body])
    assert expected[0]
    assert decoded(byte_by_byte(body)) == expected
    for pieces in every_split(body):
        assert decoded(pieces) == expected, len(pieces[0])
    assert caplog.records == []  # a real server's reply is nothing to complain of


def test_there_are_replies() -> None:
    assert len(EXPECTED) == 8


def test_plain_text_is_an_error_that_names_it() -> None:
    chunks, error = decoded(["Hello, wörld 🌍\u2028!".encode()])
    assert chunks == []
    assert error is not None
    assert "Hello" in error[0]


def test_the_headers_are_those_of_the_sdk() -> None:
    head = (FOLDER / "ai4-text.http").read_bytes().partition(b"\r\n\r\n")[0].decode()
    sent = [line.lower() for line in head.split("\r\n")]
    ours = [f"{name}: {value}" for name, value in HEADERS.items() if name != "cache-control"]
    assert all(header in sent for header in ours)


# -- what each line means ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "value", "chunks"),
    [
        ("0", "Hi", text("Hi")),
        ("0", "", text("")),
        ("0", HALF, text(HALF)),
        ("2", [], []),
        ("2", [1, {"a": None}], [{"type": "data-data", "data": d} for d in (1, {"a": None})]),
        ("3", "no", [{"type": "error", "errorText": "no"}]),
        (
            "5",
            {"threadId": "t", "messageId": "m"},
            [{"type": "data-assistant-control", "data": {"threadId": "t", "messageId": "m"}}],
        ),
        (
            "6",
            {"id": "d1", "role": "data", "data": [1]},
            [{"type": "data-message", "data": [1], "id": "d1"}],
        ),
        ("6", {"role": "data", "data": 1}, [{"type": "data-message", "data": 1}]),
        ("8", [{"k": 1}], [{"type": "data-annotation", "data": {"k": 1}}]),
        (
            "9",
            {**CALL, "args": {"city": "Rome"}},
            [{"type": "tool-input-available", **CALL, "input": {"city": "Rome"}}],
        ),
        ("9", {**CALL, "args": None}, [{"type": "tool-input-available", **CALL, "input": None}]),
        (
            "a",
            {"toolCallId": "c1", "result": None},
            [{"type": "tool-output-available", "toolCallId": "c1", "output": None}],
        ),
        ("b", CALL, [{"type": "tool-input-start", **CALL}]),
        (
            "c",
            {"toolCallId": "c1", "argsTextDelta": '{"ci'},
            [{"type": "tool-input-delta", "toolCallId": "c1", "inputTextDelta": '{"ci'}],
        ),
        ("d", {"finishReason": "stop"}, [{"type": "finish", "finishReason": "stop"}]),
        (
            "d",
            {"finishReason": "a reason", "usage": {"promptTokens": None}},
            [
                {
                    "type": "finish",
                    "finishReason": "a reason",
                    "messageMetadata": {"usage": {"promptTokens": None}},
                }
            ],
        ),
        ("d", {"finishReason": "x", "usage": None}, [{"type": "finish", "finishReason": "x"}]),
        ("e", {"finishReason": "stop"}, [{"type": "finish-step"}]),
        ("f", {"messageId": "m"}, [{"type": "start", "messageId": "m"}, {"type": "start-step"}]),
        (
            "g",
            "Hm",
            [
                {"type": "reasoning-start", "id": "reasoning-1"},
                {"type": "reasoning-delta", "id": "reasoning-1", "delta": "Hm"},
            ],
        ),
        (
            "h",
            {"sourceType": "url", "id": "s", "url": "u", "title": None, "providerMetadata": {}},
            [{"type": "source-url", "sourceId": "s", "url": "u", "providerMetadata": {}}],
        ),
        ("h", {"url": "u"}, [{"type": "source-url", "sourceId": "u", "url": "u"}]),
        (
            "h",
            {"sourceType": "document", "id": "s", "mediaType": "text/plain", "title": "T"},
            [
                {
                    "type": "source-document",
                    "sourceId": "s",
                    "mediaType": "text/plain",
                    "title": "T",
                }
            ],
        ),
        (
            "k",
            {"data": "aGk=", "mimeType": "text/plain"},
            [
                {
                    "type": "file",
                    "url": "data:text/plain;base64,aGk=",
                    "mediaType": "text/plain",
                }
            ],
        ),
        ("j", {"signature": "s"}, []),  # of nothing
    ],
)
def test_a_line(
    code: str, value: Any, chunks: list[UIMessageChunk], caplog: pytest.LogCaptureFixture
) -> None:
    assert read(line(code, value)) == chunks
    assert caplog.records == []


def test_the_text_of_a_step_is_one_part_whatever_comes_between() -> None:
    call = line("9", {**CALL, "args": {}})
    chunks = read(STEP, line("0", "a"), line("g", "b"), call, line("0", "c"), END_STEP)
    assert [chunk for chunk in chunks if chunk["type"].startswith("text")] == text(
        "a", "c", ends=True
    )
    assert [chunk["type"] for chunk in chunks[-3:]] == ["text-end", "reasoning-end", "finish-step"]


def test_text_that_is_written_in_another_way_goes_into_the_same_part() -> None:
    assert read(b'0:"a"\n', b'0: "b"\n', b'0:"\\ud83d"\n') == text("a", "b", "\ud83d")


def test_a_step_that_ends_ends_the_text_unless_it_is_continued() -> None:
    goes_on = line("e", {"finishReason": "length", "isContinued": True})
    chunks = read(STEP, line("0", "a"), goes_on, STEP, line("0", "b"), END_STEP, line("0", "c"))
    assert [chunk for chunk in chunks if chunk["type"].startswith("text")] == [
        *text("a", "b", ends=True),
        *text("c", id="text-2"),
    ]


def test_a_finish_ends_what_is_open() -> None:
    chunks = read(line("0", "a"), line("g", "b"), line("d", {"finishReason": "stop"}))
    assert [chunk["type"] for chunk in chunks[-3:]] == ["text-end", "reasoning-end", "finish"]
    assert read(line("d", {"finishReason": "stop"})) == chunks[-1:]


def test_the_last_step_names_the_message_unless_it_is_there_already() -> None:
    steps = [STEP, STEP, line("f", {"messageId": "m2"})]
    names = [chunk.get("messageId") for chunk in read(*steps) if chunk["type"] == "start"]
    assert names == ["m1", "m2"]
    assert read(*steps, continues=True) == [{"type": "start-step"}] * 3


def test_reasoning_keeps_its_signatures_and_what_is_redacted() -> None:
    chunks = read(
        line("g", "a"),
        line("j", {"signature": "s1"}),
        line("i", {"data": "secret"}),
        line("j", {"signature": "of nothing"}),
        line("g", "b"),
        line("g", "c"),
        line("j", {"signature": "s2"}),
        line("g", "d"),
        END_STEP,
    )
    assert [
        (chunk["id"], chunk.get("providerMetadata"))
        for chunk in chunks
        if chunk["type"] == "reasoning-end"
    ] == [
        ("reasoning-1", {"ai4": {"signature": "s1"}}),
        ("reasoning-2", {"ai4": {"redactedData": "secret"}}),
        ("reasoning-3", {"ai4": {"signature": "s2"}}),
        ("reasoning-4", None),
    ]
    deltas = [chunk for chunk in chunks if chunk["type"] == "reasoning-delta"]
    assert [(chunk["id"][-1], chunk["delta"]) for chunk in deltas] == [
        ("1", "a"),
        ("3", "b"),
        ("3", "c"),
        ("4", "d"),
    ]


# -- version 3 and the assistants API ------------------------------------------------------


def test_calls_of_version_3() -> None:
    function = {"name": "weather", "arguments": '{"city":"Rome"}'}
    old = read(line("1", {"function_call": function}), line("1", {"function_call": function}))
    assert [(chunk["toolName"], chunk["input"]) for chunk in old] == [
        ("weather", {"city": "Rome"})
    ] * 2
    assert len({chunk["toolCallId"] for chunk in old}) == 2
    assert old == read(*[line("1", {"function_call": function})] * 2)  # a replay has the same ids
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "a", "arguments": " "}},
        {"id": None, "type": "function", "function": {"name": HALF, "arguments": "[1]"}},
        {"id": "c3", "type": "function", "function": {"name": "c", "arguments": "{oh"}},
    ]
    new = read(line("7", {"tool_calls": calls}))
    assert new[0] == {
        "type": "tool-input-available",
        "toolCallId": "c1",
        "toolName": "a",
        "input": {},
    }
    assert (new[1]["toolName"], new[1]["input"]) == (HALF, [1])
    assert new[1]["toolCallId"].startswith("call-1-")
    assert (new[2]["type"], new[2]["input"]) == ("tool-input-error", "{oh")
    assert "not JSON" in new[2]["errorText"]


def test_a_message_of_the_assistants_api() -> None:
    items = [{"type": "text", "text": {"value": value}} for value in ("a", "b")]
    message = {"id": "m1", "role": "assistant", "content": items}
    start = {"type": "start", "messageId": "m1"}
    assert read(line("0", "x"), line("4", message), line("0", "y")) == [
        *text("x", ends=True),
        start,
        *text("ab", id="text-2", ends=True),
        *text("y", id="text-3"),
    ]
    assert read(line("4", {**message, "content": []}), line("0", "y")) == [start, *text("y")]
    assert read(line("4", message), continues=True) == text("ab", ends=True)


# -- lines ---------------------------------------------------------------------------------


def test_what_ends_a_line_and_what_does_not() -> None:
    stream = '\n \n\r\n: ping\n:\n0: "a\u2028\u0085b" \r\n\r0:"c"\n'.encode()
    chunks, error = decoded([stream])
    assert chunks == text("a\u2028\u0085b")
    assert error is not None
    assert error[1] == '\r0:"c"'


def test_the_last_line_may_lack_its_end() -> None:
    expected = text("a", "b")
    for end in (b"", b"\r", b"\n", b"\r\n", b"\n\n"):
        stream = b'0:"a"\n0:"b"' + end
        assert decoded([stream]) == (expected, None)
        assert decoded(byte_by_byte(stream)) == (expected, None)


def test_one_byte_order_mark_and_broken_utf_8() -> None:
    stream = codecs.BOM_UTF8 + b'0:"a\xffb"\n0:"\xe2\x82"\n'
    for pieces in ([stream], byte_by_byte(stream)):
        assert decoded(pieces) == (text("a\ufffdb", "\ufffd"), None)
    assert decoded([b'0:"a"\n0:"b"\xe2'])[1] is not None


def test_lines_of_unknown_codes_are_skipped_with_one_log_line_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    odd = [line("z", "hunter2"), line("aui-state", [{"hunter2": 1}])]
    assert read(*odd, *odd, line("0", "a")) == text("a")
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert [record.name for record in caplog.records] == ["usechat"] * 2
    assert "aui-state" in caplog.messages[1]
    assert "hunter2" not in caplog.text


def test_what_javascript_leaves_out_is_null_with_a_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    call, result = read(line("9", CALL), line("a", {"toolCallId": "c1"}))
    assert (call["input"], result["output"]) == (None, None)
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    "value",
    [
        {"id": "s"},
        {"id": 1, "url": "u"},
        {"url": "u", "providerMetadata": {"p": 1}},
        {"sourceType": "document", "id": "s"},
    ],
)
def test_a_source_that_cannot_be_shown_is_skipped(
    value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(line("h", value)) == []
    assert len(caplog.records) == 1


# -- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        "nonsense",
        "0",
        '"0:"',
        "0:",
        "0:x",
        "0:1",
        "0:null",
        '0:"a" "b"',
        '0:"a',
        '0:"a\rb"',
        '0:"\\ud83d',
        '0 :"a"',
        ' 0:"a"',
        'data: {"type":"start"}',
        "id: 1",
        "<html>: 1",
        "z:nonsense",
        "z:NaN",
        "x" * 33 + ":1",
        "1:{}",
        '1:{"function_call":{"name":"a"}}',
        '1:{"function_call":{"name":1,"arguments":""}}',
        "2:{}",
        "3:{}",
        "4:[]",
        '4:{"id":"m"}',
        '4:{"content":[]}',
        '4:{"id":"m","content":[1]}',
        '4:{"id":"m","content":[{"type":"image","text":{"value":""}}]}',
        '4:{"id":"m","content":[{"type":"text","text":{"value":1}}]}',
        '4:{"id":"m","content":[{"type":"text","text":"a"}]}',
        "5:{}",
        "6:[]",
        "7:{}",
        '7:{"tool_calls":[1]}',
        '7:{"tool_calls":[{"function":1}]}',
        "8:null",
        "9:[]",
        '9:{"toolCallId":"c"}',
        '9:{"toolCallId":"c","toolName":"n","args":"x"}',
        "a:{}",
        'b:{"toolCallId":1,"toolName":"n"}',
        'c:{"toolCallId":"c"}',
        "d:{}",
        'd:{"finishReason":null}',
        'e:{"finishReason":1}',
        "f:{}",
        "g:[]",
        "h:1",
        "i:{}",
        "j:{}",
        'k:{"data":"","mimeType":null}',
        "2:[" + "9" * 10_000 + "]",
        "2:" + "[" * 10_000 + "]" * 10_000,
    ],
)
def test_a_bad_line_after_good_ones(bad: str) -> None:
    stream = line("0", "a") * 3 + bad.encode() + b"\n" + line("0", "b")
    chunks, error = decoded([stream])
    assert chunks == text("a", "a", "a")
    assert error is not None
    said, chunk, position = error
    assert "The server sent a line that is not of the data stream" in said
    assert (chunk, position) == (shown(bad), 4)
    assert decoded(byte_by_byte(stream)) == (chunks, error)


def test_nothing_is_read_after_an_error() -> None:
    decoder = DataStreamDecoder()
    assert decoder.feed(b'0:"a"\nno\n0:"b"\n') == text("a")
    first = decoder.error
    assert first is not None
    assert decoder.feed(b'0:"c"\n') == []
    assert decoder.close() == []
    assert decoder.error is first


def test_a_line_that_is_too_large() -> None:
    good = line("0", "x" * 96)
    assert len(good) == 101
    for bad in (line("0", "x" * 97), b"x" * 101, line("2", [1] * 50)):
        stream = good + good + bad
        for pieces in ([stream], byte_by_byte(stream), [stream[:150], stream[150:]]):
            chunks, error = decoded(pieces, DataStreamDecoder(100))
            assert chunks == text("x" * 96, "x" * 96)
            assert error is not None
            assert "max_event_size" in error[0]


def test_another_connection_goes_on_at_the_begin_of_a_line() -> None:
    decoder = DataStreamDecoder()
    chunks = decoder.feed(b'0:"a"\n0:"b\xe2\x82')
    decoder.reconnected()
    chunks += decoder.feed(codecs.BOM_UTF8 + b'0:"b"\n')
    assert chunks == text("a", "b")
    assert decoder.protocol == "data-stream"
    assert decoder.first_event_id is decoder.last_event_id is None


# -- any bytes, any split ------------------------------------------------------------------

LINES = st.sampled_from(
    [
        b'0:"a"',
        b'0:"\\ud83d"',
        '0:"\u2028ü"'.encode(),
        b'g:"b"',
        b'i:{"data":"d"}',
        b'j:{"signature":"s"}',
        b'e:{"finishReason":"stop"}',
        b'd:{"finishReason":"stop","usage":{}}',
        b'f:{"messageId":"m"}',
        b'9:{"toolCallId":"c","toolName":"n"}',
        b'h:{"id":"s"}',
        b"z:1",
        b": ping",
        b"",
        b"no",
    ]
)
ENDS = st.sampled_from([b"\n", b"\n", b"\r\n"])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=12).map(
    lambda lines: b"".join(text + end for text, end in lines)
)
NAMES = """
    id url usage args result content function_call tool_calls toolCallId toolName finishReason
    messageId data mimeType signature title sourceType providerMetadata
"""
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES.split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
CODED = st.tuples(st.sampled_from("0123456789abcdefghijkz"), VALUES).map(lambda pair: line(*pair))


def cut(stream: bytes, data: st.DataObject) -> list[bytes]:
    at = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    return [stream[a:b] for a, b in zip([0, *at], [*at, len(stream)], strict=True)]


@given(STREAMS | st.binary(max_size=60) | st.lists(CODED, max_size=6).map(b"".join), st.data())
def test_any_bytes_give_the_same_chunks_or_the_same_error_whatever_the_split(
    stream: bytes, data: st.DataObject
) -> None:
    size = data.draw(st.sampled_from([30, 1000]))
    expected = decoded([stream], DataStreamDecoder(size))
    assert decoded(cut(stream, data), DataStreamDecoder(size)) == expected
    assert decoded(byte_by_byte(stream), DataStreamDecoder(size)) == expected


# -- the encoder ---------------------------------------------------------------------------


def encoded(*chunks: UIMessageChunk) -> list[str]:
    """The lines of chunks, all in one form of JSON."""
    encoder = DataStreamEncoder("m1")
    return b"".join(map(encoder.encode, chunks)).decode().split("\n")[:-1]


@pytest.mark.parametrize(
    ("chunk", "lines"),
    [
        ({"type": "start"}, []),
        ({"type": "start", "messageMetadata": {"a": 1}}, ['8:[{"a":1}]']),
        ({"type": "message-metadata", "messageMetadata": 1}, ["8:[1]"]),
        ({"type": "start-step"}, ['f:{"messageId":"m1"}']),
        ({"type": "text-start", "id": "t"}, []),
        ({"type": "text-delta", "id": "t", "delta": "a\nb\u2028"}, ['0:"a\\nb\u2028"']),
        ({"type": "reasoning-end", "id": "r"}, []),
        (
            {
                "type": "reasoning-end",
                "id": "r",
                "providerMetadata": {"ai4": {"signature": "s"}, "other": {"signature": "t"}},
            },
            ['j:{"signature":"s"}'],
        ),
        (
            {
                "type": "reasoning-end",
                "id": "r",
                "providerMetadata": {"ai4": {"redactedData": "d"}},
            },
            ['i:{"data":"d"}'],
        ),
        (
            {"type": "tool-input-available", **CALL, "input": "raw"},
            ['9:{"toolCallId":"c1","toolName":"weather","args":{"input":"raw"}}'],
        ),
        (
            {"type": "tool-input-error", **CALL, "input": [], "errorText": "no"},
            [
                '9:{"toolCallId":"c1","toolName":"weather","args":[]}',
                'a:{"toolCallId":"c1","result":"The tool failed: no"}',
            ],
        ),
        (
            {"type": "tool-output-available", "toolCallId": "c", "output": 1, "preliminary": True},
            [],
        ),
        (
            {"type": "tool-output-error", "toolCallId": "c", "errorText": ""},
            ['a:{"toolCallId":"c","result":"The tool failed."}'],
        ),
        (
            {"type": "tool-output-denied", "toolCallId": "c"},
            ['a:{"toolCallId":"c","result":"The call was denied."}'],
        ),
        ({"type": "file", "url": "https://e.x/a.png", "mediaType": "image/png"}, []),
        ({"type": "data-data", "data": 1}, ["2:[1]"]),
        ({"type": "data-annotation", "data": 1}, ["8:[1]"]),
        (
            {"type": "data-progress", "id": "p", "data": 1, "transient": True},
            ['2:[{"type":"data-progress","id":"p","data":1}]'],
        ),
        ({"type": "finish"}, ['d:{"finishReason":"unknown"}']),
        ({"type": "finish", "messageMetadata": 1}, ['d:{"finishReason":"unknown"}']),
        (
            {
                "type": "finish",
                "finishReason": "stop",
                "messageMetadata": {"usage": {"inputTokens": 3, "completionTokens": 4}},
            },
            ['d:{"finishReason":"stop","usage":{"promptTokens":3,"completionTokens":4}}'],
        ),
        ({"type": "abort"}, ['d:{"finishReason":"unknown"}']),
        ({"type": "tool-approval-request", "approvalId": "a", "toolCallId": "c"}, []),
        (STREAM_DONE, []),
    ],
)
def test_a_chunk_is_written(chunk: UIMessageChunk, lines: list[str]) -> None:
    assert encoded(chunk) == lines
    decoded([DataStreamEncoder().encode(chunk)])


def test_a_step_says_why_it_ends() -> None:
    call = {"type": "tool-input-available", **CALL, "input": {}}
    step: list[UIMessageChunk] = [{"type": "start-step"}, call, {"type": "finish-step"}]
    ends = [value for value in encoded(*step, step[0], step[2]) if value.startswith("e")]
    assert ends == [
        """e:{"finishReason":"tool-calls","isContinued":false}""",
        """e:{"finishReason":"stop","isContinued":false}""",
    ]
    aborted = encoded({"type": "start", "messageId": "m7"}, step[0], {"type": "abort"})
    assert aborted == [
        'f:{"messageId":"m7"}',
        'e:{"finishReason":"unknown","isContinued":false}',
        'd:{"finishReason":"unknown"}',
    ]


def test_a_message_without_an_id_gets_one() -> None:
    step = DataStreamEncoder().encode({"type": "start-step"})
    (start, _) = read(step)
    assert start["messageId"].startswith("msg-")
    assert step != DataStreamEncoder().encode({"type": "start-step"})


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_what_was_decoded_is_encoded_again(path: Path) -> None:
    chunks = read(body_of(path.stem))
    encoder = DataStreamEncoder()
    again = read(b"".join(map(encoder.encode, chunks)))
    assert again == chunks


def only(chunks: list[UIMessageChunk], *kinds: str) -> list[UIMessageChunk]:
    return [chunk for chunk in chunks if chunk.get("type", "").startswith(kinds)]


@pytest.mark.parametrize("topic", [*KEYWORDS, "Hello"])
def test_the_demo_says_the_same_in_both_protocols(topic: str) -> None:
    asked = [{"id": "u", "role": "user", "parts": [{"type": "text", "text": topic}]}]
    written = [chunk for chunk in write(asked, lambda: "1") if chunk is not SILENCE]
    encoder = DataStreamEncoder()
    came = read(b"".join(map(encoder.encode, written)))
    for kinds in (
        ("start", "start-step", "finish-step", "error"),
        ("tool-input", "tool-output"),
        ("source", "file"),
    ):
        assert only(came, *kinds) == only(written, *kinds)
    for kind in ("text-delta", "reasoning-delta"):
        assert [c["delta"] for c in only(came, kind)] == [c["delta"] for c in only(written, kind)]
    assert [chunk["data"] for chunk in only(came, "data-")] == [
        {name: chunk[name] for name in ("type", "id", "data") if name in chunk}
        for chunk in only(written, "data-")
    ]
    finish, ours = came[-1], written[-1]
    if ours["type"] != "finish":  # it stalls
        assert finish["type"] != "finish"
        return
    assert finish["finishReason"] == ours["finishReason"]
    usage = ours["messageMetadata"]["usage"]
    assert finish["messageMetadata"]["usage"] == {
        "promptTokens": usage["inputTokens"],
        "completionTokens": usage["outputTokens"],
    }
