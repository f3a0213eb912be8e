"""The stream of chat completions: what we make of it, the same whatever the split."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usechat.errors import StreamProtocolError
from usechat.model.chunk_validation import validate_chunk
from usechat.model.chunks import STREAM_DONE, UIMessageChunk
from usechat.model.usage import Usage
from usechat.testing import byte_by_byte, every_split
from usechat.wire.openai import OpenAIDecoder, error_words

DONE = b"data: [DONE]\n\n"
START: list[UIMessageChunk] = [{"type": "start"}, {"type": "start-step"}]
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
HALF = "\ud83d"


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def delta(finish_reason: Any = None, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": fields, "finish_reason": finish_reason}
    return event({"object": "chat.completion.chunk", "choices": [choice], "usage": None})


def piece(arguments: Any = None, name: str | None = None, **fields: Any) -> dict[str, Any]:
    """A piece of a tool call."""
    function = {"name": name, "arguments": arguments}
    return {**fields, "function": {k: v for k, v in function.items() if v is not None}}


def calling(*pieces: dict[str, Any]) -> bytes:
    return delta(tool_calls=list(pieces))


def decoded(
    pieces: Iterable[bytes], used: Iterable[str] = (), offered: tuple[str, ...] = ()
) -> tuple[list[UIMessageChunk], tuple[Any, ...] | None]:
    """The chunks, all of them valid, and what is to be known of the error."""
    decoder = OpenAIDecoder(used_ids=frozenset(used), offered=offered)
    chunks = decoder.open()
    for part in pieces:
        chunks += decoder.feed(part)
    chunks += decoder.close()
    for chunk in chunks:
        assert chunk == STREAM_DONE or validate_chunk(chunk) == chunk
    error = decoder.error
    return chunks, None if error is None else (str(error), error.chunk, error.position)


def read(
    *events: bytes, used: Iterable[str] = (), offered: tuple[str, ...] = ()
) -> list[UIMessageChunk]:
    """The chunks of events in which nothing is wrong, without those that begin the reply."""
    chunks, error = decoded(events, used, offered)
    assert error is None
    assert chunks[:2] == START
    return chunks[2:]


def end(reason: str | None = "stop", **fields: Any) -> list[UIMessageChunk]:
    named = {} if reason is None else {"finishReason": reason}
    return [{"type": "finish-step"}, {"type": "finish", **named, **fields}, STREAM_DONE]


def part(kind: str, id: str, *deltas: str) -> list[UIMessageChunk]:
    return [
        {"type": f"{kind}-start", "id": id},
        *({"type": f"{kind}-delta", "id": id, "delta": text} for text in deltas),
        {"type": f"{kind}-end", "id": id},
    ]


def inputs(chunks: list[UIMessageChunk]) -> list[tuple[str, str, Any]]:
    """The calls whose input is there; what came in deltas is what it was made of."""
    raw: dict[str, str] = {}
    found = []
    for chunk in chunks:
        if chunk["type"] == "tool-input-start":
            assert chunk["toolCallId"] not in raw
            raw[chunk["toolCallId"]] = ""
        elif chunk["type"] == "tool-input-delta":
            raw[chunk["toolCallId"]] += chunk["inputTextDelta"]
        elif chunk["type"] == "tool-input-available":
            text = raw[chunk["toolCallId"]]
            assert ((json.loads(text) if text.strip() else None) or {}) == chunk["input"]
            found.append((chunk["toolCallId"], chunk["toolName"], chunk["input"]))
    return found


# ---------------------------------------------------------------------------- text


def test_text() -> None:
    assert read(
        delta(role="assistant", content=""),
        delta(content="Hel"),
        delta(content="lo \u2028🌍"),
        delta("stop"),
        event({"choices": [], "usage": USAGE}),
        DONE,
    ) == [*part("text", "text-1", "Hel", "lo \u2028🌍"), *end(messageMetadata={"usage": USAGE})]
    assert Usage.in_metadata({"usage": USAGE}) == Usage(3, 4, 7, USAGE)


def noted(**fields: Any) -> dict[str, Any]:
    """What a chunk keeps for the way back."""
    return {"providerMetadata": {"openai": fields}}


@pytest.mark.parametrize(
    ("deltas", "field"),
    [
        ([{"reasoning_content": "Hm"}, {"reasoning_content": "m"}], "reasoning_content"),
        ([{"reasoning": "Hm"}, {"reasoning": "m", "content": None}], "reasoning"),
        (
            [{"reasoning": "Hm", "reasoning_content": "Hm"}, {"reasoning": "m", "content": ""}],
            "reasoning_content",
        ),
    ],
)
def test_reasoning_says_what_its_field_was(deltas: list[dict[str, Any]], field: str) -> None:
    events = [delta(**fields) for fields in deltas]
    begin, *more = part("reasoning", "reasoning-1", "Hm", "m")
    assert read(*events, delta("stop", content="4", reasoning=None), DONE) == [
        {**begin, **noted(field=field)},
        *more,
        *part("text", "text-2", "4"),
        *end(),
    ]


def test_text_in_a_list() -> None:
    thinking = [{"type": "text", "text": "H"}, {"type": "text", "text": "m"}, 5, {"text": None}]
    skipped = [{"type": "reference"}, 5, {"type": "text"}, {"type": "thinking", "thinking": 5}]
    assert read(
        delta(content=[{"type": "thinking", "thinking": thinking}]),
        delta(content=[{"type": "thinking", "thinking": "m"}, *skipped]),
        delta("stop", content=[*skipped, {"type": "text", "text": "4"}]),
        DONE,
    ) == [
        *part("reasoning", "reasoning-1", "Hm", "m"),
        *part("text", "text-2", "4"),
        *end(),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning": {"content": "Hm"}},
        {"reasoning_content": 5},
        {"refusal": False},
        {"refusal": {"why": "no"}},
    ],
)
def test_what_cannot_be_read_is_left_out_beside_text(fields: dict[str, Any]) -> None:
    assert read(delta(content="4", **fields), delta("stop"), DONE) == [
        *part("text", "text-1", "4"),
        *end(),
    ]


def test_a_refusal_is_a_part_of_its_own() -> None:
    refused = noted(refusal=True)
    assert read(delta(content="A"), delta(refusal="No"), delta("content_filter"), DONE) == [
        *part("text", "text-1", "A"),
        {"type": "text-start", "id": "text-2", **refused},
        *part("text", "text-2", "No")[1:],
        *end("content-filter"),
    ]


def test_text_after_something_else_is_another_part() -> None:
    chunks = read(
        delta(content="A"),
        calling(piece("{}", "f", index=0, id="a")),
        delta(content="B"),
        delta("tool_calls"),
        DONE,
    )
    assert [chunk["type"] for chunk in chunks] == [
        *("text-start", "text-delta", "text-end"),
        *("tool-input-start", "tool-input-delta"),
        *("text-start", "text-delta", "text-end"),
        *("tool-input-available", "finish-step", "finish", "[DONE]"),
    ]
    assert chunks[5]["id"] == "text-2"


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("tool_calls", "tool-calls"),
        ("function_call", "tool-calls"),
        ("content_filter", "content-filter"),
        ("eos", "other"),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_finish_reasons(reason: Any, ours: str | None) -> None:
    assert read(delta(reason), DONE) == end(ours)


@pytest.mark.parametrize(
    "events",
    [
        [event({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": USAGE})],
        [delta("stop"), event({"choices": [], "usage": USAGE}), event({"choices": [], "x": 1})],
        [
            event({"choices": [], "usage": {"prompt_tokens": 1}}),
            delta("stop", content=None),
            event({"choices": [], "usage": USAGE}),
        ],
    ],
)
def test_the_last_usage_counts_wherever_it_stands(events: list[bytes]) -> None:
    assert read(*events, DONE) == end(messageMetadata={"usage": USAGE})


def test_other_choices_and_events_are_skipped() -> None:
    other = {"index": 1, "delta": {"content": "no"}, "finish_reason": "length"}
    first = {"index": 0, "delta": {"content": "yes"}}
    assert read(
        b": heartbeat\n\n",
        event({"object": "thread.run", "id": 1}),
        event({"choices": None}),
        event({"choices": [], "prompt_filter_results": []}),
        event({"choices": [other, first]}),
        event({"choices": [{"delta": None, "finish_reason": "stop"}]}),
        DONE,
        delta(content="after the end"),
        DONE,
    ) == [*part("text", "text-1", "yes"), *end()]


# ----------------------------------------------------------------------- the end


def test_without_done_a_finish_reason_ends_the_reply() -> None:
    whole = read(delta(content="Hi"), calling(piece("{}", "f", id="a")), delta("stop"), DONE)
    assert read(delta(content="Hi"), calling(piece("{}", "f", id="a")), delta("stop")) == whole[:-1]
    decoder = OpenAIDecoder()
    assert len(decoder.feed(delta("stop"))) == 2
    assert len(decoder.close()) == 2
    assert decoder.position == 4


def test_without_either_nothing_ends() -> None:
    assert read(delta(content="Hi"), calling(piece("{}", "f", id="a"))) == [
        *part("text", "text-1", "Hi"),
        {"type": "tool-input-start", "toolCallId": "a", "toolName": "f"},
        {"type": "tool-input-delta", "toolCallId": "a", "inputTextDelta": "{}"},
    ]


def test_nothing_at_all() -> None:
    assert decoded([]) == ([], None)
    assert decoded([DONE]) == ([STREAM_DONE], None)
    assert decoded([b"data:  [DONE] \n\n"]) == ([STREAM_DONE], None)


# -------------------------------------------------------------------------- tools


def test_calls_come_in_pieces() -> None:
    chunks = read(
        calling(piece("", "weather", index=0, id="a", type="function")),
        calling(piece('{"city":', index=0)),
        calling(piece("", "time", index=1, id="b"), piece('"Paris"}', index=0)),
        calling(piece(index=0, id="")),
        delta("tool_calls"),
        DONE,
    )
    assert chunks == [
        {"type": "tool-input-start", "toolCallId": "a", "toolName": "weather"},
        {"type": "tool-input-delta", "toolCallId": "a", "inputTextDelta": '{"city":'},
        {"type": "tool-input-start", "toolCallId": "b", "toolName": "time"},
        {"type": "tool-input-delta", "toolCallId": "a", "inputTextDelta": '"Paris"}'},
        {
            "type": "tool-input-available",
            "toolCallId": "a",
            "toolName": "weather",
            "input": {"city": "Paris"},
        },
        {"type": "tool-input-available", "toolCallId": "b", "toolName": "time", "input": {}},
        *end("tool-calls"),
    ]


A, B = '{"n":1}', '{"n":2}'
TWO = [("a", "f", {"n": 1}), ("b", "f", {"n": 2})]
MADE = [("call00001", "f", {"n": 1}), ("call00002", "f", {"n": 2})]


@pytest.mark.parametrize(
    ("pieces", "found"),
    [
        # Ollama: whole calls, all with the index 0.
        ([piece(A, "f", index=0, id="a"), piece(B, "f", index=0, id="b")], TWO),
        ([piece(A, "f", id="a"), piece(B, "f", id="b")], TWO),
        ([piece({"n": 1}, "f", id="a"), piece({"n": 2}, "f", id="b")], TWO),
        ([piece('{"n"', "f", id="a"), piece(":1}", id="a"), piece(B, "f", id="b")], TWO),
        # SGLang: no id from the second on.
        (
            [piece(A, "f", index=0, id="a"), piece(B, "f", index=1)],
            [TWO[0], ("call00001", "f", {"n": 2})],
        ),
        # Neither an index nor an id.
        ([piece(A, "f"), piece(B, "f")], MADE),
        ([piece('{"n"', "f"), piece(":1}"), piece(B, "f")], MADE),
        ([piece(A, "f", index=0), piece(B, "f", index=0)], MADE),
        ([piece(A, "f", index=True), piece(B, "f", index="0")], MADE),
        # One id for all.
        (
            [piece(A, "f", index=0, id="a"), piece(B, "f", index=1, id="a")],
            [TWO[0], ("call00001", "f", {"n": 2})],
        ),
        (
            [piece(A, "f", id="a"), piece(B, "f", id="a")],
            [TWO[0], ("call00001", "f", {"n": 2})],
        ),
        # The name and the id with each piece, and the name before the id.
        ([piece('{"n"', "f", index=0, id="a"), piece(":1}", "f", index=0, id="a")], TWO[:1]),
        ([piece('{"n":', "f", index=0, id="a"), piece("1}", "f", index=0)], TWO[:1]),
        (
            [piece('{"n":', "f", index=0, id="a"), piece(A, "f", index=0), piece("}", index=0)],
            [("a", "f", {"n": {"n": 1}})],
        ),
        ([piece(index=0, id="a"), piece('{"n":', index=0), piece("1}", "f", index=0)], TWO[:1]),
        # An index that begins at 1, and pieces that go on by the id.
        ([piece("", "f", index=1, id="a"), piece(A, index=1)], TWO[:1]),
        ([piece("", "f", index=0, id="a"), piece("", "f", index=1, id="b")], None),
        # One index, no id, and another name.
        (
            [piece("", "f", index=0), piece("", "g", index=0), piece('{"n":1}', index=0)],
            [("call00001", "f", {}), ("call00002", "g", {"n": 1})],
        ),
        # The id after the name; it tells this call from the next.
        (
            [
                *(piece("", "f", index=0), piece(index=0, id="a"), piece('{"n":1', index=0)),
                *(piece("}", index=0), piece('{"n":2', "f", index=0, id="b"), piece("}", index=0)),
            ],
            [("call00001", "f", {"n": 1}), ("b", "f", {"n": 2})],
        ),
        # Numbers as ids, and what is none.
        ([piece(A, "f", index=0, id=7)], [("7", "f", {"n": 1})]),
        ([piece(A, "f", index=0, id=[7])], MADE[:1]),
        ([piece(A, "f", index=0, id=True)], MADE[:1]),
        # What stands for no arguments.
        ([piece("null", "f", index=0, id="a")], [("a", "f", {})]),
        ([piece(None, "f", index=0, id="a")], [("a", "f", {})]),
        # A call of nothing.
        ([piece(A, "f", id="a"), piece("", index=1)], TWO[:1]),
        ([{"index": 0}, {"index": 0, "function": None}], []),
    ],
)
def test_calls_as_servers_send_them(
    pieces: list[dict[str, Any]], found: list[tuple[str, str, Any]] | None
) -> None:
    if found is None:
        found = [("a", "f", {}), ("b", "f", {})]
    together = read(calling(*pieces), delta("tool_calls"), DONE)
    one_by_one = read(*map(calling, pieces), delta("tool_calls"), DONE)
    assert inputs(together) == found
    assert inputs(one_by_one) == found


def test_a_call_is_not_looked_at_for_ever() -> None:
    begin, more, rest = ('{"t":"', "{}", '"}')
    pieces = [piece(text, "f", index=0, id="a") for text in (begin, *[more] * 200, rest, A)]
    chunks = read(*map(calling, pieces), DONE)
    assert inputs(chunks) == []
    assert chunks[-4]["type"] == "tool-input-error"


def test_ids_of_the_history_are_not_used_again() -> None:
    pieces = [piece(A, "f", index=0, id="a"), piece(B, "f", index=1, id="b")]
    chunks = read(calling(*pieces), DONE, used=["a", "call00001"])
    assert inputs(chunks) == [("call00002", "f", {"n": 1}), ("b", "f", {"n": 2})]


def test_a_tool_that_was_not_offered() -> None:
    pieces = [piece(A, "wether", index=0, id="a"), piece("{}", "place", index=1, id="b")]
    chunks = read(calling(*pieces), DONE, offered=("weather", "place"))
    assert chunks[-5:-3] == [
        {
            "type": "tool-input-error",
            "toolCallId": "a",
            "toolName": "wether",
            "input": A,
            "errorText": "There is no tool 'wether'. There are: weather, place.",
        },
        {"type": "tool-input-available", "toolCallId": "b", "toolName": "place", "input": {}},
    ]


@pytest.mark.parametrize("arguments", ["{}", "{"])
def test_what_a_server_wants_back_with_a_call(arguments: str) -> None:
    extra = {"google": {"thought_signature": "S"}}
    pieces = [piece(arguments, "f", index=0, id="a", extra_content=extra), piece(index=0)]
    chunks = read(*map(calling, pieces), calling(piece(index=0, extra_content=5)), DONE)
    assert {**chunks[-4], **noted(extraContent=extra)} == chunks[-4]


def test_the_deprecated_form() -> None:
    events = [
        delta(function_call={"name": "f", "arguments": '{"n"'}),
        delta(function_call={"arguments": ":1}"}),
        delta("function_call"),
    ]
    assert inputs(read(*events, DONE)) == [("call00001", "f", {"n": 1})]


@pytest.mark.parametrize(
    ("arguments", "raw", "said"),
    [
        ('{"n":', '{"n":', "The input is no JSON object (EOF"),
        ("[1]", "[1]", "The input is no JSON object (another value)."),
        ([1], "[1]", "The input is no JSON object (another value)."),
        (5, "5", "(another value)"),
        ('{"n":NaN}', '{"n":NaN}', "The input is no JSON object ("),
    ],
)
def test_an_input_that_is_no_object(arguments: Any, raw: str, said: str) -> None:
    chunks = read(calling(piece(arguments, "f", index=0, id="a")), delta("tool_calls"), DONE)
    error = chunks[-4]
    assert {**error, "errorText": ""} == {
        "type": "tool-input-error",
        "toolCallId": "a",
        "toolName": "f",
        "input": raw,
        "errorText": "",
    }
    assert said in error["errorText"]


@pytest.mark.parametrize(("arguments", "whole"), [("", False), ('{"n":', False), (A, True)])
def test_a_reply_that_was_cut_off_runs_no_tool_by_half(arguments: str, whole: bool) -> None:
    chunks = read(calling(piece(arguments, "f", index=0, id="a")), delta("length"), DONE)
    assert bool(inputs(chunks)) is whole
    if not whole:
        assert chunks[-4]["errorText"].endswith("; the reply was cut off.")


def test_half_characters_come_through() -> None:
    arguments = json.dumps({"t": HALF})
    chunks = read(
        delta(content=HALF),
        calling(piece(arguments, "f", id="a"), piece({"t": HALF}, "f", id="b")),
        DONE,
    )
    assert chunks[1]["delta"] == HALF
    assert [given for *_, given in inputs(chunks)] == [{"t": HALF}] * 2


# ------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"error": {"message": "No memory.", "code": 500}}, "No memory."),
        ({"error": "No memory."}, "No memory."),
        ({"object": "error", "message": "No memory.", "code": 40303}, "No memory."),
        ({"error": {"code": 500}}, '{"code":500}'),
        ({"error": {"message": ""}, "choices": []}, '{"message":""}'),
        ({"error": ["odd"]}, '["odd"]'),
        ({"error": True, "choices": 5}, "true"),
    ],
)
def test_an_error_in_mid_stream(value: Any, said: str) -> None:
    chunks = read(delta(content="Hi"), calling(piece("{}", "f")), event(value), delta("stop"), DONE)
    assert chunks[-1] == {"type": "error", "errorText": said}
    assert decoded([event(value)]) == ([{"type": "error", "errorText": said}], None)


@pytest.mark.parametrize(
    "value", [{"error": None}, {"error": {}}, {"object": "x"}, [], [1], 5, "a"]
)
def test_what_is_no_error(value: Any) -> None:
    assert error_words(value) is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"finish_reason": "error"}, "The server ended the reply with an error, and does not say"),
        ({"finish_reason": "error", "error": {"code": 502, "message": "It died."}}, "It died."),
        ({"error": {"message": "It died."}, "delta": {"content": "!"}}, "It died."),
    ],
)
def test_an_error_in_a_choice(fields: dict[str, Any], said: str) -> None:
    again = {"choices": [fields, {"delta": {"content": "no"}}]}
    chunks = read(delta(content="Hi"), event(again), delta("stop"), DONE)
    assert [chunk["type"] for chunk in chunks[-2:]] == ["text-delta", "error"]
    assert chunks[-1]["errorText"].startswith(said)


def test_an_error_in_a_list() -> None:
    assert error_words([{"error": {"message": "No."}}]) == "No."


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [fields]}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "no object"),
        (5, "no object"),
        ({"choices": {}}, "its choices are no list"),
        ({"choices": [5]}, "a choice is no object"),
        (choice(delta=[]), "its delta is no object"),
        (choice(delta={"content": 5}), "its content is no text"),
        (choice(delta={"tool_calls": {}}), "its tool_calls are no list"),
        (choice(delta={"tool_calls": [5]}), "a tool call is no object"),
        (choice(delta={"tool_calls": [{"function": 5}]}), "a tool call's function is no object"),
        (choice(delta={"tool_calls": [piece(name=5)]}), "its name is no text"),  # type: ignore[arg-type]
    ],
)
def test_an_event_that_cannot_be_read(value: Any, said: str) -> None:
    chunks, error = decoded([delta(content="Hi"), event(value), DONE])
    assert chunks == [*START, *part("text", "text-1", "Hi")[:2]]
    text = json.dumps(value)
    said = f"The server sent an event that is no chunk of a chat completion ({said}): {text}"
    assert error == (said, text, 4)


def test_bad_json() -> None:
    chunks, error = decoded([delta(content="Hi"), b"data: {no\n\n", DONE])
    assert len(chunks) == 4
    assert error is not None
    assert error[1:] == ("{no", 4)


@pytest.mark.parametrize("done", [True, False])
def test_a_call_without_a_name(done: bool) -> None:
    events = [calling(piece(A, index=0, id="a")), delta("tool_calls")]
    chunks, error = decoded([*events, *([DONE] if done else [])])
    assert chunks == START
    assert error == (f"The server sent a tool call without the tool's name: {A}", A, 2)


def test_an_event_that_is_too_large() -> None:
    decoder = OpenAIDecoder(max_event_size=100)
    decoder.feed(delta(content="x" * 100))
    assert isinstance(decoder.error, StreamProtocolError)
    assert decoder.close() == []


# ----------------------------------------------------------------- what is no stream

MESSAGE = {
    "role": "assistant",
    "reasoning_content": "Hm",
    "content": "Hi",
    "tool_calls": [{"id": "a", "type": "function", **piece(A, "f")}],
}
WHOLE = {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "tool_calls"}],
    "usage": USAGE,
}


@pytest.mark.parametrize("indent", [None, 2])
def test_a_whole_completion(indent: int | None) -> None:
    body = b"\n " + json.dumps(WHOLE, indent=indent).encode()
    chunks, error = decoded([body])
    assert error is None
    calls = calling(*MESSAGE["tool_calls"])  # type: ignore[misc]
    streamed = [delta(reasoning_content="Hm"), delta(content="Hi"), calls, delta("tool_calls")]
    assert chunks == [*START, *read(*streamed, event({"choices": [], "usage": USAGE}), DONE)]
    assert decoded(byte_by_byte(body)) == (chunks, None)


def test_a_whole_completion_that_failed() -> None:
    body = json.dumps({"choices": [{"message": {"content": "Hi"}, "finish_reason": "error"}]})
    chunks, error = decoded([body.encode()])
    assert error is None
    assert [c["type"] for c in chunks[2:]] == ["text-start", "text-delta", "error"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"error":"Unexpected endpoint."}', "with an error: Unexpected endpoint. Is the URL"),
        ('[{"error":{"message":"No."}}]', "with an error: No. Is the URL right? Mostly base_url"),
        ("<html>Log in</html>", "with no JSON either. Is the URL right?"),
        ('{"choices":[', "with no JSON either."),
        ('{"a":1}', "with JSON that is no completion."),
        ("[1]", "with JSON that is no completion."),
        ('{"choices":[5]}', "with JSON that is no completion."),
        (
            '{"choices":[{"message":{"content":5}}]}',
            "with an odd completion: its content is no text.",
        ),
    ],
)
def test_a_body_that_is_no_reply(body: str, said: str) -> None:
    chunks, error = decoded([body.encode()])
    assert (chunks, error is not None and error[2]) == ([], 0)
    assert error is not None
    assert said in error[0]
    if "with an error" not in said:
        assert error[0].endswith(f" It begins: {body}")
    for pieces in every_split(body.encode()):
        assert decoded(pieces) == (chunks, error)


def test_a_body_that_is_no_stream_and_too_large() -> None:
    decoder = OpenAIDecoder(max_event_size=10)
    for _ in range(12):
        assert decoder.feed(b"<") == []
    assert "a body of more than 10 bytes" in str(decoder.error)
    assert decoder.close() == []


# ------------------------------------------------------------------------- any bytes

REPLY = b"".join(
    [
        delta(reasoning="Hm é"),
        delta(content="🌍"),
        calling(piece('{"a":', "f", index=0, id="a")),
        calling(piece('"é"}', index=0), piece({}, "g")),
        delta("tool_calls"),
        event({"choices": [], "usage": USAGE}),
        DONE,
    ]
)


@pytest.mark.parametrize("body", [REPLY, REPLY.replace(b"\n", b"\r\n"), REPLY[:-40] + b"{x\n\n"])
def test_every_split_gives_the_same(body: bytes) -> None:
    whole = decoded([body])
    assert decoded(byte_by_byte(body)) == whole
    for pieces in every_split(body):
        assert decoded(pieces) == whole


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from(["", "a", "{", A, "[DONE]"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("choices", "delta", "index", "id", "function", "name", "arguments"),
                    *("tool_calls", "function_call", "content", "reasoning", "refusal"),
                    *("finish_reason", "usage", "error", "message", "object"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
PIECES = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 1) | VALUES,
        "id": st.sampled_from(["", "a", "b"]) | VALUES,
        "function": st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["", "f", "g"]) | VALUES,
                "arguments": st.sampled_from(["", "{", "}", "{}", A]) | VALUES,
            },
        )
        | VALUES,
    },
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "content": st.text(max_size=3) | VALUES,
        "reasoning": VALUES,
        "refusal": VALUES,
        "tool_calls": st.lists(PIECES, max_size=3) | VALUES,
        "function_call": PIECES,
    },
)
CHOICES = st.fixed_dictionaries(
    {"delta": DELTAS},
    optional={
        "index": st.integers(0, 1) | VALUES,
        "finish_reason": st.sampled_from(["stop", "length"]) | VALUES,
    },
)
EVENTS = st.fixed_dictionaries(
    {"choices": st.lists(CHOICES, max_size=2)}, optional={"usage": VALUES}
)
BODIES = st.lists((EVENTS | VALUES).map(event) | st.just(DONE) | st.binary(max_size=10), max_size=8)


@given(BODIES, st.sets(st.sampled_from(["a", "call00001"])))
def test_any_reply_gives_chunks_or_an_error(events: list[bytes], used: set[str]) -> None:
    body = b"".join(events)
    chunks, error = decoded([body], used)
    assert decoded(byte_by_byte(body), used) == (chunks, error)
    begun = [c["toolCallId"] for c in chunks if c["type"] == "tool-input-start"]
    ended = [c["toolCallId"] for c in chunks if c["type"].startswith("tool-input-a")]
    failed = [c["toolCallId"] for c in chunks if c["type"] == "tool-input-error"]
    assert len(set(begun)) == len(begun)
    assert not used & set(begun)
    assert not ended or sorted(ended + failed) == sorted(begun)
    opened = [c["id"] for c in chunks if c["type"] in ("text-start", "reasoning-start")]
    closed = [c["id"] for c in chunks if c["type"] in ("text-end", "reasoning-end")]
    assert closed == opened[: len(closed)]
    assert len(opened) - len(closed) <= 1


def test_a_reconnect_goes_on() -> None:
    decoder = OpenAIDecoder()
    chunks = decoder.feed(delta(content="Hel") + b"data: {half an ev")
    decoder.reconnected()
    chunks += decoder.feed(delta("stop", content="lo") + DONE)
    assert chunks == [*START, *part("text", "text-1", "Hel", "lo"), *end()]
    assert decoder.protocol == "openai"
