"""A function in this process as the backend: an agent, a model, a test's answers."""

from __future__ import annotations

import inspect
import logging
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from typing import Any, NamedTuple, TypeAlias

import anyio
from pydantic import BaseModel, ValidationError

from usechat.engine.exchange import ChatRequest
from usechat.errors import InvalidArgumentError, StreamProtocolError, TransportError, UseChatError
from usechat.model.chunks import STREAM_DONE, UIMessageChunk, validate_chunk
from usechat.model.json import dumps, loads
from usechat.model.messages import where_wrong
from usechat.threads import ThreadIterator
from usechat.transport.background import Background
from usechat.wire.event_stream import shown
from usechat.wire.ui_message_stream import UIMessageStreamDecoder

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
    turn is stopped. A function runs at most one item ahead of what is read. One that is stopped
    is cancelled, or closed at its ``yield``, and has two seconds in which its ``finally`` blocks
    may await (on trio shielded, as everywhere).

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
    """What the function gives, as chunks. It runs in a task of its own."""

    def __init__(self, function: DirectFunction, request: ChatRequest) -> None:
        self._function = function
        self._request = request
        self._frame = _Frame()
        self._task: Background | None = None
        # None waits there: the function is at most one item ahead of its reader.
        self._put, self._read = anyio.create_memory_object_stream[list[UIMessageChunk]](0)
        self._over = False

    def __aiter__(self) -> _Reply:
        return self

    async def __anext__(self) -> list[UIMessageChunk]:
        if self._task is None and not self._over:
            self._task = Background(self._run)
        if not self._over:
            try:
                return await self._read.receive()
            except anyio.EndOfStream:
                await self._ended()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the function, wherever it is."""
        was_over, self._over = self._over, True
        if self._task is not None:
            await self._task.end(_CLEAN_UP)
        self._put.close()
        self._read.close()
        if self._task is not None and not was_over:
            self._log(self._task.error)

    def _log(self, error: BaseException | None) -> None:
        if isinstance(error, Exception) and not isinstance(error, _StoppedError):
            logger.error("%s raised when it was stopped", _name_of(self._function), exc_info=error)

    async def _ended(self) -> None:
        """The function has ended: raise what it raised."""
        assert self._task is not None
        await self._task.wait()
        self._over = True
        error = self._task.error
        if isinstance(error, UseChatError):
            raise error
        if error is not None:
            raise TransportError(
                f"{_name_of(self._function)} raised {type(error).__name__}: {error}"
            ) from error

    async def _run(self) -> None:
        """In the task: put what the function gives where it is read."""
        try:
            if _is_async(self._function):
                await self._put_all(await _source_of(self._function(self._request)))
            else:
                await self._put_all(ThreadIterator(self._call))
            await self._put_chunks(self._frame.end())
        finally:
            self._put.close()

    async def _put_all(self, source: AsyncIterator[Any]) -> None:
        try:
            async for item in source:
                if isinstance(item, _ForLoop):
                    await self._put_all(await _source_of(item.made))
                else:
                    # Here, before the function goes on and changes what it gave.
                    await self._put_chunks(self._frame.take(item))
        finally:
            close: Callable[[], Awaitable[object]] | None = getattr(source, "aclose", None)
            if close is not None:
                with anyio.move_on_after(_CLEAN_UP, shield=True):
                    await close()

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
            return iter([_ForLoop(made)])
        return _items_of(made)


class _StoppedError(Exception):
    """Nobody reads what the function gives."""


class _ForLoop(NamedTuple):
    """What a plain function gave that only a loop can read."""

    made: Any


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


class _Frame:
    """Makes chunks of what the function gives, with what belongs around its text."""

    def __init__(self) -> None:
        self._count = 0  # items
        self._texts = 0
        self._text_id: str | None = None  # of our open part
        self._gave_text = False
        self._started = False
        self._in_step = False
        self._ended = False
        self._models = UIMessageStreamDecoder()

    def take(self, item: Any) -> list[UIMessageChunk]:
        """The chunks of an item.

        Args:
            item: what the function gave.

        Raises:
            StreamProtocolError: it is no text and no chunk.
        """
        chunks = self._taken(item)
        self._count += 1
        return chunks

    def end(self) -> list[UIMessageChunk]:
        """What is missing at the end, when the function has given text."""
        chunks = self._end_text()
        if self._gave_text and not self._ended:
            chunks += self._end_step()
            chunks.append({"type": "finish"})
        return chunks

    def _taken(self, item: Any) -> list[UIMessageChunk]:
        if isinstance(item, str):
            return self._text(item)
        if isinstance(item, (list, tuple)):
            return [chunk for one in item for chunk in self._taken(one)]
        return [chunk for read in self._read(item) for chunk in self._passed(read)]

    def _text(self, text: str) -> list[UIMessageChunk]:
        chunks = self._begin()
        if not text:
            return chunks
        if self._text_id is None:
            self._texts += 1
            # Not an id that a function's own text may have.
            self._text_id = f"usechat-text-{self._texts}"
            chunks.append({"type": "text-start", "id": self._text_id})
        chunks.append({"type": "text-delta", "id": self._text_id, "delta": text})
        return chunks

    def _begin(self) -> list[UIMessageChunk]:
        chunks: list[UIMessageChunk] = []
        self._gave_text = True
        if not self._started:
            self._started = True
            chunks.append({"type": "start"})
        if not self._in_step:
            self._in_step = True
            chunks.append({"type": "start-step"})
        return chunks

    def _end_text(self) -> list[UIMessageChunk]:
        text_id, self._text_id = self._text_id, None
        return [] if text_id is None else [{"type": "text-end", "id": text_id}]

    def _end_step(self) -> list[UIMessageChunk]:
        was, self._in_step = self._in_step, False
        return [{"type": "finish-step"}] if was else []

    def _passed(self, chunk: UIMessageChunk) -> list[UIMessageChunk]:
        """A chunk of the function's own, with what it needs before it."""
        chunks = self._end_text()
        kind = chunk["type"]
        if kind == "start":
            self._started = True
        elif kind == "start-step":
            self._in_step = True
        elif kind == "finish-step":
            self._in_step = False
        elif kind in ("finish", "abort", "[DONE]"):
            if self._gave_text:
                chunks += self._end_step()
            self._ended = True
        return [*chunks, chunk]

    def _read(self, item: Any) -> list[UIMessageChunk]:
        """A chunk, a copy of what the function may go on to change; none of a kind not known."""
        try:
            if isinstance(item, BaseModel):
                return self._model(item)
            if isinstance(item, Mapping):
                value = loads(dumps(item).decode())
                return [STREAM_DONE if value == STREAM_DONE else validate_chunk(value)]
        except ValidationError as error:
            raise self._refused(item, where_wrong(error)) from error
        except (InvalidArgumentError, StreamProtocolError) as error:
            raise self._refused(item, str(error)) from error
        raise self._refused(item, f"{type(item).__name__} is neither text nor a mapping")

    def _model(self, model: BaseModel) -> list[UIMessageChunk]:
        """What a model would be over the wire: pydantic-ai's leave out a tool's output of None."""
        dumped = model.model_dump(by_alias=True, exclude_none=True)
        if dumped == {"type": "done"}:  # pydantic-ai's [DONE]
            return [STREAM_DONE]
        return self._models.read_one(dumps(dumped).decode())

    def _refused(self, item: Any, why: str) -> StreamProtocolError:
        return StreamProtocolError(
            f"The function gave something that is no chunk ({why}): {shown(repr(item))}",
            chunk=shown(repr(item)),
            position=self._count,
        )
