"""Makes the engine's requests and feeds it what comes, on the loop of whoever awaits a turn.

Nobody in particular owns an exchange: whoever awaits any turn moves on what runs now, one step at
a time, until the own turn is over. Between two steps no scope is open and nothing is being read.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeAlias

import anyio

from usechat.engine.engine import ChatEngine
from usechat.engine.exchange import Exchange, Steps, TurnState
from usechat.engine.tool_round import ToolRound
from usechat.errors import QueuePausedError
from usechat.model.chunks import UIMessageChunk
from usechat.session import replies
from usechat.session.replies import Reply
from usechat.session.toolbox import Toolbox, ToolRunner, is_tool_of
from usechat.tools.running import ToolReport
from usechat.transport.base import ChatTransport

Reading: TypeAlias = Callable[[TurnState, Exchange, Reply], Awaitable[None]]


class Host(NamedTuple):
    """What a driver needs of its session.

    Attributes:
        chat: the session, for tools.
        drive: drives an operation of the engine, calling the user's functions on its way.
        flush: delivers to the observers what is due, after a change or after a network read.
    """

    chat: Any
    drive: Callable[[Steps[Any]], Any]
    flush: Callable[[bool], None]


class Driver:
    """Moves one chat on.

    Args:
        engine: the chat.
        transport: brings the replies.
        tools: the tools that run on this side.
        host: the session.
    """

    def __init__(
        self, engine: ChatEngine, transport: ChatTransport, tools: Toolbox, host: Host
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._host = host
        self._runner = ToolRunner(engine, tools, host.chat, self._apply_report)
        self._reply: Reply | None = None
        self._work: Exchange | ToolRound | None = None  # what is being moved on, or was last
        self._scope: anyio.CancelScope | None = None
        self._progress = anyio.Event()
        self._claims: Counter[TurnState] = Counter()
        self.task: int | None = None
        """The task that is moving the chat on."""
        self.thread: int | None = None
        """The thread of those who wait for a turn; None: nobody does."""

    def claim(self, turn: TurnState) -> None:
        """Somebody waits for a turn, and will move it on.

        Args:
            turn: the turn.
        """
        self._claims[turn] += 1
        if self.thread is None:
            self.thread = threading.get_ident()

    def release(self, turn: TurnState) -> None:
        """Somebody no longer waits for a turn; others may move it on.

        Args:
            turn: the turn.
        """
        self._claims[turn] -= 1
        if not self._claims[turn]:
            del self._claims[turn]
            self._progress.set()
        if not self._claims:
            self.thread = None

    def _is_left_to_others(self, turn: TurnState, work: Exchange | ToolRound) -> bool:
        """Whether the turn that runs has somebody who waits for it, and is not this one.

        Whoever reads a reply ends it when cancelled: that must not happen to another's turn.
        """
        return work.turn is not turn and work.turn in self._claims

    @property
    def is_waiting_for_this(self) -> bool:
        """Whether the task that moves the chat on waits for who asks: a callback's await, a tool.

        A tool that has ended its own round is waited for all the same.
        """
        return self.task == anyio.get_current_task().id or self.is_waiting_for_tool

    @property
    def is_waiting_for_tool(self) -> bool:
        """Whether it waits for who asks, and that is a tool."""
        return self.task is not None and is_tool_of(self._work)

    def progressed(self) -> None:
        """An exchange, a call or a turn has begun or ended: break off, wake those who wait."""
        if self._work is not None and self._work.over and self._scope is not None:
            self._scope.cancel()
        self._runner.tell_stopped()
        self._runner.wake()
        self._progress.set()

    async def until_over(self, turn: TurnState) -> None:
        """Move the chat on until a turn is over.

        Args:
            turn: any of the chat's turns.

        Raises:
            QueuePausedError: it waits in a queue that is paused.
        """
        while not turn.over:
            await self._advance(turn, self._read_to_end)

    async def while_possible(self, turn: TurnState) -> None:
        """Move the chat on until a turn is over, or waits in the queue for the user.

        Args:
            turn: any of the chat's turns.

        Raises:
            QueuePausedError: it waits in a queue that is paused.
        """
        while not (turn.over or (turn.queued and self._engine.work is None)):
            await self._advance(turn, self._read_to_end)

    async def step(self, turn: TurnState) -> None:
        """Move the chat on by one step, or wait until somebody else has.

        Args:
            turn: the turn that somebody waits for; nothing happens if it is over.

        Raises:
            QueuePausedError: it waits in a queue that is paused.
        """
        if not turn.over:
            await self._advance(turn, self._read_once)

    async def _advance(self, turn: TurnState, read: Reading) -> None:
        """Move on what runs, unless somebody else does or nothing runs: then wait for that."""
        await self.settled()
        if self.task is None:
            work = self._engine.work
            if work is not None and not self._is_left_to_others(turn, work):
                await self._move(turn, work, read)
                return
            if turn.queued and self._engine.queue.paused:
                raise QueuePausedError(
                    "This message waits in a queue that a stop or an error has paused. "
                    "Send something, or send_queued_message_now()."
                )
        if not turn.over:
            await self._next_progress()

    async def _move(self, turn: TurnState, work: Exchange | ToolRound, read: Reading) -> None:
        self.task = anyio.get_current_task().id
        self._work = work
        work.turn.abandoned = False  # somebody cares, if only for what comes after it
        try:
            with anyio.CancelScope() as self._scope:
                if isinstance(work, ToolRound):
                    await self._runner.run(work)
                elif self._reply is None:
                    await self._open(work)
                else:
                    await read(turn, work, self._reply)
        except BaseException:
            # Whoever moves the chat on was cancelled, and with it what it was doing.
            self._host.drive(self._engine.end_cancelled(work))
            raise
        finally:
            self._scope = None
            await self._leave()

    async def settled(self) -> None:
        """Close the reply of an exchange that is over; where a task reads it still, wait for that.

        A task that moves the next exchange on already is not waited for.
        """
        while self._work is not None and self._work.over:
            if self.task is None:
                self.task = anyio.get_current_task().id
                await self._leave()
            elif self.is_waiting_for_this:
                return  # it will leave when that returns
            else:
                with anyio.CancelScope(shield=True):
                    await self._next_progress()

    async def _next_progress(self) -> None:
        if self._progress.is_set():
            self._progress = anyio.Event()
        await self._progress.wait()

    async def _leave(self) -> None:
        """Let others move the chat on; close the reply if its exchange is over."""
        try:
            if self._work is not None and self._work.over:
                reply, self._reply, self._work = self._reply, None, None
                await replies.close(reply)
        finally:
            self.task = None
            self._progress.set()

    async def _apply_report(
        self, round: ToolRound, steps: Callable[[], Steps[None]], report: ToolReport
    ) -> None:
        self._host.drive(steps())
        self._host.flush(False)

    async def _open(self, exchange: Exchange) -> None:
        try:
            self._reply = await replies.ask(self._transport, exchange.request)
        except Exception as error:
            self._host.drive(replies.failed(self._engine, exchange, error))
        else:
            self._host.drive(replies.opened(self._engine, exchange, self._reply))

    async def _read_once(self, turn: TurnState, exchange: Exchange, reply: Reply) -> None:
        try:
            chunks = await anext(reply)
        except StopAsyncIteration:
            self._host.drive(self._engine.finish(exchange))
        except Exception as error:
            self._host.drive(replies.failed(self._engine, exchange, error))
        else:
            self._apply(exchange, chunks)

    async def _read_to_end(self, turn: TurnState, exchange: Exchange, reply: Reply) -> None:
        def take(chunks: list[UIMessageChunk]) -> bool:
            self._apply(exchange, chunks)
            return not exchange.over

        try:
            if exchange.turn is turn:
                ended = await replies.read_into(reply, take)
            else:
                ended = await self._read_for_others(turn, exchange, reply)
        except Exception as error:
            self._host.drive(replies.failed(self._engine, exchange, error))
        else:
            if ended:
                self._host.drive(self._engine.finish(exchange))

    async def _read_for_others(self, turn: TurnState, exchange: Exchange, reply: Reply) -> bool:
        """Read the reply of another turn, as long as nobody else does.

        Piece by piece: between two of them nothing is being read that this task would have to end.
        """
        async for chunks in reply:
            self._apply(exchange, chunks)
            if exchange.over or turn.over or self._is_left_to_others(turn, exchange):
                return False
        return True

    def _apply(self, exchange: Exchange, chunks: list[UIMessageChunk]) -> None:
        engine, flush = self._engine, self._host.flush
        at, count = 0, len(chunks)
        try:
            while at < count and not exchange.over:
                at, steps = engine.receive_some(exchange, chunks, at, count)
                if steps is not None:
                    self._host.drive(steps)
                if engine.records:
                    flush(True)
        except replies.REJECTED as error:
            self._host.drive(replies.rejected(self._engine, exchange, error))
        flush(False)
        self._progress.set()  # others may iterate what this task reads
