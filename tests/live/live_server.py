"""The servers of the live tests: installs, starts, asks and ends them."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

NODE = 20  # ai 7 asks for 22 and runs on 20
STARTUP_SECONDS = 60.0
# Above what a server takes on a busy machine; only a failing test waits so long.
REPLY_SECONDS = 20.0
# No certificates are read, which takes longer than all the rest of a short request.
_PLAIN: dict[str, Any] = {"trust_env": False, "verify": False}


def find_node() -> tuple[str, str]:
    """The paths of node and npm; skips the test where they are missing or too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip(f"needs Node {NODE}+ and npm: {'npm' if node else 'node'} is not on the PATH")
    found = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    version = found.stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < NODE:
        pytest.skip(f"needs Node {NODE}+ and npm: this is Node {version}")
    return node, npm


def install(npm: str, folder: Path) -> None:
    """`npm ci` beside a server, unless what is there came from this very lock file."""
    lock = (folder / "package-lock.json").read_text("utf-8")
    stamp = folder / "node_modules" / ".installed-from"
    if stamp.exists() and stamp.read_text("utf-8") == lock:
        return
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.fail(f"npm ci failed (tests without it: -m 'not live'):\n{done.stdout}{done.stderr}")
    stamp.write_text(lock, "utf-8")


class LiveServer:
    """A running server as the tests see it.

    Attributes:
        base: its address.
        url: the chat endpoint, where it has only one.
    """

    def __init__(self, port: int, process: subprocess.Popen[bytes], stderr: Path):
        self.base = f"http://127.0.0.1:{port}"
        self._process = process
        self._stderr = stderr
        self.url = f"{self.base}/api/chat"

    def reset(self) -> None:
        """Forget what earlier tests did."""
        assert self._process.poll() is None, f"the server has ended:\n{self.complaints()}"
        with httpx.Client(base_url=self.base, **_PLAIN) as client:
            client.delete("/log").raise_for_status()

    def complaints(self) -> str:
        """All that the server wrote to stderr so far: its own faults, not the scripted ones."""
        return self._stderr.read_text("utf-8", "replace")

    async def log(self) -> Log:
        """What the server saw since the test began."""
        return Log(await self._get("/log"))

    async def wait_abort(self) -> dict[str, Any]:
        """Wait until the server's model has been told to stop, and give what it knows of it."""
        abort: dict[str, Any] = await self._get("/wait-abort")
        return abort

    async def release(self, words: int) -> None:
        """Let so many words of each slow reply go."""
        async with httpx.AsyncClient(base_url=self.base, **_PLAIN) as client:
            for _ in range(words):
                (await client.post("/release")).raise_for_status()

    async def _get(self, path: str) -> Any:
        async with httpx.AsyncClient(base_url=self.base, timeout=REPLY_SECONDS, **_PLAIN) as client:
            return (await client.get(path)).raise_for_status().json()


class Log:
    """What the server saw.

    Attributes:
        bodies: the JSON bodies of the chat requests.
        headers: their headers.
        finishes: for each reply that ended: finishReason, isAborted, isContinuation and
            responseMessage, the message as the SDK itself puts it together.
        aborts: for each reply that was aborted: chatId and reason.
        errors: the messages of the model's errors.
        tool_runs: name and input of the tools that ran on the server.
    """

    def __init__(self, seen: dict[str, Any]):
        self.bodies: list[dict[str, Any]] = [request["body"] for request in seen["requests"]]
        self.headers: list[dict[str, str]] = [request["headers"] for request in seen["requests"]]
        self.finishes: list[dict[str, Any]] = seen["finishes"]
        self.aborts: list[dict[str, Any]] = seen["aborts"]
        self.errors: list[str] = seen["errors"]
        self.tool_runs: list[dict[str, Any]] = seen["toolRuns"]

    @property
    def last_reply(self) -> dict[str, Any]:
        """The message that the last reply made, as the SDK itself puts it together."""
        message: dict[str, Any] = self.finishes[-1]["responseMessage"]
        return message


@contextlib.contextmanager
def running(command: Sequence[str], folder: Path, stderr: Path) -> Iterator[LiveServer]:
    """Start a server, wait for its port, and end it when the block is left."""
    with (
        stderr.open("wb") as complaints,
        subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,  # the server ends with it, even if this process is killed
            stdout=subprocess.PIPE,
            stderr=complaints,
        ) as process,
    ):
        try:
            yield LiveServer(_port_of(process, stderr), process, stderr)
        finally:
            process.kill()


def _port_of(process: subprocess.Popen[bytes], stderr: Path) -> int:
    assert process.stdout is not None
    watchdog = threading.Timer(STARTUP_SECONDS, process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline()
    finally:
        watchdog.cancel()
        watchdog.join()
    if not line:
        process.wait()
        pytest.fail(f"the server did not start:\n{stderr.read_text('utf-8', 'replace')}")
    return int(json.loads(line)["port"])
