"""A transport that needs no network."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
from pydantic import ValidationError

from usechat.engine.exchange import ChatRequest
from usechat.errors import InvalidArgumentError, UseChatError
from usechat.model.chunk_validation import validate_chunk
from usechat.model.chunks import STREAM_DONE, UIMessageChunk
from usechat.model.messages import where_wrong
from usechat.testing.script import HANG, Marker

_Read: TypeAlias = UIMessageChunk | Sequence[UIMessageChunk] | Exception | Marker

ScriptedReply: TypeAlias = Sequence[_Read] | Exception | Marker
"""What each read brings: a chunk, a list of chunks, an exception that is raised there, or ``HANG``.
An exception or ``HANG`` alone stands for a reply whose headers never come."""

_Script: TypeAlias = (
    ScriptedReply | Callable[[ChatRequest], ScriptedReply | Awaitable[ScriptedReply]]
)


class ScriptedTransport:
    """Replies as a script says. It has no network, and works on asyncio and trio.

    >>> import asyncio
    >>> from usechat import AsyncChatSession
    >>> from usechat.testing import ScriptedTransport, text_reply
    >>> async def main():
    ...     transport = ScriptedTransport([text_reply("Hello there")])
    ...     async with AsyncChatSession(transport) as chat:
    ...         turn = await chat.send_message("Hi")
    ...         print(turn.outcome, turn.text, transport.requests[0].messages[-1].text, sep=", ")
    >>> asyncio.run(main())
    completed, Hello there, Hi

    Args:
        replies: one for each request that sends messages: a list of what each read brings (see
            ``ScriptedReply``), an exception, ``HANG``, or a function (also async) that gets the
            ``ChatRequest`` and returns one of these.
        resume: one for each ``resume_stream``; None among them, or for all: nothing is running.
        strict: as in ``HttpOptions``.
        require_finish: as in ``HttpOptions``.
        resume_stream_is_replay: as in ``HttpOptions``.

    Attributes:
        requests: what was asked, in order; ``trigger`` says what for.

    Raises:
        InvalidArgumentError: a reply holds something that is no chunk.
    """

    def __init__(
        self,
        replies: Iterable[_Script] = (),
        *,
        resume: Iterable[_Script | None] | None = None,
        strict: bool = False,
        require_finish: bool = True,
        resume_stream_is_replay: bool = True,
    ) -> None:
        self.strict = strict
        self.require_finish = require_finish
        self.resume_stream_is_replay = resume_stream_is_replay
        self.requests: list[ChatRequest] = []
        self._replies = deque(_checked(r, f"reply {n}") for n, r in enumerate(replies, 1))
        self._resume = None
        if resume is not None:
            self._resume = deque(
                None if r is None else _checked(r, f"resume {n}") for n, r in enumerate(resume, 1)
            )

    async def send_messages(self, request: ChatRequest) -> _Reply:
        """Give the next reply.

        Args:
            request: it is put into ``requests``.

        Raises:
            UseChatError: no reply is left.
        """
        self.requests.append(request)
        await anyio.lowlevel.checkpoint()
        if not self._replies:
            raise self._nothing_left("replies", request)
        return await _open(self._replies.popleft(), request)

    async def reconnect_to_stream(self, request: ChatRequest) -> _Reply | None:
        """Give the next reply of ``resume``.

        Args:
            request: it is put into ``requests``.

        Raises:
            UseChatError: no reply is left.
        """
        self.requests.append(request)
        await anyio.lowlevel.checkpoint()
        if self._resume is None:
            return None
        if not self._resume:
            raise self._nothing_left("resume", request)
        script = self._resume.popleft()
        return None if script is None else await _open(script, request)

    async def aclose(self) -> None:
        """Nothing is open."""

    def _nothing_left(self, where: str, request: ChatRequest) -> UseChatError:
        return UseChatError(
            f"ScriptedTransport has nothing left in {where}= for request {len(self.requests)} "
            f"({request.trigger}). Give it one for each request that the chat makes."
        )


class _Reply:
    """A reply as the session reads it."""

    def __init__(self, reads: Iterator[_Read]) -> None:
        self._reads = reads

    def __aiter__(self) -> _Reply:
        return self

    async def __anext__(self) -> list[UIMessageChunk]:
        await anyio.lowlevel.checkpoint()
        for read in self._reads:
            if isinstance(read, Exception):
                raise read
            while isinstance(read, Marker):
                await anyio.sleep_forever()
            return [read] if isinstance(read, dict) else list(read)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._reads = iter(())


async def _open(script: _Script, request: ChatRequest) -> _Reply:
    if callable(script):
        made = script(request)
        script = await made if inspect.isawaitable(made) else made
        script = _checked_reply(script, "the reply that a function gave")
    if isinstance(script, Exception):
        raise script
    while isinstance(script, Marker):
        await anyio.sleep_forever()
    return _Reply(iter(script))


def _checked(script: _Script, where: str) -> _Script:
    return script if callable(script) else _checked_reply(script, where)


def _checked_reply(reply: Any, where: str) -> ScriptedReply:
    if isinstance(reply, Exception) or reply is HANG:
        return reply
    return [_checked_read(read, f"{where}, item {n}") for n, read in enumerate(_list(reply, where))]


def _checked_read(read: Any, where: str) -> _Read:
    if isinstance(read, Exception) or read is HANG:
        return read
    if isinstance(read, Mapping):
        return _checked_chunk(read, where)
    return [_checked_chunk(chunk, where) for chunk in _list(read, where)]


def _checked_chunk(chunk: Any, where: str) -> UIMessageChunk:
    if chunk == STREAM_DONE:
        return STREAM_DONE
    try:
        return validate_chunk(chunk)
    except ValidationError as error:
        raise InvalidArgumentError(
            f"ScriptedTransport, {where}: this is no chunk ({where_wrong(error)}): {chunk!r}"
        ) from error


def _list(value: Any, where: str) -> list[Any]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise InvalidArgumentError(
            f"ScriptedTransport, {where}: expected a list of chunks, an exception or HANG, "
            f"not {value!r}."
        )
    return list(value)
