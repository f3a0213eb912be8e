"""What a request says: its URL, headers and body.

Source: ai 7.0.173, src/ui/http-chat-transport.ts, default-chat-transport.ts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from usechat.engine.exchange import ChatRequest
from usechat.errors import InvalidArgumentError
from usechat.model.json import dumps
from usechat.model.messages import UIMessage, message_from
from usechat.transport.data_stream_request import v4_body
from usechat.transport.options import (
    HttpOptions,
    PreparedRequest,
    PrepareHook,
    RequestFormat,
    SendRequest,
    as_mapping,
)
from usechat.transport.urls import stream_url, v4_stream_url
from usechat.transport.user_functions import resolved

# An event's id that can be a header: HTML allows more.
_HEADER = re.compile(r"[!-~]([ -~]{0,510}[!-~])?")


class Outgoing(NamedTuple):
    """A request to make.

    Attributes:
        method: ``POST`` or ``GET``.
        api: its URL, perhaps relative.
        headers: names in lower case.
        content: its body.
    """

    method: str
    api: str
    headers: Mapping[str, str]
    content: bytes | None


class RequestWriter:
    """Writes the requests of a transport.

    Args:
        api: the endpoint's URL.
        options: the transport's; they have been checked.
    """

    def __init__(self, api: str, options: HttpOptions) -> None:
        self._api = api
        self._headers = options.get("headers")
        self._body = options.get("body")
        self._history = options.get("history", "all")
        self._prepare_send = options.get("prepare_send_request")
        self._prepare_reconnect = options.get("prepare_reconnect_request")
        of_v4 = options.get("protocol") == "data-stream"
        self._format: RequestFormat = options.get(
            "request_format", "data-stream" if of_v4 else "ui"
        )

    async def send(self, request: ChatRequest) -> Outgoing:
        """A request with messages.

        Args:
            request: what to send.

        Raises:
            InvalidArgumentError: it cannot be written.
        """
        asked = await self._assemble(request, await self._messages(request.messages))
        prepared = await _prepare("prepare_send_request", self._prepare_send, asked)
        return Outgoing(
            "POST",
            prepared.get("api", asked.api),
            {"content-type": "application/json", **_headers(prepared, asked)},
            self._encoded(request, asked, prepared),
        )

    def _encoded(
        self, request: ChatRequest, asked: SendRequest, prepared: Mapping[str, Any]
    ) -> bytes:
        if "body" in prepared:
            return dumps(prepared["body"])
        if self._format == "data-stream":
            return v4_body(asked)
        return replace(request, messages=asked.messages).ui_body(asked.body)

    async def reconnect(self, request: ChatRequest, last_event_id: str | None = None) -> Outgoing:
        """A request for the reply that is running.

        Args:
            request: whose ``chat_id`` says which.
            last_event_id: the last event that has come of it, for servers that give ids.

        Raises:
            InvalidArgumentError: the chat's id is ``.`` or ``..``, which URLs do not keep.
        """
        asked = await self._assemble(request, ())
        if last_event_id is not None and _HEADER.fullmatch(last_event_id):
            asked.headers.setdefault("last-event-id", last_event_id)
        prepared = await _prepare("prepare_reconnect_request", self._prepare_reconnect, asked)
        url_of = v4_stream_url if self._format == "data-stream" else stream_url
        api = prepared["api"] if "api" in prepared else url_of(self._api, request.chat_id)
        return Outgoing("GET", api, _headers(prepared, asked), None)

    async def _messages(self, messages: tuple[UIMessage, ...]) -> tuple[UIMessage, ...]:
        """Those of the history that are sent."""
        if self._history == "all":
            return messages
        if self._history == "last":
            return messages[-1:]
        chosen = await resolved("history", self._history, messages)
        if not isinstance(chosen, Iterable) or isinstance(chosen, (str, bytes, Mapping)):
            raise InvalidArgumentError(
                f"history returned {type(chosen).__name__}: expected a list of messages."
            )
        # A generator of the user's runs only here.
        given = await resolved("history", lambda: list(chosen))
        return tuple(message_from(message) for message in given)

    async def _assemble(self, request: ChatRequest, messages: tuple[UIMessage, ...]) -> SendRequest:
        options = request.options
        body = await resolved("body", self._body)
        headers = await resolved("headers", self._headers)
        return SendRequest(
            api=self._api,
            chat_id=request.chat_id,
            messages=messages,
            headers={**_lower(headers), **_lower(options.headers)},
            body={**as_mapping("body", body), **as_mapping("body", options.body)},
            request_metadata=options.metadata,
            trigger=request.trigger,
            message_id=request.message_id,
        )


async def _prepare(name: str, hook: PrepareHook | None, asked: SendRequest) -> Mapping[str, Any]:
    made = as_mapping(name, None if hook is None else await resolved(name, hook, asked))
    unknown = made.keys() - PreparedRequest.__annotations__.keys()
    if unknown:
        raise InvalidArgumentError(
            f"{name} returned {', '.join(sorted(unknown))}: it may say api, headers and body."
        )
    return made


def _headers(prepared: Mapping[str, Any], asked: SendRequest) -> dict[str, str]:
    return _lower(prepared["headers"]) if "headers" in prepared else asked.headers


def _lower(headers: Mapping[str, str | None] | None) -> dict[str, str]:
    """Headers with their names in lower case; those that are None are left out."""
    named = as_mapping("headers", headers)
    return {name.lower(): value for name, value in named.items() if value is not None}
