"""What httpx raises, in our words. No URL's query and no header ends up in a message.

httpx2 is httpx under another name: a client of its may be given too, and it raises its own.
"""

from __future__ import annotations

import re
import sys

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


def _named(*names: str) -> tuple[type[Exception], ...]:
    """The exceptions of these names, httpx2's too where somebody has imported it."""
    libraries = [httpx, *(sys.modules[name] for name in ("httpx2",) if name in sys.modules)]
    return tuple(getattr(library, name) for library in libraries for name in names)


def failures() -> tuple[type[Exception], ...]:
    """What is raised when the network fails, or when what was given cannot be sent."""
    return (*_named("TransportError", "DecodingError", "StreamError", "InvalidURL"), OSError)


def was_sent(error: TransportError) -> bool:
    """Whether the server may have got a request that failed.

    Args:
        error: as ``translated`` has made it.
    """
    return not isinstance(error.__cause__, _named("ConnectError", "ConnectTimeout", "PoolTimeout"))


def translated(error: Exception, what: str) -> UseChatError:
    """What httpx raised, in our words.

    Args:
        error: one of ``failures()``.
        what: the request, for messages: ``POST http://…``.
    """
    said = str(error) or type(error).__name__
    if isinstance(error, _named("ConnectTimeout")):
        return ChatTimeoutError(
            f"{what}: no connection within the time allowed. Is the server up? See timeout=."
        )
    if isinstance(error, _named("TimeoutException")):
        return ChatTimeoutError(
            f"{what}: the server has been silent for longer than timeout= allows."
        )
    if isinstance(error, _named("ConnectError")):
        return ConnectionBrokenError(
            f"{what}: cannot connect ({said}). Is the server running, and is the URL right?"
        )
    if isinstance(error, _named("LocalProtocolError", "UnsupportedProtocol", "InvalidURL")):
        # What they say quotes the header or the URL, which may be secret.
        return InvalidArgumentError(
            f"{what}: this cannot be sent. Is a line break in a header, or no host in the URL?"
        )
    if isinstance(error, _named("DecodingError")):
        return TransportError(f"{what}: the reply's compression is broken ({said}).")
    return ConnectionBrokenError(f"{what}: the connection broke ({said}).")
