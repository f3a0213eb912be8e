"""A function in this process as the backend: an agent, a model, a test's answers."""

from __future__ import annotations

import inspect
import logging
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from typing import Any, TypeAlias

import anyio
from pydantic import BaseModel

from usechat.engine.exchange import ChatRequest
from usechat.errors import InvalidArgumentError, TransportError, UseChatError, cause_of
from usechat.model.chunks import UIMessageChunk
from usechat.threads import ThreadIterator
from usechat.transport.background import Background
from usechat.transport.reply_frame import ReplyFrame

logger = logging.getLogger("usechat")

Piece: TypeAlias = str | Mapping[str, Any] | BaseModel | list[Any]
"""What a function gives of a reply: text, a chunk in wire form, a pydantic model that dumps to
one, or a list of these."""

DirectReply: TypeAlias = Piece | Iterable[Piece] | AsyncIterable[Piece]

DirectFunction: TypeAlias = Callable[[ChatRequest], DirectReply | Awaitable[DirectReply]]

# What a stopped function has to clean up in, in seconds.
_CLEAN_UP = 2.0


class DirectTransport:
    """Asks a function in this process for each reply.

    >>> import asyncio
    >>> from usechat import AsyncChatSession, DirectTransport
    >>> async def shout(request):
    ...     for letter in request.messages[-1].text:
    ...         yield letter.upper()
    >>> async def main():
    ...     async with AsyncChatSession(DirectTransport(shout)) as chat:
    ...         print((await chat.send_message("hello there")).text)
    >>> asyncio.run(main())
    HELLO THERE

    A ``str`` is text, however it looks. What the reply lacks around its text (``start``, the step,
    ``text-start``, ``text-end``, ``finish``) is put there. A function that gives only chunks says
    its own ``finish``: without it the reply is incomplete, as a server's would be. A pydantic-ai
    agent's stream is what ``VercelAIAdapter(...).run_stream()`` gives, not ``encode_stream()``,
    which gives text.

    Async functions and iterators run on the session's loop, in a task for each reply: for a
    ``ChatSession`` that is the library's thread that reads all replies, so they must not block it.
    Plain ones run in a thread of their own, one for each reply, which is left to itself when the
    turn is stopped. A function runs at most one item ahead of what is read. One that is stopped,
    or whose chat nobody holds any more, is cancelled, or closed at its ``yield``, and has two
    seconds in which its ``finally`` blocks may await (on trio shielded, as everywhere).

    Args:
        function: gets the ``ChatRequest``; gives the reply's text, or an iterable or async
            iterable of pieces: text, chunks in wire form, pydantic models that dump to chunks, or
            lists of these. It may be a generator, async, or both.

    Raises:
        InvalidArgumentError: it is no function.
    """

    strict = False
    require_finish = True
    resume_stream_is_replay = True

    def __init__(self, function: DirectFunction) -> None:
        if not callable(function):
            raise InvalidArgumentError(
                f"DirectTransport: expected a function, got {type(function).__name__}."
            )
        if isinstance(function, type):
            raise InvalidArgumentError("DirectTransport: expected a function, got a class.")
        self._function = function

    def __repr__(self) -> str:
        return f"DirectTransport({_name_of(self._function)})"

    async def send_messages(self, request: ChatRequest) -> AsyncIterator[list[UIMessageChunk]]:
        """The function's reply; it is called when that is read.

        Args:
            request: what the function gets.
        """
        return _Reply(self._function, request)

    async def reconnect_to_stream(self, request: ChatRequest) -> None:
        """No reply can be resumed."""

    async def aclose(self) -> None:
        """Nothing is open: each reply is closed by who reads it."""


class _Reply:
    """What the function gives, as chunks. The function is ended when nobody holds this."""

    def __init__(self, function: DirectFunction, request: ChatRequest) -> None:
        self._function = function
        self._request = request
        self._giver: _Giver | None = None
        self._closed = False

    def __aiter__(self) -> _Reply:
        return self

    async def __anext__(self) -> list[UIMessageChunk]:
        if self._closed:
            raise StopAsyncIteration
        if self._giver is None:
            self._giver = _Giver(self._function, self._request)
        return await self._giver.next()

    async def aclose(self) -> None:
        """End the function, wherever it is."""
        self._closed = True
        if self._giver is not None:
            await self._giver.end()

    def __del__(self) -> None:
        if self._giver is not None:
            self._giver.drop()


class _Giver:
    """Runs the function in a task of its own, which holds this and no reply."""

    def __init__(self, function: DirectFunction, request: ChatRequest) -> None:
        self._function = function
        self._request = request
        self._frame = ReplyFrame()
        # None waits there: the function is at most one item ahead of its reader.
        self._put, self._read = anyio.create_memory_object_stream[list[UIMessageChunk]](0)
        self._over = False  # nobody reads any more
        self._task = Background(self._run)

    # --------------------------------------------------------- the reader's side

    async def next(self) -> list[UIMessageChunk]:
        """The next chunks.

        Raises:
            TransportError: the function raised.
        """
        if not self._over:
            try:
                return await self._read.receive()
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                await self._ended()
        raise StopAsyncIteration

    async def end(self) -> None:
        """End the function, wherever it is."""
        was_over, self._over = self._over, True
        error = self._task.error  # which nobody has read
        await self._task.end(_CLEAN_UP)
        self._close()
        if not was_over and error is not None:
            self._log(error)

    def drop(self) -> None:
        """End the function, and do not wait. From any thread."""
        self._over = True
        self._task.cancel_soon()

    async def _ended(self) -> None:
        """The function has ended: raise what it raised."""
        await self._task.wait()
        self._over = True
        error = self._task.error
        if error is None:
            return
        cause = cause_of(error)
        if isinstance(cause, UseChatError):
            raise cause
        raise TransportError(
            f"{_name_of(self._function)} raised {type(cause).__name__}: {cause}"
        ) from error

    def _log(self, error: BaseException) -> None:
        if isinstance(error, Exception) and not isinstance(error, _StoppedError):
            logger.error("%s raised when it was stopped", _name_of(self._function), exc_info=error)

    def _close(self) -> None:
        self._put.close()
        self._read.close()

    # ------------------------------------------------------- the function's side

    async def _run(self) -> None:
        """In the task: put what the function gives where it is read."""
        try:
            if _is_async(self._function):
                await self._put_all(await _source_of(self._function(self._request)))
            else:
                await self._put_all(ThreadIterator(self._call))
            await self._put_chunks(self._frame.end())
        except Exception as error:
            if self._over:
                self._log(error)
            raise
        finally:
            self._close()  # here too: the reader may have been dropped

    async def _put_all(self, source: AsyncIterator[Any]) -> None:
        try:
            async for item in source:
                if isinstance(item, _ForLoop):
                    await self._put_all(await _source_of(item.take()))
                else:
                    await self._put_item(item)
        finally:
            close: Callable[[], Awaitable[object]] | None = getattr(source, "aclose", None)
            if close is not None:
                with anyio.move_on_after(_CLEAN_UP, shield=True):
                    await close()

    async def _put_item(self, item: Any) -> None:
        chunks: list[UIMessageChunk] = []
        try:
            # Here, before the function goes on and changes what it gave.
            self._frame.take(item, chunks)
        finally:
            await self._put_chunks(chunks)  # what comes before the piece that is refused

    async def _put_chunks(self, chunks: list[UIMessageChunk]) -> None:
        # One whose own scope has caught the cancellation goes on to its next item, and no further.
        if self._over:
            raise _StoppedError
        if chunks:
            await self._put.send(chunks)

    def _call(self) -> Iterator[Any]:
        """In a thread: the items of a plain function."""
        made = self._function(self._request)
        if inspect.isawaitable(made) or isinstance(made, AsyncIterable):
            return iter(_ForLoop(made))
        return _items_of(made)


class _StoppedError(Exception):
    """Nobody reads what the function gives."""


class _ForLoop:
    """What a plain function gave that only a loop can read."""

    def __init__(self, made: Any) -> None:
        self._made = made
        self._taken = False

    def take(self) -> Any:
        """It is read now."""
        self._taken = True
        return self._made

    def __iter__(self) -> Iterator[_ForLoop]:
        """Itself, in the thread that the function is called in, and closed there if not taken."""
        try:
            yield self
        finally:
            # A coroutine warns that nobody has awaited it; an async generator does not.
            if not self._taken and isinstance(self._made, Coroutine):
                self._made.close()


def _is_async(function: Any) -> bool:
    """Whether a call of it gives something to await or to iterate over on the loop."""
    return any(
        inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)
        for called in (function, type(function).__call__)
    )


async def _source_of(made: Any) -> AsyncIterator[Any]:
    """What the function gave, as an async iterator."""
    if inspect.isawaitable(made):
        made = await made
    if isinstance(made, AsyncIterable):
        return aiter(made)
    return ThreadIterator(lambda: _items_of(made))


def _items_of(made: Any) -> Iterator[Any]:
    """The items of what a function gave; what is no iterable of items is the only one."""
    one = isinstance(made, (str, bytes, Mapping, BaseModel)) or not isinstance(made, Iterable)
    return iter([made] if one else made)


def _name_of(function: Any) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))
