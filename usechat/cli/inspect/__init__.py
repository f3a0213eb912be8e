"""``usechat inspect``: one message, and its reply chunk by chunk, with what is wrong with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import anyio

from usechat.cli.arguments import ChatOptions
from usechat.cli.inspect.inspection import Inspection
from usechat.cli.inspect.lines import Lines
from usechat.cli.inspect.table import Table
from usechat.cli.inspect.verdict import faults_of, status_of
from usechat.cli.interrupts import Interrupts
from usechat.cli.output import Output
from usechat.errors import HTTPStatusError, UseChatError
from usechat.session import replies
from usechat.transport.http import HttpTransport
from usechat.transport.reply import HttpReply

_TOGETHER = 0.001
"""Seconds: what comes so soon after a piece has come together with it."""


async def inspect_reply(
    transport: HttpTransport,
    options: ChatOptions,
    url: str,
    text: str,
    out: Output,
    interrupts: Interrupts,
) -> int:
    """Send a message and show what comes.

    Args:
        transport: talks to the endpoint.
        options: the command line's.
        url: the endpoint, to be shown.
        text: the message.
        out: where to.
        interrupts: Ctrl-C stops the reply.

    Returns:
        The exit status.
    """
    seen = Inspection(text, options.protocol)
    view = Lines(out) if options.json else Table(out)
    scope = anyio.CancelScope()
    with interrupts.stopping(scope.cancel):
        view.asked(url, options.headers)
        clock = _clock()
        with scope:
            try:
                await _follow(transport, seen, view, scope, clock)
            except UseChatError as error:
                if isinstance(error, HTTPStatusError):
                    seen.answered(error.status_code, error.headers, clock(), is_reply=False)
                    view.answered(seen)
                seen.failed(error, clock())
        if scope.cancel_called:
            seen.interrupt(clock())
    view.ended(seen)
    return status_of(seen, faults_of(seen))


def _clock() -> Callable[[], float]:
    """What tells the seconds from now on."""
    began = time.monotonic()
    return lambda: time.monotonic() - began


async def _follow(
    transport: HttpTransport,
    seen: Inspection,
    view: Lines | Table,
    scope: anyio.CancelScope,
    clock: Callable[[], float],
) -> None:
    reply = await transport.send_messages(seen.request)
    assert isinstance(reply, HttpReply)  # nothing is said of reconnecting
    try:
        status, headers = reply.response
        seen.answered(status, headers, clock())
        view.answered(seen)
        at = 0.0
        while True:
            piece, was_there = await _read(reply)
            came = clock()
            if scope.cancel_called:
                return  # a read that is cancelled looks like the end
            if at == 0 or not (was_there or came - at < _TOGETHER):
                at = came
            view.rows(seen, seen.ended(came) if piece is None else seen.take(piece, at))
            if piece is None or seen.has_no_reply:
                return
    finally:
        await replies.close(reply)


async def _read(reply: HttpReply) -> tuple[bytes | None, bool]:
    """The next piece, and whether it had come with the one before: nothing was waited for."""
    waited = False

    def wait() -> None:
        nonlocal waited
        waited = True

    told = asyncio.get_running_loop().call_soon(wait)
    try:
        piece = await reply.read()
    finally:
        told.cancel()
    return piece, not waited
