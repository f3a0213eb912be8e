"""What a session does to its process: how it exits, and what a fork leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from time import monotonic
from typing import Any

import pytest
from hosting import GREETING

from usechat.testing import HANG, FakeServer

SILENT = {"before the headers": HANG, "after the headers": [*GREETING[:4], HANG]}
HOSTS = {
    "no dispatch": "None",
    "a queue": "queue.SimpleQueue().put",
    "a loop": "loop.call_soon_threadsafe",
}
IMPORTS = """
import asyncio, atexit, gc, os, queue, signal, socket, sys, threading, time
from usechat import *
from usechat.testing import *
import logging
logging.getLogger("asyncio").setLevel(logging.ERROR)  # not of callbacks that took their time
"""


def run(program: str, *arguments: str, code: int = 0) -> str:
    """Run a program; what it printed. It says nothing else, whatever it leaves open."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c"]
    made = subprocess.run(
        [*command, IMPORTS + textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert made.stderr == ""
    assert made.returncode == code
    return made.stdout


def exit_time(said: str) -> float:
    """How long ago a program printed that it ends."""
    return monotonic() - float(said.split()[-1])


@pytest.mark.parametrize("reply", SILENT.values(), ids=SILENT.keys())
@pytest.mark.parametrize("dispatch", HOSTS.values(), ids=HOSTS.keys())
def test_a_process_ends_at_once_with_open_streams(reply: Any, dispatch: str) -> None:
    with FakeServer([reply] * 5) as server:
        program = f"""
        loop = asyncio.new_event_loop()
        atexit.register(loop.close)
        said = lambda what: print(what, file=sys.stderr)  # at the exit nothing may be said
        options = dict(dispatch={dispatch}, on_error=said, on_finish=said)
        chats = [ChatSession(sys.argv[1], **options) for _ in range(5)]
        turns = [chat.send_message("Hi") for chat in chats]
        if {reply is not HANG and dispatch == "None"}:
            for turn in turns:
                assert next(iter(turn)) == "Hello "
        print(time.monotonic())
        """
        assert exit_time(run(program, server.url)) < 1


def test_a_process_ends_at_once_while_a_name_is_looked_up() -> None:
    program = """
    reached = threading.Event()
    def slow(*_, **__):
        reached.set()
        time.sleep(20)
    socket.getaddrinfo = slow
    chat = ChatSession("http://nowhere.invalid/api/chat")
    turn = chat.send_message("Hi")
    reached.wait(10)
    print(time.monotonic())
    """
    assert exit_time(run(program)) < 1


def test_a_stop_while_a_name_is_looked_up() -> None:
    program = """
    reached = threading.Event()
    def slow(*_, **__):
        reached.set()
        time.sleep(20)
    socket.getaddrinfo = slow
    chat = ChatSession("http://nowhere.invalid/api/chat")
    turn = chat.send_message("Hi")
    reached.wait(10)
    began = time.monotonic()
    chat.stop()
    turn.wait()
    chat.close()
    print(turn.outcome, time.monotonic() - began < 2.5, time.monotonic())
    """
    said = run(program)
    assert said.startswith("stopped True")
    assert exit_time(said) < 1


def test_a_process_ends_at_once_while_an_observer_does_not_return() -> None:
    with FakeServer([GREETING]) as server:
        program = """
        reached = threading.Event()
        def stuck(_):
            reached.set()
            threading.Event().wait()
        chat = ChatSession(sys.argv[1])
        chat.subscribe(stuck)
        chat.send_message("Hi")
        reached.wait(10)
        print(time.monotonic())
        """
        assert exit_time(run(program, server.url)) < 1


def test_exit_by_an_error_and_by_a_signal() -> None:
    with FakeServer([[*GREETING[:4], HANG]]) as server:
        program = """
        sys.excepthook = lambda *_: print(time.monotonic())
        chat = ChatSession(sys.argv[1])
        for piece in chat.send_message("Hi"):
            raise RuntimeError
        """
        assert exit_time(run(program, server.url, code=1)) < 1
        server.wait_disconnect()
    with FakeServer([[*GREETING[:4], HANG]]) as server:
        program = """
        chat = ChatSession(sys.argv[1])
        try:
            for piece in chat.send_message("Hi"):
                threading.Timer(0.05, signal.raise_signal, [signal.SIGINT]).start()
        except KeyboardInterrupt:
            print(chat.status, chat.messages[-1].text, time.monotonic())
        """
        said = run(program, server.url)
        assert said.startswith("ready Hello ")
        assert exit_time(said) < 1


def test_sessions_used_while_the_process_ends() -> None:
    """In a function of atexit, and in finalizers: no error but ours, no hang."""
    with FakeServer([GREETING] * 4) as server:
        program = """
        def last():
            turn = chat.send_message("Bye").wait(5)
            print(turn.outcome, turn.text)
        chat = ChatSession(sys.argv[1])
        atexit.register(last)
        print(chat.send_message("Hi").result().text)
        """
        said = run(program, server.url).split("\n")
        assert said[0] == "Hello there"
        assert said[1].split()[0] in ("completed", "error", "stopped")


def test_an_asyncio_program_whose_loop_is_closed_in_mid_stream() -> None:
    with FakeServer([[*GREETING[:4], HANG]]) as server:
        program = """
        async def main():
            loop = asyncio.get_running_loop()
            chat = ChatSession(sys.argv[1], dispatch=loop.call_soon_threadsafe)
            came = asyncio.Event()
            chat.on(TextDelta, lambda _: came.set())
            turn = chat.send_message("Hi")
            await came.wait()
            return chat, turn
        chat, turn = asyncio.run(main())
        print(chat.messages[-1].text, time.monotonic())
        """
        said = run(program, server.url)
        assert said.startswith("Hello ")
        assert exit_time(said) < 1
        server.wait_disconnect()


FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@FORK
def test_a_fork_leaves_both_with_a_working_library() -> None:
    """The parent's stream goes on; in the child its turn is stopped, all else works."""
    with FakeServer([GREETING] * 6) as other:
        program = """
        from usechat.testing import FakeServer
        listener = socket.create_server(("127.0.0.1", 0))
        go_on = threading.Event()
        from usechat.wire.ui_message_stream import HEADERS, DONE, encode_chunk
        reply = text_reply("Hello there")
        def serve():
            connection, _ = listener.accept()
            while b"\\r\\n\\r\\n" not in connection.recv(65536): pass
            lines = ["HTTP/1.1 200 OK", *(f"{k}: {v}" for k, v in HEADERS.items()), "", ""]
            connection.sendall("\\r\\n".join(lines).encode())
            connection.sendall(b"".join(map(encode_chunk, reply[:4])))
            go_on.wait(10)
            connection.sendall(b"".join(map(encode_chunk, reply[4:])) + DONE)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536): pass  # what is not read makes a reset of the end
            connection.close()
        threading.Thread(target=serve, daemon=True).start()
        running = ChatSession(f"http://127.0.0.1:{listener.getsockname()[1]}/api/chat")
        idle = ChatSession(sys.argv[1])
        idle.send_message("Hi").result()
        turn = running.send_message("Hi")
        assert next(iter(turn)) == "Hello "
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                told = []
                assert turn.wait(5).outcome == "stopped", turn.outcome
                assert running.status == "ready"
                assert running.messages[-1].text == "Hello "
                idle.subscribe(told.append)
                assert idle.send_message("Again").result(5).text == "Hello there"
                assert told
                with ChatSession(sys.argv[1]) as new:
                    assert new.send_message("New").result(5).text == "Hello there"
                running.close()
                idle.close()
                os.write(write, b"ok")
                os._exit(0)
            except BaseException as error:
                os.write(write, repr(error).encode())
                os._exit(1)
        said = os.read(read, 1000)
        _, status = os.waitpid(child, 0)
        go_on.set()
        os.close(read), os.close(write)
        result = turn.result(5).text
        again = idle.send_message("Again").result(5).text
        listener.close()
        print(said, status, result, again, sep=", ")
        """
        assert run(program, other.url).strip() == "b'ok', 0, Hello there, Hello there"


@FORK
def test_a_fork_while_other_threads_are_in_the_middle_of_changes() -> None:
    program = """
    import itertools
    with FakeServer([GREETING] * 100) as server:
        chats = [ChatSession(server.url) for _ in range(4)]
        ends = threading.Event()
        def work(chat):
            for n in itertools.count():
                if ends.is_set(): return
                new = UIMessage(id=str(n), role="user", parts=[])
                chat.set_messages(lambda ms: [*ms[-5:], new])
                chat.input = str(n)
        threads = [threading.Thread(target=work, args=[chat]) for chat in chats]
        for thread in threads: thread.start()
        bad = []
        for _ in range(20):
            child = os.fork()
            if child == 0:
                try:
                    signal.alarm(10)
                    for chat in chats:
                        chat.set_messages([])
                        assert chat.messages == ()
                        chat.input = "child"
                        chat.stop()
                    os._exit(0)
                except BaseException:
                    os._exit(1)
            bad.append(os.waitpid(child, 0)[1])
        ends.set()
        for thread in threads: thread.join()
        for chat in chats: chat.close()
    print(sum(bad))
    """
    program = program.replace("GREETING", 'text_reply("Hello there")')
    assert run(program).strip() == "0"


@FORK
def test_a_child_exits_at_once_with_what_it_inherited() -> None:
    with FakeServer([[*GREETING[:4], HANG]] * 2) as server:
        program = """
        chat = ChatSession(sys.argv[1])
        turn = chat.send_message("Hi")
        next(iter(turn))
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0
        print(turn.over, time.monotonic() - began < 1, time.monotonic())
        """
        said = run(program, server.url)
        assert said.startswith("False True")
        assert exit_time(said) < 1


def test_importing_starts_nothing() -> None:
    program = """
    chat = ChatSession("http://localhost/api/chat")
    chat.on(TextDelta, print)
    assert (chat.status, chat.messages, chat.input) == ("ready", (), "")
    chat.close()
    print(threading.active_count())
    """
    assert run(program).strip() == "1"


def test_the_loops_thread_is_one_for_all() -> None:
    with FakeServer([GREETING] * 10) as server:
        program = """
        chats = [ChatSession(sys.argv[1]) for _ in range(10)]
        for turn in [chat.send_message("Hi") for chat in chats]:
            assert turn.result(5).text == "Hello there"
        names = [t.name for t in threading.enumerate()]
        assert all(t.daemon for t in threading.enumerate() if t is not threading.main_thread())
        print(names.count("usechat"))
        """
        assert run(program, server.url).strip() == "1"
