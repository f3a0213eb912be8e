"""Where a chat's observers run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from tests.stress.watch import Watch


class Host:
    """A thread that runs what is dispatched, as a window's loop does."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._gone = False
        self.thread = threading.Thread(target=self._run, name="host", daemon=True)
        self.thread.start()

    def dispatch(self, fn: Callable[[], object]) -> None:
        """Run a function soon."""
        if self._gone:
            raise RuntimeError("the window has been destroyed")
        self._queue.put(fn)
        if self._gone:
            self._throw_away()

    def _run(self) -> None:
        while (call := self._queue.get()) is not None:
            try:
                call()
            except BaseException as error:
                self._watch.fault("a flush raised", error)
            del call

    def end(self) -> None:
        """Run what is there, and no more."""
        self._queue.put(None)
        self.thread.join(10)

    def destroy(self) -> None:
        """Throw away what is there, and end."""
        self._gone = True
        self._throw_away()

    def _throw_away(self) -> None:
        with suppress(Empty):
            while True:
                self._queue.get_nowait()
        self._queue.put(None)
