"""A turn of an ``AsyncChatSession``, its text and its events."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from typing import TYPE_CHECKING, Any

from usechat.engine.events import Event
from usechat.engine.exchange import TurnState
from usechat.engine.turn_text import TurnText
from usechat.model.messages import UIMessage
from usechat.session.turn import EventLog, TurnBase

if TYPE_CHECKING:
    from usechat.session.aio import AsyncChatSession


class AsyncTurn(TurnBase):
    """A turn of an ``AsyncChatSession``: awaitable, and an async iterable of its text.

    Whoever awaits or iterates it moves the chat on, in its own task and with its cancellation.
    Between two pieces or events nobody does, unless another task waits for a turn of this chat:
    then that one reads on, and observers are told what it brings.
    """

    def __init__(self, state: TurnState, session: AsyncChatSession) -> None:
        super().__init__(state, session)
        self._session = session
        self._awaited = state.over

    def __await__(self) -> Generator[Any, None, AsyncTurn]:
        return self.wait().__await__()

    async def wait(self) -> AsyncTurn:
        """Wait until the turn is over; return it. Faults of the peer are in ``outcome``.

        Raises:
            QueuePausedError: it waits in a queue that is paused.
            ChatBusyError: called by what the turn itself waits for.
        """
        self._awaited = True
        with self._session._claimed(self._state):
            await self._session._drive_until_over(self._state)
        return self

    async def result(self) -> UIMessage:
        """Wait until the turn is over; return its message.

        Raises:
            UseChatError: what went wrong; ``IncompleteReplyError`` if the end was missing.
        """
        await self.wait()
        return self._result()

    def __aiter__(self) -> AsyncIterator[str]:
        self._awaited = True
        return TurnPieces(self, self._session)

    def events(self) -> AsyncGenerator[Event, None]:
        """Wait for the turn event by event, from now on. Faults of the peer are in ``outcome``.

        While events are taken so, all observers are told at each network read.
        """
        return TurnEvents(self, self._session)

    def __del__(self) -> None:
        if self._awaited or self._state.over:
            return
        self._state.abandoned = True
        self._warn_if_never_awaited("`await chat.send_message(...)`", stacklevel=3)

    def _warn_if_never_awaited(self, instead: str, stacklevel: int) -> None:
        if not (self._awaited or self._state.over or self._state.queued):
            self._awaited = True  # to say so once is enough
            warnings.warn(
                f"A turn was never awaited: its request was not made. Use {instead}.",
                RuntimeWarning,
                stacklevel=stacklevel,
            )


class TurnPieces(AsyncIterator[str]):
    """The text of a turn as it comes, from its begin.

    Args:
        turn: the turn; whoever asks for a piece moves it on.
        session: the chat.
    """

    def __init__(self, turn: AsyncTurn, session: AsyncChatSession) -> None:
        self._turn = turn
        self._session = session
        self._text = TurnText(turn._state)

    async def __anext__(self) -> str:
        # The turn is claimed only while somebody waits here: an iterator that is merely kept
        # (by a variable, by a traceback) moves nothing, and must not keep others from it.
        with self._session._claimed(self._turn._state):
            while True:
                text = self._text.take()
                if text:
                    return text
                if self._turn.over:
                    break
                await self._session._drive_step(self._turn._state)
        await self._session._driver.settled()
        await self._session._drive_adopted()
        self._turn._raise_for_outcome()
        raise StopAsyncIteration


class TurnEvents(AsyncGenerator[Event, None]):
    """The events of a chat until a turn is over.

    No native generator: one that is left in the middle would warn on trio.

    Args:
        turn: the turn; whoever asks for an event moves it on.
        session: the chat.
    """

    def __init__(self, turn: AsyncTurn, session: AsyncChatSession) -> None:
        self._turn = turn
        self._session = session
        self._log = EventLog(turn, session)

    async def asend(self, value: None) -> Event:
        """The next event.

        Args:
            value: nothing is done with it.

        Raises:
            StopAsyncIteration: the turn is over.
        """
        self._turn._awaited = True
        log = self._log
        while log.open and not log.waiting:
            if not self._turn.over:
                with self._session._claimed(self._turn._state):
                    await self._session._drive_step(self._turn._state)
                self._session._deliver()
            else:
                log.end()
        if log.waiting:
            return log.waiting.popleft()
        await self._session._driver.settled()
        await self._session._drive_adopted()
        raise StopAsyncIteration

    async def athrow(self, error: Any, *more: Any) -> Event:
        """End it, and raise an error.

        Args:
            error: the error.
            more: its value and traceback, in the older form.
        """
        self._log.end()
        self._log.waiting.clear()
        raise error

    def __del__(self) -> None:
        self._log.end()
