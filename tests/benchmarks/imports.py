"""How long imports take: each time in a fresh process, whose byte code has been compiled before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from tests.benchmarks.measure import Marks

OURS = "import usechat"
THREADED = "from usechat import ChatSession"
ASYNC = "from usechat import AsyncChatSession"
EVERYTHING = "from usechat import *"
THEIRS = "import httpx, httpx_sse, anyio; from pydantic import BaseModel"

_CHILD = """\
import json, sys, time
marks = {{"send": (time.perf_counter(), time.process_time())}}
{statement}
marks["end"] = (time.perf_counter(), time.process_time())
print(json.dumps(marks))
"""
_byte_code = tempfile.TemporaryDirectory(prefix="usechat-benchmarks-")


def imported(statement: str) -> Marks:
    """Run an import statement in a process of its own; the first one compiles.

    Args:
        statement: what to run.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": _byte_code.name}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", _CHILD.format(statement=statement)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return Marks({name: tuple(times) for name, times in json.loads(done.stdout).items()})


def modules(statement: str) -> str:
    """What takes longest to import, as ``python -X importtime`` says, the slowest first.

    Args:
        statement: what to run.
    """
    command = [sys.executable, "-X", "importtime", "-c", statement]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True)
    head, *lines = (line.removeprefix("import time:") for line in done.stderr.splitlines())
    lines.sort(key=lambda line: -int(line.split("|")[0]))
    return "\n".join([head, *lines[:25]])
