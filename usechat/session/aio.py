"""The session for asyncio and trio."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
from typing_extensions import Unpack

from usechat.engine.events import EVENT_TYPES, Batch, Event
from usechat.engine.exchange import Steps, TurnState
from usechat.engine.turn_text import TurnText
from usechat.errors import ChatBusyError
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

    async def events(self) -> AsyncGenerator[Event, None]:
        """Wait for the turn event by event. Faults of the peer are in ``outcome``."""
        self._awaited = True
        waiting: deque[Event] = deque()
        subscriptions = [self._session.on(kind, waiting.append) for kind in EVENT_TYPES]
        try:
            while not self.over or waiting:
                while waiting:
                    yield waiting.popleft()
                if not self.over:
                    await self._session._drive_step(self._state)
                    self._session._deliver()
        finally:
            for end in subscriptions:
                end()

    def __del__(self) -> None:
        if not self._awaited and not self._state.over and not self._state.queued:
            warnings.warn(
                "A turn was never awaited: its request was not made. "
                "Use `await chat.send_message(...)`.",
                RuntimeWarning,
                stacklevel=2,
            )


class AsyncChatSession(Actions[AsyncTurn]):
    """A chat for asyncio and trio. Its actions are plain functions; its turns are awaited.

    For use in one event loop, as an async context manager or with ``aclose``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
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
            await self._driver.close_stale()

    async def aclose(self) -> None:
        """Stop, close what the session has opened; nothing can be sent any more."""
        self._run(self._engine.close())
        await self._driver.close_stale()
        if self._owns_transport:
            with anyio.CancelScope(shield=True):
                await self._transport.aclose()
        else:
            await anyio.lowlevel.checkpoint()

    # ------------------------------------------------------------- machinery

    def _turn(self, state: TurnState) -> AsyncTurn:
        turn = AsyncTurn(state, self)
        if (self._calling or self._delivering) and not state.over:
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
        """Drive an operation of the engine (for the driver)."""
        return self._run(steps)

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
        await self._timer.beside(
            lambda: self._driver.until_over(turn), needed=bool(self._observers)
        )
        await self._drive_adopted()

    async def _drive_adopted(self) -> None:
        """Bring to an end what callbacks of this drive have begun."""
        while self._adopted:
            turn = self._adopted[0]
            if not (turn.queued and self._engine.exchange is None):
                await self._timer.beside(
                    lambda turn=turn: self._driver.until_over(turn),  # type: ignore[misc]
                    needed=bool(self._observers),
                )
            if self._adopted and self._adopted[0] is turn:
                self._adopted.pop(0)

    def _check_not_inside(self) -> None:
        if self._driver.task == anyio.get_current_task().id:
            raise ChatBusyError(
                "This task is moving the chat on and would wait for itself. "
                "Await the turn in another task."
            )
