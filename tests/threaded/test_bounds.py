"""Limits: of what is read ahead, and of how often observers are told."""

from __future__ import annotations

import threading
import tracemalloc
from time import monotonic, sleep
from typing import Any

import pytest
from hosting import (
    GREETING,
    Asked,
    Gate,
    Host,
    Paced,
    assert_usable,
    delta,
    deltas,
    elsewhere,
    hosted,
    serving,
    text_came,
    told,
)

from usechat import ChatSession, StatusChanged, TextDelta
from usechat.testing import FakeServer

MIB = 1024 * 1024


class Watched(Paced):
    """Says when nothing has been asked for although there is more."""

    def __init__(self, *replies: Any) -> None:
        super().__init__(*replies)
        self.asked = threading.Condition()

    def has_read(self, more_than: int) -> bool:
        with self.asked:
            return self.asked.wait_for(lambda: self.read > more_than, 10)


def test_a_host_that_never_flushes_pauses_the_reading() -> None:
    """A network piece is at most 64 KiB or so; the text is exact when the host goes on."""
    piece = "x" * 1024
    count = 16 * 1024  # 16 MiB
    sent = 0
    left = threading.Event()

    async def handle(exchange: Any) -> None:
        nonlocal sent
        await exchange.head()
        await exchange.send({"type": "start"}, {"type": "text-start", "id": "t"})
        for _ in range(count // 16):
            await exchange.together(*[delta(piece)] * 16)
            sent += 16
        await exchange.send({"type": "text-end", "id": "t"}, {"type": "finish"})
        await exchange.end()
        left.set()

    host = Host(thread=False)
    with serving(handle) as server:
        with ChatSession(server.url, dispatch=host) as chat:
            turn = chat.send_message("Hi")
            inbox = chat._hosting._inbox
            paused = Asked(lambda: until(lambda: inbox.full))
            paused.answer()
            before = inbox._put - inbox._taken
            assert MIB <= before <= MIB + 256 * 1024
            assert not left.wait(0.2)  # the kernel's buffers are full, and nothing more is read
            assert inbox._put - inbox._taken == before
            assert sent < count
            assert host.given == 1  # nobody was asked more than once
            host.pump(lambda: turn.over)
            assert turn.text == piece * count
        server.all_closed()


def until(condition: Any) -> None:
    limit = monotonic() + 10
    while not condition():
        assert monotonic() < limit
        sleep(0.001)


def test_a_stop_while_the_reading_is_paused() -> None:
    piece = "x" * 64 * 1024
    transport = Paced(deltas([delta(piece)] * 64), GREETING)
    host = Host(thread=False)
    with ChatSession(transport, dispatch=host) as chat:
        turn = chat.send_message("Hi")
        until(lambda: chat._hosting._inbox.full)
        assert transport.read <= MIB + 2 * len(piece)
        chat.stop()
        assert turn.text == ""
        more = chat.send_message("More")
        host.pump(lambda: more.over)
        assert more.text == "Hello there"
        assert transport.closed == 2


def test_a_close_while_the_reading_is_paused() -> None:
    piece = "x" * 64 * 1024
    transport = Paced(deltas([delta(piece)] * 64))
    chat = ChatSession(transport, dispatch=Host(thread=False))
    turn = chat.send_message("Hi")
    until(lambda: chat._hosting._inbox.full)
    chat.close()
    assert turn.outcome == "stopped"
    assert transport.closed == 1


def test_one_event_that_is_larger_than_the_bound_passes() -> None:
    text = "x" * (3 * MIB)
    with hosted(Paced(deltas([delta(text), delta("y")]))) as (chat, host):
        turn = host.ask(lambda: chat.send_message("Hi"))
        assert turn.result().text == text + "y"


def test_a_slow_host_keeps_little() -> None:
    """A gigabyte would not do: what has been applied is not held a second time."""
    piece = "x" * 4096
    host = Host(thread=False)
    with ChatSession(Paced(deltas([[delta(piece)] * 16] * 256)), dispatch=host) as chat:
        turn = chat.send_message("Hi")
        until(lambda: chat._hosting._inbox.full)
        tracemalloc.start()
        until(lambda: chat._hosting._inbox.full)
        host.pump(lambda: turn.over)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert turn.text == piece * 16 * 256
        assert peak < 4 * len(turn.text) + 8 * MIB


# ------------------------------------------------------------------ throttle


def fast(count: int) -> list[Any]:
    """A reply with a read for each word."""
    return deltas([delta(f"{n} ") for n in range(count)])


def test_the_first_change_is_told_at_once() -> None:
    reply, gate = deltas([delta("a"), last := Gate(), delta("b")]), last
    host = Host(thread=False)
    with ChatSession(Paced(reply), dispatch=host, throttle=3600.0) as chat:
        came = text_came(chat)
        turn = chat.send_message("Hi")
        host.pump(came.is_set)
        gate.open()
        host.pump(lambda: turn.over)  # urgent: that it is over is not kept back
        assert turn.text == "ab"


@pytest.mark.parametrize("throttle", [0.02, 0.1])
def test_not_more_than_one_flush_in_the_throttles_time(throttle: float) -> None:
    with hosted(Paced(fast(1000)), throttle=throttle) as (chat, host):
        texts: list[str] = []
        chat.on(TextDelta, lambda e: texts.append(e.text))
        began = monotonic()
        turn = host.ask(lambda: chat.send_message("Hi")).wait()
        elapsed = monotonic() - began
        assert turn.text == "".join(texts) == "".join(f"{n} " for n in range(1000))
        # Beside these: submitted, the head, the first piece, the end. (More words would fill the
        # inbox, which is urgent too.)
        assert host.given <= elapsed / throttle + 6
        assert len(texts) <= elapsed / throttle + 3


def test_urgent_flushes_do_not_add_others() -> None:
    """A timer that was set before an urgent flush brings no flush that is not due."""
    with hosted(Paced(fast(50), fast(50)), throttle=0.2) as (chat, host):
        calls: list[float] = []
        chat.subscribe(lambda _: calls.append(monotonic()))
        for n in range(5):
            host.ask(lambda n=n: setattr(chat, "input", str(n)))  # type: ignore[misc]
        came = threading.Event()
        chat.on(StatusChanged, lambda e: e.status == "ready" and came.set())
        elsewhere(lambda: chat.send_message("Hi")).wait()
        given = host.given
        assert given <= 8
        until(lambda: not chat._hosting._courier._timer_runs)
        host.ask(lambda: None)
        assert host.given == given  # nothing was left to tell


def test_what_is_held_back_is_told_in_the_end() -> None:
    gate = Gate()
    with hosted(Paced(deltas([delta("a"), delta("b"), delta("c"), gate])), throttle=0.05) as (
        chat,
        host,
    ):
        text: list[str] = []
        all_came = threading.Event()

        def came(event: TextDelta) -> None:
            text.append(event.text)
            if "".join(text) == "abc":
                all_came.set()

        chat.on(TextDelta, came)
        host.ask(lambda: chat.send_message("Hi"))
        told(all_came)  # though the server says nothing more
        gate.open()


def test_with_a_throttle_of_0_a_flush_for_each_read() -> None:
    gates = [Gate() for _ in range(20)]
    pieces = [item for n, gate in enumerate(gates) for item in (delta(f"{n} "), gate)]
    with hosted(Paced(deltas(pieces)), throttle=0) as (chat, host):
        texts: list[str] = []
        came = [threading.Event() for _ in gates]

        def text(event: TextDelta) -> None:
            texts.append(event.text)
            came[len(texts) - 1].set()

        chat.on(TextDelta, text)
        turn = host.ask(lambda: chat.send_message("Hi"))
        for gate, event in zip(gates, came, strict=True):
            told(event)
            gate.open()
        turn.wait()
    assert texts == [f"{n} " for n in range(20)]


def test_without_a_throttle_each_change_before_the_next() -> None:
    """Though they came in one read."""
    with hosted(Paced(deltas([[delta(c) for c in "abcdef"]])), throttle=None) as (chat, host):
        shown: list[str] = []
        chat.on(TextDelta, lambda e: shown.append(e.text))
        states: list[str] = []
        chat.subscribe(lambda c: states.append(c.messages[-1].text))
        host.ask(lambda: chat.send_message("Hi")).wait()
    assert shown == list("abcdef")
    assert [text for n, text in enumerate(states) if text and states[n - 1] != text][-6:] == [
        "a",
        "ab",
        "abc",
        "abcd",
        "abcde",
        "abcdef",
    ]


# ------------------------------------------------------------ slow observers


@pytest.mark.parametrize("throttle", [0.03, 0])
def test_10_000_deltas_into_an_observer_that_takes_5_ms(throttle: float) -> None:
    """They go on until another session has done its work, which is not slowed."""
    others_are_done = threading.Event()
    sent = 0

    async def handle(exchange: Any) -> None:
        nonlocal sent
        await exchange.head()
        await exchange.send({"type": "start"}, {"type": "text-start", "id": "t"})
        while sent < 10_000 or not others_are_done.is_set():
            await exchange.together(*[delta(f"{sent + n} ") for n in range(10)])
            sent += 10
        await exchange.send({"type": "text-end", "id": "t"}, {"type": "finish"})
        await exchange.end()

    flushes: list[str] = []
    began = threading.Event()
    most = 0

    def slow(session: ChatSession) -> None:
        nonlocal most
        sleep(0.005)  # the load
        inbox = session._hosting._inbox
        most = max(most, inbox._put - inbox._taken)
        flushes.append(session.messages[-1].text)
        began.set()

    with (
        serving(handle) as server,
        FakeServer([GREETING] * 20) as other_server,
        ChatSession(server.url, throttle=throttle) as chat,
        ChatSession(other_server.url) as other,
    ):
        chat.subscribe(slow)
        turn = chat.send_message("Hi")
        told(began)
        for _ in range(20):
            other.send_message("Hi").result()
        assert not turn.over
        others_are_done.set()
        turn.wait()
    assert turn.text == flushes[-1] == "".join(f"{n} " for n in range(sent))
    assert len(flushes) <= sent // 20
    assert most <= MIB + 256 * 1024


def test_an_observer_that_does_not_return_holds_up_no_other_session() -> None:
    goes_on, is_in = threading.Event(), threading.Event()

    def stuck(_: Any) -> None:
        is_in.set()
        told(goes_on)

    with (
        FakeServer([GREETING] * 2) as server,
        ChatSession(server.url) as chat,
        ChatSession(server.url) as other,
    ):
        subscription = chat.subscribe(stuck)
        turn = chat.send_message("Hi")
        told(is_in)
        assert_usable(other)
        assert chat.messages[0].text == "Hi"  # and it can be looked at
        chat.input = "typed meanwhile"
        subscription()
        goes_on.set()
        assert turn.result().text == "Hello there"
