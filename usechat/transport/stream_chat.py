"""The simplest form of all: one message, and its answer as text."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import httpx
import httpx_sse

from usechat.errors import IncompleteReplyError, ServerError, StreamProtocolError
from usechat.model.json import dumps
from usechat.transport.body import unwind
from usechat.transport.failures import failures, place, translated
from usechat.transport.http import DEFAULT_TIMEOUT, HttpTransport, as_tuple
from usechat.transport.options import HttpOptions
from usechat.transport.reply import HttpReply, refuse
from usechat.transport.tls import tls_context
from usechat.wire.json_sse import JSONSSEDecoder


async def stream_chat(
    message: str,
    on_chunk: Callable[[str], object | Awaitable[object]] | None = None,
    *,
    api: str,
    client: httpx.AsyncClient | None = None,
) -> str:
    """Send one message; call a function with each piece of the answer; return all of it.

    The message goes as ``{"message": …}``, the answer comes as server-sent events
    ``data: {"text": …}`` up to ``data: [DONE]``.

    Args:
        message: the text.
        on_chunk: gets each piece; may be async. What it raises ends the call.
        api: the endpoint's whole URL.
        client: an ``httpx.AsyncClient`` to use; it is neither closed nor changed.

    Raises:
        InvalidArgumentError: the URL or the message cannot be used.
        IncompleteReplyError: the answer ended without ``[DONE]``.
        HTTPStatusError: the endpoint answered with an error, or a redirect.
        TransportError: the connection failed.
        StreamProtocolError: the endpoint sent something else.
        ServerError: the endpoint sent ``{"error": …}``.
    """
    options: HttpOptions = {} if client is None else {"client": client}
    HttpTransport(api, **options)  # refuses what is no URL
    pieces: list[str] = []
    async with _events(message, api, client) as events:
        async for data in events:
            for chunk in JSONSSEDecoder().read_one(data):
                if chunk["type"] == "[DONE]":
                    return "".join(pieces)
                if chunk["type"] == "error":
                    raise ServerError(chunk["errorText"])
                if chunk["type"] == "text-delta":
                    pieces.append(chunk["delta"])
                    await _call(on_chunk, chunk["delta"])
    raise IncompleteReplyError(
        f"The answer of {place(api)} ended without [DONE], after {len(''.join(pieces))} characters."
    )


async def _call(function: Callable[[str], object] | None, text: str) -> None:
    if function is not None:
        made = function(text)
        if inspect.isawaitable(made):
            await made


@asynccontextmanager
async def _events(
    message: str, api: str, client: httpx.AsyncClient | None
) -> AsyncIterator[AsyncIterator[str]]:
    """The data of the answer's events."""
    used = client or httpx.AsyncClient(verify=tls_context())
    what = f"POST {place(api)}"
    try:
        request = used.build_request(
            "POST",
            api,
            content=dumps({"message": message}),
            headers={"content-type": "application/json", "accept": "text/event-stream"},
            timeout=as_tuple(DEFAULT_TIMEOUT),
        )
        try:
            response = await used.send(request, stream=True, follow_redirects=False)
        except failures() as error:
            raise translated(error, what) from error
        if not response.is_success:
            await refuse(HttpReply(response, JSONSSEDecoder(), what))
        events = httpx_sse.EventSource(response).aiter_sse()
        try:
            yield _Data(events, what)
        finally:
            with anyio.CancelScope(shield=True):
                await unwind(events)
                await response.aclose()
    finally:
        if client is None:
            with anyio.CancelScope(shield=True):
                await used.aclose()


class _Data:
    """The data of events; an event without data is a heartbeat that repeats an old id."""

    def __init__(self, events: AsyncIterator[httpx_sse.ServerSentEvent], what: str) -> None:
        self._events = events
        self._what = what

    def __aiter__(self) -> _Data:
        return self

    async def __anext__(self) -> str:
        while True:
            try:
                event = await anext(self._events)
            except httpx_sse.SSEError as error:  # one of failures() too
                raise StreamProtocolError(
                    f"{self._what} answered with something else than server-sent events ({error})."
                ) from error
            except failures() as error:
                raise translated(error, self._what) from error
            if event.data:
                return event.data
