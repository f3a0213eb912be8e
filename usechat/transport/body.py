"""The body of a response, read as far as it has come.

A network read brings many pieces where a server is fast: httpx gives them one by one, and each
costs its way through the session. Here what can be had without waiting is taken together.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import suppress
from types import coroutine
from typing import Any

import anyio
import httpx

from usechat.transport.failures import failures, translated

_MOST = 16 * 1024  # bytes that are taken together: who shares the interpreter waits no longer


async def no_pause() -> None:
    """Go on at once."""


class Body:
    """The bytes of a response's body.

    Args:
        response: open, its body not read.
        what: the request, for messages.
    """

    def __init__(self, response: httpx.Response, what: str) -> None:
        self._pieces = _pieces_of(response)
        self._what = what
        self._held: bytes | None = None  # read, and nobody has taken it

    async def read(self) -> bytes | None:
        """The next piece; None at the end.

        Raises:
            TransportError: the connection broke.
        """
        held, self._held = self._held, None
        try:
            return await anext(self._pieces, None) if held is None else held
        except failures() as error:
            raise translated(error, self._what) from error

    async def read_into(
        self, take: Callable[[bytes], bool], pause: Callable[[], Awaitable[None]] = no_pause
    ) -> bool:
        """Hand on all that has come, and again what comes then.

        When something is handed on the next read has begun: only so is it known that it must
        wait. Until that is over nothing else is awaited here, nor a scope opened.

        Args:
            take: a plain function that gets bytes; it says whether to go on. After a no the read
                that has begun is waited for, and what it brings is held.
            pause: awaited where no read is under way.

        Returns:
            Whether the body has ended; else ``take`` has had enough.

        Raises:
            TransportError: the connection broke.
            BaseException: what ``take`` raised.
        """
        failure: BaseException | None = None
        with anyio.CancelScope() as scope:
            while True:
                ahead = _Ahead(self._pieces, self._held)
                self._held = None
                try:
                    enough = bool(ahead.came) and not take(b"".join(ahead.came))
                except BaseException as error:
                    failure = error
                    scope.cancel()  # the read that has begun must end all the same
                try:
                    self._held = await ahead.rest()
                except failures() as error:
                    failure = failure or translated(error, self._what)
                    failure.__cause__ = failure.__cause__ or error
                except anyio.get_cancelled_exc_class():
                    if failure is None:
                        raise
                if failure is not None:
                    break
                if self._held is None or enough:
                    return self._held is None
                await pause()
        assert failure is not None
        raise failure

    async def aclose(self) -> None:
        """End the reading, wherever it is."""
        await unwind(self._pieces)


class _Ahead:
    """What can be had of a body without waiting, and the read after it.

    Args:
        pieces: the body.
        held: what comes before.

    Attributes:
        came: the pieces.
    """

    __slots__ = ("_error", "_read", "_told", "came")

    def __init__(self, pieces: AsyncIterator[bytes], held: bytes | None) -> None:
        self.came: list[bytes] = [] if held is None else [held]
        self._read: Any = None
        self._told: Any = None  # by the read, to the loop
        self._error: BaseException | None = None
        size, next_piece, put = 0, pieces.__anext__, self.came.append
        try:
            while self._read is None and size < _MOST:
                read = next_piece().__await__()
                try:
                    self._told = next(read)
                    self._read = read
                except StopIteration as end:
                    piece = end.value
                    put(piece)
                    size += len(piece)
        except BaseException as error:
            self._error = error  # once what came before has been handed on

    async def rest(self) -> bytes | None:
        """The next piece; None at the end."""
        try:
            if self._error is not None:
                raise self._error
            return b"" if self._read is None else await _rest(self._read, self._told)
        except StopAsyncIteration:
            return None


@coroutine
def _rest(step: Generator[Any, Any, bytes], told: Any) -> Generator[Any, Any, bytes]:
    """Await what has been begun: ``yield from`` would begin it once more."""
    try:
        while True:
            try:
                answer = yield told
            except BaseException as error:
                told = step.throw(error)
            else:
                told = step.send(answer)
    except StopIteration as end:
        piece: bytes = end.value
        return piece


async def unwind(body: AsyncIterator[Any]) -> None:
    """End an iterator over a response's body, wherever it is.

    httpx's generators must unwind from the inside: left to the collector they warn on trio. So
    what is being read is cancelled, and the cancellation is met by one more read.

    Args:
        body: the iterator.
    """
    with anyio.CancelScope() as scope:
        scope.cancel()
        with suppress(*failures()):  # it is thrown away
            while await anext(body, None) is not None:
                pass  # what had been read already


def _pieces_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """The pieces as they come: what httpx does to them costs half as much again as the reading."""
    raw = response.stream
    is_used = response.is_stream_consumed or response.is_closed
    if is_used or "content-encoding" in response.headers:
        return response.aiter_bytes()
    return aiter(raw) if isinstance(raw, httpx.AsyncByteStream) else response.aiter_bytes()
