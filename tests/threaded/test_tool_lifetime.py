"""Tools and their process: who is kept alive, exits, forks, Ctrl-C."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from types import FrameType
from typing import Any

import pytest
from held_tools import HELD
from hosting import PATIENCE, Host, chatting, scripted, told
from test_process import FORK, exit_time, run

from tests.session.tool_replies import HeldThread, answer, call, calls, outputs, states
from usechat import ChatSession
from usechat.engine.tool_rounds import NO_RESULT


def test_a_session_lives_as_long_as_its_tool_runs() -> None:
    held, done = HeldThread(), threading.Event()

    def begin() -> weakref.ref[Any]:
        chat = chatting(HELD, answer(), tools=[held.hold])
        chat.subscribe(lambda chat: chat.status == "ready" and done.set())
        chat.send_message("Hi")
        told(held.began)
        return weakref.ref(chat)

    session = begin()
    gc.collect()
    assert session() is not None
    held.go.set()
    told(done)
    chat = session()
    assert chat is not None
    assert chat.messages[-1].text == "Done."
    chat.close()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_session_is_collected_after_its_tools(kind: str) -> None:
    def quick() -> int:
        return 1

    async def quick_async() -> int:
        return 1

    def begin() -> weakref.ref[Any]:
        chat = chatting(calls(call("quick")), answer())
        chat.tool(name="quick")(quick if kind == "sync" else quick_async)
        chat.send_message("Hi").wait(PATIENCE)
        return weakref.ref(chat)

    session, limit = begin(), monotonic() + 0.5
    while gc.collect() is not None and session() is not None and monotonic() < limit:
        sleep(0.001)  # as in test_lifetime
    chat = session()
    if chat is not None:
        chat.close()
    assert chat is None


@pytest.mark.parametrize("dispatch", ["None", "queue.SimpleQueue().put"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_process_ends_at_once_while_a_tool_runs(kind: str, dispatch: str) -> None:
    program = f"""
    import anyio
    began = threading.Event()
    def hold():
        began.set()
        time.sleep(20)
    async def hold_async():
        began.set()
        await anyio.sleep(20)
    tool = Tool({"hold" if kind == "sync" else "hold_async"}, name="hold")
    call = {HELD!r}
    chat = ChatSession(ScriptedTransport([call]), tools=[tool], dispatch={dispatch})
    turn = chat.send_message("Hi")
    if {dispatch != "None"}:
        try:
            turn.wait(0.2)
        except TimeoutError:
            pass
    assert began.wait(10)
    print(time.monotonic())
    """
    assert exit_time(run(program)) < 1.5


@FORK
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_fork_while_a_tool_runs(kind: str) -> None:
    """The parent's tool goes on; in the child its turn is stopped, all else works."""
    program = f"""
    from usechat.session.loop_thread import running_loop_thread
    began, go, go_on_loop = threading.Event(), threading.Event(), asyncio.Event()
    def hold():
        began.set()
        go.wait(10)
        return "ok"
    async def hold_async():
        began.set()
        await go_on_loop.wait()
        return "ok"
    function = {"hold" if kind == "sync" else "hold_async"}
    tool = Tool(function, name="hold")
    replies = [{HELD!r}, {answer()!r}, {answer()!r}]
    chat = ChatSession(ScriptedTransport(replies), tools=[tool])
    turn = chat.send_message("Hi")
    assert began.wait(10)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(10)
            assert turn.wait(5).outcome == "stopped", turn.outcome
            part = chat.messages[-1].tool_parts[0]
            assert part.error_text == {NO_RESULT!r}, part
            assert chat.send_message("Again").wait(5).text == "Done."
            chat.close()
            os.write(write, b"ok")
            os._exit(0)
        except BaseException as error:
            os.write(write, repr(error).encode())
            os._exit(1)
    said = os.read(read, 1000)
    os.waitpid(child, 0)
    os.close(read), os.close(write)
    go.set()
    running_loop_thread().call(go_on_loop.set)
    turn.wait(10)
    print(said, turn.text, turn.message.tool_parts[0].output)
    chat.close()
    """
    assert run(program).strip() == "b'ok' Done. ok"


@contextmanager
def interrupting(function: Any, when: threading.Event) -> Iterator[None]:
    """Ctrl-C as soon as something has happened and this thread is in a function."""
    hit = threading.Event()

    def handle(_: int, frame: FrameType | None) -> None:
        while frame is not None and frame.f_code is not function.__func__.__code__:
            frame = frame.f_back
        if frame is not None and not hit.is_set():
            hit.set()
            raise KeyboardInterrupt

    def press() -> None:
        told(when)
        while not hit.wait(0.001):
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, handle)
    pressing = threading.Thread(target=press, name="asked")
    try:
        pressing.start()
        yield
    finally:
        hit.set()
        pressing.join(PATIENCE)
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("has_host", [False, True])
def test_ctrl_c_in_a_wait_ends_the_tools(has_host: bool) -> None:
    held = HeldThread()
    host = Host(thread=False)
    dispatch = host if has_host else None
    with ChatSession(scripted(HELD, answer()), tools=[held.hold], dispatch=dispatch) as chat:
        turn = chat.send_message("Hi")
        with interrupting(turn.wait, held.began), pytest.raises(KeyboardInterrupt):
            turn.wait(PATIENCE)
        assert (turn.outcome, outputs(turn.message)) == ("stopped", [NO_RESULT])
        held.go.set()
        told(held.left)
        assert chat.send_message("Again").wait(PATIENCE).text == "Done."
        assert states(chat.messages[1]) == ["output-error"]
    assert host.errors == []
