"""What can be said about how a chat talks to its endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict

import httpx

from usechat.engine.exchange import Trigger
from usechat.model.messages import UIMessage

Headers: TypeAlias = Mapping[str, str | None]
Body: TypeAlias = Mapping[str, Any]
Protocol: TypeAlias = Literal["ui", "text", "json-sse"]
"""``ui``: the UI message stream of the AI SDK 5 to 7; ``text``: nothing but text; ``json-sse``:
``data: {"text": …}`` events."""


@dataclass(frozen=True, slots=True)
class SendRequest:
    """What ``prepare_send_request`` and ``prepare_reconnect_request`` get.

    Attributes:
        api: the URL that would be used.
        chat_id: the chat.
        messages: the history that would be sent; empty for a reconnect.
        headers: transport's and action's, merged, names in lower case.
        body: transport's and action's fields, merged.
        request_metadata: what the action gave.
        trigger: why the request is made.
        message_id: the message that is edited, regenerated or continued.
    """

    # What may hold secrets, no repr shows.
    api: str = field(repr=False)
    chat_id: str
    messages: tuple[UIMessage, ...]
    headers: dict[str, str] = field(repr=False)
    body: dict[str, Any] = field(repr=False)
    request_metadata: Any = field(repr=False)
    trigger: Trigger
    message_id: str | None


class PreparedRequest(TypedDict, total=False):
    """What a prepare hook returns; what it leaves out stays as it would be.

    ``body`` is then the whole body, ``headers`` are all headers but the content type.
    """

    api: str
    headers: Headers
    body: Any


PrepareHook: TypeAlias = Callable[
    [SendRequest], PreparedRequest | Awaitable[PreparedRequest | None] | None
]


class HttpOptions(TypedDict, total=False):
    """What can be said about how a chat talks to its endpoint.

    Attributes:
        base_url: what relative URLs begin with.
        headers: for every request, or a function (also async) that is asked each time.
        body: fields for every request's body, or a function (also async).
        protocol: how replies are read; default ``ui``.
        strict: read replies exactly as ai 7.0.173 does; default False.
        require_finish: a reply without the protocol's own end is incomplete; default True.
        client: an ``httpx.AsyncClient`` to use; it is neither closed nor changed.
        timeout: seconds, or an ``httpx.Timeout``; default 10 to connect, 300 between bytes.
        max_event_size: the most characters of one event; default 16 Mi.
        prepare_send_request: may change each request with messages; also async.
        prepare_reconnect_request: may change each resume; also async.
        resume_stream_is_replay: a resumed reply comes from its begin; default True, as in the
            SDK not with ``text``.
    """

    base_url: str
    headers: Headers | Callable[[], Headers | Awaitable[Headers]]
    body: Body | Callable[[], Body | Awaitable[Body]]
    protocol: Protocol
    strict: bool
    require_finish: bool
    client: httpx.AsyncClient
    timeout: float | httpx.Timeout | None
    max_event_size: int
    prepare_send_request: PrepareHook
    prepare_reconnect_request: PrepareHook
    resume_stream_is_replay: bool
