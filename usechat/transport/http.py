"""Chat over HTTP.

Source: ai 7.0.173, src/ui/http-chat-transport.ts, default-chat-transport.ts. Here redirects are not
followed (the history would go along) and a reply without a body is an HTTP error.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any
from urllib.parse import quote

import httpx
from typing_extensions import Unpack

from usechat.engine.exchange import ChatRequest
from usechat.errors import InvalidArgumentError
from usechat.model.json import dumps
from usechat.transport.failures import FAILURES, place, translated
from usechat.transport.options import HttpOptions, PreparedRequest, PrepareHook, SendRequest
from usechat.transport.reply import HttpReply, refuse
from usechat.transport.tls import tls_context
from usechat.transport.user_functions import resolved
from usechat.wire.decoder import Decoder
from usechat.wire.json_sse import JSONSSEDecoder
from usechat.wire.sse import DEFAULT_MAX_EVENT_SIZE
from usechat.wire.text_stream import TextStreamDecoder
from usechat.wire.ui_message_stream import UIMessageStreamDecoder

DEFAULT_TIMEOUT = httpx.Timeout(300, connect=10, pool=None)
"""Seconds: 10 to connect, 300 between bytes."""

_WITH_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# What encodeURIComponent leaves as it is, beside letters and digits (ECMA-262).
_URI_COMPONENT = "-_.!~*'()"


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
        unknown = options.keys() - HttpOptions.__annotations__.keys()
        if unknown:
            raise InvalidArgumentError(f"There is no option {', '.join(sorted(unknown))}.")
        self.strict = options.get("strict", False)
        self.require_finish = options.get("require_finish", True)
        self._protocol = options.get("protocol", "ui")
        self.resume_stream_is_replay = options.get(
            "resume_stream_is_replay", self._protocol != "text"
        )
        if self._protocol not in ("ui", "text", "json-sse"):
            raise InvalidArgumentError(
                f"protocol={self._protocol!r}: expected 'ui', 'text' or 'json-sse'."
            )
        self._headers = options.get("headers")
        self._body = options.get("body")
        self._prepare_send = options.get("prepare_send_request")
        self._prepare_reconnect = options.get("prepare_reconnect_request")
        self._max_event_size = options.get("max_event_size", DEFAULT_MAX_EVENT_SIZE)
        _check(options)
        timeout = options.get("timeout", DEFAULT_TIMEOUT)
        self._timeout = timeout if isinstance(timeout, httpx.Timeout) else httpx.Timeout(timeout)
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

    async def send_messages(self, request: ChatRequest) -> HttpReply:
        """POST the messages; return the reply when its headers are there.

        Args:
            request: what to send.

        Raises:
            TransportError: there is no reply.
            InvalidArgumentError: the request cannot be sent.
        """
        asked = await self._assemble(request, self._api)
        prepared = await _prepare("prepare_send_request", self._prepare_send, asked)
        api = prepared.get("api", asked.api)
        headers = _lower(prepared["headers"]) if "headers" in prepared else asked.headers
        content = dumps(prepared["body"]) if "body" in prepared else _encode(asked)
        headers = {"content-type": "application/json", **headers}
        return await self._open("POST", api, headers, content)

    async def reconnect_to_stream(self, request: ChatRequest) -> HttpReply | None:
        """GET the running reply, from ``<api>/<chat id>/stream``; None if none is running.

        Args:
            request: whose ``chat_id`` says which.

        Raises:
            TransportError: the endpoint cannot be asked.
            InvalidArgumentError: the chat's id is ``.`` or ``..``, which URLs do not keep.
        """
        asked = await self._assemble(request, self._api)
        prepared = await _prepare("prepare_reconnect_request", self._prepare_reconnect, asked)
        api = prepared["api"] if "api" in prepared else _stream_url(self._api, request.chat_id)
        headers = _lower(prepared["headers"]) if "headers" in prepared else asked.headers
        reply = await self._open("GET", api, headers, None)
        if reply.response.status_code == 204:
            await reply.aclose()
            return None
        return reply

    async def aclose(self) -> None:
        """Close the client, if it is the transport's own."""
        self._leave_to_parent()
        client, self._own_client = self._own_client, None
        if client is not None:
            await client.aclose()

    async def _assemble(self, request: ChatRequest, api: str) -> SendRequest:
        options = request.options
        body = await resolved("body", self._body)
        headers = await resolved("headers", self._headers)
        return SendRequest(
            api=api,
            chat_id=request.chat_id,
            messages=() if request.trigger == "resume-stream" else request.messages,
            headers={**_lower(headers), **_lower(options.headers)},
            body={**_mapping("body", body), **_mapping("body", options.body)},
            request_metadata=options.metadata,
            trigger=request.trigger,
            message_id=request.message_id,
        )

    async def _open(
        self, method: str, api: str, headers: Mapping[str, str], content: bytes | None
    ) -> HttpReply:
        self._check_url(api)
        client = self._ready_client()
        try:
            request = client.build_request(
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
        what = f"{method} {place(request.url)}"
        try:
            response = await client.send(request, stream=True, follow_redirects=False)
        except FAILURES as error:
            ours = translated(error, what)
            raise ours from (None if isinstance(ours, InvalidArgumentError) else error)
        reply = HttpReply(response, self._decoder(), what)
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
            self._own_client = httpx.AsyncClient(verify=tls_context(), timeout=self._timeout)
            self._process = os.getpid()
            if self.made_client is not None:
                self.made_client(self, self._own_client)
        return self._own_client

    def _leave_to_parent(self) -> None:
        """A forked child must neither use its parent's connections nor close them."""
        if self._process != os.getpid() and self._own_client is not None:
            _of_parent.append(self._own_client)
            self._own_client = None

    def _decoder(self) -> Decoder:
        if self._protocol == "text":
            return TextStreamDecoder()
        if self._protocol == "json-sse":
            return JSONSSEDecoder(self._max_event_size)
        return UIMessageStreamDecoder(self.strict, self._max_event_size)


def _check(options: HttpOptions) -> None:
    """Refuse options that would only fail at the first request."""
    timeout = options.get("timeout")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float, httpx.Timeout, NoneType)):
        raise InvalidArgumentError(f"timeout={timeout!r}: expected seconds or an httpx.Timeout.")
    if isinstance(timeout, (int, float)) and not timeout > 0:
        raise InvalidArgumentError(f"timeout={timeout!r}: expected more than 0 seconds, or None.")
    size = options.get("max_event_size", 1)
    if not isinstance(size, int) or size < 1:
        raise InvalidArgumentError(f"max_event_size={size!r}: expected a number of characters.")
    client = options.get("client")
    if client is not None and not inspect.iscoroutinefunction(getattr(client, "send", None)):
        raise InvalidArgumentError(
            f"client: expected an httpx.AsyncClient, got {type(client).__name__}."
        )
    for name in ("prepare_send_request", "prepare_reconnect_request"):
        hook = options.get(name)
        if hook is not None and not callable(hook):
            raise InvalidArgumentError(f"{name}: expected a function, got {type(hook).__name__}.")
    for name in ("headers", "body"):
        value = options.get(name)
        if not callable(value):
            _mapping(name, value)


async def _prepare(name: str, hook: PrepareHook | None, asked: SendRequest) -> Mapping[str, Any]:
    made = _mapping(name, None if hook is None else await resolved(name, hook, asked))
    unknown = made.keys() - PreparedRequest.__annotations__.keys()
    if unknown:
        raise InvalidArgumentError(
            f"{name} returned {', '.join(sorted(unknown))}: it may say api, headers and body."
        )
    return made


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    """What stands for a mapping: None for an empty one, anything else for a mistake."""
    if value is None:
        return {}
    if not (isinstance(value, Mapping) and all(isinstance(key, str) for key in value)):
        raise InvalidArgumentError(f"{name}: expected a mapping with names that are text.")
    return value


def _lower(headers: Mapping[str, str | None] | None) -> dict[str, str]:
    """Headers with their names in lower case; those that are None are left out."""
    named = _mapping("headers", headers)
    return {name.lower(): value for name, value in named.items() if value is not None}


def _encode(asked: SendRequest) -> bytes:
    """The request's body. The history is put together from what is encoded already."""
    own: dict[str, Any] = {"id": asked.chat_id, "trigger": asked.trigger}
    if asked.message_id is not None:
        own["messageId"] = asked.message_id
    fields = {k: v for k, v in asked.body.items() if k not in ("messages", "messageId")}
    head = dumps({**fields, **own})
    messages = b",".join([message.encoded() for message in asked.messages])
    return head[:-1] + b',"messages":[' + messages + b"]}"


def _stream_url(api: str, chat_id: str) -> str:
    """Where the running reply of a chat is to be had."""
    if chat_id in (".", ".."):
        raise InvalidArgumentError(
            f'The chat id "{chat_id}" cannot stand in a URL. '
            "Use another, or say the URL in prepare_reconnect_request."
        )
    try:
        name = quote(chat_id, safe=_URI_COMPONENT)
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"The chat id cannot stand in a URL: {error}.") from error
    at = min((i for i in (api.find("?"), api.find("#")) if i >= 0), default=len(api))
    return f"{api[:at].removesuffix('/')}/{name}/stream{api[at:]}"
