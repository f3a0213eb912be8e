"""A chat in a Tk window, over real sockets."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from tkinter import ttk
from tkinter.scrolledtext import ScrolledText
from typing import Any

import pytest
from windows import Window

from usechat import (
    ChatSession,
    DispatchError,
    ServerError,
    StatusChanged,
    TextDelta,
    TurnFinished,
    hosts,
    last_assistant_message_is_complete_with_approval_responses,
)
from usechat.server import running_demo
from usechat.testing import HANG, FakeReply, FakeServer, text_reply
from usechat.wire.ui_message_stream import DONE, HEADERS, encode_chunk

HERE = Path(__file__).parent
EXAMPLE = HERE.parent.parent / "examples" / "tk_chat.py"

WORDS = "".join(f"w{i} " for i in range(20_000))


class Chat:
    """A chat and its widgets, as a program would put them together."""

    def __init__(self, window: Window, url: str, **options: Any) -> None:
        self.window = window
        self.threads: set[int] = set()
        dispatch = hosts.tk.dispatcher(window)
        self.session = ChatSession(url, dispatch=dispatch, **options)
        self.log = ScrolledText(window)
        self.entry = ttk.Entry(window)
        self.button = ttk.Button(window)
        for widget in (self.log, self.entry, self.button):
            widget.pack()
        hosts.tk.bind_input(self.session, self.entry, self.button)
        self.session.on(TextDelta, self.append)
        for kind in (StatusChanged, TurnFinished):
            self.session.on(kind, lambda _: self.threads.add(threading.get_ident()))
        self.session.subscribe(lambda _: self.threads.add(threading.get_ident()))

    def append(self, event: TextDelta) -> None:
        self.threads.add(threading.get_ident())
        self.log.insert("end", event.text)

    @property
    def shown(self) -> str:
        return self.log.get("1.0", "end-1c")

    def say(self, text: str) -> None:
        self.entry.insert("end", text)
        self.button.invoke()

    def until(self, reached: Callable[[], object]) -> None:
        self.window.until(reached)

    def until_ready(self) -> None:
        self.until(lambda: not self.session.is_loading and self.button.cget("text") == "Send")


@pytest.fixture
def chats(window: Window) -> Iterator[Callable[..., Chat]]:
    made: list[Chat] = []

    def make(url: str, **options: Any) -> Chat:
        chat = Chat(window, url, **options)
        made.append(chat)
        return chat

    yield make
    for chat in made:
        chat.session.close()


def at_once(text: str) -> FakeReply:
    """A reply that comes as fast as it can be read, a chunk for each word."""
    body = b"".join(map(encode_chunk, text_reply(text))) + DONE
    size = 64 * 1024
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return FakeReply(pieces, headers=HEADERS)


@pytest.mark.parametrize("throttle", [0.03, 0, None])
def test_20_000_deltas_at_full_speed(
    window: Window, chats: Callable[..., Chat], throttle: float | None
) -> None:
    ticks = [time.perf_counter()]

    def tick() -> None:
        ticks.append(time.perf_counter())
        timer[0] = window.after(20, tick)

    timer = [window.after(20, tick)]
    with FakeServer([at_once(WORDS)]) as server:
        chat = chats(server.url, throttle=throttle)
        chat.say("Go")
        chat.until_ready()
        window.after_cancel(timer[0])
        assert chat.shown == WORDS
        assert chat.session.messages[-1].text == WORDS
        assert chat.threads == {threading.get_ident()}
    gaps = [1000 * (after - before) for before, after in itertools.pairwise(ticks)]
    print(f"{ticks[-1] - ticks[0]:.2f} s, a tick of 20 ms took at most {max(gaps):.0f} ms")
    assert max(gaps) < 1000  # the window was never lost; how smooth it was a benchmark measures


def test_odd_characters(chats: Callable[..., Chat]) -> None:
    odd = "Emoji 🌍 👩‍👩‍👧‍👦 e\u0301 שלום 你好 [\u2028] [\u2029] [\u0085] [\t] \\ {braces} $x [cmd]"
    with FakeServer([at_once(odd)]) as server:
        chat = chats(server.url)
        chat.say("Go 🌍")
        chat.until_ready()
        assert chat.shown == odd
        assert server.requests[0].json["messages"][0]["parts"][0]["text"] == "Go 🌍"


def test_stop_ends_a_reply_that_stalls(chats: Callable[..., Chat]) -> None:
    with FakeServer([[*text_reply("Some words")[:4], HANG], HANG]) as server:
        chat = chats(server.url)
        for count in (1, 2):  # in the reply, and before its headers
            chat.say("Go")
            assert chat.button.cget("text") == "Stop"
            chat.until(lambda count=count: len(server.requests) == count)  # type: ignore[misc]
            chat.until(lambda count=count: count == 2 or chat.shown == "Some ")  # type: ignore[misc]
            chat.button.invoke()
            assert chat.session.status == "ready"
            chat.until_ready()
            chat.until(lambda count=count: server.disconnects == count)  # type: ignore[misc]
        assert chat.shown == "Some "
        assert chat.session.error is None


def test_return_twice_sends_once(window: Window, chats: Callable[..., Chat]) -> None:
    with FakeServer([text_reply("One"), text_reply("Two")]) as server:
        chat = chats(server.url)
        window.update()
        chat.entry.focus_force()
        window.until(lambda: window.focus_get() is chat.entry)
        chat.entry.insert(0, "Hi")
        chat.entry.event_generate("<Return>")
        chat.entry.event_generate("<Return>")
        chat.until_ready()
        assert chat.shown == "One"
        assert len(server.requests) == 1


def test_an_error_and_retry(chats: Callable[..., Chat]) -> None:
    failure = [*text_reply("Half a reply")[:5], {"type": "error", "errorText": "no luck"}]
    with FakeServer([failure, FakeReply(b"busy", status=503), text_reply("All of it")]) as server:
        chat = chats(server.url)
        session = chat.session
        retry = ttk.Button(chat.window, command=session.regenerate)
        chat.say("Go")
        chat.until_ready()
        assert isinstance(session.error, ServerError)
        assert chat.shown == "Half a "
        retry.invoke()
        assert session.error is None
        chat.until_ready()
        assert "503" in str(session.error)
        retry.invoke()
        chat.until_ready()
        assert [m.text for m in session.messages] == ["Go", "All of it"]
        assert chat.shown == "Half a All of it"
        assert len(server.requests) == 3


@pytest.mark.parametrize("approved", [True, False])
def test_an_approval(chats: Callable[..., Chat], approved: bool) -> None:
    with running_demo(delay=0) as url:
        chat = chats(
            f"{url}/api/chat",
            send_automatically_when=last_assistant_message_is_complete_with_approval_responses,
        )
        asked: list[str] = []

        def ask(session: ChatSession) -> None:
            for call in session.messages[-1].pending:
                if call.approval is not None and call.approval.id not in asked:
                    asked.append(call.approval.id)
                    session.add_tool_approval_response(call.approval.id, approved)

        chat.session.subscribe(ask)
        chat.say("approval")
        chat.until(lambda: asked)
        chat.until_ready()
        said = "with your approval" if approved else "You denied it"
        assert said in chat.shown
        assert len(asked) == 1


def test_destroyed_in_the_middle_of_a_reply(
    window: Window, capfd: pytest.CaptureFixture[str]
) -> None:
    before = set(threading.enumerate())
    with FakeServer([[*text_reply("word " * 3000)[:-3], HANG]]) as server:
        top = Window(window.app)
        chat = Chat(top, server.url)
        turn = chat.session.send_message("Go")
        top.until(lambda chat=chat: chat.shown)  # type: ignore[misc]
        top.destroy()
        window.until(lambda turn=turn: turn.over)  # type: ignore[misc]
        assert (turn.outcome, type(turn.error)) == ("error", DispatchError)
        assert (chat.session.status, chat.session.error) == ("error", turn.error)
        server.wait_disconnect()
        later = chat.session.send_message("More")  # its host will not come back
        window.until(lambda later=later: later.over)  # type: ignore[misc]
        assert type(later.error) is DispatchError
        session = weakref.ref(chat.session)
        del chat, turn, later, top
        window.until(lambda: gc.collect() >= 0 and session() is None)
    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert names <= {"usechat"}  # the one of the process
    assert capfd.readouterr() == ("", "")


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


CLOSED_IN_THE_MIDDLE = """
import atexit, sys, threading, time, tkinter
from tkinter.scrolledtext import ScrolledText
from usechat import ChatSession, TextDelta, hosts

root = tkinter.Tk()
log = ScrolledText(root)
chat = ChatSession(sys.argv[1], dispatch=hosts.tk.dispatcher(root))
hosts.tk.bind_input(chat, tkinter.Entry(root), tkinter.Button(root))
chat.on(TextDelta, lambda e: log.insert("end", e.text))
chat.on(TextDelta, lambda e: root.after(1, root.destroy))
over = threading.Event()
turn = chat.send_message("Go")
root.mainloop()
threading.Thread(target=lambda: (turn.wait(10), over.set())).start()
over.wait(10)
print(turn.outcome, type(turn.error).__name__)
began = time.monotonic()
atexit.register(lambda: print("exit", time.monotonic() - began < 1))
"""


@pytest.mark.usefixtures("display")
def test_a_program_whose_window_is_closed_in_the_middle_of_a_reply() -> None:
    with FakeServer([[*text_reply("word " * 3000)[:-3], HANG]]) as server:
        done = run("-c", CLOSED_IN_THE_MIDDLE, server.url)
        server.wait_disconnect()
    assert (done.stdout, done.stderr) == ("error DispatchError\nexit True\n", "")


@pytest.mark.usefixtures("display")
def test_the_example() -> None:
    with running_demo(delay=0.002) as url:
        done = run(HERE / "drive_tk_chat.py", EXAMPLE, f"{url}/api/chat")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "echo\nerror\nretry\napproval\nstop\nclosed\n"
