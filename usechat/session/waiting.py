"""Waiting for news of a chat on another thread."""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import suppress
from itertools import count

# Where a blocked thread does not hear Ctrl-C, it looks up this often; in seconds.
_LOOK_UP = 0.1 if os.name == "nt" else None


class News:
    """Counts what happens, so that nobody waits for what has happened already.

    No lock is held here: a signal handler may tell, also while its own thread begins to wait.

    Attributes:
        count: another number whenever something has happened.
    """

    def __init__(self) -> None:
        self.count = 0
        self._numbers = count(1)
        self._waiting: deque[threading.Lock] = deque()

    def tell(self) -> None:
        """Something happened."""
        self.count = next(self._numbers)
        with suppress(IndexError):
            while True:
                self._waiting.popleft().release()

    def wait(self, seen: int, timeout: float | None) -> None:
        """Wait for more than has been seen, or for less: whoever waits looks again.

        Args:
            seen: ``count`` before the last look.
            timeout: in seconds; None: no limit.
        """
        limits = [limit for limit in (timeout, _LOOK_UP) if limit is not None]
        limits = [min(limit, threading.TIMEOUT_MAX) for limit in limits]
        waiter = threading.Lock()
        waiter.acquire()
        self._waiting.append(waiter)
        try:
            if self.count == seen:  # only now: what happens from here on releases the lock
                waiter.acquire(timeout=min(limits, default=-1))
        finally:
            with suppress(ValueError):
                self._waiting.remove(waiter)
