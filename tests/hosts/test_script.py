"""A plain script, in a process of its own; and the example that is one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fast_server import TEXT, fast_server

from usechat.server import running_demo
from usechat.testing import CUT, HANG, FakeServer, text_reply

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "script_chat.py"
LIMIT = 60.0

SCRIPT = """
import json, sys, threading
from usechat import ChatSession, TextDelta

names = set()
idents = set()
told = []

def observe(event):
    told.append(event.text)
    names.add(threading.current_thread().name)
    idents.add(threading.get_ident())

chat = ChatSession(sys.argv[1])
chat.on(TextDelta, observe)
chat.subscribe(lambda chat: idents.add(threading.get_ident()))
turn = chat.send_message("Hi")
print(json.dumps({
    "pieces": "".join(turn),
    "text": turn.text,
    "result": turn.result().text,
    "told": "".join(told),
    "names": sorted(names),
    "threads": len(idents),
    "main": threading.get_ident() in idents,
}))
"""

WITH_AN_OPEN_STREAM = """
import sys
from usechat import ChatSession

chat = ChatSession(sys.argv[1])
turn = chat.send_message("Hi")
print(next(iter(turn)), flush=True)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", timeout=LIMIT, check=False
    )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with fast_server() as url:
        yield url


def test_very_much_at_full_speed(url: str) -> None:
    done = run("-X", "utf8", "-c", SCRIPT, url)
    assert done.stderr == ""
    report: dict[str, Any] = json.loads(done.stdout)
    expected = TEXT
    for way in ("pieces", "text", "result", "told"):
        assert report[way] == expected, way
    assert report["names"] == ["usechat-observers"]
    assert report["threads"] == 1
    assert not report["main"]


def test_it_ends_at_once_while_a_reply_is_open() -> None:
    with FakeServer([[*text_reply("Hello there")[:4], HANG]]) as server:
        command = [sys.executable, "-W", "error", "-c", WITH_AN_OPEN_STREAM, server.url]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "Hello \n"
            began = time.monotonic()
            _, errors = process.communicate(timeout=LIMIT)
            assert time.monotonic() - began < 1
        assert (process.returncode, errors) == (0, "")
        server.wait_disconnect()


def test_the_example_asks_and_prints() -> None:
    with running_demo(delay=0) as base:
        done = run(str(EXAMPLE), f"{base}/api/chat")
    assert (done.returncode, done.stderr) == (0, "")
    answer, _, rest = done.stdout.partition("\n\nassistant said: ")
    assert "iterator" in answer
    assert rest.endswith("4 messages, status ready\n")


def test_the_example_says_what_went_wrong() -> None:
    with FakeServer([[*text_reply("Hello there")[:4], CUT]]) as server:
        done = run(str(EXAMPLE), server.url)
    assert done.returncode == 1
    assert done.stdout == "Hello "
    assert "It went wrong: ConnectionBrokenError" in done.stderr
    assert "usechat serve" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_example_asks_the_demo_where_nothing_else_is_said() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").rstrip().split("\n")
    assert len(lines) <= 25
    assert '"http://localhost:8000/api/chat"' in "".join(lines)
