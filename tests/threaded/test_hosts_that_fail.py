"""Hosts that are gone: a dispatch that raises, that drops, that calls at once, a closed loop."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hosting import (
    GREETING,
    Asked,
    Host,
    assert_usable,
    elsewhere,
    hangs_for,
    hosted,
    scripted,
    serving,
    told,
)

from usechat import ChatSession, DispatchError, StatusChanged, TextDelta, Turn
from usechat.session.loop_thread import running_loop_thread
from usechat.testing import HANG, FakeServer

Fn = Callable[[], object]


class Dispatch:
    """A dispatch of which a test says what it does now."""

    def __init__(self, now: Callable[[Fn], object]) -> None:
        self.now = now

    def __call__(self, fn: Fn) -> None:
        self.now(fn)


def drop(_: Fn) -> None:
    """As a queue that nobody keeps."""


def call(fn: Fn) -> None:
    fn()


def bad(fn: Fn) -> None:
    raise RuntimeError("the window is gone")


def assert_host_gone(turn: Turn, said: str) -> None:
    assert turn.outcome == "error"
    assert isinstance(turn.error, DispatchError)
    assert said in str(turn.error)
    with pytest.raises(DispatchError):
        turn.result(0)


def settled() -> None:
    """Wait until the loop's thread has done what it was asked for."""
    thread = running_loop_thread()
    if thread is not None:
        done = threading.Event()
        thread.call(done.set)
        told(done)


def test_a_dispatch_that_raises_ends_the_turn() -> None:
    with FakeServer([HANG]) as server, ChatSession(server.url, dispatch=bad) as chat:
        turn = chat.send_message("Hi")
        assert_host_gone(turn, "raised RuntimeError: the window is gone")
        assert isinstance(turn.error, DispatchError)
        assert isinstance(turn.error.__cause__, RuntimeError)
        assert (chat.status, chat.error) == ("error", turn.error)
        assert chat.messages[-1].text == "Hi"
        turn.wait()
        elsewhere(turn.wait)


def test_a_dispatch_that_raises_later_ends_the_turn_and_the_server_sees_it() -> None:
    host = Host(thread=False)
    dispatch = Dispatch(host)
    with (
        FakeServer([[*GREETING[:4], HANG]]) as server,
        ChatSession(server.url, dispatch=dispatch) as chat,
    ):
        turn = chat.send_message("Hi")
        fn = host.next()
        dispatch.now = bad
        fn()
        elsewhere(turn.wait)
        assert_host_gone(turn, "raised")
        server.wait_disconnect()


@pytest.mark.parametrize("wrong", [bad, drop], ids=["raises", "drops"])
def test_a_host_that_comes_back(wrong: Callable[[Fn], object]) -> None:
    """What was thrown away for an earlier turn ends no later one, however late that is known."""
    dispatch = Dispatch(wrong)
    with ChatSession(scripted(*[hangs_for("Hi")] * 4), dispatch=dispatch) as chat:
        turn = chat.send_message("Hi")
        elsewhere(turn.wait)
        assert_host_gone(turn, "The host of the chat is gone")
        host = Host()
        dispatch.now = host
        reply = chat.send_message("More")
        del turn
        gc.collect()
        settled()
        assert elsewhere(reply.wait).outcome == "completed"
        elsewhere(lambda: assert_usable(chat))
        host.end()


def test_the_error_of_a_host_that_raised_is_collected_while_the_next_turn_runs() -> None:
    """It holds the function in its traceback, which is thrown away with it."""
    dispatch = Dispatch(bad)
    begun = [*GREETING[:4], HANG]
    with ChatSession(scripted(begun, begun), dispatch=dispatch) as chat:
        turn = chat.send_message("Hi")
        assert_host_gone(turn, "raised")
        host = Host(thread=False)
        dispatch.now = host
        more = chat.send_message("More")
        pieces = iter(more)
        assert next(pieces) == "Hello "
        del turn
        gc.collect()
        settled()
        assert not more.over


def test_a_function_that_is_thrown_away_ends_the_turn() -> None:
    with FakeServer([HANG]) as server, ChatSession(server.url, dispatch=drop) as chat:
        turn = chat.send_message("Hi")
        turn.wait()
        assert_host_gone(turn, "threw the function away")
        assert turn.error is chat.error


def test_a_queue_that_is_thrown_away_in_mid_stream() -> None:
    waiting: queue.SimpleQueue[Fn] = queue.SimpleQueue()
    holder = [waiting]
    with FakeServer([[*GREETING[:4], HANG]]) as server:
        with ChatSession(server.url, dispatch=lambda fn: holder[0].put(fn)) as chat:
            turn = chat.send_message("Hi")
            server.wait_request()
            del waiting
            holder[0] = queue.SimpleQueue()
            elsewhere(turn.wait)
            assert_host_gone(turn, "threw the function away")
        # Before the headers were read the server may not know yet that it was left.
        server.wait_disconnect()


def test_a_dispatch_that_calls_at_once_is_told_why_it_cannot() -> None:
    threads: set[int] = set()
    with FakeServer([GREETING]) as server, ChatSession(server.url, dispatch=call) as chat:
        chat.subscribe(lambda _: threads.add(threading.get_ident()))
        turn = chat.send_message("Hi")
        turn.wait()
        if turn.outcome == "error":
            assert_host_gone(turn, "dispatch called the function at once")
        else:  # this thread has flushed all of it while it waited
            assert turn.text == "Hello there"
    assert threads == {threading.get_ident()}


def test_a_dispatch_that_calls_at_once_runs_nothing_on_the_loops_thread() -> None:
    names: set[str] = set()
    with (
        FakeServer([GREETING, GREETING]) as server,
        ChatSession(server.url, dispatch=call, on_finish=lambda _: names.add("on_finish")) as chat,
    ):
        chat.subscribe(lambda _: names.add(threading.current_thread().name))
        turn = chat.send_message("Hi")
        elsewhere(turn.wait)
        assert_host_gone(turn, "dispatch called the function at once")
        settled()
        more = chat.send_message("More")
        elsewhere(more.wait)
        assert_host_gone(more, "dispatch called the function at once")
    assert "usechat" not in names
    assert "on_finish" not in names


async def _until_streaming(chat: ChatSession) -> None:
    came = asyncio.Event()
    with chat.on(TextDelta, lambda _: came.set()):
        await asyncio.wait_for(came.wait(), 10)


def test_a_loop_that_is_closed_in_mid_stream() -> None:
    with FakeServer([[*GREETING[:4], HANG]]) as server:
        made: list[Any] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            chat = ChatSession(server.url, dispatch=loop.call_soon_threadsafe)
            made.extend([chat, chat.send_message("Hi")])
            await _until_streaming(chat)

        asyncio.run(main())
        chat, turn = made
        made.clear()
        # Nothing has to be told yet; the next change finds the loop closed.
        assert not turn.over
        chat.input = "x"
        elsewhere(turn.wait)
        assert_host_gone(turn, "Event loop is closed")
        server.wait_disconnect()
        chat.close()


def test_a_loop_that_is_closed_with_a_function_in_it() -> None:
    async def handle(exchange: Any) -> None:
        await exchange.begin()
        await exchange.left()

    with serving(handle) as server:
        loop = asyncio.new_event_loop()
        chat = ChatSession(server.url, dispatch=loop.call_soon_threadsafe)
        turn = chat.send_message("Hi")
        loop.close()
        elsewhere(turn.wait)
        assert isinstance(turn.error, DispatchError)
        server.all_closed()
        chat.close()


def test_a_host_that_is_gone_and_nothing_runs() -> None:
    """Nothing is pending: there is nobody to be told, and no error."""
    host = Host(thread=False)
    dispatch = Dispatch(host)
    with ChatSession(scripted(GREETING, GREETING), dispatch=dispatch) as chat:
        assert chat.send_message("Hi").result().text == "Hello there"
        dispatch.now = bad
        chat.input = "x"
        chat.set_messages([])
        chat.clear_error()
        assert (chat.status, chat.error, chat.input, chat.messages) == ("ready", None, "x", ())
        dispatch.now = drop
        chat.input = "y"
        settled()
        dispatch.now = host
        assert_usable(chat)


def test_a_host_that_is_gone_and_messages_wait() -> None:
    with ChatSession(scripted(HANG), dispatch=Dispatch(drop), when_busy="queue") as chat:
        first = chat.send_message("One")
        elsewhere(first.wait)
        assert_host_gone(first, "threw the function away")
        second = chat.send_message("Two")
        third = chat.send_message("Three")
        elsewhere(second.wait)
        assert isinstance(second.error, DispatchError)
        # The third waits in the paused queue, or was sent when the second had ended.
        chat.close()
        assert third.over


def test_a_host_that_is_gone_while_its_hook_is_wanted() -> None:
    """A request waits for ``headers=``, and nobody will call it."""
    host = Host(thread=False)
    with FakeServer([GREETING]) as server:
        with ChatSession(server.url, dispatch=host, headers=dict) as chat:
            turn = chat.send_message("Hi")
            fn = host.next()
            del fn
            elsewhere(turn.wait)
            assert_host_gone(turn, "threw the function away")
        assert server.requests == []


def test_the_other_session_of_a_process_is_not_touched() -> None:
    with hosted(GREETING) as (chat, host), ChatSession(scripted(HANG), dispatch=bad) as other:
        other.send_message("Hi").wait()
        assert host.ask(lambda: chat.send_message("Hi")).result().text == "Hello there"


def test_a_dispatch_that_is_no_function() -> None:
    async def dispatch(fn: Fn) -> None: ...

    for wrong in (1, dispatch):
        with pytest.raises(Exception, match="dispatch"):
            ChatSession(scripted(), dispatch=wrong)  # type: ignore[arg-type]


def test_a_flush_in_which_an_observer_raises_more_than_an_error() -> None:
    """On the host's thread it goes the host's way; the turn goes on and is told of."""

    class Quit(BaseException):
        pass

    def quit_once(_: StatusChanged) -> None:
        if not raised:  # of "submitted"
            raised.append(1)
            raise Quit

    raised: list[int] = []
    host = Host()
    with ChatSession(scripted(GREETING), dispatch=host) as chat:
        chat.on(StatusChanged, quit_once)
        turn = chat.send_message("Hi")
        asked = Asked(turn.wait)
        assert asked.answer().outcome == "completed"
    host.end()
    assert [type(error) for error in host.errors] == [Quit]
