"""How a session ends: closed, or collected; and what keeps it alive."""

from __future__ import annotations

import gc
import threading
import weakref
from time import monotonic, sleep
from typing import Any

import httpx
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
    everywhere,
    scripted,
    serving,
    text_came,
    told,
)

from usechat import ChatClosedError, ChatSession, StatusChanged, TextDelta, TurnFinished
from usechat.session.loop_thread import loop_thread
from usechat.testing import HANG, FakeServer


def observers_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "usechat-observers"]


async def reply(exchange: Any) -> None:
    await exchange.reply()


def test_an_idle_session_that_nobody_holds_is_collected() -> None:
    """With its thread and its connection, which was kept for the next request."""
    with serving(reply) as server:
        chat = ChatSession(server.url)
        chat.subscribe(lambda _: None)
        chat.send_message("Hi").wait()
        (thread,) = observers_threads()
        gone = weakref.ref(chat)
        del chat
        until_collected(gone)
        thread.join(10)
        assert not thread.is_alive()
        server.all_closed()


def test_observers_that_hold_their_session_do_not_keep_it() -> None:
    with serving(reply) as server:
        chat = ChatSession(server.url, on_finish=lambda _: chat.status)  # noqa: F821
        chat.on(StatusChanged, lambda _: chat.messages)  # noqa: F821
        turn = chat.send_message("Hi").wait()
        gone = weakref.ref(chat)
        del chat, turn
        until_collected(gone)
        server.all_closed()


def test_an_idle_session_with_dispatch_is_collected() -> None:
    host = Host()
    with serving(reply) as server:
        chat = host.ask(lambda: ChatSession(server.url, dispatch=host))
        chat.send_message("Hi").wait()
        host.ask(gc.collect)
        gone = weakref.ref(chat)
        del chat
        until_collected(gone)
        server.all_closed()
    host.end()


def until_collected(gone: Any) -> None:
    """What is over for its observers may have a moment to go on the loop's thread."""
    limit = monotonic() + 10
    while gc.collect() is not None and gone() is not None:
        assert monotonic() < limit, gc.get_referrers(gone())
        sleep(0.001)


def test_one_that_was_never_used_is_collected() -> None:
    gone = weakref.ref(chatting())
    gc.collect()
    assert gone() is None
    assert observers_threads() == []


def test_a_running_turn_keeps_its_session_alive() -> None:
    gate = Gate()
    finished = threading.Event()
    texts: list[str] = []
    chat = ChatSession(Paced([*GREETING[:4], gate, *GREETING[4:]]))
    chat.on(TextDelta, lambda e: texts.append(e.text))
    chat.on(TurnFinished, lambda _: finished.set())
    gone = weakref.ref(chat)
    chat.send_message("Hi")
    del chat
    told(gate.reached)
    gc.collect()
    assert gone() is not None
    gate.open()
    told(finished)
    assert "".join(texts) == "Hello there"
    until_collected(gone)


def test_a_turn_that_is_held_keeps_its_session() -> None:
    chat = chatting(GREETING)
    turn = chat.send_message("Hi").wait()
    gone = weakref.ref(chat)
    del chat
    gc.collect()
    assert gone() is not None
    assert turn.result().text == "Hello there"
    del turn
    until_collected(gone)


def test_a_hundred_sessions_leave_nothing() -> None:
    with serving(reply) as server:
        for _ in range(99):
            ChatSession(server.url).send_message("Hi").wait()
        last = ChatSession(server.url)
        last.send_message("Hi").wait()
        gone = weakref.ref(last)
        del last
        until_collected(gone)
        for thread in observers_threads():
            while thread.is_alive():  # a timer may hold its session for a moment
                gc.collect()
                thread.join(0.05)
        server.all_closed()


@pytest.mark.parametrize("begun", [HANG, [*GREETING[:4], HANG]], ids=["no headers", "begun"])
@pytest.mark.parametrize("with_dispatch", [True, False])
def test_close_ends_what_it_started(begun: Any, with_dispatch: bool) -> None:
    host = Host() if with_dispatch else None
    with FakeServer([begun]) as server:
        chat = ChatSession(server.url, dispatch=host)
        told_of: list[str] = []
        chat.on(TurnFinished, lambda e: told_of.append(e.turn.outcome))
        turn = chat.send_message("Hi")
        server.wait_request()
        began = monotonic()
        chat.close()
        assert monotonic() - began < 1
        assert (turn.outcome, chat.status) == ("stopped", "ready")
        server.wait_disconnect(timeout=1)
        assert observers_threads() == []
        elsewhere(turn.wait)
        assert told_of == ["stopped"]
        with pytest.raises(ChatClosedError):
            chat.send_message("More")
        chat.close()
    if host is not None:
        host.end()


def test_close_from_many_threads_at_once() -> None:
    with FakeServer([[*GREETING[:4], HANG]]) as server:
        chat = ChatSession(server.url)
        turn = chat.send_message("Hi")
        server.wait_request()
        everywhere(8, lambda _: chat.close())
        assert turn.wait().outcome == "stopped"
        server.wait_disconnect()
        assert observers_threads() == []


@pytest.mark.parametrize("kind", [StatusChanged, TextDelta, TurnFinished])
def test_close_in_an_observer(kind: Any) -> None:
    closed = threading.Event()
    with FakeServer([[*GREETING[:4], HANG] if kind is not TurnFinished else GREETING]) as server:
        chat = ChatSession(server.url)

        def close(_: Any) -> None:
            chat.close()
            closed.set()

        chat.on(kind, close)
        turn = chat.send_message("Hi")
        told(closed)
        assert turn.wait().over
        for thread in observers_threads():
            thread.join(10)
        assert observers_threads() == []


@pytest.mark.parametrize("callback", ["on_response", "on_finish"])
def test_close_in_a_callback(callback: str) -> None:
    closed = threading.Event()

    def close(_: Any) -> None:
        chat.close()
        closed.set()

    with FakeServer([GREETING]) as server:
        chat = ChatSession(server.url, **{callback: close})  # type: ignore[arg-type]
        turn = chat.send_message("Hi")
        told(closed)
        assert turn.wait().over


def test_close_with_an_observer_that_does_not_return_is_bounded() -> None:
    is_in, goes_on = threading.Event(), threading.Event()

    def stuck(_: Any) -> None:
        is_in.set()
        told(goes_on)

    with FakeServer([[*GREETING[:4], HANG]]) as server:
        chat = ChatSession(server.url)
        chat.subscribe(stuck)
        turn = chat.send_message("Hi")
        told(is_in)
        began = monotonic()
        chat.close()
        assert monotonic() - began < 2.5
        assert turn.outcome == "stopped"
        goes_on.set()
        turn.wait()


def test_close_with_a_transport_that_does_not_close_is_bounded() -> None:
    class Stuck(Paced):
        async def _reply(self, reply: Any) -> Any:
            try:
                async for chunks in super()._reply(reply):
                    yield chunks
            finally:
                await Gate().wait()

    chat = ChatSession(Stuck([*GREETING[:4], HANG]))
    came = text_came(chat)
    chat.send_message("Hi")
    told(came)
    began = monotonic()
    chat.close()
    assert monotonic() - began < 2.5


def test_a_session_that_was_closed_before_it_was_used() -> None:
    chat = chatting(GREETING)
    chat.close()
    assert observers_threads() == []
    with pytest.raises(ChatClosedError):
        chat.send_message("Hi")


def test_whoever_waits_when_it_is_closed_goes_on() -> None:
    with FakeServer([HANG]) as server:
        chat = ChatSession(server.url)
        turn = chat.send_message("Hi")
        asked = [Asked(turn.wait), Asked(lambda: "".join(turn)), Asked(lambda: list(turn.events()))]
        server.wait_request()
        chat.close()
        for one in asked:
            one.answer()


def test_changes_after_close_start_no_thread() -> None:
    with chatting(GREETING) as chat:
        assert_usable(chat)
    for n in range(3):
        chat.input = str(n)
        chat.clear_error()
        chat.stop()
        chat.remove_queued_message("x")
    assert observers_threads() == []
    assert chat.input == "2"


def test_a_callers_own_client_is_not_closed() -> None:
    with serving(reply) as server:
        client = httpx.AsyncClient()
        with ChatSession(server.url, client=client) as chat:
            chat.send_message("Hi").wait()
        assert not client.is_closed
        loop_thread().submit(client.aclose()).result(10)
        server.all_closed()


def test_a_transport_of_ones_own_serves_the_next_session() -> None:
    transport = scripted(GREETING, GREETING)
    for _ in range(2):
        with ChatSession(transport) as chat:
            assert chat.send_message("Hi").result().text == "Hello there"
