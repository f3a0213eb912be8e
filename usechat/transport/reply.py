"""A reply over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NoReturn

import anyio
import httpx

from usechat.engine.exchange import Response
from usechat.errors import HTTPStatusError
from usechat.model.chunks import UIMessageChunk
from usechat.transport.body import Body
from usechat.transport.failures import failures, place, translated
from usechat.wire.decoder import Decoder

_ERROR_BODY = 64 * 1024
_SHOWN = 500


class HttpReply:
    """The chunks of a reply, a list for each read.

    Args:
        response: the open response.
        decoder: reads its body.
        what: the request, for messages.

    Attributes:
        response: the head, as ``on_response`` gets it.
    """

    def __init__(self, response: httpx.Response, decoder: Decoder, what: str) -> None:
        self.what = what
        self.response = Response(response.status_code, dict(response.headers))
        self._http = response
        self._decoder = decoder
        self._body = Body(response, what)
        self._opened = False
        self._ended = False

    @property
    def protocol(self) -> str | None:
        """What the reply is in; None where that is not known yet."""
        return self._decoder.protocol

    @property
    def first_event_id(self) -> str | None:
        """The id of the first event that had one."""
        return self._decoder.first_event_id

    @property
    def last_event_id(self) -> str | None:
        """The id of the last event that had one, also on an earlier connection."""
        return self._decoder.last_event_id

    def take_over(self, before: HttpReply) -> None:
        """Go on where another connection broke.

        Args:
            before: what came over that.
        """
        self._decoder = before._decoder
        self._decoder.reconnected()
        self._opened = True

    @property
    def has_no_body(self) -> bool:
        """Whether the response cannot have a body, or says that it has none."""
        return self.response.status_code in (204, 205) or (
            self.response.headers.get("content-length") == "0"
        )

    def __aiter__(self) -> HttpReply:
        return self

    async def __anext__(self) -> list[UIMessageChunk]:
        chunks = self._open()
        while not chunks:
            if self._decoder.error is not None:
                raise self._decoder.error
            if self._ended:
                raise StopAsyncIteration
            piece = await self.read()
            chunks = await self._end() if piece is None else self._decoder.feed(piece)
        return chunks

    async def read_into(
        self, take: Callable[[list[UIMessageChunk]], bool], pause: Callable[[], Awaitable[None]]
    ) -> bool:
        """Hand on the chunks that come, those of a whole network read at once.

        Args:
            take: a plain function that gets them; it says whether to go on.
            pause: awaited where no read is under way.

        Returns:
            Whether the reply has ended; else ``take`` has had enough.

        Raises:
            TransportError: the connection broke.
            StreamProtocolError: what came is no reply.
            BaseException: what ``take`` raised.
        """
        decoder = self._decoder

        def take_bytes(came: bytes) -> bool:
            chunks = decoder.feed(came)
            goes_on = take(chunks) if chunks else True
            if decoder.error is not None:
                raise decoder.error
            return goes_on

        chunks = self._open()
        if chunks and not take(chunks):
            return False
        if decoder.error is None and not self._ended:
            if not await self._body.read_into(take_bytes, pause):
                return False
            chunks = await self._end()
            if chunks:
                take(chunks)
        if decoder.error is not None:
            raise decoder.error
        return True

    def _open(self) -> list[UIMessageChunk]:
        if self._opened:
            return []
        self._opened = True
        return self._decoder.open()

    async def _end(self) -> list[UIMessageChunk]:
        self._ended = True
        try:
            await self._http.aclose()  # gives the connection back
        except failures() as error:
            raise translated(error, self.what) from error
        return self._decoder.close()

    async def read(self) -> bytes | None:
        """The next piece of the body; None at its end.

        Raises:
            TransportError: the connection broke.
        """
        return await self._body.read()

    async def aclose(self) -> None:
        """End the response, wherever it is."""
        await self._body.aclose()
        with anyio.CancelScope(shield=True):
            await self._http.aclose()


async def refuse(reply: HttpReply) -> NoReturn:
    """Raise what an answer that is no reply means, with the start of its body.

    Args:
        reply: the answer.

    Raises:
        HTTPStatusError: it has been read.
        TransportError: it broke off.
    """
    body = b""
    try:
        while len(body) < _ERROR_BODY:
            piece = await reply.read()
            if piece is None:
                break
            body += piece
    finally:
        await reply.aclose()
    status, headers = reply.response
    text = body[:_ERROR_BODY].decode("utf-8", "replace")
    raise HTTPStatusError(_said(reply.what, status, headers, text), status, headers, text)


def _said(what: str, status: int, headers: object, text: str) -> str:
    reason = httpx.codes.get_reason_phrase(status)
    said = f"{what} answered {status} {reason}".rstrip()
    location = headers.get("location") if isinstance(headers, dict) else None
    if 300 <= status < 400 and location:
        where = place(location)
        return f"{said} to {where}. Redirects are not followed: use that URL if it is yours."
    if status < 300:
        return f"{said} without a body: that is no reply of a chat endpoint."
    start = " ".join(text[:_SHOWN].split())
    return f"{said}: {start}" if start else f"{said}, without saying why."
