"""A turn of a ``ChatSession``, its text and its events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from usechat.engine.events import Event
from usechat.engine.exchange import TurnState
from usechat.engine.turn_text import TurnText
from usechat.model.messages import UIMessage
from usechat.session.turn import EventLog, TurnBase

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
        self._session._wait(self._state, timeout)
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
        """Wait for the turn event by event, from now on. Faults of the peer are in ``outcome``.

        Called by an observer it gives none: observers are told one after the other.
        """
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
        turn._session._wait(turn._state, None, self._take)
        if self._piece or self._take():
            return self._piece
        turn._raise_for_outcome()
        raise StopIteration


class TurnEvents(Iterator[Event]):
    """The events of a chat until a turn is over.

    Args:
        turn: the turn.
    """

    _log: EventLog | None = None  # also where Ctrl-C hits before __init__

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._log = EventLog(turn, turn._session)

    def __next__(self) -> Event:
        log = self._log
        assert log is not None
        if log.open and not log.waiting:
            turn = self._turn
            turn._session._wait(turn._state, None, lambda: bool(log.waiting))
            if not log.waiting:
                log.end()
        if not log.waiting:
            raise StopIteration
        return log.waiting.popleft()

    def __del__(self) -> None:
        if self._log is not None:
            self._log.end()
