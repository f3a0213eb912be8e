"""What is urgent is not kept waiting, what is left is told, and nobody's fault is another's."""

from __future__ import annotations

import asyncio
import threading
from time import sleep
from typing import Any

import pytest
from hosting import (
    GREETING,
    HANG,
    Asked,
    Gate,
    Host,
    Paced,
    assert_usable,
    chatting,
    delta,
    deltas,
    gated,
    scripted,
    text_came,
    told,
)

from usechat import (
    CallbackError,
    ChatSession,
    InputChanged,
    StatusChanged,
    TextDelta,
    TransportError,
    TurnFinished,
)
from usechat.session import hosting as session_hosting
from usechat.session import reader
from usechat.session.inbox import size_of
from usechat.testing import FakeServer, text_reply

LONG = 3600.0  # a throttle that no test outlives


def test_close_tells_what_is_left_though_an_observer_is_busy() -> None:
    reply, _ = gated()
    busy, go_on = threading.Event(), threading.Event()
    heard: list[Any] = []

    def slow(_: TextDelta) -> None:
        busy.set()
        told(go_on)
        sleep(0.02)  # longer than a flush may take

    with ChatSession(Paced(reply), throttle=LONG) as chat:
        chat.on(TextDelta, slow)
        chat.on(TurnFinished, lambda e: heard.append(e.turn.outcome))
        chat.send_message("Hi")
        told(busy)
        closed = Asked(chat.close)
        while not chat._engine.closed:
            pass
        go_on.set()
        closed.answer()
    assert heard == ["stopped"]


def test_close_tells_a_change_that_is_not_urgent() -> None:
    heard: list[str] = []
    first = threading.Event()
    with chatting(throttle=LONG) as chat:
        chat.on(InputChanged, lambda e: (heard.append(e.input), first.set()))
        chat.input = "a"
        told(first)
        chat.input = "b"
    assert heard == ["a", "b"]


def test_a_stop_while_observers_are_told_does_not_wait_for_the_throttle() -> None:
    reply, _ = gated()
    busy, go_on = threading.Event(), threading.Event()
    with ChatSession(Paced(reply), throttle=LONG) as chat:
        chat.on(TextDelta, lambda _: (busy.set(), told(go_on), sleep(0.02)))
        turn = chat.send_message("Hi")
        told(busy)
        chat.stop()
        go_on.set()
        assert turn.wait(10).outcome == "stopped"


@pytest.fixture
def _no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look after the host, once a second, would see to what is forgotten."""
    monkeypatch.setattr(reader, "_WATCH", LONG)


@pytest.mark.usefixtures("_no_watch")
def test_text_is_given_as_it_comes_however_seldom_observers_are_told() -> None:
    first, second = Gate(), Gate()
    reply = deltas([delta("a"), first, delta("b"), second, delta("c")])
    with ChatSession(Paced(reply), throttle=LONG) as chat:
        pieces = iter(chat.send_message("Hi"))
        assert next(pieces) == "a"
        first.open()
        assert next(pieces) == "b"
        second.open()
        assert "".join(pieces) == "c"


@pytest.mark.usefixtures("_no_watch")
def test_a_change_is_told_while_the_hosts_thread_waits() -> None:
    host = Host(thread=False)
    with ChatSession(Paced(gated()[0]), dispatch=host, throttle=0) as chat:
        heard = threading.Event()
        waits = text_came(chat)
        chat.on(InputChanged, lambda _: heard.set())
        turn = chat.send_message("Hi")

        def type_and_stop() -> None:
            told(waits)
            chat.input = "typed"
            told(heard)
            chat.stop()

        asked = Asked(type_and_stop)
        turn.wait()
        asked.answer()


@pytest.mark.parametrize("error", [SystemExit(2), asyncio.CancelledError()])
def test_a_transport_that_raises_more_than_an_error_ends_its_own_turn_only(
    error: BaseException,
) -> None:
    class Raises(Paced):
        async def send_messages(self, request: Any) -> Any:
            raise error

    reply, gate = gated()
    with ChatSession(Paced(reply)) as other, ChatSession(Raises()) as chat:
        came = text_came(other)
        running = other.send_message("Hi")
        told(came)
        turn = chat.send_message("Hi").wait(10)
        assert (turn.outcome, type(turn.error)) == ("error", TransportError)
        gate.open()
        assert running.result(10).text == "Hello there"


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, ValueError, StopIteration])
def test_a_hook_that_is_left_by_anything_ends_the_turn(
    kind: type[BaseException], logged: pytest.LogCaptureFixture
) -> None:
    raised: list[int] = []

    def headers() -> dict[str, str]:
        if not raised:
            raised.append(1)
            raise kind
        return {}

    with FakeServer([GREETING]) as server, ChatSession(server.url, headers=headers) as chat:
        turn = chat.send_message("Hi").wait(10)
        assert turn.outcome == ("error" if issubclass(kind, Exception) else "stopped")
        chat.set_messages([])
        assert_usable(chat)


def test_the_first_wait_on_the_makers_thread_lets_the_host_be_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_hosting, "_PATIENCE", 10)
    host = Host()
    try:
        for _ in range(5):
            threads: set[int] = set()
            with ChatSession(scripted(GREETING), dispatch=host) as chat:
                for kind in (StatusChanged, TextDelta, TurnFinished):
                    chat.on(kind, lambda _: threads.add(threading.get_ident()))  # noqa: B023
                assert chat.send_message("Hi").result(10).text == "Hello there"
            assert threads == {host.thread.ident}
    finally:
        host.end()


def test_the_maker_that_waits_first_is_the_host_where_nobody_else_is() -> None:
    waiting: list[Any] = []
    with ChatSession(scripted(GREETING), dispatch=waiting.append) as chat:
        assert chat.send_message("Hi").result(10).text == "Hello there"


def test_what_observers_are_shown_nobody_else_changes() -> None:
    seen: list[tuple[str, int]] = []
    shown = threading.Event()
    with ChatSession(scripted(HANG), throttle=None) as chat:

        def first(event: StatusChanged) -> None:
            if event.status == "submitted":
                shown.set()
                Asked(chat.stop).answer()

        chat.on(StatusChanged, first)
        chat.on(StatusChanged, lambda _: seen.append((chat.status, len(chat.messages))))
        chat.send_message("Hi").wait(10)
    assert seen == [("submitted", 1), ("ready", 1)]


def test_an_id_that_could_not_be_made_fails_no_later_message() -> None:
    broken = [True]
    numbers = iter(range(100))

    def make() -> str:
        if broken[0]:
            raise OSError("no ids today")
        return f"id-{next(numbers)}"

    with chatting(GREETING, generate_id=make) as chat:
        with pytest.raises(CallbackError, match="no ids today"):
            chat.send_message("Hi")
        broken[0] = False
        assert_usable(chat)


def test_events_are_those_of_one_turn() -> None:
    with chatting(text_reply("one"), text_reply("two")) as chat:
        turn = chat.send_message("Hi")
        events = turn.events()
        turn.wait()
        chat.send_message("Again").wait()
        texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert "two" not in "".join(texts)


def test_a_wait_without_an_end_is_one() -> None:
    with chatting(GREETING, GREETING) as chat:
        assert chat.send_message("Hi").wait(float("inf")).outcome == "completed"
        assert chat.send_message("Hi").wait(1e12).outcome == "completed"


def test_each_read_counts_in_the_inbox() -> None:
    assert size_of([]) > 0
    assert size_of([delta("x" * 1000)]) > 1000 + size_of([delta("")]) - 1
    reply = deltas([[delta("a")], *[[]] * 20_000, [delta("b")]])
    with ChatSession(Paced(reply)) as chat:
        assert chat.send_message("Hi").result(20).text == "ab"
