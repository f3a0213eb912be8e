"""The errors of usechat. A caller's fault and a peer's fault are different branches.

UseChatError
├── ChatBusyError               a turn is running and the policy is to reject
├── QueuePausedError            waiting for a turn in a queue that is paused
├── ChatClosedError             the session has been closed
├── PendingToolError            the turn ended while tool calls still wait
├── DispatchError               the host that should run the callbacks is gone
├── InvalidArgumentError        (also a ValueError) an argument that cannot be used
├── CallbackError               a callback of yours raised; it is the ``__cause__``
├── TransportError              the network
│   ├── HTTPStatusError         an answer that is no reply: 4xx, 5xx, a redirect, no body
│   ├── ConnectionBrokenError   refused or broken: a disconnect, resumable
│   └── ChatTimeoutError        nothing came in time
├── IncompleteReplyError        the reply ended without its end
├── StreamProtocolError         the peer sent what the protocol does not allow
└── ServerError                 the server said so: an error chunk
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class UseChatError(Exception):
    """The base of every error that the library raises."""


class ChatBusyError(UseChatError):
    """A turn is running, and ``when_busy`` does not allow another."""


class QueuePausedError(UseChatError):
    """The turn waits in a queue that is paused: nothing would ever end the wait."""


class ChatClosedError(UseChatError):
    """The session has been closed."""


class PendingToolError(UseChatError):
    """The turn ended at ``max_steps`` while the conversation wanted to go on."""


class DispatchError(UseChatError):
    """``dispatch`` failed: the host that should run the callbacks is gone."""


class InvalidArgumentError(UseChatError, ValueError):
    """An argument that cannot be used; nothing has been changed."""


class CallbackError(UseChatError):
    """A callback raised and ended the reply; what it raised is the ``__cause__``."""


class TransportError(UseChatError):
    """The network failed."""


class HTTPStatusError(TransportError):
    """The endpoint answered with something that is no reply.

    Attributes:
        status_code: the HTTP status.
        headers: the response's headers, names in lower case.
        body: the start of the response's body as text, at most 64 KiB.
    """

    def __init__(self, message: str, status_code: int, headers: Mapping[str, str], body: str):
        super().__init__(message)
        self.status_code = status_code
        self.headers = headers
        self.body = body

    def __reduce__(self) -> tuple[type[HTTPStatusError], tuple[object, ...]]:
        return type(self), (str(self), self.status_code, self.headers, self.body)


class ConnectionBrokenError(TransportError):
    """The connection was refused or broke: a disconnect, which a resume may mend."""


class ChatTimeoutError(TransportError):
    """Nothing came in the time that ``timeout`` allows."""


class IncompleteReplyError(UseChatError):
    """The reply ended cleanly, but without the protocol's own end."""


class StreamProtocolError(UseChatError):
    """The peer sent something that the protocol does not allow.

    Attributes:
        chunk: the start of the offending chunk as it came, or None.
        position: how many chunks of the reply came before it, or None where not known.
    """

    def __init__(self, message: str, *, chunk: str | None = None, position: int | None = None):
        super().__init__(message)
        self.chunk = chunk
        self.position = position


class ServerError(UseChatError):
    """The server reported an error in the reply.

    Attributes:
        error_text: the server's own words.
    """

    def __init__(self, error_text: str):
        super().__init__(error_text or "The server reported an error without saying which.")
        self.error_text = error_text


def cause_of(error: BaseException) -> BaseException:
    """The one exception that a task group was left by, which says more than its group.

    Args:
        error: what was raised; it is its own cause if it is no group, or one of several.
    """
    inner: Any = getattr(error, "exceptions", None)  # Python 3.10 has no groups to ask for
    while isinstance(inner, tuple) and len(inner) == 1 and isinstance(inner[0], BaseException):
        error = inner[0]
        inner = getattr(error, "exceptions", None)
    return error
