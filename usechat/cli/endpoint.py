"""The endpoint that is talked to, and the session that does it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import httpx

from usechat.cli.arguments import ChatOptions
from usechat.engine.automatic import (
    last_assistant_message_is_complete_with_approval_responses,
    last_assistant_message_is_complete_with_tool_calls,
)
from usechat.model.messages import UIMessage
from usechat.session.aio import AsyncChatSession
from usechat.transport.base import ChatTransport
from usechat.transport.http import HttpTransport
from usechat.transport.openai import BASE_URL, OpenAITransport
from usechat.transport.options import HttpOptions
from usechat.transport.tls import tls_context

_DEMO_PATHS = {
    "auto": "/api/chat",
    "ui": "/api/chat",
    "data-stream": "/api/chat?protocol=data-stream",
    "text": "/api/chat?protocol=text",
    "json-sse": "/api/stream",
}

# Requests that one action may cause before the user is asked again.
_MAX_STEPS = 20


class _Model(OpenAITransport):
    """A model that is asked from the command line."""

    def about_key(self, has_one: bool) -> str:
        """What to do where the key is not taken, with what the program has.

        Args:
            has_one: whether one was sent.
        """
        where = f"OPENAI_API_KEY (for {BASE_URL} only) or --header 'Authorization: Bearer KEY'"
        return f"Is the key right? It is from {where}." if has_one else f"Give a key by {where}."


@contextmanager
def endpoint(options: ChatOptions) -> Iterator[str]:
    """The URL to talk to; without one, and without a model, a demo runs for the time of the block.

    Args:
        options: the command line's.

    Raises:
        UseChatError: the demo cannot be started.
    """
    if options.url is not None:
        yield options.url
        return
    if options.openai is not None:
        yield options.base_url or BASE_URL
        return
    from usechat.server import running_demo

    with running_demo() as base:
        yield base + _DEMO_PATHS[options.protocol]


@asynccontextmanager
async def open_chat(options: ChatOptions, url: str) -> AsyncIterator[AsyncChatSession]:
    """A session with an endpoint.

    Args:
        options: the command line's.
        url: where the endpoint is.
    """
    async with AsyncExitStack() as stack:
        if options.openai is not None:
            transport = _Model(
                options.openai, base_url=url, headers=options.headers, body=options.body
            )
            stack.push_async_callback(transport.aclose)
            yield await stack.enter_async_context(_session(options, transport, {}))
            return
        http: HttpOptions = {"protocol": options.protocol, "headers": options.headers}
        http["body"] = lambda: _with_message(options, _last_question(chat.messages))
        if options.url is None:
            http["client"] = await stack.enter_async_context(_demo_client())
        chat = await stack.enter_async_context(_session(options, url, http))
        yield chat


@asynccontextmanager
async def open_transport(options: ChatOptions, url: str, text: str) -> AsyncIterator[HttpTransport]:
    """What brings the reply to one message.

    Args:
        options: the command line's.
        url: where the endpoint is.
        text: the message.
    """
    # It is ready before the request, whose time is taken.
    client = _demo_client() if options.url is None else httpx.AsyncClient(verify=tls_context())
    async with client:
        yield HttpTransport(
            url,
            protocol=options.protocol,
            headers=options.headers,
            body=_with_message(options, text),
            client=client,
        )


def _demo_client() -> httpx.AsyncClient:
    # The demo is on this machine: the environment's proxies cannot reach it.
    return httpx.AsyncClient(trust_env=False)


def _session(options: ChatOptions, api: str | ChatTransport, http: HttpOptions) -> AsyncChatSession:
    return AsyncChatSession(
        api,
        # Lines are written, nothing is drawn: what a read has brought need not wait.
        throttle=0,
        # Nobody could answer in between where a single message is sent.
        send_automatically_when=None if options.message is not None else goes_on,
        max_steps=_MAX_STEPS,
        **http,
    )


def _with_message(options: ChatOptions, text: str) -> Mapping[str, Any]:
    if options.protocol != "json-sse":
        return options.body
    # What hand-written endpoints of this kind read, as stream_chat sends it.
    return {"message": text, **options.body}


def goes_on(messages: tuple[UIMessage, ...]) -> bool:
    """Whether all that the assistant asked for has been answered.

    Args:
        messages: the chat's.
    """
    return last_assistant_message_is_complete_with_tool_calls(
        messages
    ) or last_assistant_message_is_complete_with_approval_responses(messages)


def _last_question(messages: tuple[UIMessage, ...]) -> str:
    return next((m.text for m in reversed(messages) if m.role == "user"), "")
