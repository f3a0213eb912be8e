"""``stop()``: at once, from anywhere; whatever the server does."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hosting import (
    GREETING,
    Asked,
    Gate,
    Host,
    Paced,
    assert_usable,
    chatting,
    elsewhere,
    hosted,
    scripted,
    text_came,
    told,
)

import usechat
from usechat import (
    ChatRequest,
    ChatSession,
    Finish,
    StatusChanged,
    TextDelta,
    Turn,
    TurnFinished,
)
from usechat.testing import HANG, FakeServer, text_reply

PACKAGE = str(Path(usechat.__file__).parent)
SILENT = {"before the headers": HANG, "after the headers": [*GREETING[:4], HANG]}
ANY_SILENT = pytest.mark.parametrize("reply", SILENT.values(), ids=SILENT.keys())


def test_a_message_shows_before_send_message_returns() -> None:
    for host in (None, Host(thread=False)):
        with ChatSession(scripted(HANG), dispatch=host) as chat:
            chat.input = "x"
            turn = chat.send_message("Hi", metadata={"n": 1})
            assert [(m.role, m.text) for m in chat.messages] == [("user", "Hi")]
            assert (chat.status, chat.is_loading) == ("submitted", True)
            assert not turn.over
            chat.stop()
            assert (chat.status, turn.outcome) == ("ready", "stopped")


@ANY_SILENT
@pytest.mark.parametrize("with_dispatch", [True, False])
def test_a_silent_server_is_left_at_once(reply: Any, with_dispatch: bool) -> None:
    host = Host() if with_dispatch else None
    with (
        FakeServer([reply, GREETING]) as server,
        ChatSession(server.url, dispatch=host) as chat,
    ):
        came = text_came(chat)
        turn = chat.send_message("Hi")
        server.wait_request()
        if reply is not HANG:
            told(came)
        chat.stop()
        assert (turn.outcome, chat.status) == ("stopped", "ready")
        assert turn.text == ("" if reply is HANG else "Hello ")
        server.wait_disconnect(timeout=1)
        elsewhere(turn.wait)
        elsewhere(lambda: assert_usable(chat))
    if host is not None:
        host.end()


def test_whoever_waits_is_woken_by_a_stop_elsewhere() -> None:
    for host in (None, Host(thread=False)):
        with FakeServer([HANG] * 3) as server, ChatSession(server.url, dispatch=host) as chat:
            for n, use in enumerate((Turn.wait, lambda t: "".join(t), lambda t: list(t.events()))):
                turn = chat.send_message("Hi")
                stopping = Asked(lambda n=n: (server.wait_request(n + 1), chat.stop()))
                use(turn)
                stopping.answer()
                assert turn.outcome == "stopped"
            server.wait_disconnect(3)


@pytest.mark.parametrize("kind", [StatusChanged, TextDelta])
def test_a_stop_in_an_observer(kind: Any) -> None:
    def reply(request: ChatRequest) -> Any:
        return [*GREETING[:4], HANG] if request.messages[-1].text == "Hi" else GREETING

    with hosted(reply, reply, throttle=0) as (chat, host):
        subscription = chat.on(kind, lambda _: chat.stop())
        turn = host.ask(lambda: chat.send_message("Hi")).wait()
        assert turn.outcome == "stopped"
        subscription()
        assert_usable(chat)


@pytest.mark.parametrize("callback", ["on_data", "on_tool_call", "on_response", "on_finish"])
def test_a_stop_in_a_callback(callback: str) -> None:
    reply = [
        {"type": "start"},
        {"type": "data-x", "data": 1},
        {"type": "tool-input-available", "toolCallId": "c", "toolName": "t", "input": {}},
        {"type": "text-start", "id": "t"},
        {"type": "text-delta", "id": "t", "delta": "never seen"},
    ]
    end = [{"type": "text-end", "id": "t"}, {"type": "finish"}]
    called: list[object] = []

    def stop(value: object) -> None:
        if not called:
            called.append(value)
            chat.stop()

    replies = [[*reply, *(end if callback == "on_finish" else [HANG])], GREETING]
    with (
        FakeServer(replies) as server,
        ChatSession(server.url, **{callback: stop}) as chat,  # type: ignore[arg-type]
    ):
        turn = chat.send_message("Hi").wait()
        assert called
        if callback != "on_finish":
            assert turn.outcome == "stopped"
            server.wait_disconnect()
            assert turn.text == ""
        assert_usable(chat)


def test_what_came_after_a_stop_is_dropped() -> None:
    """It has been read and waits to be applied; the next reply is not mixed with it."""
    gate = Gate()
    host = Host(thread=False)
    reply = [*GREETING[:4], gate, *GREETING[4:]]
    last = Gate()
    with ChatSession(
        Paced([*reply, last], text_reply("Another one")), dispatch=host, throttle=0
    ) as chat:
        came = text_came(chat)
        turn = chat.send_message("Hi")
        host.pump(came.is_set)
        gate.open()
        told(last.reached)  # "there" has been read
        chat.stop()
        assert (turn.text, chat.messages[-1].text) == ("Hello ", "Hello ")
        more = chat.send_message("More")
        host.pump(lambda: more.over)
        assert more.text == "Another one"
        assert [m.text for m in chat.messages] == ["Hi", "Hello ", "More", "Another one"]


def test_on_finish_of_a_stop_comes_on_the_hosts_thread_in_its_place() -> None:
    order: list[str] = []

    def finished(finish: Finish) -> None:
        order.append(f"on_finish {finish.is_abort} {threading.get_ident() == host.thread.ident}")

    with hosted([*GREETING[:4], HANG], on_finish=finished) as (chat, host):
        came = text_came(chat)
        turn = host.ask(lambda: chat.send_message("Hi"))
        told(came)
        chat.on(StatusChanged, lambda e: order.append(e.status))
        chat.on(TurnFinished, lambda e: order.append(e.turn.outcome))
        chat.stop()
        turn.wait()
    assert order == ["ready", "on_finish True True", "stopped"]


def test_a_stop_of_nothing() -> None:
    with chatting(GREETING) as chat:
        chat.stop()
        chat.stop()
        assert_usable(chat)
        chat.stop()
        assert chat.status == "ready"


# ------------------------------------------------------------------- signals


@contextmanager
def handling(handler: Callable[[], object]) -> Iterator[None]:
    """A handler of SIGUSR1, as a program has one for SIGINT or SIGALRM."""
    before = signal.signal(signal.SIGUSR1, lambda *_: handler())
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def signalled_at(count: int, operation: Callable[[], object], also: str = PACKAGE) -> bool:
    """Run an operation with a signal before its n-th line in the library; whether it came so far.

    Args:
        count: which line, from 0.
        operation: what to run.
        also: a file outside of the package whose lines count.
    """
    left = count

    def tracer(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith((PACKAGE, also)):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                sys.settrace(None)
                signal.raise_signal(signal.SIGUSR1)
                return None
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        operation()
    finally:
        sys.settrace(before)
    return left < 0


def lines_of(operation: Callable[[], object], also: str = PACKAGE) -> list[int]:
    """At which counts an operation reaches a line for the first or the last time."""
    lines: list[tuple[str, int]] = []

    def tracer(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith((PACKAGE, also)):
            return None
        if event == "line":
            lines.append((frame.f_code.co_filename, frame.f_lineno))
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        operation()
    finally:
        sys.settrace(before)
    first = {line: at for at, line in reversed(list(enumerate(lines)))}
    last = {line: at for at, line in enumerate(lines)}
    return sorted({*first.values(), *last.values()})


def test_a_signal_handler_stops_a_turn_that_is_waited_for() -> None:
    for host in (None, Host(thread=False)):
        with FakeServer([HANG, GREETING]) as server, ChatSession(server.url, dispatch=host) as chat:
            turn = chat.send_message("Hi")

            def send(server: FakeServer = server) -> None:
                server.wait_request()
                os.kill(os.getpid(), signal.SIGUSR1)

            with handling(chat.stop):
                asked = Asked(send)
                turn.wait()
                asked.answer()
            assert turn.outcome == "stopped"
            server.wait_disconnect()
            assert_usable(chat)


@pytest.mark.parametrize("with_dispatch", [True, False])
def test_a_signal_handler_stops_at_any_line(with_dispatch: bool) -> None:
    """Of ``send_message`` and of a wait: the session is never torn, nobody hangs."""
    threading_file = threading.__file__

    def session() -> ChatSession:
        host = Host(thread=False) if with_dispatch else None
        return ChatSession(scripted(GREETING, GREETING), dispatch=host, throttle=0)

    def operation(chat: ChatSession) -> None:
        chat.send_message("Hi").wait()

    with session() as chat:
        counts = lines_of(lambda: operation(chat), threading_file)
    outcomes = set()
    for count in counts:
        with session() as chat, handling(chat.stop):
            if not signalled_at(count, lambda chat=chat: operation(chat), threading_file):
                continue
            assert (count, chat.status) == (count, "ready")
            texts = [m.text for m in chat.messages]
            assert texts[:1] == ["Hi"]
            assert "Hello there".startswith("".join(texts[1:]))
            outcomes.add("".join(texts[1:]) == "Hello there")
            chat.set_messages([])
            before = chat.send_message("Again").wait()
            assert (before.outcome, before.text) == ("completed", "Hello there")
    assert outcomes == {True, False}


def test_a_signal_handler_looks_at_the_session_at_any_line() -> None:
    """What it sees is a state that was shown; the turn goes on."""
    seen: list[tuple[str, ...]] = []

    def look() -> None:
        seen.append((chat.status, *(m.text for m in chat.messages)))
        repr(chat)
        assert chat.is_loading in (True, False)

    def operation(chat: ChatSession) -> str:
        return chat.send_message("Hi").wait().text

    with chatting(GREETING) as chat:
        counts = lines_of(lambda: operation(chat))
    for count in counts:
        with chatting(GREETING) as chat, handling(look):
            signalled_at(count, lambda chat=chat: operation(chat))
            assert chat.messages[-1].text == "Hello there"
    texts = {text for status, *texts in seen for text in texts}
    assert texts <= {"Hi", "", "Hello ", "Hello there"}
