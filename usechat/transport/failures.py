"""What httpx raises, in our words. No URL's query and no header ends up in a message."""

from __future__ import annotations

import re

import httpx

from usechat.errors import (
    ChatTimeoutError,
    ConnectionBrokenError,
    InvalidArgumentError,
    TransportError,
    UseChatError,
)

_SECRET = re.compile(r"(?<=//)[^/?#@]*@|[?#].*", re.DOTALL)


def place(url: object) -> str:
    """A URL without what may be secret: user, password, query.

    Args:
        url: anything whose text is a URL, or was meant to be one.
    """
    return _SECRET.sub("", str(url))


FAILURES = (httpx.TransportError, httpx.DecodingError, httpx.StreamError, httpx.InvalidURL, OSError)
"""What httpx raises when the network fails, or when what it was given cannot be sent."""


def translated(error: Exception, what: str) -> UseChatError:
    """What httpx raised, in our words.

    Args:
        error: one of ``FAILURES``.
        what: the request, for messages: ``POST http://…``.
    """
    said = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectTimeout):
        return ChatTimeoutError(
            f"{what}: no connection within the time allowed. Is the server up? See timeout=."
        )
    if isinstance(error, httpx.TimeoutException):
        return ChatTimeoutError(
            f"{what}: the server has been silent for longer than timeout= allows."
        )
    if isinstance(error, httpx.ConnectError):
        return ConnectionBrokenError(
            f"{what}: cannot connect ({said}). Is the server running, and is the URL right?"
        )
    if isinstance(error, (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL)):
        # What they say quotes the header or the URL, which may be secret.
        return InvalidArgumentError(
            f"{what}: this cannot be sent. Is a line break in a header, or no host in the URL?"
        )
    if isinstance(error, httpx.DecodingError):
        return TransportError(f"{what}: the reply's compression is broken ({said}).")
    return ConnectionBrokenError(f"{what}: the connection broke ({said}).")
