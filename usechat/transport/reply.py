"""A reply over HTTP. This module alone touches a response's body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, NoReturn

import anyio
import httpx

from usechat.engine.exchange import Response
from usechat.errors import HTTPStatusError
from usechat.model.chunks import UIMessageChunk
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
        self._body = response.aiter_bytes()
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
        if not self._opened:
            self._opened = True
            chunks = self._decoder.open()
            if chunks:
                return chunks
        decoder = self._decoder
        while decoder.error is None and not self._ended:
            piece = await self.read()
            if piece is None:
                self._ended = True
                chunks = decoder.close()
            else:
                chunks = decoder.feed(piece)
            if chunks:
                return chunks
        if decoder.error is not None:
            raise decoder.error
        raise StopAsyncIteration

    async def read(self) -> bytes | None:
        """The next piece of the body; None at its end.

        Raises:
            TransportError: the connection broke.
        """
        try:
            return await anext(self._body, None)
        except failures() as error:
            raise translated(error, self.what) from error

    async def aclose(self) -> None:
        """End the response, wherever it is."""
        await unwind(self._body)
        with anyio.CancelScope(shield=True):
            await self._http.aclose()


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
