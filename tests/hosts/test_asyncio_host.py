"""An asyncio program that does not await its chat: ``dispatch=loop.call_soon_threadsafe``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from fast_server import TEXT, fast_server

from usechat import ChatSession, DispatchError, StatusChanged, TextDelta, Turn, TurnFinished
from usechat.testing import HANG, FakeServer, text_reply

LIMIT = 30.0


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert [thread.name for thread in left if thread.name != "usechat"] == []


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with fast_server() as url:
        yield url


class Heart:
    """Beats every 10 ms as long as the loop goes on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.beats = [self._loop.time()]
        self._timer = self._loop.call_soon(self._beat)

    def _beat(self) -> None:
        self.beats.append(self._loop.time())
        self._timer = self._loop.call_later(0.01, self._beat)

    def stop(self) -> float:
        """Stop; the longest time between two beats."""
        self._timer.cancel()
        self.beats.append(self._loop.time())
        return max(b - a for a, b in zip(self.beats, self.beats[1:], strict=False))


def test_very_much_at_full_speed(url: str) -> None:
    pieces: list[str] = []
    threads: set[int] = set()

    async def main() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        with ChatSession(url, dispatch=loop.call_soon_threadsafe) as chat:
            chat.on(TextDelta, lambda event: pieces.append(event.text))
            chat.on(TextDelta, lambda event: threads.add(threading.get_ident()))
            chat.subscribe(lambda chat: threads.add(threading.get_ident()))
            chat.on(TurnFinished, lambda event: over.set())
            heart = Heart()
            turn = chat.send_message("Hi")
            assert chat.status == "submitted"
            await asyncio.wait_for(over.wait(), LIMIT)
            longest = heart.stop()
        assert turn.outcome == "completed"
        assert turn.text == TEXT
        assert len(heart.beats) > 10
        assert longest < 0.5  # generous: the benchmark is for the numbers

    asyncio.run(main())
    assert "".join(pieces) == TEXT
    assert threads == {threading.get_ident()}


def test_the_loops_own_thread_may_wait(url: str) -> None:
    threads: set[int] = set()

    async def main() -> tuple[Turn, list[str]]:
        loop = asyncio.get_running_loop()
        with ChatSession(url, dispatch=loop.call_soon_threadsafe) as chat:
            chat.on(TextDelta, lambda event: threads.add(threading.get_ident()))
            chat.send_message("Hi").wait(LIMIT)
            turn = chat.send_message("Again")
            return turn, list(turn)

    turn, pieces = asyncio.run(main())
    assert "".join(pieces) == turn.text == TEXT
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("reply", [HANG, [*text_reply("Hello there")[:4], HANG]])
def test_a_stalled_reply_is_stopped(reply: list[object]) -> None:
    async def main(server: FakeServer) -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        shown: list[str] = []
        with ChatSession(server.url, dispatch=loop.call_soon_threadsafe, throttle=0) as chat:
            chat.on(StatusChanged, lambda event: shown.append(event.status))
            chat.on(TurnFinished, lambda event: stopped.set())
            came = asyncio.Event()
            chat.on(TextDelta, lambda event: came.set())
            turn = chat.send_message("Hi")
            if reply is HANG:
                await asyncio.to_thread(server.wait_request)
            else:
                await asyncio.wait_for(came.wait(), LIMIT)
            assert chat.is_loading
            chat.stop()
            assert (chat.status, turn.outcome) == ("ready", "stopped")
            assert turn.text == ("" if reply is HANG else "Hello ")
            await asyncio.wait_for(stopped.wait(), LIMIT)
            assert shown == ["submitted", *(["streaming"] if turn.text else []), "ready"]
            await asyncio.to_thread(server.wait_disconnect)

    with FakeServer([reply]) as server:
        asyncio.run(main(server))


def test_a_loop_that_is_closed_ends_the_turn(url: str) -> None:
    chats: list[ChatSession] = []
    turns: list[Turn] = []

    async def main() -> None:
        loop, began = asyncio.get_running_loop(), asyncio.Event()
        chat = ChatSession(url, dispatch=loop.call_soon_threadsafe, throttle=0)
        chat.on(TextDelta, lambda event: began.set())
        chats.append(chat)
        turns.append(chat.send_message("Hi"))
        await asyncio.wait_for(began.wait(), LIMIT)

    asyncio.run(main())
    [turn] = turns
    # Not here: this was the thread of the loop, and would do the loop's work while it waits.
    waiting = threading.Thread(target=turn.wait, args=(LIMIT,))
    waiting.start()
    waiting.join(LIMIT)
    assert turn.outcome == "error"
    assert isinstance(turn.error, DispatchError)
    assert chats[0].status == "error"
    assert TEXT.startswith(turn.text)
    chats[0].close()
