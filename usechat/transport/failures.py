"""What httpx raises, in our words. No URL's query and no header ends up in a message."""

from __future__ import annotations

import httpx

from usechat.errors import (
    ChatTimeoutError,
    ConnectionBrokenError,
    InvalidArgumentError,
    TransportError,
    UseChatError,
)


def place(url: httpx.URL | str) -> str:
    """A URL without what may be secret: user, password, query.

    Args:
        url: any URL.
    """
    url = httpx.URL(url)
    return str(url.copy_with(username=None, password=None, query=None, fragment=None))


FAILURES = (httpx.TransportError, httpx.DecodingError, httpx.StreamError, httpx.InvalidURL, OSError)
"""What httpx raises when the network fails, or when what it was given cannot be sent."""


def translated(error: Exception, what: str) -> UseChatError:
    """What httpx raised, in our words.

    Args:
        error: one of ``FAILURES``.
        what: the request, for messages: ``POST http://…``.
    """
    said = error or type(error).__name__
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
        return InvalidArgumentError(f"{what}: this cannot be sent ({said}).")
    if isinstance(error, httpx.DecodingError):
        return TransportError(f"{what}: the reply's compression is broken ({said}).")
    return ConnectionBrokenError(f"{what}: the connection broke ({said}).")
