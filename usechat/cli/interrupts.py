"""What Ctrl-C does: it stops the reply, it ends the line, and only where neither is, the program.

A handler of our own stays in place all the time. It works on Windows too, where loops know no
signals.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# So often Ctrl-C is pressed until it ends a program that does not stop its reply.
_PATIENCE = 3


def _interrupt() -> None:
    raise KeyboardInterrupt


class Interrupts:
    """Decides what Ctrl-C does, for the time of a ``with`` block: an interrupt unless told else.

    A program that was started with Ctrl-C switched off (``nohup``, ``&`` in a script) keeps it so.
    """

    def __init__(self) -> None:
        self._action: Callable[[], None] = _interrupt
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, lambda *_: self._action())
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def _doing(self, action: Callable[[], None]) -> Iterator[None]:
        before, self._action = self._action, action
        try:
            yield
        finally:
            self._action = before

    @contextmanager
    def ignored(self) -> Iterator[None]:
        """Where it would hit nothing that could be stopped."""
        with self._doing(lambda: None):
            yield

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Where it is a KeyboardInterrupt."""
        with self._doing(_interrupt):
            yield

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Where it stops a reply. A program that hangs ends when it is pressed again and again.

        Args:
            stop: called on the running loop, between two of its steps.
        """
        loop = asyncio.get_running_loop()
        pressed = 0

        def act() -> None:
            nonlocal pressed
            pressed += 1
            if pressed == 1:
                loop.call_soon_threadsafe(stop)
            elif pressed >= _PATIENCE:
                _interrupt()

        with _waking(loop), self._doing(act):
            yield


@contextmanager
def _waking(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let signals wake the loop: of one that comes just before it waits Python would not know."""
    ours, pythons = socket.socketpair()
    with ours, pythons:
        ours.setblocking(False)
        pythons.setblocking(False)
        try:
            loop.add_reader(ours, ours.recv, 4096)
        except NotImplementedError:  # the loop of Windows, which does this by itself
            yield
            return
        before = signal.set_wakeup_fd(pythons.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(ours)
