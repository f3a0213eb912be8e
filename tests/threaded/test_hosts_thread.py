"""Where callbacks and observers run, one function at a time; and who may wait there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hosting import (
    GREETING,
    PATIENCE,
    Asked,
    Gate,
    Host,
    Paced,
    chatting,
    delta,
    deltas,
    elsewhere,
    everywhere,
    gated,
    hosted,
    scripted,
    serving,
    text_came,
    told,
)

from usechat import ChatSession, StatusChanged, TextDelta, Turn, TurnFinished
from usechat.engine.events import EVENT_TYPES
from usechat.testing import HANG, FakeReply, FakeServer

CALLBACKS = ("on_finish", "on_error", "on_data", "on_tool_call", "on_response")
ALL: list[dict[str, Any]] = [
    {"type": "start", "messageMetadata": {"n": 1}},
    {"type": "message-metadata", "messageMetadata": {"n": 2}},
    {"type": "data-x", "data": 1},
    {"type": "reasoning-start", "id": "r"},
    {"type": "reasoning-delta", "id": "r", "delta": "Hm"},
    {"type": "reasoning-end", "id": "r"},
    {"type": "tool-input-start", "toolCallId": "c", "toolName": "t"},
    {"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": "{}"},
    {"type": "tool-input-available", "toolCallId": "c", "toolName": "t", "input": {}},
    *GREETING[1:],
]
"""A reply in which there is something for everybody."""


class Threads:
    """Which threads functions of the user's were called on."""

    def __init__(self) -> None:
        self.seen: dict[str, set[int]] = {}

    def note(self, name: str) -> None:
        self.seen.setdefault(name, set()).add(threading.get_ident())

    def noting(self, name: str, gives: Any = None) -> Callable[..., Any]:
        def note(*_: Any) -> Any:
            self.note(name)
            return gives

        return note

    def watch(self, chat: ChatSession) -> None:
        chat.subscribe(self.noting("subscriber"))
        for kind in EVENT_TYPES:
            chat.on(kind, self.noting(kind.__name__))


HOOKS: dict[str, Any] = {
    "headers": {"x-a": "b"},
    "body": {"x": 1},
    "prepare_send_request": {},
    "prepare_reconnect_request": {},
}


def test_all_functions_of_the_users_run_on_the_hosts_thread() -> None:
    threads = Threads()
    callbacks = {name: threads.noting(name) for name in CALLBACKS}
    hooks = {name: threads.noting(name, gives) for name, gives in HOOKS.items()}
    bad = FakeReply(b"No", status=500)
    host = Host()
    with FakeServer([ALL, bad, FakeReply(status=204), [*ALL[:4], HANG]]) as server:
        chat = host.ask(
            lambda: ChatSession(
                server.url, dispatch=host, when_busy="queue", throttle=0, **callbacks, **hooks
            )
        )
        threads.watch(chat)
        # All of it is done by threads that are not the host's.
        chat.send_message("Hi").wait()
        assert chat.messages[-1].text == "Hello there"
        chat.set_messages(lambda messages: messages[:1])
        chat.send_message("More").wait()
        chat.clear_error()
        assert chat.resume_stream().wait().outcome == "completed"
        came = threading.Event()
        chat.on(StatusChanged, lambda e: e.status == "streaming" and came.set())
        turn = chat.send_message("And more")
        waiting = chat.send_message("Last")
        told(came)
        chat.input = "x"
        elsewhere(chat.stop)
        turn.wait()
        chat.remove_queued_message(chat.queued_messages[0].id)
        waiting.wait()
        server.wait_disconnect()
        elsewhere(chat.close)
        host.ask(lambda: None)
    host.end()
    assert host.errors == []
    expected = {*CALLBACKS, *HOOKS, "subscriber", *(kind.__name__ for kind in EVENT_TYPES)}
    assert threads.seen.keys() == expected
    assert {name for name, seen in threads.seen.items() if seen != {host.thread.ident}} == set()


def test_without_dispatch_it_is_a_thread_of_the_sessions_own() -> None:
    threads = Threads()
    names: set[str] = set()
    callbacks = {name: threads.noting(name) for name in CALLBACKS}
    with chatting(ALL, ALL, throttle=0, **callbacks) as chat:
        threads.watch(chat)
        chat.subscribe(lambda _: names.add(threading.current_thread().name))
        chat.send_message("Hi").wait()
        elsewhere(lambda: chat.send_message("More")).wait()
    called = {ident for seen in threads.seen.values() for ident in seen}
    assert len(called) == 1
    assert called != {threading.get_ident()}
    assert names == {"usechat-observers"}


def test_async_hooks_run_on_the_loops_thread() -> None:
    names: set[str] = set()

    def hook(gives: Any) -> Callable[..., Any]:
        async def run(*_: Any) -> Any:
            await asyncio.sleep(0)
            names.add(threading.current_thread().name)
            return gives

        return run

    hooks = {name: hook(gives) for name, gives in HOOKS.items()}
    with FakeServer([GREETING, FakeReply(status=204)]) as server:
        with ChatSession(server.url, **hooks) as chat:
            assert chat.send_message("Hi").result().text == "Hello there"
            assert chat.resume_stream().wait().outcome == "completed"
        assert server.requests[0].headers["x-a"] == "b"
        assert server.requests[0].json["x"] == 1
    assert names == {"usechat"}


@pytest.mark.parametrize("name", sorted(HOOKS))
@pytest.mark.parametrize("is_async", [True, False])
def test_a_hook_that_raises_ends_the_turn(name: str, is_async: bool) -> None:
    def bad(*_: Any) -> Any:
        raise RuntimeError("oh")

    async def bad_later(*_: Any) -> Any:
        bad()

    with (
        FakeServer() as server,
        ChatSession(server.url, **{name: bad_later if is_async else bad}) as chat,
    ):
        turn = chat.send_message("Hi") if "send" in name or name in ("headers", "body") else None
        turn = (turn or chat.resume_stream()).wait()
        assert turn.outcome == "error"
        assert name in str(turn.error)
        assert "RuntimeError" in str(turn.error)


def test_a_slow_hook_of_one_session_does_not_hold_up_another() -> None:
    reached, go_on = threading.Event(), threading.Event()

    def slow() -> dict[str, str]:
        reached.set()
        told(go_on)
        return {}

    with FakeServer([GREETING, GREETING]) as server, ChatSession(server.url, headers=slow) as one:
        turn = one.send_message("Hi")
        told(reached)
        with ChatSession(server.url) as other:
            assert other.send_message("Hi").result().text == "Hello there"
        assert not turn.over
        go_on.set()
        assert turn.result().text == "Hello there"


def test_a_turn_stopped_while_its_hook_runs() -> None:
    reached, go_on = threading.Event(), threading.Event()

    def slow() -> dict[str, str]:
        reached.set()
        told(go_on)
        return {}

    with FakeServer([GREETING]) as server, ChatSession(server.url, headers=slow) as chat:
        turn = chat.send_message("Hi")
        told(reached)
        chat.stop()
        assert turn.outcome == "stopped"
        go_on.set()
        assert chat.send_message("More").result().text == "Hello there"
        assert len(server.requests) == 1


def test_a_wait_on_the_hosts_thread_while_a_hook_is_wanted_there() -> None:
    """The host's thread waits, and is the one that has to call the function."""
    called: list[str] = []
    host = Host(thread=False)
    with (
        FakeServer([GREETING]) as server,
        ChatSession(
            server.url, dispatch=host, headers=lambda: called.append("x") or {"x-a": "b"}
        ) as chat,
    ):
        assert chat.send_message("Hi").result().text == "Hello there"
    assert called == ["x"]


def iterate(turn: Turn) -> None:
    assert "".join(turn) == "Hello there"


def take_result(turn: Turn) -> None:
    assert turn.result().text == "Hello there"


def wait(turn: Turn) -> None:
    assert turn.wait().text == "Hello there"


def take_events(turn: Turn, began: Callable[[], object] = lambda: None) -> None:
    events = turn.events()
    began()
    text = "".join(e.text for e in events if isinstance(e, TextDelta))
    assert text == "Hello there"


WAITS = pytest.mark.parametrize("use", [iterate, take_result, wait, take_events])
THROTTLES = pytest.mark.parametrize("throttle", [10.0, 0.03, 0, None])


@WAITS
@THROTTLES
def test_the_hosts_thread_flushes_while_it_waits(
    use: Callable[[Turn], None], throttle: float | None
) -> None:
    """Nobody drains the host's queue meanwhile; before the first flush too."""
    threads = Threads()
    host = Host(thread=False)
    options = {name: threads.noting(name) for name in CALLBACKS}
    with ChatSession(scripted(ALL, ALL), dispatch=host, throttle=throttle, **options) as chat:
        threads.watch(chat)
        for _ in range(2):
            use(chat.send_message("Hi"))
            assert threads.seen.keys() >= {"TurnFinished", "subscriber", "on_finish"}
    host.pump(lambda: not host.waiting)  # what was on its way when it began to wait
    assert {ident for seen in threads.seen.values() for ident in seen} == {threading.get_ident()}
    assert host.most == 1


@pytest.mark.parametrize("use", [iterate, take_result, wait])
def test_elsewhere_they_only_wait(use: Callable[[Turn], None]) -> None:
    threads = Threads()
    with hosted(ALL, ALL, throttle=0) as (chat, host):
        threads.watch(chat)
        for _ in range(2):
            use(chat.send_message("Hi"))
    assert {ident for seen in threads.seen.values() for ident in seen} == {host.thread.ident}


def test_elsewhere_they_take_events_from_then_on() -> None:
    threads, gates = Threads(), [Gate(), Gate()]
    transport = Paced(*([gate, *ALL] for gate in gates))
    with hosted(transport, throttle=0) as (chat, host):
        threads.watch(chat)
        for gate in gates:
            take_events(chat.send_message("Hi"), gate.open)
    assert {ident for seen in threads.seen.values() for ident in seen} == {host.thread.ident}


def test_elsewhere_it_waits_until_the_host_flushes() -> None:
    host = Host(thread=False)
    with ChatSession(scripted(GREETING), dispatch=host) as chat:
        turn = chat.send_message("Hi")
        asked = Asked(lambda: turn.wait())
        with pytest.raises(TimeoutError):
            elsewhere(lambda: turn.wait(0.05))
        assert not turn.over
        host.pump(lambda: turn.over)
        assert asked.answer() is turn


def test_two_threads_wait_and_one_is_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is not hears that the observers have been told, however long that took."""
    host = Host(thread=False)
    told_of, waits_again = threading.Event(), threading.Event()
    with ChatSession(scripted(GREETING), dispatch=host) as chat:
        news = chat._hosting._news
        wait_for_news = news.wait

        def noted(seen: int, timeout: float | None) -> None:
            if told_of.is_set():
                waits_again.set()
            wait_for_news(seen, timeout)

        def finished(_: TurnFinished) -> None:
            told_of.set()
            news.tell()
            told(waits_again)  # the turn is over, and not all observers have been told

        monkeypatch.setattr(news, "wait", noted)
        chat.on(TurnFinished, finished)
        turn = chat.send_message("Hi")
        asked = Asked(lambda: turn.wait())
        assert turn.wait() is asked.answer()


def test_many_threads_wait_and_iterate_beside_the_host() -> None:
    gate = Gate()
    pieces = [delta(f"{n} ") for n in range(200)]
    text = "".join(piece["delta"] for piece in pieces)
    host = Host(thread=False)
    transport = Paced(deltas([gate, *pieces]))
    with ChatSession(transport, dispatch=host) as chat:
        turn = chat.send_message("Hi")
        asked = [Asked(lambda: "".join(turn)) for _ in range(8)]
        asked += [Asked(lambda: turn.wait().text) for _ in range(8)]
        gate.open()
        assert "".join(turn) == text
        assert [one.answer() for one in asked] == [text] * 16


def test_the_thread_that_made_the_session_is_not_always_the_hosts() -> None:
    """A loop in a thread of its own, and a session that the main thread made for it."""
    threads = Threads()
    host = Host()
    try:
        with ChatSession(scripted(ALL, ALL), dispatch=host, throttle=0) as chat:
            flushed = threading.Event()
            chat.subscribe(lambda _: flushed.set())
            chat.input = "x"
            told(flushed)
            threads.watch(chat)
            chat.send_message("Hi").wait()
            "".join(chat.send_message("Hi"))
    finally:
        host.end()
    assert {ident for seen in threads.seen.values() for ident in seen} == {host.thread.ident}


def test_a_host_that_turns_out_to_be_another_thread() -> None:
    """Whoever made the session flushes while it waits, until the first flush comes elsewhere."""
    gate = Gate()
    host = Host(thread=False)
    with ChatSession(Paced([*GREETING[:4], gate, *GREETING[4:]]), dispatch=host) as chat:
        pieces = iter(chat.send_message("Hi"))
        assert next(pieces) == "Hello "
        host.thread.start()
        host.ask(lambda: None)  # what was on its way has come
        chat.input = "x"
        host.ask(lambda: None)
        gate.open()
        assert "".join(pieces) == "there"
        host.end()


def test_the_first_change_is_dispatched_before_the_action_returns() -> None:
    host = Host(thread=False)
    with ChatSession(scripted(HANG), dispatch=host) as chat:
        seen: list[str] = []
        chat.on(StatusChanged, lambda e: seen.append(e.status))
        chat.send_message("Hi")
        assert (host.given, seen) == (1, [])
        host.next()()
        assert seen == ["submitted"]


def test_what_comes_meanwhile_is_merged_into_one_function() -> None:
    gate, last = Gate(), Gate()
    pieces = [delta("x") for _ in range(500)]
    host = Host(thread=False)
    transport = Paced(deltas([*pieces, gate, last]))
    with ChatSession(transport, dispatch=host, throttle=0) as chat:
        seen: list[TextDelta] = []
        chat.on(TextDelta, seen.append)
        turn = chat.send_message("Hi")
        chat.input = "a"
        chat.input = "b"
        told(gate.reached)  # 500 pieces have come
        assert host.given == 1
        host.next()()
        gate.open()
        told(last.reached)
        host.pump(lambda: sum(len(e.text) for e in seen) == 500)
        assert len(seen) <= 3
        last.open()
        host.pump(lambda: turn.over)
        assert turn.text == "x" * 500
    assert host.most <= 1


def test_a_function_that_is_called_twice_does_nothing_more() -> None:
    host = Host(thread=False)
    with ChatSession(scripted(HANG), dispatch=host) as chat:
        seen: list[str] = []
        chat.on(StatusChanged, lambda e: seen.append(e.status))
        chat.send_message("Hi")
        fn = host.next()
        fn()
        fn()
        assert seen == ["submitted"]


def test_an_asyncio_host() -> None:
    """As a NiceGUI page has it: dispatch=loop.call_soon_threadsafe, nobody awaits."""

    async def main(url: str) -> tuple[str, Threads, str]:
        threads = Threads()
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        callbacks = {name: threads.noting(name) for name in CALLBACKS}
        chat = ChatSession(url, dispatch=loop.call_soon_threadsafe, **callbacks)
        threads.watch(chat)
        chat.on(TurnFinished, lambda _: done.set())
        turn = chat.send_message("Hi")
        async with asyncio.timeout(PATIENCE):
            await done.wait()
        chat.close()
        return turn.text, threads, chat.status

    with FakeServer([ALL]) as server:
        text, threads, status = asyncio.run(main(server.url))
    assert (text, status) == ("Hello there", "ready")
    assert {ident for seen in threads.seen.values() for ident in seen} == {threading.get_ident()}


def test_a_wait_in_an_asyncio_host_blocks_its_loop_and_ends() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        with ChatSession(scripted(GREETING), dispatch=loop.call_soon_threadsafe) as chat:
            return chat.send_message("Hi").result().text

    assert asyncio.run(main()) == "Hello there"


def test_a_session_without_dispatch_in_a_running_loop() -> None:
    """As in a notebook's cell: the kernel's loop runs, and is not touched."""

    async def main() -> list[str]:
        with chatting(GREETING) as chat:
            return list(chat.send_message("Hi"))

    assert "".join(asyncio.run(main())) == "Hello there"


def test_actions_of_many_threads_and_a_slow_host() -> None:
    host = Host(thread=False)
    with ChatSession(scripted(GREETING), dispatch=host, when_busy="queue") as chat:
        everywhere(8, lambda n: setattr(chat, "input", str(n)))
        assert host.given == 1
        host.next()()


def test_real_sockets_and_a_host_that_is_slow_to_start() -> None:
    reply, gate = gated()
    del reply
    reached = Gate()

    async def handle(exchange: Any) -> None:
        await exchange.begin()
        reached.reached.set()
        await gate.wait()
        await exchange.send(*GREETING[4:])
        await exchange.end()

    host = Host(thread=False)
    with serving(handle) as server:
        with ChatSession(server.url, dispatch=host) as chat:
            came = text_came(chat)
            turn = chat.send_message("Hi")
            told(reached.reached)
            host.pump(came.is_set)
            assert chat.status == "streaming"
            gate.open()
            host.pump(lambda: turn.over)
            assert turn.text == "Hello there"
        server.all_closed()
