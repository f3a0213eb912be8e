"""Chat over HTTP.

Source: ai 7.0.173, src/ui/http-chat-transport.ts, default-chat-transport.ts. Here redirects are not
followed (the history would go along) and a reply without a body is an HTTP error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import httpx
from typing_extensions import Unpack

from usechat.engine.exchange import ChatRequest
from usechat.errors import ChatTimeoutError, ConnectionBrokenError, InvalidArgumentError
from usechat.transport.failures import failures, place, translated, was_sent
from usechat.transport.openai_messages import tool_call_ids
from usechat.transport.options import HttpOptions, Reconnect, check_options
from usechat.transport.reconnecting import ReconnectingReply
from usechat.transport.reply import HttpReply, refuse
from usechat.transport.requests import Outgoing, RequestWriter
from usechat.transport.tls import tls_context
from usechat.wire.auto import AutoDecoder
from usechat.wire.data_stream import DataStreamDecoder
from usechat.wire.decoder import Decoder
from usechat.wire.json_sse import JSONSSEDecoder
from usechat.wire.openai import OpenAIDecoder
from usechat.wire.sse import DEFAULT_MAX_EVENT_SIZE
from usechat.wire.text_stream import TextStreamDecoder
from usechat.wire.ui_message_stream import UIMessageStreamDecoder

DEFAULT_TIMEOUT = httpx.Timeout(300, connect=10, pool=None)
"""Seconds: 10 to connect, 300 between bytes."""

_WITH_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")

_of_parent: list[httpx.AsyncClient] = []


class HttpTransport:
    """Talks to a chat endpoint over HTTP.

    Args:
        api: the endpoint's URL, ``http://localhost:3000/api/chat``; a relative one needs
            ``base_url`` or a client that has one.
        options: see ``HttpOptions``.

    Raises:
        InvalidArgumentError: an option or the URL cannot be used.
    """

    def __init__(self, api: str = "/api/chat", **options: Unpack[HttpOptions]) -> None:
        check_options(options)
        self.strict = options.get("strict", False)
        self.require_finish = options.get("require_finish", True)
        # What the SDK reads, it reads as a UI message stream, whatever it is.
        self._protocol = options.get("protocol", "ui" if self.strict else "auto")
        self.resume_stream_is_replay = options.get(
            "resume_stream_is_replay", self._protocol != "text"
        )
        self._replays = options.get("resume_stream_is_replay")
        reconnect = options.get("reconnect", False)
        self._reconnect = Reconnect() if reconnect is True else (reconnect or None)
        self._writer = RequestWriter(api, options)
        self._max_event_size = options.get("max_event_size", DEFAULT_MAX_EVENT_SIZE)
        self._timeout = as_tuple(options.get("timeout", DEFAULT_TIMEOUT))
        self._client = options.get("client")
        self._own_client: httpx.AsyncClient | None = None
        self._process = os.getpid()
        self.made_client: Callable[[HttpTransport, httpx.AsyncClient], object] | None = None
        """Told of the client that the transport makes, by who closes it if nobody closes this."""
        self._base_url = options.get("base_url", "")
        self._api = api
        self._check_url(api)

    def __repr__(self) -> str:
        return f"HttpTransport({place(self._absolute(self._api))!r})"

    def _absolute(self, api: str) -> str:
        if self._base_url and not _WITH_SCHEME.match(api):
            return f"{self._base_url.rstrip('/')}/{api.lstrip('/')}"
        return api

    def _check_url(self, api: str) -> None:
        try:
            url = httpx.URL(self._absolute(api))
        except (httpx.InvalidURL, TypeError):
            raise InvalidArgumentError(f"{place(api)!r} is no URL.") from None
        # A client that has a base URL completes it; other shapes of client have none to ask.
        if url.is_relative_url and not str(getattr(self._client, "base_url", "")):
            raise InvalidArgumentError(
                f"{place(api)!r} is not a whole URL. Give one like http://localhost:3000/api/chat, "
                "or base_url=."
            )
        if url.is_absolute_url and url.scheme not in ("http", "https"):
            raise InvalidArgumentError(
                f"{place(api)!r}: expected a URL that begins with http or https."
            )

    async def send_messages(self, request: ChatRequest) -> HttpReply | ReconnectingReply:
        """POST the messages; return the reply when its headers are there.

        Args:
            request: what to send.

        Raises:
            TransportError: there is no reply.
            InvalidArgumentError: the request cannot be sent.
        """
        outgoing = await self._writer.send(request)
        if self._reconnect is None:
            return await self._open(outgoing, request)
        reply = self._reconnecting(request, self._reconnect)
        try:
            reply.begin(await self._open(outgoing, request))
        except (ConnectionBrokenError, ChatTimeoutError) as error:
            if not was_sent(error):
                raise
            await reply.mend(error)
        return reply

    async def reconnect_to_stream(
        self, request: ChatRequest
    ) -> HttpReply | ReconnectingReply | None:
        """GET the running reply, from ``<api>/<chat id>/stream``; None if none is running.

        Args:
            request: whose ``chat_id`` says which.

        Raises:
            TransportError: the endpoint cannot be asked.
            InvalidArgumentError: the chat's id is ``.`` or ``..``, which URLs do not keep.
        """
        resumed = await self._resume(request, request)
        if resumed is None or self._reconnect is None:
            return resumed
        reply = self._reconnecting(request, self._reconnect)
        reply.begin(resumed)
        return reply

    async def _resume(
        self, request: ChatRequest, asked: ChatRequest, last_event_id: str | None = None
    ) -> HttpReply | None:
        outgoing = await self._writer.reconnect(request, last_event_id)
        reply = await self._open(outgoing, asked)
        if reply.response.status_code == 204:
            await reply.aclose()
            return None
        return reply

    def _reconnecting(self, request: ChatRequest, policy: Reconnect) -> ReconnectingReply:
        return ReconnectingReply(
            partial(self._resume, replace(request, trigger="resume-stream"), request),
            policy,
            self._replays,
            self.require_finish,
        )

    async def aclose(self) -> None:
        """Close the client, if it is the transport's own."""
        self._leave_to_parent()
        client, self._own_client = self._own_client, None
        if client is not None:
            await client.aclose()

    async def _open(self, outgoing: Outgoing, request: ChatRequest) -> HttpReply:
        method, api, headers, content = outgoing
        self._check_url(api)
        client = self._ready_client()
        try:
            made = client.build_request(
                method,
                self._absolute(api),
                headers=dict(headers),
                content=content,
                timeout=self._timeout,
            )
        except (TypeError, ValueError) as error:
            # What it says may quote a header.
            raise InvalidArgumentError(
                f"The request cannot be made ({type(error).__name__}): "
                "are all headers text, and in ASCII?"
            ) from None
        what = f"{method} {place(made.url)}"
        try:
            response = await client.send(made, stream=True, follow_redirects=False)
        except failures() as error:
            ours = translated(error, what)
            raise ours from (None if isinstance(ours, InvalidArgumentError) else error)
        reply = HttpReply(response, self._decoder(response, request), what)
        if not response.is_success or (method == "POST" and reply.has_no_body):
            await refuse(reply)
        if reply.has_no_body and response.status_code != 204:
            await refuse(reply)
        return reply

    def _ready_client(self) -> httpx.AsyncClient:
        if self._client is not None:
            if getattr(self._client, "is_closed", False):
                raise InvalidArgumentError("The client given as client= has been closed.")
            return self._client
        self._leave_to_parent()
        if self._own_client is None:
            self._own_client = httpx.AsyncClient(verify=tls_context())
            self._process = os.getpid()
            if self.made_client is not None:
                self.made_client(self, self._own_client)
        return self._own_client

    def _leave_to_parent(self) -> None:
        """A forked child must neither use its parent's connections nor close them."""
        if self._process != os.getpid() and self._own_client is not None:
            _of_parent.append(self._own_client)
            self._own_client = None

    def _decoder(self, response: httpx.Response, request: ChatRequest) -> Decoder:
        size = self._max_event_size
        if self._protocol == "text":
            return TextStreamDecoder()
        if self._protocol == "json-sse":
            return JSONSSEDecoder(size)
        if self._protocol == "ui":
            return UIMessageStreamDecoder(self.strict, size)
        if self._protocol == "openai":
            return OpenAIDecoder(size, used_ids=tool_call_ids(request.messages))
        continues = _continues(request)
        if self._protocol == "data-stream":
            return DataStreamDecoder(size, continues)
        return AutoDecoder(
            response.status_code,
            {name.lower(): value for name, value in response.headers.items()},
            strict=self.strict,
            continues=continues,
            max_event_size=size,
        )


def as_tuple(
    timeout: float | httpx.Timeout | None,
) -> tuple[float | None, float | None, float | None, float | None]:
    """A timeout as httpx2 understands it too: it knows no ``Timeout`` of httpx, nor the other way.

    Args:
        timeout: in seconds, or one of either library.
    """
    parts = timeout if isinstance(timeout, (int, float, type(None))) else timeout.as_dict()
    if not isinstance(parts, dict):
        return parts, parts, parts, parts
    return parts["connect"], parts["read"], parts["write"], parts["pool"]


def _continues(request: ChatRequest) -> bool:
    """Whether the reply goes on with a message that is there."""
    if request.trigger != "submit-message" or not request.messages:
        return False
    ids = (message for message in request.messages if message.id == request.message_id)
    return next(ids, request.messages[-1]).role == "assistant"
