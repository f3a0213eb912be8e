"""The lock around the engine of a ``ChatSession``."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from usechat.errors import ChatBusyError

T = TypeVar("T")

_AHEAD = 4  # more ids than any one change of the engine needs


class ReenteredError(ChatBusyError):
    """The chat was called while this very thread was changing it (in a signal handler)."""


class Guard:
    """Held, for a moment, while the engine is looked at or changed; never while calling out.

    A change that is interrupted (Ctrl-C) may be half done: then the last state that was published
    is put back before anybody looks. It is no context manager: an interrupt can hit
    between the end of a Python ``__enter__`` and its block. The interpreter's own locks are safe.

    Args:
        restore: puts the last published state back.
        ids: makes ids ahead, since the user's function for them is not called while this holds.

    Attributes:
        fresh: whether nothing can have changed since the session said so.
    """

    def __init__(self, restore: Callable[[], None], ids: IdsAhead) -> None:
        self.fresh = False
        self._restore = restore
        self._ids = ids
        self._lock = threading.RLock()
        self._inside = threading.Lock()  # held by who holds the other, if only once
        self._torn = False
        self._later: deque[Callable[[], object]] = deque()

    @property
    def torn(self) -> bool:
        """Whether a change may be under way, or was left in the middle."""
        return self._torn or self._inside.locked()

    def look(self, function: Callable[[], T]) -> T:
        """Call a function of ours that looks at the engine.

        Args:
            function: calls nobody else's; what it changes is whole at each moment.

        Raises:
            ReenteredError: this thread is in the middle of a look or a change.
        """
        return self._alone(function)

    def change(self, function: Callable[[], T]) -> T:
        """Call a function of ours that changes the engine.

        Args:
            function: calls nobody else's.

        Raises:
            ReenteredError: this thread is in the middle of a look or a change.
        """
        return self._alone(partial(self._whole, function))

    def _alone(self, function: Callable[[], T]) -> T:
        self._ids.fill()
        try:
            with self._lock:
                if self._inside.locked():
                    raise ReenteredError(
                        "The chat was called by what interrupted it (a signal handler, a "
                        "finalizer). Call it from the program's own flow, or call stop(), which "
                        "waits its turn."
                    )
                with self._inside:
                    self._mend()
                    return function()
        finally:
            while self._later and not self._inside.locked():
                self._later.popleft()()

    def later(self, function: Callable[[], object]) -> None:
        """Call a function as soon as this thread, which holds this, has let it go.

        Args:
            function: what could not be done in the middle of a change.
        """
        self._later.append(function)

    def _whole(self, function: Callable[[], T]) -> T:
        self.fresh = False
        try:
            return function()
        except Exception:
            raise
        except BaseException:
            self._torn = True
            self._mend()
            raise

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
        self._making: set[int] = set()  # the threads that do

    def fill(self) -> None:
        """Make what may be needed next. What went wrong the last time is tried again."""
        me = threading.get_ident()
        if me in self._making:  # the user's function looks at the chat
            return
        self._making.add(me)
        with suppress(IndexError):  # another thread may have taken it
            while isinstance(self._ready[-1], Exception):
                self._ready.pop()
        try:
            while len(self._ready) < _AHEAD:
                self._ready.append(self._make())
        except Exception as error:
            self._ready.append(error)
        finally:
            self._making.discard(me)

    def __call__(self) -> str:
        """The next id."""
        made = self._ready.popleft() if self._ready else self._make()
        if isinstance(made, Exception):
            raise made
        return made
