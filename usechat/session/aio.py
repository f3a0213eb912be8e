"""The session for asyncio and trio."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.lowlevel
from typing_extensions import Unpack

from usechat.engine.events import EVENT_TYPES, Batch, Event
from usechat.engine.exchange import Steps, TurnState
from usechat.engine.turn_text import TurnText
from usechat.errors import ChatBusyError, QueuePausedError
from usechat.model.messages import UIMessage
from usechat.session.actions import Actions, MessageInput, SendArguments
from usechat.session.driver import Driver
from usechat.session.flush import FlushTimer
from usechat.session.turn import TurnBase


class AsyncTurn(TurnBase):
    """A turn of an ``AsyncChatSession``: awaitable, and an async iterable of its text.

    Whoever awaits or iterates it moves the chat on, in its own task and with its cancellation.
    """

    def __init__(self, state: TurnState, session: AsyncChatSession) -> None:
        super().__init__(state)
        self._session = session
        self._awaited = state.over
        self._text: TurnText | None = None

    def __await__(self) -> Generator[Any, None, AsyncTurn]:
        return self.wait().__await__()

    async def wait(self) -> AsyncTurn:
        """Wait until the turn is over; return it. Faults of the peer are in ``outcome``.

        Raises:
            QueuePausedError: it waits in a queue that is paused.
            ChatBusyError: called by what the turn itself waits for.
        """
        self._awaited = True
        await self._session._drive_until_over(self._state)
        return self

    async def result(self) -> UIMessage:
        """Wait until the turn is over; return its message.

        Raises:
            UseChatError: what went wrong; ``IncompleteReplyError`` if the end was missing.
        """
        await self.wait()
        return self._result()

    def __aiter__(self) -> AsyncTurn:
        return self

    async def __anext__(self) -> str:
        self._awaited = True
        if self._text is None:
            self._text = TurnText(self._state)
        while True:
            text = self._text.take()
            if text:
                return text
            if self.over:
                break
            await self._session._drive_step(self._state)
        await self._session._drive_adopted()
        self._raise_for_outcome()
        raise StopAsyncIteration

    def events(self) -> AsyncGenerator[Event, None]:
        """Wait for the turn event by event, from now on. Faults of the peer are in ``outcome``."""
        return TurnEvents(self, self._session)

    def __del__(self) -> None:
        if not self._awaited and not self._state.over and not self._state.queued:
            warnings.warn(
                "A turn was never awaited: its request was not made. "
                "Use `await chat.send_message(...)`.",
                RuntimeWarning,
                stacklevel=2,
            )


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
        self._waiting: deque[Event] = deque()
        kinds = () if turn.over else EVENT_TYPES
        self._subscriptions = [session.on(kind, self._waiting.append) for kind in kinds]

    async def asend(self, value: None) -> Event:
        """The next event.

        Args:
            value: nothing is done with it.

        Raises:
            StopAsyncIteration: the turn is over.
        """
        self._turn._awaited = True
        while self._subscriptions and not self._waiting:
            if not self._turn.over:
                await self._session._drive_step(self._turn._state)
                self._session._deliver()
            else:
                self._end()
                await self._session._drive_adopted()
        if not self._waiting:
            raise StopAsyncIteration
        return self._waiting.popleft()

    async def athrow(self, error: Any, *more: Any) -> Event:
        """End it, and raise an error.

        Args:
            error: the error.
            more: its value and traceback, in the older form.
        """
        self._end()
        self._waiting.clear()
        raise error

    def _end(self) -> None:
        for end in self._subscriptions:
            end()
        self._subscriptions.clear()

    def __del__(self) -> None:
        self._end()


class AsyncChatSession(Actions[AsyncTurn]):
    """A chat for asyncio and trio. Its actions are plain functions; its turns are awaited.

    For use in one event loop, as an async context manager or with ``aclose``.
    """

    def _prepare(self) -> None:
        self._driver = Driver(self._engine, self._transport, self)
        self._timer = FlushTimer(self._throttle, self._deliver)
        self._batches: deque[Batch] = deque()
        self._delivering = False
        self._calling = 0
        self._adopted: list[TurnState] = []

    async def __aenter__(self) -> AsyncChatSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @asynccontextmanager
    async def stream(
        self, message: MessageInput = None, **arguments: Unpack[SendArguments]
    ) -> AsyncIterator[AsyncTurn]:
        """Send a message, and stop its turn when the block is left.

        Args:
            message: as for ``send_message``.
            arguments: as for ``send_message``.
        """
        turn = self.send_message(message, **arguments)
        turn._awaited = True
        try:
            yield turn
        finally:
            self._run(self._engine.stop_turn(turn._state))
            await self._driver.settled()

    async def aclose(self) -> None:
        """Stop, close what the session has opened; nothing can be sent any more."""
        self._run(self._engine.close())
        await self._driver.settled()
        if self._owns_transport:
            with anyio.CancelScope(shield=True):
                await self._transport.aclose()
        else:
            await anyio.lowlevel.checkpoint()

    # ------------------------------------------------------------- machinery

    def _turn(self, state: TurnState) -> AsyncTurn:
        turn = AsyncTurn(state, self)
        in_callback = self._calling or self._delivering
        if in_callback and self._driver.task is not None and not state.over:
            turn._awaited = True
            self._adopted.append(state)
        return turn

    def _call(self, call: Any) -> Any:
        self._calling += 1
        try:
            return super()._call(call)
        finally:
            self._calling -= 1

    def _progressed(self) -> None:
        self._driver.progressed()

    def drive(self, steps: Steps[Any]) -> Any:
        """Drive an operation of the engine (for the driver); tell what cannot wait."""
        try:
            return self._call_all(steps)
        finally:
            self._progressed()
            if self._engine.outbox.urgent or self._engine.records:
                self._deliver()

    def flush(self, *, change: bool) -> None:
        """Deliver what is due (for the driver)."""
        outbox = self._engine.outbox
        if change or outbox.urgent or (outbox.changed and self._timer.is_due()):
            self._deliver()

    def _deliver(self) -> None:
        """Tell the observers all that waits; what they cause is told by the same loop."""
        outbox = self._engine.outbox
        if self._delivering or not (outbox.changed or self._batches):
            return
        self._timer.delivered()
        self._delivering = True
        try:
            while outbox.changed or self._batches:
                self._batches.extend(outbox.take())
                while self._batches:
                    self._tell(self._batches.popleft())
        finally:
            self._delivering = False

    async def _drive_step(self, turn: TurnState) -> None:
        self._check_not_inside()
        await self._timer.beside(
            lambda: self._driver.step(turn), needed=self._engine.outbox.changed
        )

    async def _drive_until_over(self, turn: TurnState) -> None:
        if turn.over:
            await anyio.lowlevel.checkpoint()
            return
        self._check_not_inside()
        await self._timer.beside(lambda: self._driver.until_over(turn), needed=True)
        await self._drive_adopted()

    async def _drive_adopted(self) -> None:
        """Bring to an end what callbacks of this drive have begun."""
        while self._adopted:
            turn = self._adopted[0]
            # One that waits in a paused queue is for whoever lets the queue go on.
            with suppress(QueuePausedError):
                if not (turn.queued and self._engine.exchange is None):
                    await self._timer.beside(
                        lambda turn=turn: self._driver.until_over(turn),  # type: ignore[misc]
                        needed=True,
                    )
            if self._adopted and self._adopted[0] is turn:
                self._adopted.pop(0)

    def _check_not_inside(self) -> None:
        if self._driver.task == anyio.get_current_task().id:
            raise ChatBusyError(
                "This task is moving the chat on and would wait for itself. "
                "Await the turn in another task."
            )
