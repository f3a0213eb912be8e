"""The demo assistant: what it says is well formed, and each keyword shows what it should."""

from __future__ import annotations

import itertools
import json
from contextlib import aclosing
from typing import Any

import anyio
import pytest

from usechat.server.demo import KEYWORDS, reply, write
from usechat.server.script import text_of, tool_name
from usechat.server.topics import TOPICS
from usechat.wire.ui_message_stream import encode_chunk

Chunk = dict[str, Any]


def user(text: str, *more: Chunk) -> Chunk:
    return {"id": "u1", "role": "user", "parts": [*more, {"type": "text", "text": text}]}


def assistant(*parts: Chunk, message_id: str = "a1") -> Chunk:
    return {"id": message_id, "role": "assistant", "parts": list(parts)}


def ask(*messages: Chunk) -> list[Chunk]:
    numbers = itertools.count(1)
    return list(write(messages, lambda: str(next(numbers))))


def types(chunks: list[Chunk]) -> list[str]:
    """The types in order, runs of one type as one."""
    return [kind for kind, _ in itertools.groupby(chunk.get("type", "silence") for chunk in chunks)]


def only(chunks: list[Chunk], kind: str) -> list[Chunk]:
    return [chunk for chunk in chunks if chunk.get("type") == kind]


def said(chunks: list[Chunk]) -> str:
    return "".join(chunk["delta"] for chunk in only(chunks, "text-delta"))


def assert_well_formed(chunks: list[Chunk], *, breaks_off: bool = False) -> None:
    """Starts and ends are balanced, tools go through their states, the frame is whole."""
    assert chunks[0]["type"] == "start"
    assert chunks[0]["messageId"]
    assert chunks[-1]["type"] == "finish"
    assert_steps(chunks[1:-1])
    for prose in ("text", "reasoning"):
        assert_prose(chunks, prose, breaks_off)
    for call_id in {chunk["toolCallId"] for chunk in chunks if "toolCallId" in chunk}:
        assert_call([chunk for chunk in chunks if chunk.get("toolCallId") == call_id])
    for chunk in chunks:
        encode_chunk(chunk)


def assert_steps(chunks: list[Chunk]) -> None:
    """All but the results of the reply before is in a step."""
    in_step = False
    for chunk in chunks:
        kind = chunk["type"]
        if kind in ("start-step", "finish-step"):
            assert in_step == (kind == "finish-step")
            in_step = not in_step
        else:
            assert in_step or kind in ("tool-output-available", "tool-output-denied")
    assert not in_step


def assert_prose(chunks: list[Chunk], prose: str, breaks_off: bool) -> None:
    """Each part begins once, has words and ends, within one step."""
    running: str | None = None
    seen: set[str] = set()
    for chunk in chunks:
        kind = chunk["type"]
        if kind == f"{prose}-start":
            assert running is None
            assert chunk["id"] not in seen
            running = chunk["id"]
            seen.add(chunk["id"])
        elif kind == f"{prose}-delta":
            assert chunk["id"] == running
            assert chunk["delta"]
        elif kind == f"{prose}-end":
            assert chunk["id"] == running
            running = None
        elif kind == "finish-step":
            assert running is None or breaks_off


def assert_call(chunks: list[Chunk]) -> None:
    """A tool call: input in pieces, the whole of it, then the result or a question."""
    if len(chunks) == 1:
        assert chunks[0]["type"] in ("tool-output-available", "tool-output-denied")
        return
    first, *pieces, last = chunks[: 1 + next(at for at, c in enumerate(chunks) if "input" in c)]
    assert first["type"] == "tool-input-start"
    assert {piece["type"] for piece in pieces} == {"tool-input-delta"}
    assert len(pieces) > (last["input"] != {})
    assert last["type"] == "tool-input-available"
    assert first["toolName"] == last["toolName"]
    assert json.loads("".join(piece["inputTextDelta"] for piece in pieces)) == last["input"]
    after = [chunk["type"] for chunk in chunks[len(pieces) + 2 :]]
    assert after in ([], ["tool-output-available"], ["tool-approval-request"])


@pytest.mark.parametrize("keyword", [word for word in KEYWORDS if word not in ("stall", "error")])
def test_a_reply_is_well_formed(keyword: str) -> None:
    assert_well_formed(ask(user(f"Please, show me: {keyword.upper()}!")))


EXPECTED = {
    "call": "text-start text-delta text-end",
    "reasoning": "reasoning-start reasoning-delta reasoning-end text-start text-delta text-end",
    "approval": "text-start text-delta text-end tool-input-start tool-input-delta "
    "tool-input-available tool-approval-request",
    "weather": "text-start text-delta text-end tool-input-start tool-input-delta "
    "tool-input-available tool-output-available finish-step start-step "
    "text-start text-delta text-end",
    "time": "text-start text-delta text-end tool-input-start tool-input-delta tool-input-available",
    "data": "data-notification data-progress text-start text-delta text-end",
    "sources": "source-url source-document text-start text-delta text-end",
    "long": "text-start text-delta text-end",
    "error": "text-start text-delta error",
    "stall": "text-start text-delta silence",
    "markdown": "text-start text-delta text-end",
    "odd": "text-start text-delta text-end",
    "file": "file text-start text-delta text-end",
    "help": "text-start text-delta text-end",
}


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_keyword_shows_its_chunks_in_order(keyword: str) -> None:
    chunks = ask(user(keyword))
    frame = ["start", "start-step", *EXPECTED[keyword].split(), "finish-step", "finish"]
    assert types(chunks) == frame


def test_a_reply_tells_its_finish_reason_and_usage() -> None:
    chunks = ask(user("Two words"))
    words = len(only(chunks, "text-delta"))
    assert chunks[-1]["finishReason"] == "stop"
    assert chunks[-1]["messageMetadata"] == {
        "usage": {"inputTokens": 2, "outputTokens": words, "totalTokens": words + 2}
    }


@pytest.mark.parametrize(
    ("keyword", "reason"),
    [("time", "tool-calls"), ("approval", "tool-calls"), ("weather", "stop"), ("error", "error")],
)
def test_the_finish_reason_fits(keyword: str, reason: str) -> None:
    assert ask(user(keyword))[-1]["finishReason"] == reason


def test_any_other_text_is_echoed_with_what_can_be_asked() -> None:
    text = said(ask(user("Hello there")))
    assert "You said: Hello there" in text
    assert all(name in text for name in KEYWORDS)


def test_an_echo_is_bounded_and_names_files() -> None:
    file = {"type": "file", "mediaType": "text/plain", "url": "data:,x"}
    assert len(said(ask(user("x" * 10_000)))) < 1_000
    assert "(1 file came with it)" in said(ask(user("see", file)))
    assert "(2 files came with it)" in said(ask(user("see", file, file)))
    assert said(ask(user(""))).startswith("You said nothing")


def test_help_lists_every_keyword() -> None:
    text = said(ask(user("help")))
    assert all(f"- {topic.name}: {topic.about}" in text for topic in TOPICS)


def test_a_text_is_the_join_of_its_words() -> None:
    text = said(ask(user("odd")))
    for odd in ("👩‍👩‍👧‍👦", "\u2028", "\u2029", "\u0085", "e\u0301", "\u0000", "[DONE]"):
        assert odd in text


def test_the_weather_is_that_of_the_city_asked_for() -> None:
    chunks = ask(user("What is the weather in New York?"))
    (call,) = only(chunks, "tool-input-available")
    (result,) = only(chunks, "tool-output-available")
    assert call["input"]["city"] == result["output"]["city"] == "New York"
    assert "New York" in said(chunks)


def test_a_data_part_is_updated_and_another_is_transient() -> None:
    chunks = ask(user("data"))
    progress = only(chunks, "data-progress")
    assert {chunk["id"] for chunk in progress} == {"progress-1"}
    assert [chunk["data"]["done"] for chunk in progress] == [0, 1, 2, 3, 4, 5]
    (note,) = only(chunks, "data-notification")
    assert note["transient"] is True


@pytest.mark.parametrize(
    ("text", "words"), [("long", 400), ("long 7", 7), ("long 0", 0), ("long " + "9" * 99, 10_000)]
)
def test_a_long_reply_has_as_many_words_as_asked(text: str, words: int) -> None:
    assert len(said(ask(user(text))).split()) == words


def test_an_error_comes_in_mid_text() -> None:
    chunks = ask(user("error"))
    assert said(chunks)
    assert not only(chunks, "text-end")
    assert only(chunks, "error")[0]["errorText"]
    assert_well_formed(chunks, breaks_off=True)


def answered(tool: str, **part: Any) -> list[Chunk]:
    call = {"type": f"tool-{tool}", "toolCallId": "c1", "input": {}, **part}
    done = {"type": "tool-get_weather", "toolCallId": "c0", "state": "output-available"}
    before: list[Chunk] = [{"type": "step-start"}, {**done, "input": {}, "output": 1}]
    return ask(user("time"), assistant(*before, {"type": "step-start"}, call))


def test_a_client_tools_output_is_used() -> None:
    chunks = answered("get_local_time", state="output-available", output="12:34")
    assert types(chunks) == [
        *("start", "start-step", "text-start", "text-delta", "text-end"),
        *("finish-step", "finish"),
    ]
    assert chunks[0]["messageId"] == "a1"
    assert said(chunks) == "Your clock says 12:34."
    assert chunks[-1]["finishReason"] == "stop"


def test_a_client_tools_failure_is_told() -> None:
    chunks = answered("get_local_time", state="output-error", errorText="no clock")
    assert said(chunks) == "get_local_time failed: no clock."


def test_another_tools_output_is_told_as_json() -> None:
    assert said(answered("other", state="output-available", output=[1])) == "other gave [1]."


def test_a_tool_without_an_answer_still_waits() -> None:
    assert said(answered("other", state="input-available")) == "other still waits for an answer."


def test_the_calls_that_are_named_are_made() -> None:
    chunks = ask(user('Please call get_time(), add({"a": {"b": "weather"}}) and x-1({})!'))
    assert_well_formed(chunks)
    calls = only(chunks, "tool-input-available")
    assert [(call["toolName"], call["input"]) for call in calls] == [
        ("get_time", {}),
        ("add", {"a": {"b": "weather"}}),
        ("x-1", {}),
    ]
    assert len({call["toolCallId"] for call in calls}) == 3
    assert chunks[-1]["finishReason"] == "tool-calls"


@pytest.mark.parametrize(
    "text", ["call me", "call add(1)", "call add({1})", "call add({", "call " + "a({" * 20_000]
)
def test_a_call_that_cannot_be_read_is_explained(text: str) -> None:
    chunks = ask(user(text))
    assert_well_formed(chunks)
    assert said(chunks).startswith("Say which of your tools I am to call")
    assert chunks[-1]["finishReason"] == "stop"


def answered_call(question: str, **part: Any) -> list[Chunk]:
    call = {"type": "tool-add", "toolCallId": "c1", "input": {}, **part}
    return ask(user(question), assistant({"type": "step-start"}, call))


@pytest.mark.parametrize(
    ("question", "reason"), [("call add()", "stop"), ("call add() again and again", "tool-calls")]
)
def test_a_call_is_made_again_where_that_was_asked_for(question: str, reason: str) -> None:
    chunks = answered_call(question, state="output-available", output=3)
    assert_well_formed(chunks)
    assert said(chunks) == "add gave 3."
    assert chunks[-1]["finishReason"] == reason
    assert len(only(chunks, "tool-input-available")) == (reason == "tool-calls")


@pytest.mark.parametrize(("reason", "told"), [(None, "."), ("too risky", " (too risky).")])
def test_a_denied_tool_of_the_client_is_told(reason: str | None, told: str) -> None:
    approval = {"id": "p1", "approved": False, "reason": reason}
    chunks = answered_call("call add()", state="output-denied", approval=approval)
    assert said(chunks) == f"You denied add{told}"
    assert types(chunks)[1] == "start-step"


def test_an_approved_tool_runs() -> None:
    approval = {"id": "p1", "approved": True}
    chunks = answered("delete_files", state="approval-responded", approval=approval)
    assert types(chunks)[:3] == ["start", "tool-output-available", "start-step"]
    assert chunks[1]["toolCallId"] == "c1"
    assert "with your approval" in said(chunks)
    assert_well_formed(chunks)


@pytest.mark.parametrize("reason", [None, "too dangerous"])
def test_a_denied_tool_does_not_run(reason: str | None) -> None:
    approval = {"id": "p1", "approved": False, "reason": reason}
    chunks = answered("delete_files", state="approval-responded", approval=approval)
    assert types(chunks)[:3] == ["start", "tool-output-denied", "start-step"]
    assert not only(chunks, "tool-output-available")
    assert "nothing was deleted" in said(chunks)
    assert reason is None or reason in said(chunks)


def test_a_history_with_nothing_to_go_on_with_gets_a_text() -> None:
    chunks = ask(user("Hi"), assistant({"type": "text", "text": "Hello"}))
    assert chunks[0]["messageId"] == "a1"
    assert "nothing" in said(chunks)


def test_an_assistant_message_without_an_id_gets_one() -> None:
    assert ask({"role": "assistant", "parts": []})[0]["messageId"] == "msg-1"


def test_a_history_of_the_older_form_is_read() -> None:
    assert text_of({"role": "user", "content": "Hi"}) == "Hi"
    assert text_of({"role": "user"}) == ""
    assert text_of({"parts": [None, {"type": "text"}, {"type": "text", "text": "a"}]}) == "a"


def test_a_dynamic_tool_has_its_name_in_a_field() -> None:
    assert tool_name({"type": "dynamic-tool", "toolName": "x"}) == "x"
    assert tool_name({"type": "tool-a-b"}) == "a-b"


@pytest.mark.anyio
async def test_reply_streams_what_was_written() -> None:
    messages = [user("weather")]
    ids = itertools.count(1)
    async with aclosing(reply(messages, delay=0, generate_id=lambda: str(next(ids)))) as chunks:
        assert [chunk async for chunk in chunks] == ask(*messages)


@pytest.mark.anyio
async def test_a_stall_is_silent_until_it_is_cancelled() -> None:
    came: list[Chunk] = []

    async def read() -> None:
        async with aclosing(reply([user("stall")], delay=0)) as chunks:
            async for chunk in chunks:
                came.append(chunk)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        assert types(came) == ["start", "start-step", "text-start", "text-delta"]
        tasks.cancel_scope.cancel()
    assert said(came) == said(ask(user("stall")))


@pytest.mark.anyio
async def test_words_keep_their_distance() -> None:
    began = anyio.current_time()
    async with aclosing(reply([user("long 10")], delay=0.01)) as chunks:
        async for _ in chunks:
            pass
    assert anyio.current_time() - began >= 0.1
