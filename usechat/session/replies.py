"""What both drivers do with a reply: ask for it, tell the engine what came of it, close it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import anyio

from usechat.engine.engine import ChatEngine
from usechat.engine.exchange import ChatRequest, Exchange, Response, Steps
from usechat.errors import (
    HTTPStatusError,
    ServerError,
    StreamProtocolError,
    TransportError,
    UseChatError,
)
from usechat.model.chunks import UIMessageChunk
from usechat.transport.base import ChatTransport
from usechat.transport.body import no_pause
from usechat.transport.reconnecting import ReconnectingReply
from usechat.transport.reply import HttpReply

logger = logging.getLogger("usechat")

Reply: TypeAlias = AsyncIterator[list[UIMessageChunk]]

REJECTED = (ServerError, StreamProtocolError, KeyError, TypeError, ValueError, AttributeError)
"""What ``engine.receive`` raises; ``rejected`` says what to do then."""

# A server that does not answer cannot keep a closed reply for longer than this, in seconds.
_CLOSE_TIMEOUT = 3


async def ask(transport: ChatTransport, request: ChatRequest) -> Reply | None:
    """Ask for a reply; None: there is none to resume.

    Args:
        transport: whom to ask.
        request: what for.

    Raises:
        TransportError: there is no reply; a transport may raise anything else.
    """
    if request.trigger == "resume-stream":
        resumed = await transport.reconnect_to_stream(request)
        return None if resumed is None else aiter(resumed)
    reply = await transport.send_messages(request)
    if reply is None:
        raise TransportError("send_messages returned None instead of a reply")
    return aiter(reply)


async def read_into(
    reply: Reply,
    take: Callable[[list[UIMessageChunk]], bool],
    pause: Callable[[], Awaitable[None]] = no_pause,
) -> bool:
    """Hand on what comes of a reply, as much at once as has come.

    Args:
        reply: the reply.
        take: gets chunks; it says whether anything of the reply is still wanted.
        pause: awaited between two reads.

    Returns:
        Whether the reply has ended; else nothing of it is wanted any more.
    """
    if isinstance(reply, (HttpReply, ReconnectingReply)):
        return await reply.read_into(take, pause)
    async for chunks in reply:
        if not take(chunks):
            return False
        await pause()
    return True


def opened(engine: ChatEngine, exchange: Exchange, reply: Reply | None) -> Steps[None]:
    """The transport has answered.

    Args:
        engine: the chat.
        exchange: the exchange.
        reply: what ``ask`` gave.
    """
    if reply is None:
        yield from engine.nothing_to_resume(exchange)
        return
    head: Response | None = getattr(reply, "response", None)
    yield from engine.opened(exchange, head)


def failed(engine: ChatEngine, exchange: Exchange, error: BaseException) -> Steps[None]:
    """The transport has raised.

    Args:
        engine: the chat.
        exchange: the exchange.
        error: what it raised, ours or not.
    """
    if isinstance(error, HTTPStatusError):
        yield from engine.responded(exchange, Response(error.status_code, error.headers))
    yield from engine.fail(exchange, _ours(error))


def rejected(engine: ChatEngine, exchange: Exchange, error: Exception) -> Steps[None]:
    """The engine could not apply a chunk.

    Args:
        engine: the chat.
        exchange: the exchange.
        error: one of ``REJECTED``.
    """
    if not isinstance(error, UseChatError):
        # A transport's own chunks have been validated by nobody.
        logger.error("A chunk cannot be applied", exc_info=error)
        failure = StreamProtocolError(f"A chunk cannot be applied ({error!r}).")
        failure.__cause__ = error
        error = failure
    return engine.fail(exchange, error)


def _ours(error: BaseException) -> UseChatError:
    if isinstance(error, UseChatError):
        return error
    ours = TransportError(f"The transport raised {type(error).__name__}: {error}")
    ours.__cause__ = error
    return ours


async def close(reply: Reply | None) -> None:
    """Close a reply, in the task that read it.

    Args:
        reply: the reply, wherever it is.
    """
    end: Callable[[], Awaitable[None]] | None = getattr(reply, "aclose", None)
    if end is None:
        return
    try:
        with anyio.move_on_after(_CLOSE_TIMEOUT, shield=True):
            await end()
    except Exception:
        logger.exception("The transport raised when its reply was closed")
