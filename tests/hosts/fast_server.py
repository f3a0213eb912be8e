"""The benchmark's server, for tests that want very much at full speed from another process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = Path(__file__).parent.parent / "benchmarks" / "server.py"
DELTAS = 20_000


@contextmanager
def fast_server() -> Iterator[str]:
    """Run it. The URL is that of a reply of ``DELTAS`` deltas."""
    command = [sys.executable, str(PROGRAM)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield f"http://127.0.0.1:{port}/chat?deltas={DELTAS}&piece=4096"
        finally:
            process.communicate()
