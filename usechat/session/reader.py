"""Reads the replies of one ``ChatSession`` and runs its tools, on the loop's thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import anyio

from usechat.engine.engine import ChatEngine
from usechat.engine.exchange import Exchange, Steps
from usechat.engine.tool_round import ToolRound
from usechat.errors import CallbackError
from usechat.model.chunks import UIMessageChunk
from usechat.session import replies
from usechat.session.inbox import Inbox, Item, is_urgent, size_of
from usechat.session.loop_thread import LoopThread, loop_thread
from usechat.session.replies import Reply
from usechat.session.toolbox import Toolbox, ToolRunner
from usechat.tools.running import Preliminary, ToolReport
from usechat.transport.base import ChatTransport
from usechat.transport.user_functions import CALLER

logger = logging.getLogger("usechat")

# A reply that does not end keeps the next one waiting for no longer than this, in seconds.
_CLOSE_TIMEOUT = 3
_WATCH = 1.0  # seconds between two looks whether the host of a running turn is there


class _Reading:
    """What ends the reading of one reply, begun or not."""

    def __init__(self) -> None:
        self.cancelled = False
        self.scope: anyio.CancelScope | None = None
        self.watch: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        self.cancelled = True
        if self.watch is not None:
            self.watch.cancel()
        if self.scope is not None:
            self.scope.cancel()


class _Caller:
    """What the context of a reading task holds.

    An idle loop keeps the last timer that was cancelled, and with it this context: emptied, it
    holds no session.
    """

    def __init__(self, call: Callable[[Any, Any], Awaitable[Any]]) -> None:
        self.call: Callable[[Any, Any], Awaitable[Any]] | None = call

    async def __call__(self, function: Any, arguments: Any) -> Any:
        assert self.call is not None
        return await self.call(function, arguments)


class Reader:
    """Makes requests, runs tool calls, and puts what comes into the inbox; it changes nothing.

    While it reads, the loop keeps it and by ``came`` its session.

    Args:
        engine: the chat.
        transport: brings the replies.
        inbox: gets what comes.
        came: told of each item; whether the observers should not be kept waiting.
        tools: the tools that run on this side.
        chat: the session, for tools.

    Attributes:
        work: what is read or run, or was last.
    """

    def __init__(
        self,
        engine: ChatEngine,
        transport: ChatTransport,
        inbox: Inbox,
        came: Callable[[bool], None],
        tools: Toolbox,
        chat: Any,
    ) -> None:
        self.work: Exchange | ToolRound | None = None
        self._engine = engine
        self._transport = transport
        self._inbox = inbox
        self._came = came
        self._reading: _Reading | None = None
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None
        self._nothing_came = True  # of the reply that is read
        self._runner = ToolRunner(engine, tools, chat, self._put_report)

    def follow(self) -> None:
        """Read or run what the engine wants now, and nothing else. From any thread."""
        work = self._engine.work
        self._runner.tell_stopped()
        if work is not self.work:
            thread = loop_thread()
            thread.call(self._switch, thread)
        elif isinstance(work, ToolRound):
            loop_thread().call(self._runner.wake)

    def make_room(self) -> None:
        """Something was taken out of the inbox. From any thread."""
        room = self._room
        if room is not None and not self._inbox.full:
            loop_thread().call(room.set)

    def close(self, owns_transport: bool) -> Future[None]:
        """End what is read, and close the transport if it is the session's. From any thread.

        Args:
            owns_transport: whether it is.
        """
        return loop_thread().submit(self._close(owns_transport))

    async def _close(self, owns_transport: bool) -> None:
        task, self._task = self._task, None
        if self._reading is not None:
            self._reading.cancel()
        if task is not None:
            await asyncio.wait({task})
        if owns_transport:
            try:
                await self._transport.aclose()
            except Exception:
                logger.exception("The transport could not be closed")

    def _switch(self, thread: LoopThread) -> None:
        # Once more after each: another thread may have changed it before this one had noted it.
        while (work := self._engine.work) is not self.work:
            self.work = work
            if self._reading is not None:
                self._reading.cancel()
                self._reading = None
            if work is not None:
                reading = self._reading = _Reading()
                self._task = thread.start(self._read_after(self._task, work, reading))
                self._watch_host(thread, reading)

    def _watch_host(self, thread: LoopThread, reading: _Reading) -> None:
        """Ask for a flush now and then: a host that is gone says so, however silent the server."""

        def look() -> None:
            self._came(True)
            self._watch_host(thread, reading)

        if not reading.cancelled:
            reading.watch = thread.timer(_WATCH, look)

    async def _read_after(
        self, before: asyncio.Task[None] | None, work: Exchange | ToolRound, reading: _Reading
    ) -> None:
        if before is not None and not before.done():
            await asyncio.wait({before}, timeout=_CLOSE_TIMEOUT)
        caller = _Caller(partial(self._call_on_host, work))
        CALLER.set(caller)
        try:
            with anyio.CancelScope() as reading.scope:
                if reading.cancelled:
                    pass
                elif isinstance(work, ToolRound):
                    await self._run(work)
                else:
                    await self._read(work, reading)
        except asyncio.CancelledError:
            raise
        except BaseException:  # whatever it is, it must not end the loop of all sessions
            logger.exception("The end of a reply raised")
        finally:
            caller.call = None

    async def _read(self, exchange: Exchange, reading: _Reading) -> None:
        engine = self._engine
        reply: Reply | None = None
        try:
            reply = await replies.ask(self._transport, exchange.request)
            head = partial(replies.opened, engine, exchange, reply)
            await self._put(Item(exchange, steps=head), urgent=True)
            self._nothing_came = True
            if reply is None:
                return
            await replies.read_into(reply, partial(self._take, exchange), self._room_is_made)
        except BaseException as error:  # also SystemExit, and a cancellation that is not ours
            # What fails while it is cancelled is put too, and dropped: its exchange is over.
            if not isinstance(error, Exception) and self._is_ours(error, reading):
                raise
            failure = partial(replies.failed, engine, exchange, error)
            await self._put(Item(exchange, steps=failure), urgent=True)
        else:
            end = partial(engine.finish, exchange)
            await self._put(Item(exchange, steps=end), urgent=True)
        finally:
            await replies.close(reply)

    def _is_ours(self, error: BaseException, reading: _Reading) -> bool:
        """Whether what ends the reading is this side, not the transport."""
        ending = reading.cancelled or loop_thread().is_ending
        return ending or isinstance(error, GeneratorExit)

    def _take(self, exchange: Exchange, chunks: list[UIMessageChunk]) -> bool:
        """Put what came of a reply."""
        is_first = self._nothing_came
        self._nothing_came = False
        item = Item(exchange, chunks, size=size_of(chunks))
        self._put_now(item, is_first or is_urgent(chunks))
        return True

    async def _put(self, item: Item, urgent: bool) -> None:
        self._put_now(item, urgent)
        await self._room_is_made()

    def _put_now(self, item: Item, urgent: bool) -> None:
        self._inbox.put(item)
        full = self._inbox.full
        if full and self._room is None:
            self._room = asyncio.Event()
        self._came(urgent or full)

    async def _room_is_made(self) -> None:
        room = self._room
        if room is not None:
            if self._inbox.full:
                await room.wait()
            if self._room is room:
                self._room = None

    async def _run(self, round: ToolRound) -> None:
        try:
            await self._runner.run(round)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a tool on the loop raised what no tool may
            failure = CallbackError(f"A tool was left by {type(error).__name__}.")
            failure.__cause__ = error
            fail = partial(self._engine.fail_work, failure)
            await self._put(Item(round, steps=fail), urgent=True)

    async def _put_report(
        self, round: ToolRound, steps: Callable[[], Steps[None]], report: ToolReport
    ) -> None:
        """Put what came of a tool."""
        item = Item(round, steps=steps, size=size_of([report._asdict()]))
        await self._put(item, urgent=not isinstance(report, Preliminary))

    async def _call_on_host(self, work: Exchange | ToolRound, function: Any, arguments: Any) -> Any:
        """Call a function of the user's where its callbacks run, and wait for what it returns."""
        thread = loop_thread()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def settle(made: Any, error: Exception | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(made)
            else:
                answer.set_exception(error)

        def call() -> None:
            try:
                made = function(*arguments)
            except StopIteration:  # no future takes one
                thread.call(settle, None, CallbackError("it raised StopIteration"))
            except Exception as error:
                thread.call(settle, None, error)
            except BaseException as error:
                thread.call(settle, None, CallbackError(f"it was left by {type(error).__name__}"))
                raise
            else:
                thread.call(settle, made, None)

        self._inbox.put(Item(work, call=call))
        self._came(True)
        return await answer
