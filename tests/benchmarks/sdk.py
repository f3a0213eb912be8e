"""The JavaScript SDK as a contender: a Node process that is asked for one run after the other."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Marks
from tests.benchmarks.replies import Reply, said

PROGRAM = Path(__file__).parent / "node" / "sdk.mjs"
# The live tests have installed it there.
FOLDER = Path(__file__).parents[1] / "live" / "ai7"

NODE = 20
WARM_UPS = 5


class Sdk:
    """The SDK in Node; its time is measured inside, Node's own start does not count.

    Attributes:
        about: the versions of ``ai`` and ``node``.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.about: dict[str, str] = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "Node has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def chat(self, url: str, reply: Reply, messages: Sequence[Mapping[str, Any]] = ()) -> Marks:
        """``AbstractChat`` with ``DefaultChatTransport``, told of each change.

        Args:
            url: the server's.
            reply: what to ask for.
            messages: the history.
        """
        got = self._ask({"url": f"{url}?{reply.query}", "messages": list(messages)})
        assert got["status"] == "ready", got["status"]
        expected = said(reply)
        if reply.kind == "tool":
            assert got["input"] == json.loads(expected), "the input is not what was sent"
        else:
            assert got["length"] == len(expected), "the text is not what was sent"
        return _marks(got)

    def request(self, messages: Sequence[Mapping[str, Any]]) -> Marks:
        """From the call to a request that is written."""
        job = {"url": "http://test/chat", "messages": list(messages), "only": "request"}
        return _marks(self._ask(job))


def _marks(got: Mapping[str, Any]) -> Marks:
    return Marks({name: (wall, cpu) for name, (wall, cpu) in got["marks"].items()})


def why_not() -> str | None:
    """Why the SDK cannot be measured here; None: it can."""
    node = shutil.which("node")
    if node is None:
        return "Node is not on the PATH"
    found = subprocess.run([node, "--version"], stdout=subprocess.PIPE, text=True, check=True)
    if int(found.stdout.lstrip("v").split(".")[0]) < NODE:
        return f"needs Node {NODE}, this is {found.stdout.strip()}"
    if not (FOLDER / "node_modules" / "ai").is_dir():
        return "`ai` is not installed: npm ci --ignore-scripts in tests/live/ai7"
    return None


@contextmanager
def running(url: str) -> Iterator[Sdk | None]:
    """The SDK, compiled by V8 as well as it gets; None where it cannot run.

    Args:
        url: the server's.
    """
    if why_not() is not None:
        yield None
        return
    command = ["node", str(PROGRAM), str(FOLDER)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        sdk = Sdk(process)
        for _ in range(WARM_UPS):
            sdk.chat(url, Reply(20_000))
        yield sdk
        process.communicate()
