"""Chat with a model itself: the chat completions API of OpenAI, Ollama, vLLM, LM Studio and others.

Source: the API's reference, as the types of the package openai 3.57 have it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import httpx
from typing_extensions import TypedDict, Unpack

from usechat.engine.exchange import ChatRequest
from usechat.errors import (
    CallbackError,
    HTTPStatusError,
    InvalidArgumentError,
    StreamProtocolError,
)
from usechat.model.chunks import UIMessageChunk
from usechat.model.json import loads
from usechat.model.messages import printable
from usechat.model.tools import ToolDefinition
from usechat.transport.failures import place
from usechat.transport.http import HttpTransport
from usechat.transport.openai_messages import chat_messages
from usechat.transport.options import (
    Body,
    Headers,
    HistoryFunction,
    PreparedRequest,
    SendRequest,
)
from usechat.transport.reconnecting import ReconnectingReply
from usechat.transport.reply import HttpReply
from usechat.wire.openai import error_words

BASE_URL = "https://api.openai.com/v1"
"""Where OpenAI's own API is."""

_KEY = "OPENAI_API_KEY"
_PATH = "/chat/completions"
_SHOWN = 500


class OpenAIOptions(TypedDict, total=False):
    """What else can be said about how a chat talks to a model.

    Attributes:
        headers: for every request, or a function (also async) that is asked each time.
        body: fields for every request's body, ``{"temperature": 0}``, or a function (also async).
            They win over those made here; None leaves one out.
        history: as for ``HttpOptions``.
        require_finish: a reply without a finish reason or ``[DONE]`` is incomplete; default True.
        client: as for ``HttpOptions``.
        timeout: seconds, or an ``httpx.Timeout``; default 10 to connect, 300 between bytes.
        max_event_size: the most characters of one event; default 16 Mi.
    """

    headers: Headers | Callable[[], Headers | Awaitable[Headers]]
    body: Body | Callable[[], Body | Awaitable[Body]]
    history: Literal["all", "last"] | HistoryFunction
    require_finish: bool
    client: httpx.AsyncClient
    timeout: float | httpx.Timeout | None
    max_event_size: int


class OpenAITransport:
    """Brings replies of a model, without a chat endpoint in between.

    Tools that run on this side are offered to the model. The usage is in the message's metadata.

    Args:
        model: its name, ``gpt-5`` or ``llama3.2``.
        base_url: where the API is: ``http://localhost:11434/v1`` for Ollama.
        api_key: sent as a bearer token; None: ``OPENAI_API_KEY`` of the environment where
            ``base_url`` is OpenAI's own, and no other.
        system: what the model is told first.
        options: see ``OpenAIOptions``.

    Raises:
        InvalidArgumentError: an argument cannot be used.
    """

    strict = False
    resume_stream_is_replay = True

    def __init__(
        self,
        model: str,
        *,
        base_url: str = BASE_URL,
        api_key: str | None = None,
        system: str | None = None,
        **options: Unpack[OpenAIOptions],
    ) -> None:
        _must_be_text(model=model, base_url=base_url)
        if not (system is None or isinstance(system, str)):
            raise InvalidArgumentError(f"system: expected text, got {type(system).__name__}.")
        unknown = options.keys() - OpenAIOptions.__annotations__.keys()
        if unknown:
            raise InvalidArgumentError(f"OpenAITransport has no {', '.join(sorted(unknown))}.")
        self.model = model
        self._base_url = base_url
        self._is_openai = base_url.rstrip("/") == BASE_URL
        if api_key is None and self._is_openai:
            api_key = os.environ.get(_KEY)
        # No method of this: the one would hold the other, and both be collected late.
        writer = _Writer(model, system, _checked_key(api_key))
        self._http = HttpTransport(
            _api(base_url), protocol="openai", prepare_send_request=writer.prepare, **options
        )
        self.require_finish = self._http.require_finish

    def __repr__(self) -> str:
        return f"OpenAITransport({self.model!r} at {place(self._base_url)!r})"

    @property
    def made_client(self) -> Callable[[HttpTransport, httpx.AsyncClient], object] | None:
        """As for ``HttpTransport``."""
        return self._http.made_client

    @made_client.setter
    def made_client(
        self, told: Callable[[HttpTransport, httpx.AsyncClient], object] | None
    ) -> None:
        self._http.made_client = told

    async def send_messages(self, request: ChatRequest) -> OpenAIReply:
        """Ask the model for a reply; return it when its headers are there.

        Args:
            request: what to send.

        Raises:
            TransportError: there is no reply.
            InvalidArgumentError: the request cannot be sent.
        """
        asked = _Asked(request.tools)
        options = replace(request.options, metadata=asked)
        try:
            reply = await self._http.send_messages(replace(request, options=options))
        except CallbackError:
            if asked.unsendable is not None:  # it is none of the user's functions that raised
                raise asked.unsendable from None
            raise
        except HTTPStatusError as error:
            refused = error
        else:
            return OpenAIReply(reply, asked.secrets)
        # Not in the block above: the error would keep the other, in which the key may be.
        raise self._said(refused, asked.secrets)

    async def reconnect_to_stream(self, request: ChatRequest) -> None:
        """There is no reply to go on with: the API keeps none.

        Args:
            request: whose reply is wanted.
        """

    async def aclose(self) -> None:
        """Close the client, if it is the transport's own."""
        await self._http.aclose()

    def _said(self, error: HTTPStatusError, secrets: tuple[str, ...]) -> HTTPStatusError:
        """An answer that is no reply, in its own words and without what is secret."""
        status, body = error.status_code, _without(error.body, secrets)
        headers = {name: _without(value, secrets) for name, value in error.headers.items()}
        message = _without(str(error), secrets)
        if status >= 400:
            reason = httpx.codes.get_reason_phrase(status)
            # Once more: what was an escape in the body is none now.
            words = _without(_words(body), secrets) or "it does not say why."
            message = f"{message.partition(' answered ')[0]} answered {status} {reason}: {words}"
        if status == 401:
            message = f"{message} {self._about_key(bool(secrets))}"
        return HTTPStatusError(message, status, headers, body)

    def _about_key(self, has_one: bool) -> str:
        if has_one:
            return f"Is the key right (api_key=, {_KEY} or a header)?"
        if self._is_openai:
            return f"Give a key, as api_key= or as {_KEY} in the environment."
        return f"Give a key as api_key= ({_KEY} is sent to {BASE_URL} only)."


class _Writer:
    """Writes requests as the API reads them.

    Args:
        model: its name.
        system: what it is told first.
        key: the key; empty: none.
    """

    def __init__(self, model: str, system: str | None, key: str) -> None:
        self._model = model
        self._system = system
        self._key = key

    def prepare(self, asked: SendRequest) -> PreparedRequest:
        """The headers and the body of a request.

        Args:
            asked: what it is about.

        Raises:
            InvalidArgumentError: a file cannot be sent; it is kept for who has asked.
        """
        ours: _Asked = asked.request_metadata
        try:
            messages = chat_messages(asked.messages, self._system)
        except InvalidArgumentError as error:
            ours.unsendable = error
            raise
        own: dict[str, Any] = {
            "model": self._model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if ours.tools:
            own["tools"] = [_tool(tool) for tool in ours.tools]
        headers = dict(asked.headers)
        if self._key:
            headers.setdefault("authorization", f"Bearer {self._key}")
        ours.note(self._key, headers)
        body = {**own, **asked.body}
        return {"headers": headers, "body": {k: v for k, v in body.items() if v is not None}}


class OpenAIReply:
    """The chunks of a reply, a list for each read.

    Args:
        reply: what comes.
        secrets: what no error may repeat.

    Attributes:
        response: the head, as ``on_response`` gets it.
    """

    def __init__(self, reply: HttpReply | ReconnectingReply, secrets: tuple[str, ...]) -> None:
        self.response = reply.response
        self._reply = reply
        self._secrets = secrets

    def __aiter__(self) -> OpenAIReply:
        return self

    async def __anext__(self) -> list[UIMessageChunk]:
        try:
            chunks = await anext(self._reply)
        except StreamProtocolError as error:
            said = error
        else:
            last = chunks[-1]
            if last["type"] == "error":  # nothing comes after it
                chunks[-1] = {**last, "errorText": _without(last["errorText"], self._secrets)}
            return chunks
        chunk = None if said.chunk is None else _without(said.chunk, self._secrets)
        message = _without(str(said), self._secrets)
        raise StreamProtocolError(message, chunk=chunk, position=said.position)

    async def aclose(self) -> None:
        """End the response, wherever it is."""
        await self._reply.aclose()


@dataclass(slots=True)
class _Asked:
    """What goes with one request through the transport.

    Attributes:
        tools: what the model may call.
        secrets: what no error may repeat.
        unsendable: why the history cannot be sent.
    """

    tools: tuple[ToolDefinition, ...]
    secrets: tuple[str, ...] = field(default=(), repr=False)
    unsendable: InvalidArgumentError | None = None

    def note(self, key: str, headers: Mapping[str, str]) -> None:
        """Remember what is secret: the key, and what the user's headers bring.

        Args:
            key: the transport's.
            headers: the request's.
        """
        credentials = (headers.get(name) for name in ("authorization", "api-key", "x-api-key"))
        tokens = [str(value).rpartition(" ")[2] for value in credentials if value]
        # One may be the begin of another.
        self.secrets = tuple(sorted(filter(None, {key, *tokens}), key=len, reverse=True))


def _must_be_text(**arguments: Any) -> None:
    for name, value in arguments.items():
        if not isinstance(value, str) or not value.strip():
            raise InvalidArgumentError(f"{name}: expected text, got {type(value).__name__}.")


def _checked_key(key: str | None) -> str:
    # It is not repeated.
    if not (key is None or (isinstance(key, str) and key.isascii() and key.isprintable())):
        raise InvalidArgumentError("api_key: expected text in ASCII, without line breaks.")
    return (key or "").strip()


def _api(base_url: str) -> str:
    """The URL of the completions; a query stays behind it."""
    at = min((i for i in (base_url.find("?"), base_url.find("#")) if i >= 0), default=len(base_url))
    path = base_url[:at].rstrip("/").removesuffix(_PATH)
    return f"{path}{_PATH}{base_url[at:]}"


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.input_schema,
    }
    return {"type": "function", "function": function}


def _words(body: str) -> str:
    """What the body of a refusal says."""
    try:
        said = error_words(loads(body))
    except ValueError:
        said = None
    return " ".join(printable(body if said is None else said)[:_SHOWN].split())


def _without(text: str, secrets: tuple[str, ...]) -> str:
    """The text without what is secret: servers repeat the key that they were given."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
