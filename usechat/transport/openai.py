"""Chat with a model itself: the chat completions API of OpenAI, Ollama, vLLM, LM Studio and others.

Source: the API's reference, as the types of the package openai 3.57 have it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, cast
from urllib.parse import quote

import httpx
from typing_extensions import TypedDict, Unpack

from usechat.engine.exchange import ChatRequest, RequestOptions
from usechat.errors import HTTPStatusError, InvalidArgumentError, StreamProtocolError
from usechat.model.chunks import UIMessageChunk
from usechat.model.json import loads
from usechat.model.messages import printable
from usechat.model.tools import ToolDefinition
from usechat.transport.failures import place
from usechat.transport.http import HttpTransport
from usechat.transport.openai_messages import chat_messages, tool_call_ids
from usechat.transport.options import (
    Body,
    Headers,
    HistoryFunction,
    HttpOptions,
    PreparedRequest,
    SendRequest,
    check_options,
)
from usechat.transport.reconnecting import ReconnectingReply
from usechat.transport.reply import HttpReply
from usechat.transport.requests import RequestWriter
from usechat.wire.decoder import Decoder
from usechat.wire.openai import OpenAIDecoder, error_words

BASE_URL = "https://api.openai.com/v1"
"""Where OpenAI's own API is."""

_KEY = "OPENAI_API_KEY"
_PATH = "/chat/completions"
_SHOWN = 500

# What is shorter is none, and would be found in every other word.
_SHORTEST_SECRET = 8
# Headers and fields of a URL's query that hold none.
_HARMLESS = ("accept", "content-type", "user-agent", "api-version")


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
        self._system = system
        user = cast("HttpOptions", {"protocol": "openai", **options})
        check_options(user)
        self._writer = _Writer(_api(base_url), user)
        http = user.copy()
        # The writer has seen to these: the request brings all.
        http["headers"], http["body"], http["history"] = {}, {}, "all"
        http["prepare_send_request"] = _as_given
        self._http = _Http(_api(base_url), **http)
        self._is_openai = _is_openai(base_url)
        self._key = _checked_key("api_key", api_key)
        if api_key is None and self._is_openai:
            self._key = _checked_key(_KEY, os.environ.get(_KEY))
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
        asked = await self._writer.asked(request)
        headers = dict(asked.headers)
        if self._key:
            headers.setdefault("authorization", f"Bearer {self._key}")
        options = RequestOptions(headers=headers, body=self._body(asked, request.tools))
        secrets = _secrets(self._key, asked.headers, self._base_url)
        try:
            reply = await self._http.send_messages(replace(request, options=options))
        except HTTPStatusError as error:
            refused = error
        else:
            return OpenAIReply(reply, secrets)
        # Not in the block above: the error would keep the other, in which the key may be.
        raise self._said(refused, secrets, any("auth" in h or "key" in h for h in headers))

    def _body(self, asked: SendRequest, tools: tuple[ToolDefinition, ...]) -> dict[str, Any]:
        own: dict[str, Any] = {
            "model": self.model,
            "messages": chat_messages(asked.messages, self._system),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if tools:
            own["tools"] = [_tool(tool) for tool in tools]
        body = {**own, **asked.body}
        return {name: value for name, value in body.items() if value is not None}

    async def reconnect_to_stream(self, request: ChatRequest) -> None:
        """There is no reply to go on with: the API keeps none.

        Args:
            request: whose reply is wanted.
        """

    async def aclose(self) -> None:
        """Close the client, if it is the transport's own."""
        await self._http.aclose()

    def _said(
        self, error: HTTPStatusError, secrets: tuple[str, ...], has_key: bool
    ) -> HTTPStatusError:
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
            end = "" if message.endswith((".", "!", "?")) else "."
            message = f"{message}{end} {self.about_key(has_key)}"
        return HTTPStatusError(message, status, headers, body)

    def about_key(self, has_one: bool) -> str:
        """What to do where the key is not taken.

        Args:
            has_one: whether one was sent.
        """
        if has_one:
            return f"Is the key right (api_key=, {_KEY} or a header)?"
        if self._is_openai:
            return f"Give a key, as api_key= or as {_KEY} in the environment."
        return f"Give a key as api_key= ({_KEY} is sent to {BASE_URL} only)."


class _Writer(RequestWriter):
    """Puts together what a request is about."""

    async def asked(self, request: ChatRequest) -> SendRequest:
        """What the user wants sent: the history, the headers and the fields of the body.

        Args:
            request: what to send.

        Raises:
            InvalidArgumentError: an option is of a wrong type.
            CallbackError: a function of the user's raised.
        """
        return await self._assemble(request, await self._messages(request.messages))


class _Http(HttpTransport):
    """Reads replies with what the request says: its body is whole."""

    def _decoder(self, response: httpx.Response, request: ChatRequest) -> Decoder:
        return OpenAIDecoder(
            self._max_event_size,
            used_ids=tool_call_ids(request.messages),
            offered=_offered(request),
        )


def _as_given(asked: SendRequest) -> PreparedRequest:
    return {"body": asked.body}


def _offered(request: ChatRequest) -> tuple[str, ...]:
    """The names of the tools that a request offers; none where one has no name that we know."""
    names = [tool.name for tool in request.tools]
    tools = (request.options.body or {}).get("tools")
    for tool in tools if isinstance(tools, list) else ():
        of = (
            tool.get(str(tool.get("type")), tool.get("function"))
            if isinstance(tool, dict)
            else None
        )
        name = of.get("name") if isinstance(of, dict) else None
        if not isinstance(name, str):
            return ()
        names.append(name)
    return tuple(dict.fromkeys(names))


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


def _must_be_text(model: Any, base_url: Any) -> None:
    for name, value, what in (("model", model, "a name"), ("base_url", base_url, "a URL")):
        if not isinstance(value, str) or not value.strip():
            got = repr(value) if isinstance(value, str) else type(value).__name__
            raise InvalidArgumentError(f"{name}: expected {what}, got {got}.")


def _checked_key(name: str, key: str | None) -> str:
    key = key.strip() if isinstance(key, str) else key
    # It is not repeated.
    if not (key is None or (isinstance(key, str) and key.isascii() and key.isprintable())):
        raise InvalidArgumentError(f"{name}: expected text in ASCII, without line breaks.")
    return key or ""


def _secrets(key: str, headers: Mapping[str, Any], base_url: str) -> tuple[str, ...]:
    """What no error may repeat: the key, and what the user's headers and URL bring."""
    url = httpx.URL(base_url)
    fields = [*headers.items(), *url.params.multi_items()]
    values = [str(value) for name, value in fields if name.lower() not in _HARMLESS]
    values += [key, url.password, *(value.rpartition(" ")[2] for value in values)]
    values += [quote(value, safe="") for value in values]
    # One may be the begin of another.
    return tuple(sorted({v for v in values if len(v) >= _SHORTEST_SECRET}, key=len, reverse=True))


def _is_openai(base_url: str) -> bool:
    """Whether a URL is that of OpenAI's own API, however it is written."""
    url, own = httpx.URL(_api(base_url)), httpx.URL(_api(BASE_URL))
    return all(getattr(url, n) == getattr(own, n) for n in ("scheme", "host", "port", "path"))


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
