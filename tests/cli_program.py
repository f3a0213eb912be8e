"""The program as a user has it: a process of its own, on pipes or on a terminal."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parent.parent
PATIENCE = 20  # seconds; only a failing test waits so long

# A terminal's Ctrl-C reaches the process that has it as its controlling terminal.
ON_TERMINAL = (
    "import fcntl, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "from usechat.cli import main\n"
    "sys.exit(main())\n"
)


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    left_out = ("NO_COLOR", "PYTHONIOENCODING", "PYTHONUTF8", "LC_ALL", "COLUMNS", "LINES")
    own = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**own, "TERM": "xterm", "LANG": "C.UTF-8", "INPUTRC": os.devnull, **(more or {})}


@contextmanager
def interruptible() -> Iterator[None]:
    """A test run in the background ignores Ctrl-C, and what it starts would too."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Reader:
    """Reads a file descriptor up to a text that is awaited."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0
        self.came = b""

    def until(self, text: str, patience: float = PATIENCE) -> str:
        """What has come since the last call, up to and with a text."""
        deadline = time.monotonic() + patience
        while (found := self.came.find(text.encode(), self._at)) < 0:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} did not come: {self.came[self._at :]!r}")
        since, self._at = self._at, found + len(text.encode())
        return self.came[since : self._at].decode("utf-8", "replace")

    def rest(self) -> str:
        """What has not been awaited, up to the end."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        since, self._at = self._at, len(self.came)
        return self.came[since:].decode("utf-8", "replace")

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise AssertionError(f"nothing came in time after {self.came!r}")
        piece = b""
        with suppress(OSError):  # a terminal whose program is gone
            piece = os.read(self._fd, 65536)
        self.came += piece
        return bool(piece)


class Program:
    """The program, on pipes; a context manager."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        with interruptible():
            self.process = subprocess.Popen(
                [sys.executable, "-W", "default", "-m", "usechat.cli", *arguments],
                cwd=ROOT,
                env=environment(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdin = self.process.stdin
        self.out = Reader(self.process.stdout.fileno())
        self.err = Reader(self.process.stderr.fileno())

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        self.process.wait()

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def status(self) -> int:
        return self.process.wait(PATIENCE)


class Terminal:
    """The program on a terminal of its own; a context manager."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        import pty  # there is none on Windows

        self._master, slave = pty.openpty()
        with interruptible():
            self.process = subprocess.Popen(
                [sys.executable, "-W", "default", "-c", ON_TERMINAL, *arguments],
                cwd=ROOT,
                env=environment(env),
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
            )
        os.close(slave)
        self.screen = Reader(self._master)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def see(self, text: str) -> str:
        """Wait until something shows; what showed up to it."""
        return self.screen.until(text)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def interrupt(self, text: str, typed: str = "") -> None:
        """Press Ctrl-C at the prompt, and see what it does."""
        # Python is deaf to a signal for the moment between the prompt and the wait for keys; it
        # hears of it with the next one.
        self.press(f"{typed}\x03")
        try:
            self.screen.until(text, patience=3)
        except AssertionError:
            self.press("\x03")
            self.see(text)

    def say(self, line: str, *, after: str = "you> ") -> None:
        """Wait for the prompt, then type a line."""
        self.see(after)
        self.press(f"{line}\r")
        if line:
            self.see(line)  # its echo

    def status(self) -> int:
        self.screen.rest()
        return self.process.wait(PATIENCE)
