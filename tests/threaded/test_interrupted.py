"""Ctrl-C: in a wait, and in the middle of a change."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hosting import (
    GREETING,
    Asked,
    Gate,
    Host,
    Paced,
    assert_usable,
    hangs_for,
    scripted,
    told,
)

import usechat
from tests.engine.interrupts import firsts, interrupted_at, lines_of
from usechat import ChatSession, InputChanged, StatusChanged, TextDelta, Turn, TurnFinished
from usechat.testing import HANG, FakeServer

ENGINE = str(Path(usechat.__file__).parent / "engine")


def iterate(turn: Turn) -> None:
    for _ in turn:
        pass


WAITS: dict[str, Callable[[Turn], object]] = {
    "wait": Turn.wait,
    "wait with a timeout": lambda turn: turn.wait(100),
    "result": Turn.result,
    "iteration": iterate,
    "events": lambda turn: list(turn.events()),
}


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Ctrl-C as the terminal sends it: to the process, whose main thread hears it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("use", WAITS.values(), ids=WAITS.keys())
@pytest.mark.parametrize("reply", [HANG, [*GREETING[:4], HANG]], ids=["no headers", "begun"])
@pytest.mark.parametrize("with_dispatch", [True, False])
def test_ctrl_c_in_a_wait_stops_the_turn(
    use: Callable[[Turn], object], reply: Any, with_dispatch: bool, ctrl_c: Callable[[], None]
) -> None:
    host = Host(thread=False) if with_dispatch else None
    with FakeServer([reply, GREETING]) as server, ChatSession(server.url, dispatch=host) as chat:
        turn = chat.send_message("Hi")
        waits = threading.Event()
        news = chat._hosting._news
        wait_for_news = news.wait

        def noted(seen: int, timeout: float | None) -> None:
            if reply is HANG or turn.text:
                waits.set()
            wait_for_news(seen, timeout)

        news.wait = noted  # type: ignore[method-assign]

        def interrupt() -> None:
            server.wait_request()
            told(waits)
            ctrl_c()

        asked = Asked(interrupt)
        with pytest.raises(KeyboardInterrupt):
            use(turn)
        asked.answer()
        assert (turn.outcome, chat.status) == ("stopped", "ready")
        assert turn.text == ("" if reply is HANG else "Hello ")
        server.wait_disconnect()
        assert_usable(chat)


def test_an_interrupt_of_whoever_waits_beside_the_host() -> None:
    """Raised in a thread that only waits it stops the turn too."""

    class Quit(BaseException):
        pass

    def ready() -> bool:
        raise Quit

    with ChatSession(scripted(hangs_for("Hi"), hangs_for("Hi"))) as chat:
        turn = chat.send_message("Hi")
        with pytest.raises(Quit):
            chat._wait(turn._state, None, ready)
        assert turn.wait().outcome == "stopped"
        assert_usable(chat)


def test_an_interrupt_outside_of_a_wait_leaves_the_turn_alone() -> None:
    gate = Gate()
    with ChatSession(Paced([*GREETING[:4], gate, *GREETING[4:]])) as chat:
        turn = chat.send_message("Hi")
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            for _ in turn:
                raise KeyboardInterrupt
        assert not turn.over
        gate.open()
        assert turn.result().text == "Hello there"


@pytest.mark.parametrize("kind", [StatusChanged, TextDelta, TurnFinished])
def test_an_interrupt_in_an_observer_while_the_hosts_thread_waits(kind: Any) -> None:
    raised: list[int] = []

    def interrupted(_: Any) -> None:
        if not raised:
            raised.append(1)
            raise KeyboardInterrupt

    host = Host(thread=False)
    with ChatSession(scripted(*[GREETING] * 3), dispatch=host) as chat:
        chat.on(kind, interrupted)
        turn = chat.send_message("Hi")
        with pytest.raises(KeyboardInterrupt):
            turn.wait()
        assert turn.over
        assert turn.wait() is turn
        assert Asked(turn.wait).answer() is turn
        chat.set_messages([])
        assert_usable_of_any(chat)


def assert_usable_of_any(chat: ChatSession) -> None:
    turn = chat.send_message("Again").wait()
    assert (turn.outcome, turn.text, chat.status) == ("completed", "Hello there", "ready")


# ------------------------------------------------------- at any line of the engine

TOOL: list[Any] = [
    {"type": "start", "messageMetadata": {"n": 1}},
    {"type": "data-x", "data": 1, "id": "d"},
    {"type": "tool-input-start", "toolCallId": "c", "toolName": "t"},
    {"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": '{"a": '},
    {"type": "tool-input-available", "toolCallId": "c", "toolName": "t", "input": {"a": 1}},
    *GREETING[1:],
]


def reply_to(request: Any) -> Any:
    """Nothing for "Wait", a tool call for "Tool", else a greeting."""
    text = request.messages[-1].text
    return HANG if text == "Wait" else TOOL if text == "Tool" else GREETING


def flushed(chat: ChatSession, host: Host, turn: Turn) -> Turn:
    host.pump(lambda: turn.over)
    return turn


def has_come(chat: ChatSession, text: str) -> Turn:
    """A turn whose whole reply has been read, and nothing of it applied."""
    read = threading.Event()
    put = chat._hosting._inbox.put

    def noted(item: Any) -> None:
        put(item)
        # The end, and not the head: nothing more will come.
        if item.steps is not None and getattr(item.steps, "func", None) == chat._engine.finish:
            read.set()

    chat._hosting._inbox.put = noted  # type: ignore[method-assign]
    turn = chat.send_message(text)
    told(read)
    return turn


SCRIPTS: dict[str, tuple[Callable[[ChatSession, Host], Any], Callable[[ChatSession, Any], Any]]] = {
    "send": (lambda chat, host: None, lambda chat, _: chat.send_message("Hi")),
    "send again": (
        lambda chat, host: flushed(chat, host, chat.send_message("Hi")),
        lambda chat, _: chat.send_message("More"),
    ),
    "regenerate": (
        lambda chat, host: flushed(chat, host, chat.send_message("Hi")),
        lambda chat, _: chat.regenerate(),
    ),
    "stop": (lambda chat, host: chat.send_message("Wait"), lambda chat, _: chat.stop()),
    "set_messages": (
        lambda chat, host: flushed(chat, host, chat.send_message("Hi")),
        lambda chat, _: chat.set_messages(lambda messages: messages[:1]),
    ),
    "clear": (lambda chat, host: chat.send_message("Wait"), lambda chat, _: chat.clear()),
    "submit": (
        lambda chat, host: setattr(chat, "input", "Hi"),
        lambda chat, _: chat.submit(),
    ),
    "queue": (
        lambda chat, host: chat.send_message("Wait"),
        lambda chat, _: chat.send_message("Next"),
    ),
    "answer": (
        lambda chat, host: flushed(chat, host, chat.send_message("Tool")),
        lambda chat, _: chat.add_tool_output("c", 1),
    ),
}


def session(host: Host) -> ChatSession:
    replies = [reply_to] * 8
    return ChatSession(
        scripted(*replies),
        dispatch=host,
        throttle=0,
        when_busy="queue",
        on_finish=lambda _: None,
        on_data=lambda _: None,
        on_tool_call=lambda _: None,
    )


def look(chat: ChatSession) -> tuple[Any, ...]:
    return chat.messages, chat.status, chat.queued_messages


def assert_whole(chat: ChatSession, host: Host) -> None:
    """Nobody hangs, and the session works."""
    for message in chat.queued_messages:
        chat.remove_queued_message(message.id)
    chat.stop()
    for turn in list(chat._turns.values()):
        turn.wait()
        Asked(turn.wait).answer()
    chat.set_messages([])
    assert_usable(chat)
    events: list[str] = []
    with chat.on(InputChanged, lambda e: events.append(e.input)):
        chat.input = "typed"
        host.pump(lambda: events)
    assert events == ["typed"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_action_that_is_interrupted_shows_a_state_that_was_shown(name: str) -> None:
    prepare, operation = SCRIPTS[name]

    def prepared() -> tuple[ChatSession, Host, Any]:
        host = Host(thread=False)
        chat = session(host)
        chat.subscribe(lambda _: None)
        return chat, host, prepare(chat, host)

    chat, host, made = prepared()
    with chat:
        counts = firsts(lines_of(lambda: operation(chat, made), ENGINE))
        assert counts
    for count in counts:
        chat, host, made = prepared()
        with chat:
            before = look(chat)
            if not interrupted_at(count, lambda: operation(chat, made), ENGINE):  # noqa: B023
                continue
            after = look(chat)
            if after != before:  # as it was, with what ran stopped; or after a whole step
                assert after[1] in ("ready", "submitted"), (count, after)
                assert len(after[0]) in range(len(before[0]) + 2) or after[0] == before[0]
            assert_whole(chat, host)


@pytest.mark.parametrize("text", ["Hi", "Tool"])
def test_a_flush_that_is_interrupted(text: str) -> None:
    """At each line of the engine that applying a reply comes by, on the host's thread."""
    whole = "Hello there"

    def prepared() -> tuple[ChatSession, Host, Turn]:
        host = Host(thread=False)
        chat = session(host)
        chat.subscribe(lambda _: None)
        return chat, host, has_come(chat, text)

    chat, host, turn = prepared()
    with chat:
        fn = host.next()
        counts = firsts(lines_of(fn, ENGINE))
        assert turn.text == whole
    for count in counts:
        chat, host, turn = prepared()
        with chat:
            fn = host.next()
            if not interrupted_at(count, fn, ENGINE):
                continue
            texts = [m.text for m in chat.messages]
            assert texts[:1] == [text]
            assert len(texts) <= 2
            assert whole.startswith("".join(texts[1:]))
            assert_over_and_exact(chat, host, turn, whole)
            assert_whole(chat, host)


def assert_over_and_exact(chat: ChatSession, host: Host, turn: Turn, whole: str) -> None:
    """A turn that was interrupted is over; if it says that it is complete, it is."""
    if not turn.over:
        host.pump(lambda: turn.over)
    assert turn.outcome in ("stopped", "completed")
    if turn.outcome == "completed":
        assert turn.text == whole
    else:
        assert whole.startswith(turn.text)
