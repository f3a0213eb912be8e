"""The session for asyncio and trio."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import anyio
import anyio.lowlevel
from typing_extensions import Self, Unpack

from usechat.engine.events import Batch
from usechat.engine.exchange import Steps, TurnState
from usechat.errors import ChatBusyError, QueuePausedError
from usechat.session.actions import Actions, MessageInput, SendArguments
from usechat.session.async_turn import AsyncTurn
from usechat.session.driver import Driver, Host
from usechat.session.flush import FlushTimer
from usechat.session.toolbox import outside_tools

T = TypeVar("T")


class AsyncChatSession(Actions[AsyncTurn]):
    """A chat for asyncio and trio. Its actions are plain functions; its turns are awaited.

    For use in one event loop, as an async context manager or with ``aclose``. What an action
    returns must be awaited: its request is made by whoever awaits it.

    Args:
        api: the endpoint's URL, or a transport.
        id: the chat's id; made when it is first needed, if None.
        messages: the history to begin with.
        input: the text box to begin with.
        generate_id: makes ids of messages and chats.
        send_automatically_when: gets the messages after a reply or an answer to a tool call;
            true sends them again. None: with ``tools`` they are sent when every call of the last
            step is answered, without never.
        max_steps: how many requests one turn may make; None: 20 with ``tools``, else any number.
        when_busy: what a message does that is sent while a turn runs: ``reject`` raises
            ``ChatBusyError``, ``queue`` lets it wait, ``interrupt`` stops the turn.
        queue_limit: how many messages may wait.
        tools: functions, or ``Tool``s, that the model may call: their calls are answered here, all
            of a reply at once when it is complete, and the conversation goes on. Plain functions
            run in threads, async ones on the loop that reads.
        repair: before a message of the user's or a regenerate goes out, end the tool calls that
            nobody has answered (``output-error``; an approval: ``output-denied``), so that the
            model's API does not refuse the history. With ``when_busy="queue"`` messages still
            wait for an answer; one that goes out all the same ends the calls: after ``stop()``,
            by ``send_queued_message_now`` or as the first after such a history was loaded.
        resume: ask at once for the reply that is running for the chat with this ``id``;
            ``resumed`` is its turn.
        message_metadata_type: what a reply's metadata has to fit once merged, as a type for
            pydantic; what does not ends the reply with ``StreamProtocolError``. The message
            keeps the JSON value. Validators must be quick and not use the chat: it is locked.
        data_part_types: the same for the data of data parts, transient ones too: types by the
            names of the parts, without ``data-``.
        throttle: seconds between two deliveries to observers; 0: one for each network read;
            None: one for each change.
        on_finish: gets a ``Finish`` after each exchange.
        on_error: gets the error before the status becomes ``error``.
        on_data: gets each data part as it comes.
        on_tool_call: gets each tool call whose input is complete, those of the server's own tools
            too (look at ``tool_name``), but not those that the model's provider runs.
        on_response: gets the head of each response.
        on_observer_error: gets what an observer raised; without it the log does.
        http: options of the transport, if ``api`` is a URL; see ``HttpOptions``.

    Raises:
        InvalidArgumentError: an argument cannot be used.
    """

    def _prepare(self) -> None:
        host = Host(self, self._drive, self._flush)
        self._driver = Driver(self._engine, self._transport, self._toolbox, host)
        self._timer = FlushTimer(self._throttle, self._deliver)
        self._batches: deque[Batch] = deque()
        self._delivering = False
        self._calling = 0
        self._adopted: list[TurnState] = []
        # A turn has one face, whoever gets it; it holds its state, so that the id stays its own.
        self._turns: WeakValueDictionary[int, AsyncTurn] = WeakValueDictionary()

    async def __aenter__(self) -> Self:
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
        if self._resumed is not None:
            self._resumed._warn_if_never_awaited("`await chat.resumed`", stacklevel=3)
        self._run(self._engine.close())
        await self._driver.settled()
        if self._owns_transport:
            with anyio.CancelScope(shield=True):
                await self._transport.aclose()
        else:
            await anyio.lowlevel.checkpoint()

    # ------------------------------------------------------------- machinery

    def _turn(self, state: TurnState) -> AsyncTurn:
        turn = self._turns.get(id(state))
        if turn is None:
            turn = self._turns[id(state)] = AsyncTurn(state, self)
        in_callback = self._calling or self._delivering or self._driver.is_waiting_for_tool
        if in_callback and self._driver.task is not None and not state.over:
            turn._awaited = True
            self._adopted.append(state)
        return turn

    def _run(self, steps: Steps[T]) -> T:
        self._check_thread()
        return super()._run(steps)

    def _alone(self, function: Callable[[], T]) -> T:
        self._check_thread()
        return super()._alone(function)

    def _check_thread(self) -> None:
        """Refuse a thread that is not the loop's: what waits there could not be woken from it."""
        if self._driver.thread not in (None, threading.get_ident()):
            raise ChatBusyError(
                "This is not the thread of the event loop that moves the chat on. Make the tool "
                "async, use loop.call_soon_threadsafe or anyio.from_thread, or use ChatSession."
            )

    def _call(self, call: Any) -> Any:
        self._calling += 1
        try:
            with outside_tools():
                return super()._call(call)
        finally:
            self._calling -= 1

    def _progressed(self) -> None:
        self._driver.progressed()

    def _drive(self, steps: Steps[Any]) -> Any:
        """Drive an operation of the engine (for the driver); tell what cannot wait."""
        try:
            return self._call_all(steps)
        finally:
            self._progressed()
            if self._engine.outbox.urgent or self._engine.records:
                self._deliver()

    def _flush(self, change: bool) -> None:
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
            with outside_tools():
                while outbox.changed or self._batches:
                    self._batches.extend(outbox.take())
                    while self._batches:
                        self._tell(self._batches.popleft())
        finally:
            self._delivering = False

    @contextmanager
    def _claimed(self, turn: TurnState) -> Iterator[None]:
        """While somebody waits for a turn, the others who wait leave its reply to them."""
        self._check_thread()
        self._driver.claim(turn)
        try:
            yield
        finally:
            self._driver.release(turn)

    async def _drive_step(self, turn: TurnState) -> None:
        self._check_not_inside()
        await self._timer.beside(
            lambda: self._driver.step(turn),
            needed=self._engine.round is not None
            or (bool(self._observers) and self._engine.outbox.changed),
        )

    async def _drive_until_over(self, turn: TurnState) -> None:
        if turn.over:
            await self._driver.settled()
            await anyio.lowlevel.checkpoint()
            return
        self._check_not_inside()
        await self._timer.beside(lambda: self._driver.until_over(turn), needed=True)
        await self._drive_adopted()

    async def _drive_adopted(self) -> None:
        """Bring to an end what callbacks and tools of this chat have begun, as far as it can go."""
        tried: set[TurnState] = set()
        while turn := next((t for t in self._adopted if t not in tried), None):
            tried.add(turn)
            # One that waits for the user, or in a paused queue, is for a later drive.
            with suppress(QueuePausedError), self._claimed(turn):
                await self._timer.beside(
                    lambda turn=turn: self._driver.while_possible(turn),  # type: ignore[misc]
                    needed=True,
                )
            self._adopted = [t for t in self._adopted if not t.over]

    def _check_not_inside(self) -> None:
        if self._driver.is_waiting_for_this:
            raise ChatBusyError(
                "This task is moving the chat on and would wait for itself. "
                "Await the turn in another task."
            )
