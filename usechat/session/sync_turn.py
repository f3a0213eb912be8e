"""A turn of a ``ChatSession``, its text and its events."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from usechat.engine.events import EVENT_TYPES, Event
from usechat.engine.exchange import TurnState
from usechat.engine.turn_text import TurnText
from usechat.model.messages import UIMessage
from usechat.session.observers import Subscription
from usechat.session.turn import TurnBase

if TYPE_CHECKING:
    from usechat.session.threaded import ChatSession


class Turn(TurnBase):
    """A turn of a ``ChatSession``: it runs by itself, and can be waited for and iterated.

    An interrupt (Ctrl-C) of a wait stops the turn.
    """

    def __init__(self, state: TurnState, session: ChatSession) -> None:
        super().__init__(state, session)
        self._session = session

    def wait(self, timeout: float | None = None) -> Turn:
        """Wait until the turn is over; return it. Faults of the peer are in ``outcome``.

        The observers have been told of all of it then. On the host's thread, what ``dispatch``
        would bring there is done meanwhile.

        Args:
            timeout: in seconds; None: no limit.

        Raises:
            TimeoutError: it is not over by then; it goes on.
            QueuePausedError: it waits in a queue that is paused.
            ChatBusyError: called by what the turn itself waits for.
        """
        self._session._wait(self._state, lambda: False, timeout)
        return self

    def result(self, timeout: float | None = None) -> UIMessage:
        """Wait until the turn is over; return its message.

        Args:
            timeout: as for ``wait``.

        Raises:
            UseChatError: what went wrong; ``IncompleteReplyError`` if the end was missing.
        """
        self.wait(timeout)
        return self._result()

    def __iter__(self) -> Iterator[str]:
        return TurnPieces(self)

    def events(self) -> Iterator[Event]:
        """Wait for the turn event by event, from now on. Faults of the peer are in ``outcome``."""
        return TurnEvents(self)


class TurnPieces(Iterator[str]):
    """The text of a turn as it comes, from its begin.

    Args:
        turn: the turn.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._text = TurnText(turn._state)
        self._piece = ""

    def _take(self) -> bool:
        self._piece = self._turn._session._look(self._text.take)
        return bool(self._piece)

    def __next__(self) -> str:
        turn, self._piece = self._turn, ""
        # It looks for text before it waits; wherever Ctrl-C hits in it, the turn is stopped.
        turn._session._wait(turn._state, self._take, None)
        if self._piece or self._take():
            return self._piece
        turn._raise_for_outcome()
        raise StopIteration


class TurnEvents(Iterator[Event]):
    """The events of a chat until a turn is over.

    Args:
        turn: the turn.
    """

    _subscriptions: tuple[Subscription, ...] = ()  # also where Ctrl-C hits before __init__

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._waiting: deque[Event] = deque()
        for kind in () if turn.over else EVENT_TYPES:
            self._subscriptions += (turn._session.on(kind, self._waiting.append),)

    def __next__(self) -> Event:
        if self._subscriptions and not self._waiting:
            turn = self._turn
            turn._session._wait(turn._state, lambda: bool(self._waiting), None)
            if not self._waiting:
                self._end()
        if not self._waiting:
            raise StopIteration
        return self._waiting.popleft()

    def _end(self) -> None:
        for end in self._subscriptions:
            end()
        self._subscriptions = ()

    def __del__(self) -> None:
        self._end()
