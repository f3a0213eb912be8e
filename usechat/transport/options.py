"""What can be said about how a chat talks to its endpoint."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal, TypeAlias, TypedDict, get_args

import httpx

from usechat.engine.exchange import Trigger
from usechat.errors import InvalidArgumentError
from usechat.model.messages import UIMessage

Headers: TypeAlias = Mapping[str, str | None]
Body: TypeAlias = Mapping[str, Any]
Protocol: TypeAlias = Literal["auto", "ui", "data-stream", "text", "json-sse", "openai"]
"""``auto``: found out from what comes; ``ui``: the UI message stream of the AI SDK 5 to 7;
``data-stream``: what the AI SDK 4 sends; ``text``: nothing but text; ``json-sse``:
``data: {"text": …}`` events; ``openai``: the stream of OpenAI's chat completions, passed on as it
comes (``auto`` does not find this one)."""

RequestFormat: TypeAlias = Literal["ui", "data-stream"]
"""``ui``: what endpoints of the AI SDK 5 to 7 read; ``data-stream``: those of the AI SDK 4."""

HistoryFunction: TypeAlias = Callable[
    [tuple[UIMessage, ...]],
    Iterable[UIMessage | Mapping[str, Any]] | Awaitable[Iterable[UIMessage | Mapping[str, Any]]],
]


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


@dataclass(frozen=True, slots=True)
class Reconnect:
    """How often, and how soon, a reply whose connection broke is asked for again.

    Attributes:
        attempts: how many may fail in a row.
        delay: seconds before the first; each further one waits twice as long, less up to half
            of it at random.
        max_delay: the longest of these, in seconds.

    Raises:
        InvalidArgumentError: a number that cannot be used.
    """

    attempts: int = 5
    delay: float = 0.5
    max_delay: float = 10.0

    def __post_init__(self) -> None:
        if not isinstance(self.attempts, int) or self.attempts < 1:
            raise InvalidArgumentError(f"attempts={self.attempts!r}: expected a number above 0.")
        for name in ("delay", "max_delay"):
            seconds = getattr(self, name)
            if not isinstance(seconds, (int, float)) or not 0 <= seconds < math.inf:
                raise InvalidArgumentError(f"{name}={seconds!r}: expected seconds, 0 or more.")


class HttpOptions(TypedDict, total=False):
    """What can be said about how a chat talks to its endpoint.

    Attributes:
        base_url: what relative URLs begin with.
        headers: for every request, or a function (also async) that is asked each time.
        body: fields for every request's body, or a function (also async).
        request_format: how the body is written; default ``ui``, with ``protocol="data-stream"``
            that too.
        history: which messages a request carries: ``all`` (the default), ``last`` (for servers
            that keep the others), or a function (also async) that gets them and gives those.
        protocol: how replies are read; default ``auto``, with ``strict`` it is ``ui``.
        strict: read UI message streams exactly as ai 7.0.173 does; default False.
        require_finish: a reply without the protocol's own end is incomplete; default True.
        reconnect: go on with a reply whose connection broke, if the endpoint can resume: True, or
            a ``Reconnect`` that says how often; default False.
        client: an ``httpx.AsyncClient`` (or httpx2's) to use; it is neither closed nor changed.
        timeout: seconds, or an ``httpx.Timeout``; default 10 to connect, 300 between bytes (the
            next read has begun while observers of an ``AsyncChatSession`` are told of the last).
        max_event_size: the most characters of one event; default 16 Mi.
        prepare_send_request: may change each request with messages; also async.
        prepare_reconnect_request: may change each resume; also async.
        resume_stream_is_replay: a resumed reply comes from its begin; default True, as in the
            SDK not with ``text``. With ``reconnect`` a reply shows that by itself, but text.
    """

    base_url: str
    headers: Headers | Callable[[], Headers | Awaitable[Headers]]
    body: Body | Callable[[], Body | Awaitable[Body]]
    request_format: RequestFormat
    history: Literal["all", "last"] | HistoryFunction
    protocol: Protocol
    strict: bool
    require_finish: bool
    reconnect: bool | Reconnect
    client: httpx.AsyncClient
    timeout: float | httpx.Timeout | None
    max_event_size: int
    prepare_send_request: PrepareHook
    prepare_reconnect_request: PrepareHook
    resume_stream_is_replay: bool


_CHOICES = {
    "protocol": get_args(Protocol),
    "request_format": get_args(RequestFormat),
    "history": ("all", "last"),
}


def check_options(options: HttpOptions) -> None:
    """Refuse options that would only fail at the first request.

    Args:
        options: the options.

    Raises:
        InvalidArgumentError: says which, and what was expected.
    """
    unknown = options.keys() - HttpOptions.__annotations__.keys()
    if unknown:
        raise InvalidArgumentError(f"There is no option {', '.join(sorted(unknown))}.")
    for name, choices in _CHOICES.items():
        value = options.get(name, choices[0])
        if value not in choices and not (name == "history" and callable(value)):
            expected = ", ".join(map(repr, choices[:-1]))
            raise InvalidArgumentError(f"{name}={value!r}: expected {expected} or {choices[-1]!r}.")
    _check_network(options)
    reconnect = options.get("reconnect")
    if not isinstance(reconnect, (bool, Reconnect, NoneType)):
        raise InvalidArgumentError(f"reconnect={reconnect!r}: expected a bool or a Reconnect.")
    for name in ("prepare_send_request", "prepare_reconnect_request"):
        hook = options.get(name)
        if hook is not None and not callable(hook):
            raise InvalidArgumentError(f"{name}: expected a function, got {type(hook).__name__}.")
    for name in ("headers", "body"):
        value = options.get(name)
        if not callable(value):
            as_mapping(name, value)


def _check_network(options: HttpOptions) -> None:
    timeout = options.get("timeout")
    if isinstance(timeout, bool) or not (
        isinstance(timeout, (int, float, NoneType)) or hasattr(timeout, "as_dict")
    ):
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


def as_mapping(name: str, value: Any) -> Mapping[str, Any]:
    """What stands for a mapping: None for an empty one, anything else for a mistake.

    Args:
        name: what it is, for messages.
        value: what was given.

    Raises:
        InvalidArgumentError: it is none.
    """
    if value is None:
        return {}
    if not (isinstance(value, Mapping) and all(isinstance(key, str) for key in value)):
        raise InvalidArgumentError(f"{name}: expected a mapping with names that are text.")
    return value
