"""Who is told what, and in which order."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from servers import BEGUN, assert_usable, chatting, handlers, scripted

from usechat import (
    DataReceived,
    ErrorChanged,
    Event,
    InputChanged,
    InvalidArgumentError,
    MessageAdded,
    MessagesReplaced,
    MetadataChanged,
    QueueChanged,
    ReasoningDelta,
    StatusChanged,
    TextDelta,
    ToolCalled,
    TurnFinished,
)
from usechat.session import observers
from usechat.testing import HANG, text_reply

pytestmark = pytest.mark.anyio


def expected_of_docstring() -> str:
    """What the module says that its example prints."""
    assert observers.__doc__ is not None
    lines = observers.__doc__.partition("prints\n")[2].split("\n")
    return "\n".join(line.strip() for line in lines if line.strip())


async def test_the_example_prints_what_its_module_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with scripted(HANG) as chat:
        stopped: list[bool] = []

        def stop_once() -> None:
            if not stopped:
                stopped.append(True)
                chat.stop()
                assert chat.status == "ready"  # at once

        chat.on(StatusChanged, lambda e: (print("first:", e.status), stop_once()))
        chat.on(StatusChanged, lambda e: print("second:", e.status))
        turn = chat.send_message("Hi")
        assert turn.outcome == "stopped"
    out = capsys.readouterr().out.strip()
    assert out == expected_of_docstring()
    assert len(out.split("\n")) == 4


async def test_events_come_in_order_of_subscription_and_before_subscribers() -> None:
    async with scripted(text_reply("Hi")) as chat:
        order: list[str] = []
        chat.subscribe(lambda c: order.append("drawn"))
        chat.on(StatusChanged, lambda e: order.append(f"a {e.status}"))
        chat.on(MessageAdded, lambda e: order.append(f"added {e.message_index}"))
        chat.on(StatusChanged, lambda e: order.append(f"b {e.status}"))
        turn = chat.send_message("Hi")
        assert order == ["added 0", "a submitted", "b submitted", "drawn"]
        await turn


async def test_one_that_raises_is_reported_and_the_others_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def bad(_: Any) -> None:
        raise RuntimeError("oh dear")

    for report in (True, False):
        reported: list[Exception] = []
        pieces: list[str] = []
        options: dict[str, Any] = {"on_observer_error": reported.append} if report else {}
        async with scripted(text_reply("Hello there"), text_reply("Bye"), **options) as chat:
            chat.on(TextDelta, bad)
            chat.on(TextDelta, lambda e, pieces=pieces: pieces.append(e.text))
            chat.subscribe(bad)
            with caplog.at_level(logging.ERROR, "usechat"):
                turn = await chat.send_message("Hi")
            assert (turn.outcome, turn.text) == ("completed", "Hello there")
            assert "".join(pieces) == "Hello there"
            if report:
                assert {str(error) for error in reported} == {"oh dear"}
                assert caplog.records == []
            else:
                says = caplog.records[0].getMessage()
                assert "bad of the chat raised" in says
                assert "RuntimeError: oh dear" in caplog.text
                assert any("bad of TextDelta" in r.getMessage() for r in caplog.records)


async def test_a_report_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def bad(_: Any) -> None:
        raise RuntimeError("oh dear")

    async with scripted(text_reply("Hi"), on_observer_error=bad) as chat:
        chat.on(TextDelta, bad)
        with caplog.at_level(logging.ERROR, "usechat"):
            assert (await chat.send_message("Hi")).outcome == "completed"
        assert {r.getMessage() for r in caplog.records} == {"on_observer_error raised"}


async def test_one_that_hides_a_coroutine_is_reported() -> None:
    async def later(_: Any) -> None: ...

    reported: list[Exception] = []
    async with scripted(text_reply("Hi"), on_observer_error=reported.append) as chat:
        chat.on(TextDelta, lambda e: later(e))
        assert (await chat.send_message("Hi")).outcome == "completed"
    assert [type(error) for error in reported] == [InvalidArgumentError]


async def test_unsubscribing_in_a_delivery() -> None:
    async with scripted(HANG) as chat:
        told: list[str] = []

        def once(event: InputChanged) -> None:
            told.append(f"once {event.input}")
            me()
            me()
            other()

        me = chat.on(InputChanged, once)
        other = chat.on(InputChanged, lambda e: told.append(f"other {e.input}"))
        chat.on(InputChanged, lambda e: told.append(f"third {e.input}"))
        chat.input = "a"
        chat.input = "b"
        assert told == ["once a", "third a", "third b"]


async def test_subscribing_in_a_delivery_begins_with_the_next() -> None:
    async with scripted(HANG) as chat:
        told: list[str] = []

        def more(event: InputChanged) -> None:
            told.append(f"more {event.input}")
            if len(told) == 1:
                chat.on(InputChanged, lambda e: told.append(f"new {e.input}"))

        chat.on(InputChanged, more)
        chat.input = "a"
        chat.input = "b"
        assert told == ["more a", "more b", "new b"]


async def test_subscriptions_are_context_managers_and_on_a_decorator() -> None:
    async with scripted(HANG) as chat:
        told: list[str] = []

        @chat.on(InputChanged)
        def decorated(event: InputChanged) -> None:
            told.append(event.input)

        with chat.on(InputChanged, lambda e: told.append("within")) as subscription:
            chat.input = "a"
        chat.input = "b"
        subscription()
        decorated(InputChanged("direct"))
        assert told == ["a", "within", "b", "direct"]


async def test_the_same_function_twice_is_told_twice() -> None:
    async with scripted(HANG) as chat:
        told: list[str] = []
        first = chat.on(InputChanged, lambda e: told.append(e.input))
        chat.on(InputChanged, lambda e: told.append(e.input))
        chat.input = "a"
        first()
        chat.input = "b"
        assert told == ["a", "a", "b"]


async def test_an_action_in_an_observer_is_told_after_what_is_being_told() -> None:
    async with scripted(HANG) as chat:
        told: list[str] = []

        def answer(event: InputChanged) -> None:
            told.append(f"first {event.input}")
            if len(event.input) < 3:
                chat.input = event.input + "a"
                assert chat.input == event.input + "a"

        chat.on(InputChanged, answer)
        chat.on(InputChanged, lambda e: told.append(f"second {e.input}"))
        chat.input = "a"
        assert told == [f"{who} {'a' * n}" for n in (1, 2, 3) for who in ("first", "second")]


async def test_subscribers_get_the_chat() -> None:
    async with scripted(HANG) as chat:
        told: list[Any] = []
        chat.subscribe(told.append)
        chat.input = "a"
        assert told == [chat]


async def test_a_published_message_never_changes() -> None:
    async with scripted([[chunk] for chunk in text_reply("one two three")], throttle=0) as chat:
        seen: list[Any] = []
        chat.subscribe(lambda c: seen.append((c.messages, [m.text for m in c.messages])))
        await chat.send_message("Hi")
        assert len({texts[-1] for _, texts in seen}) == 5
        for messages, texts in seen:
            assert [message.text for message in messages] == texts
        assert all(messages[0] is chat.messages[0] for messages, _ in seen)
        assert chat.messages is chat.messages


# -------------------------------------------------------------------- events

ALL: list[dict[str, Any]] = [
    {"type": "start", "messageId": "m1", "messageMetadata": {"n": 1}},
    {"type": "start-step"},
    {"type": "reasoning-start", "id": "r"},
    {"type": "reasoning-delta", "id": "r", "delta": "Hm"},
    {"type": "reasoning-end", "id": "r"},
    {"type": "text-start", "id": "t"},
    {"type": "text-delta", "id": "t", "delta": "He"},
    {"type": "text-delta", "id": "t", "delta": "y"},
    {"type": "text-end", "id": "t"},
    {"type": "tool-input-start", "toolCallId": "c", "toolName": "look"},
    {"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": '{"at"'},
    {"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": ": 1}"},
    {"type": "tool-input-available", "toolCallId": "c", "toolName": "look", "input": {"at": 1}},
    {"type": "data-x", "id": "d", "data": 1},
    {"type": "data-x", "id": "d", "data": 2},
    {"type": "data-y", "data": 3, "transient": True},
    {"type": "finish-step"},
    {"type": "finish", "finishReason": "stop", "messageMetadata": {"n": 2}},
]


def brief(event: Event) -> Any:
    if isinstance(event, DataReceived):
        return ("DataReceived", event.chunk.data)
    if isinstance(event, ToolCalled):
        return ("ToolCalled", event.call.tool_call_id)
    if isinstance(event, TurnFinished):
        return ("TurnFinished", event.turn.outcome)
    return (type(event).__name__, *(field for field in event if field != "m1"))


@pytest.mark.parametrize("split", [False, True])
async def test_the_events_of_a_reply(split: bool) -> None:
    reads: list[Any] = [[chunk] for chunk in ALL] if split else [ALL]
    async with scripted(reads) as chat:
        turn = chat.send_message("Hi")
        got = [brief(event) async for event in turn.events()]
        text = [("TextDelta", 2, "He", 0), ("TextDelta", 2, "y", 2)]
        raw = [("ToolInputDelta", 3, '{"at"', 0), ("ToolInputDelta", 3, ": 1}", 5)]
        assert got == [
            ("MessageAdded", 1),
            ("PartAdded", 0),
            ("PartAdded", 1),
            ("StatusChanged", "streaming"),
            ("ReasoningDelta", 1, "Hm", 0),
            ("PartDone", 1),
            ("PartAdded", 2),
            *(text if split else [("TextDelta", 2, "Hey", 0)]),
            ("PartDone", 2),
            ("PartAdded", 3),
            ("PartUpdated", 3),
            *(raw if split else [("ToolInputDelta", 3, '{"at": 1}', 0)]),
            ("PartUpdated", 3),
            ("ToolCalled", "c"),
            ("DataReceived", 1),
            ("PartAdded", 4),
            ("DataReceived", 2),
            ("PartUpdated", 4),
            ("DataReceived", 3),
            ("MetadataChanged",),
            ("StatusChanged", "ready"),
            ("TurnFinished", "completed"),
        ]


async def test_the_turn_of_an_event_is_the_users() -> None:
    finished: list[Any] = []
    async with scripted(text_reply("Hi")) as chat:
        chat.on(TurnFinished, finished.append)
        turn = await chat.send_message("Hi")
        assert finished[0].turn is turn


async def test_deltas_joined_are_the_text_and_their_starts_fit() -> None:
    halves = ["a\ud83d", "\ude00b", "\ude00", "", "c\ud83d", "d", "e\ud83d"]
    deltas = [{"type": "text-delta", "id": "t", "delta": half} for half in halves]
    other = [{"type": "reasoning-delta", "id": "r", "delta": half} for half in halves]
    mixed = [chunk for pair in zip(deltas, other, strict=True) for chunk in pair]
    begin = [*ALL[:3], ALL[5]]
    end = [ALL[4], ALL[8], *ALL[-2:]]
    for throttle in (None, 0, 0.03):
        reads = [[chunk] for chunk in (*begin, *mixed, *end)]
        reported: list[Exception] = []
        options: dict[str, Any] = {"throttle": throttle, "on_observer_error": reported.append}
        async with scripted(reads, **options) as chat:
            told: dict[type, str] = {TextDelta: "", ReasoningDelta: ""}

            def add(event: TextDelta | ReasoningDelta, told: dict[type, str] = told) -> None:
                event.text.encode()  # no half of a pair
                assert event.text
                assert event.start == len(told[type(event)])
                told[type(event)] += event.text

            chat.on(TextDelta, add)
            chat.on(ReasoningDelta, add)
            turn = await chat.send_message("Hi")
            assert reported == []
            assert told[TextDelta] == turn.text == "a😀b\ufffdc\ufffdde\ufffd"
            assert told[ReasoningDelta] == chat.messages[1].reasoning == turn.text


async def test_other_events() -> None:
    async def broken(exchange: Any) -> None:
        await exchange.head()
        await exchange.send(*BEGUN)
        await exchange.close()

    async with chatting(handlers(broken), when_busy="queue") as (chat, _):
        got: list[Event] = []
        for kind in (ErrorChanged, MessagesReplaced, QueueChanged, MetadataChanged):
            chat.on(kind, got.append)
        turn, queued = chat.send_message("1"), chat.send_message("2")
        await turn
        assert turn.error is not None
        chat.clear_error()
        chat.send_queued_message_now(chat.queued_messages[0].id)
        await queued
        chat.set_messages(lambda messages: messages[:1])
        kinds = [brief(event)[:2] for event in got]
        assert [k if k[0] != "QueueChanged" else (k[0], len(k[1])) for k in kinds] == [
            ("QueueChanged", 1),
            ("ErrorChanged", turn.error),
            ("ErrorChanged", None),
            ("QueueChanged", 0),
            ("MessagesReplaced", 1),
        ]
        await assert_usable(chat)


def test_the_names_of_events_are_told() -> None:
    chat = scripted()
    kind: Any = int
    with pytest.raises(InvalidArgumentError, match="There are DataReceived, ErrorChanged"):
        chat.on(kind, print)
