"""A script: it sends, waits, iterates and gets what went wrong."""

from __future__ import annotations

import json
import threading

import pytest
from hosting import (
    GREETING,
    PATIENCE,
    Gate,
    Paced,
    assert_usable,
    chatting,
    elsewhere,
    gated,
    hangs_for,
    hosted,
    told,
)

from usechat import (
    ChatBusyError,
    ChatClosedError,
    ChatSession,
    ConnectionBrokenError,
    Finish,
    HTTPStatusError,
    IncompleteReplyError,
    PendingToolError,
    QueuePausedError,
    ServerError,
    StatusChanged,
    TextDelta,
    Turn,
    TurnFinished,
)
from usechat.testing import CUT, HANG, FakeReply, FakeServer, text_reply


def test_a_script_iterates_over_the_pieces() -> None:
    with FakeServer([text_reply("Hello there")]) as server, ChatSession(server.url) as chat:
        turn = chat.send_message("Hi")
        assert "".join(turn) == "Hello there" == turn.text
        assert turn.outcome == "completed"
        assert "".join(turn) == "Hello there"  # again, from its begin
        assert [m.text for m in chat.messages] == ["Hi", "Hello there"]


def test_a_script_takes_the_result() -> None:
    with FakeServer([text_reply("Hello there")]) as server, ChatSession(server.url) as chat:
        message = chat.send_message("Hi").result()
        assert (message.role, message.text) == ("assistant", "Hello there")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (FakeReply(b"No", status=403), HTTPStatusError),
        ([*GREETING[:4], CUT], ConnectionBrokenError),
        ([*GREETING[:4], {"type": "error", "errorText": "oh"}], ServerError),
        (FakeReply([*GREETING[:4], b"\n"]), IncompleteReplyError),
    ],
    ids=["status", "cut", "error chunk", "no end"],
)
def test_what_went_wrong_is_raised_by_whoever_uses_it(
    reply: object, error: type[Exception]
) -> None:
    with (
        FakeServer([reply, reply, GREETING]) as server,  # type: ignore[list-item]
        ChatSession(server.url) as chat,
    ):
        with pytest.raises(error):
            chat.send_message("Hi").result()
        pieces = []
        with pytest.raises(error):  # noqa: PT012
            for piece in chat.send_message("Hi"):
                pieces.append(piece)
        assert "".join(pieces) in ("", "Hello ")
        assert_usable(chat)


def test_wait_never_raises_for_the_peers_faults() -> None:
    with FakeServer([FakeReply(b"No", status=403)]) as server, ChatSession(server.url) as chat:
        turn = chat.send_message("Hi")
        assert turn.wait() is turn
        assert turn.outcome == "error"
        assert isinstance(turn.error, HTTPStatusError)
        assert (chat.status, chat.error) == ("error", turn.error)


def test_a_wait_past_its_timeout_raises_and_the_turn_goes_on() -> None:
    reply, gate = gated()
    with ChatSession(Paced(reply)) as chat:
        turn = chat.send_message("Hi")
        for timeout in (0, 0.01, -1):
            with pytest.raises(TimeoutError):
                turn.wait(timeout)
        with pytest.raises(TimeoutError):
            turn.result(0.01)
        assert chat.is_loading
        gate.open()
        assert turn.result().text == "Hello there"
        assert turn.wait(0) is turn  # over is over


def test_a_wait_past_its_timeout_on_the_hosts_thread() -> None:
    reply, gate = gated()
    with hosted(Paced(reply)) as (chat, host):
        turn = host.ask(lambda: chat.send_message("Hi"))

        def wait() -> None:
            with pytest.raises(TimeoutError):
                turn.wait(0.05)

        host.ask(wait)
        assert chat.is_loading
        gate.open()
        assert host.ask(lambda: turn.wait()).text == "Hello there"


def test_one_that_waits_in_a_paused_queue_is_not_waited_for() -> None:
    with chatting(*[hangs_for("One")] * 2, when_busy="queue") as chat:
        chat.send_message("One")
        second = chat.send_message("Two")
        assert second.queued
        chat.stop()
        for wait in (second.wait, second.result, lambda: list(second)):
            with pytest.raises(QueuePausedError):
                wait()
        assert second.queued
        now = chat.send_queued_message_now(chat.queued_messages[0].id)
        assert now is second
        assert second.wait().text == "Hello there"


def test_whoever_waits_for_a_queued_turn_hears_that_the_queue_is_paused() -> None:
    with chatting(HANG, when_busy="queue") as chat:
        chat.send_message("One")
        second = chat.send_message("Two")
        waits = threading.Event()
        asked = []

        def wait() -> None:
            waits.set()
            with pytest.raises(QueuePausedError):
                second.wait()

        asked.append(threading.Thread(target=wait, name="asked"))
        asked[0].start()
        told(waits)
        chat.stop()
        asked[0].join(PATIENCE)
        assert not asked[0].is_alive()


def test_turns_of_a_queue_are_over_each_on_its_own() -> None:
    with chatting(*[text_reply(f"Reply {n}") for n in range(4)], when_busy="queue") as chat:
        turns = [chat.send_message(f"Message {n}") for n in range(4)]
        assert [turn.result().text for turn in turns] == [f"Reply {n}" for n in range(4)]
        assert [m.role for m in chat.messages] == ["user", "assistant"] * 4


def test_a_dropped_turn_is_over() -> None:
    with chatting(HANG, when_busy="queue") as chat:
        chat.send_message("One")
        second = chat.send_message("Two")
        chat.remove_queued_message(chat.queued_messages[0].id)
        assert second.wait().outcome == "dropped"
        with pytest.raises(Exception, match="taken out of the queue"):
            second.result()


def test_a_busy_session_refuses_before_any_change() -> None:
    with chatting(HANG) as chat:
        first = chat.send_message("One")
        messages = chat.messages
        with pytest.raises(ChatBusyError):
            chat.send_message("Two")
        with pytest.raises(ChatBusyError):
            chat.send_message()
        assert chat.messages == messages
        assert not first.over


def test_a_closed_session_refuses_and_can_be_looked_at() -> None:
    with chatting(GREETING) as chat:
        turn = chat.send_message("Hi").wait()
    for action in (
        lambda: chat.send_message("Hi"),
        chat.regenerate,
        chat.resume_stream,
        lambda: chat.set_messages([]),
        chat.clear,
        lambda: chat.add_tool_output("c1", 1),
    ):
        with pytest.raises(ChatClosedError):
            action()
    chat.stop()
    chat.close()
    assert turn.result().text == chat.messages[-1].text == "Hello there"
    chat.input = "still a text box"
    assert chat.submit() is None


def test_a_limit_of_steps_is_raised() -> None:
    asked = [
        {"type": "start"},
        {"type": "tool-input-available", "toolCallId": "c", "toolName": "t", "input": {}},
        {"type": "finish"},
    ]
    with chatting(asked, send_automatically_when=lambda _: True, max_steps=1) as chat:
        turn = chat.send_message("Hi").wait()
        assert turn.limit_reached
        with pytest.raises(PendingToolError):
            turn.result()


def test_a_turn_with_nothing_to_request_is_over_at_once() -> None:
    with chatting() as chat:
        turn = chat.add_tool_output("unknown", 1)
        assert turn.over
        assert turn.wait(0).outcome == "completed"
        assert list(turn) == []
        assert list(turn.events()) == []


def test_leaving_a_stream_block_stops_its_turn() -> None:
    with FakeServer([[*GREETING[:4], HANG], GREETING]) as server, ChatSession(server.url) as chat:
        with chat.stream("Hi") as turn:
            assert next(iter(turn)) == "Hello "
        assert turn.outcome == "stopped"
        server.wait_disconnect()
        assert_usable(chat)
        with pytest.raises(KeyError), chat.stream("Hi"):
            raise KeyError


def test_events_are_iterated() -> None:
    gate = Gate()
    with ChatSession(Paced([gate, *GREETING])) as chat:
        events = chat.send_message("Hi").events()
        gate.open()  # events are taken from now on
        seen = list(events)
        assert "".join(e.text for e in seen if isinstance(e, TextDelta)) == "Hello there"
        assert isinstance(seen[-1], TurnFinished)
        assert [e.status for e in seen if isinstance(e, StatusChanged)][-1] == "ready"


def test_events_left_in_the_middle_watch_no_longer() -> None:
    gate = Gate()
    with ChatSession(Paced([gate, *GREETING])) as chat:
        turn = chat.send_message("Hi")
        events = turn.events()
        gate.open()
        next(events)
        del events
        assert not chat._observers
        assert turn.wait().outcome == "completed"


class Waits:
    """Each way to wait for a turn."""

    ALL = (
        ("wait", lambda turn: turn.wait()),
        ("result", lambda turn: turn.result()),
        ("iterate", lambda turn: "".join(turn)),
        ("events", lambda turn: list(turn.events())),
    )


WAITS = pytest.mark.parametrize("wait", [f for _, f in Waits.ALL], ids=[n for n, _ in Waits.ALL])
TOOL = [
    {"type": "start"},
    {"type": "data-x", "data": 1},
    {"type": "tool-input-available", "toolCallId": "c", "toolName": "t", "input": {}},
    {"type": "finish"},
]


@WAITS
@pytest.mark.parametrize("callback", ["on_finish", "on_data", "on_tool_call"])
@pytest.mark.parametrize("with_dispatch", [True, False])
def test_a_wait_in_a_callback_is_refused(callback: str, wait: object, with_dispatch: bool) -> None:
    turns: list[Turn] = []
    refused: list[BaseException] = []
    sent = threading.Event()

    def called(_: object) -> None:
        told(sent)
        if callback == "on_finish" and len(turns) == 1:  # its own exchange is over: another turn
            turns.append(chat.send_message("More"))
        try:
            wait(turns[-1])  # type: ignore[operator]
        except ChatBusyError as error:
            refused.append(error)

    options = {callback: called}
    if with_dispatch:
        with hosted(TOOL, GREETING, **options) as (chat, host):
            host.ask(lambda: turns.append(chat.send_message("Hi")))
            sent.set()
            elsewhere(lambda: turns[0].wait())
            elsewhere(lambda: turns[-1].wait())
    else:
        with chatting(TOOL, GREETING, **options) as chat:
            turns.append(chat.send_message("Hi"))
            sent.set()
            turns[0].wait()
            turns[-1].wait()
    assert refused
    assert all(turn.outcome == "completed" for turn in turns)


@WAITS
@pytest.mark.parametrize("throttle", [0.03, 0, None])
@pytest.mark.parametrize("with_dispatch", [True, False])
def test_a_wait_in_an_observer_works(
    wait: object, with_dispatch: bool, throttle: float | None
) -> None:
    """On the host's thread it runs the flushes in which nobody is told; they are told after."""
    seen: list[str] = []
    texts: list[str] = []

    def finished(event: TurnFinished) -> None:
        seen.append("in")
        if len(seen) < 5:
            turn = chat.send_message("More")
            wait(turn)  # type: ignore[operator]
            assert turn.outcome == "completed"
            texts.append(turn.text)
        seen.append("out")
        if seen.count("out") == 3:
            done.set()

    done = threading.Event()

    def run(chat: ChatSession) -> None:
        chat.on(TurnFinished, finished)
        chat.send_message("Hi").wait()

    replies = [GREETING] * 6
    if with_dispatch:
        with hosted(*replies, throttle=throttle) as (chat, host):
            host.ask(lambda: run(chat))
            told(done)
    else:
        with chatting(*replies, throttle=throttle) as chat:
            run(chat)
            told(done)
    assert seen == ["in", "out"] * 3
    assert texts == ["Hello there"] * 2


def test_an_answer_to_a_tool_call_goes_on_and_is_waited_for() -> None:
    with chatting(TOOL, GREETING, send_automatically_when=lambda ms: not ms[-1].pending) as chat:
        turn = chat.send_message("Hi").wait()
        assert [part.tool_call_id for part in turn.pending] == ["c"]
        more = chat.add_tool_output("c", {"n": 1}).wait()
        assert more.text == "Hello there"


def test_saving_and_loading() -> None:
    files = [{"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AA=="}]
    with chatting(TOOL, GREETING) as chat:
        chat.send_message("Hi \ud83d\ude00", files=files, metadata={"n": 1}).wait()
        chat.add_tool_output("c", [1, None])
        chat.send_message("More").wait()
        saved = json.dumps([m.model_dump() for m in chat.messages])
        with chatting(GREETING, messages=json.loads(saved)) as again:
            assert again.messages == chat.messages
            assert json.dumps([m.model_dump() for m in again.messages]) == saved
            assert_usable(again)


def test_a_new_chat() -> None:
    with (
        FakeServer([GREETING, [*GREETING[:4], HANG], GREETING]) as server,
        ChatSession(server.url, when_busy="queue") as chat,
    ):
        chat.send_message("Hi").wait()
        old = chat.id
        running = chat.send_message("More")
        waiting = chat.send_message("And more")
        server.wait_request(2)
        chat.clear()
        assert (chat.messages, chat.queued_messages, chat.status) == ((), (), "ready")
        assert chat.id != old
        assert (running.outcome, waiting.outcome) == ("stopped", "dropped")
        server.wait_disconnect()
        assert_usable(chat)
        assert server.requests[-1].json["id"] == chat.id


def test_retry_after_an_error() -> None:
    failures: list[Exception] = []
    finishes: list[Finish] = []
    with (
        FakeServer([FakeReply(b"Oh", status=500), GREETING]) as server,
        ChatSession(server.url, on_error=failures.append, on_finish=finishes.append) as chat,
    ):
        chat.send_message("Hi").wait()
        assert chat.status == "error"
        turn = chat.regenerate()
        assert (chat.status, chat.error) == ("submitted", None)
        assert turn.result().text == "Hello there"
        assert [m.text for m in chat.messages] == ["Hi", "Hello there"]
        assert (len(failures), len(finishes)) == (1, 2)
