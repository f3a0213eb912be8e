"""What the README says is so."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import usechat
from usechat import AsyncChatSession, ChatSession
from usechat.testing import FakeServer, text_reply
from usechat.transport.http import DEFAULT_TIMEOUT, HttpTransport
from usechat.wire.sse import DEFAULT_MAX_EVENT_SIZE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_first_programs_run() -> None:
    first_lines = "\n".join(README.split("\n")[:40])
    assert "import ChatSession" in first_lines
    assert "asyncio.run(main())" in first_lines
    said = []
    for program in PROGRAMS[:2]:
        assert program.count("\n") <= 12
        with FakeServer([text_reply("Hello."), text_reply("Then this.")]) as server:
            program = program.replace("http://localhost:3000/api/chat", server.url)
            command = [sys.executable, "-W", "error", "-c", program]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert run.stderr == ""
        said.append(run.stdout)
    assert said == ["Hello.Then this.\n", "completed Hello.\nThen this."]


def test_all_programs_are_python() -> None:
    for program in PROGRAMS:
        compile(program, "README.md", "exec", flags=0x2000)  # await at the top is allowed


def test_the_table_of_defaults_is_true() -> None:
    table = README.split("## What it does when nothing is said")[1].split("##")[0]
    said = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", table, re.MULTILINE))
    parameters = inspect.signature(ChatSession).parameters
    for name in ("when_busy", "throttle"):
        assert said[name].strip('"') == str(parameters[name].default)
    assert said["protocol"] == '"auto"'
    assert said["request_format"] == '"ui"'
    assert said["history"] == '"all"'
    for name in ("resume", "repair"):
        assert said[name] == str(parameters[name].default)
    assert said["reconnect"] == str(HttpTransport("http://localhost")._reconnect is not None)
    assert parameters["max_steps"].default is None
    assert parameters["send_automatically_when"].default is None
    assert parameters["queue_limit"].default == 100
    assert (DEFAULT_TIMEOUT.connect, DEFAULT_TIMEOUT.read) == (10, 300)
    assert DEFAULT_MAX_EVENT_SIZE == 16 * 1024 * 1024
    transport = usechat.HttpTransport("http://localhost")
    for name in ("strict", "require_finish", "resume_stream_is_replay"):
        assert said[name] == str(getattr(transport, name))


def test_the_actions_in_the_table_exist() -> None:
    table = README.split("## From useChat")[1].split("\n\nAn action")[0]
    rows = [row.split("|")[2] for row in table.split("\n") if row.startswith("| `")]
    names = {name for row in rows for name in re.findall(r"`(\w+)\(", row)}
    assert names
    there = {*dir(ChatSession), *dir(AsyncChatSession)}
    assert names - there == set()
