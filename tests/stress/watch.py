"""What must not happen, and what must not be left."""

from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from usechat import UseChatError

PATIENCE = 20.0  # seconds that anything may take to be over
OURS = (UseChatError, TimeoutError)
# What the log says of a chat that is used like this.
_EXPECTED = ("An answer that nothing waits for", "max_steps")


class Planned(Exception):
    """What callbacks and observers raise on purpose."""


class Watch(logging.Handler):
    """Collects what goes wrong, wherever it shows, and counts the rest."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()
        self.threads = 0
        self._lock = threading.Lock()

    def fault(self, what: str, error: BaseException | None = None) -> None:
        """Something went wrong."""
        told = "".join(traceback.format_exception(error)) if error is not None else ""
        with self._lock:
            self.faults.append(f"{what}\n{told}".rstrip())

    def count(self, what: str) -> None:
        """Something happened, as it may."""
        with self._lock:
            self.counts[what] += 1

    def look(self) -> None:
        """How many threads there are now."""
        self.threads = max(self.threads, threading.active_count())

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of the log."""
        said = record.getMessage()
        ours = any(part in said for part in _EXPECTED)
        if record.name.startswith("usechat") and record.levelno < logging.ERROR and ours:
            self.count(f"log: {said[:40]}")
            return
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Planned):
            self.count(f"log: {said[:12]}... raised as planned")
            return
        self.fault(f"log of {record.name}: {said}", error)

    def install(self) -> None:
        """Look at the log, and at what nobody caught."""
        logging.getLogger().addHandler(self)
        threading.excepthook = lambda args: self.fault("a thread ended", args.exc_value)
        sys.unraisablehook = lambda args: self.fault(
            f"unraisable, in {args.object!r}", args.exc_value
        )

    @contextmanager
    def only_ours(self, what: str) -> Iterator[None]:
        """Count errors of our classes, and report all others."""
        try:
            yield
        except OURS as error:
            self.count(f"{what}: {type(error).__name__}")
        except Exception as error:
            self.fault(what, error)


class Server:
    """The server's process."""

    def __init__(self, seed: str) -> None:
        command = [sys.executable, "-m", "tests.stress.server", seed]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}/chat"

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def stats(self) -> dict[str, Any]:
        """What the server says of itself."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        stats: dict[str, Any] = json.loads(self._process.stdout.readline())
        return stats


def sockets() -> int:
    """How many sockets this process has open; 0 where nobody says."""
    count = 0
    if not Path("/proc/self/fd").exists():
        return 0
    for fd in Path("/proc/self/fd").iterdir():
        try:
            count += os.readlink(fd).startswith("socket:")
        except OSError:  # that by which we look
            continue
    return count


def check_left(watch: Watch, server: Server, sockets_before: int, what: str) -> None:
    """Report what is left: threads but the loop's, sockets, connections."""
    until = time.monotonic() + PATIENCE
    left = "?"
    while left and time.monotonic() < until:
        gc.collect()
        threads = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
        threads = [name for name in threads if name != "usechat"]
        plugs, connections = sockets() - sockets_before, server.stats()["open"]
        left = ""
        if threads or plugs > 0 or connections:
            left = f"threads {threads}, sockets {plugs}, connections {connections}"
            time.sleep(0.02)
    if left:
        watch.fault(f"left after {what}: {left}")
