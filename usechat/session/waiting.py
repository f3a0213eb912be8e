"""Waiting for news of a chat on another thread."""

from __future__ import annotations

import os
import threading

# Where a blocked thread does not hear Ctrl-C, it looks up this often; in seconds.
_LOOK_UP = 0.1 if os.name == "nt" else None


class News:
    """Counts what happens, so that nobody waits for what has happened already.

    Attributes:
        count: how much has happened.
    """

    def __init__(self) -> None:
        self.count = 0
        self._condition = threading.Condition()

    def tell(self) -> None:
        """Something happened."""
        with self._condition:
            self.count += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout: float | None) -> None:
        """Wait for more than has been seen, or for less: whoever waits looks again.

        Args:
            seen: ``count`` before the last look.
            timeout: in seconds; None: no limit.
        """
        limits = [limit for limit in (timeout, _LOOK_UP) if limit is not None]
        with self._condition:
            if self.count == seen:
                self._condition.wait(min(limits, default=None))
