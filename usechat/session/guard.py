"""The lock around the engine of a ``ChatSession``."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType

from usechat.errors import ChatBusyError

_AHEAD = 4  # more ids than any one change of the engine needs


class ReenteredError(ChatBusyError):
    """The chat was called while this very thread was changing it (in a signal handler)."""


class Guard:
    """Held, for a moment, while the engine is looked at or changed; never while calling out.

    What is interrupted while it holds (Ctrl-C) may be half done: then the last state that was
    published is put back before anybody looks.

    Args:
        restore: puts the last published state back.
        ids: makes ids ahead, since the user's function for them is not called while this holds.

    Attributes:
        fresh: whether nothing can have changed since the session said so.
    """

    def __init__(self, restore: Callable[[], None], ids: IdsAhead) -> None:
        self.fresh = False
        self._lock = threading.RLock()
        self._restore = restore
        self._ids = ids
        self._inside = False
        self._torn = False
        self._later: deque[Callable[[], object]] = deque()

    @property
    def torn(self) -> bool:
        """Whether a change is under way, or was left in the middle."""
        return self._inside or self._torn

    def __enter__(self) -> None:
        self._ids.fill()
        self._lock.acquire()
        try:
            if self._inside:
                raise ReenteredError(
                    "The chat was called by what interrupted it (a signal handler, a finalizer). "
                    "Call it from the program's own flow, or call stop(), which waits its turn."
                )
            self._mend()
        except BaseException:
            self._lock.release()
            raise
        self._inside, self.fresh = True, False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is not None and not isinstance(error, Exception):
                self._torn = True
                self._mend()
        finally:
            self._inside = False
            self._lock.release()
        while self._later:
            self._later.popleft()()

    def later(self, function: Callable[[], object]) -> None:
        """Call a function as soon as this thread, which holds this, has let it go.

        Args:
            function: what could not be done in the middle of a change.
        """
        self._later.append(function)

    def _mend(self) -> None:
        if self._torn:
            self._restore()
            self._torn = False


class IdsAhead:
    """Ids from a user's function, made before they are needed, in their order.

    Args:
        make: the function.
    """

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make
        self._ready: deque[str | Exception] = deque()

    def fill(self) -> None:
        """Make what may be needed next."""
        while len(self._ready) < _AHEAD:
            try:
                self._ready.append(self._make())
            except Exception as error:
                self._ready.append(error)

    def __call__(self) -> str:
        """The next id."""
        made = self._ready.popleft() if self._ready else self._make()
        if isinstance(made, Exception):
            raise made
        return made
