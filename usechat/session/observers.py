"""Who is told what, and how.

Observers only watch: one that raises is reported, and the others still run. An action that an
observer calls changes the chat at once; what it causes is told after what is being told:

    >>> chat.on(StatusChanged, lambda e: (print("first:", e.status), stop_once()))
    >>> chat.on(StatusChanged, lambda e: print("second:", e.status))

where ``stop_once`` stops the turn at ``submitted``, prints

    first: submitted
    second: submitted
    first: ready
    second: ready
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from usechat.engine.events import EVENT_TYPES, Batch, Event, Outbox
from usechat.errors import InvalidArgumentError

logger = logging.getLogger("usechat")

E = TypeVar("E", bound=Event)


class Subscription:
    """Ends an observation when it is called, or at the end of its ``with`` block.

    Args:
        end: what ends it; calling it again does nothing.
    """

    def __init__(self, end: Callable[[], None]) -> None:
        self._end: Callable[[], None] | None = end

    def __call__(self) -> None:
        """End the observation; a second call does nothing."""
        end, self._end = self._end, None
        if end is not None:
            end()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self()


class _Listener:
    """One observer; ended ones are skipped even in the delivery that is under way."""

    __slots__ = ("active", "function")

    def __init__(self, function: Callable[[Any], object]) -> None:
        self.function = function
        self.active = True


def must_be_plain(function: object, what: str) -> None:
    """Refuse a function that would return a coroutine nobody awaits.

    Args:
        function: the function.
        what: what it is to be, for the message.

    Raises:
        InvalidArgumentError: it is async, or cannot be called.
    """
    if not callable(function):
        raise InvalidArgumentError(f"{what}: expected a function, got {type(function).__name__}.")
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )
    if is_async:
        raise InvalidArgumentError(
            f"{what} is called by the chat and cannot be awaited: give a plain function. "
            "To do async work, let it put something in a queue or start a task."
        )


class Observers:
    """All who watch a chat.

    Args:
        outbox: told which event types are wanted.
        session: what ``subscribe`` functions get.
        report: gets what an observer raised; None: the log does.
    """

    def __init__(
        self,
        outbox: Outbox,
        session: object,
        report: Callable[[Exception], object] | None,
    ) -> None:
        self._outbox = outbox
        self._session = session
        self._report = report
        self._by_type: dict[type[Event], tuple[_Listener, ...]] = {}
        self._every_flush: tuple[_Listener, ...] = ()
        self._lock = threading.RLock()  # observers may come and go on any thread

    def forked(self) -> None:
        """In a child process: whoever held the lock in the parent is not here."""
        self._lock = threading.RLock()

    def __bool__(self) -> bool:
        return bool(self._by_type or self._every_flush)

    def subscribe(self, function: Callable[[Any], object]) -> Subscription:
        """Call a function with the session after each flush.

        Args:
            function: a plain function.

        Raises:
            InvalidArgumentError: it is async, or no function.
        """
        must_be_plain(function, "A subscriber")
        listener: _Listener = _Listener(function)
        with self._lock:
            self._every_flush = (*self._every_flush, listener)

        def end() -> None:
            listener.active = False
            with self._lock:
                self._every_flush = tuple(x for x in self._every_flush if x is not listener)

        return Subscription(end)

    def on(self, kind: type[E], function: Callable[[E], object]) -> Subscription:
        """Call a function with each event of a type.

        Args:
            kind: the event type.
            function: a plain function.

        Raises:
            InvalidArgumentError: there is no such event type, or the function is async or none.
        """
        if kind not in EVENT_TYPES:
            names = ", ".join(sorted(event.__name__ for event in EVENT_TYPES))
            raise InvalidArgumentError(f"{kind!r} is no event type. There are {names}.")
        must_be_plain(function, f"An observer of {kind.__name__}")
        listener: _Listener = _Listener(function)
        event_type: Any = kind
        with self._lock:
            self._set(event_type, (*self._by_type.get(event_type, ()), listener))

        def end() -> None:
            listener.active = False
            with self._lock:
                left = tuple(x for x in self._by_type.get(event_type, ()) if x is not listener)
                self._set(event_type, left)

        return Subscription(end)

    def _set(self, kind: type[Event], listeners: tuple[_Listener, ...]) -> None:
        self._by_type = {k: v for k, v in {**self._by_type, kind: listeners}.items() if v}
        self._outbox.wanted = frozenset(self._by_type)

    def tell(self, batch: Batch) -> None:
        """Deliver a batch: its events in order, then one call to each subscriber.

        Args:
            batch: what to deliver.
        """
        for event in batch.events:
            for listener in self._by_type.get(type(event), ()):
                self._call(listener, event, type(event).__name__)
        for listener in self._every_flush:
            self._call(listener, self._session, "the chat")

    def _call(self, listener: _Listener, argument: object, what: str) -> None:
        if not listener.active:
            return
        try:
            made = listener.function(argument)
            if inspect.iscoroutine(made):
                made.close()
                must_be_plain(None, f"The observer {_name(listener.function)} of {what} is async")
        except Exception as error:
            self._failed(listener, error, what)

    def _failed(self, listener: _Listener, error: Exception, what: str) -> None:
        if self._report is not None:
            try:
                self._report(error)
            except Exception:
                logger.exception("on_observer_error raised")
        else:
            name = _name(listener.function)
            logger.error("The observer %s of %s raised", name, what, exc_info=error)


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))
