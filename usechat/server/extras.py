"""The packages that only a server needs, and what to say when they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from usechat.errors import UseChatError

PACKAGES = ("starlette", "sse_starlette", "uvicorn")


@contextmanager
def extras_needed() -> Iterator[None]:
    """Guard imports of the server's packages.

    Raises:
        UseChatError: one of them is not installed; the message says how to install it.
    """
    try:
        yield
    except ImportError as error:
        # Any other ImportError is a fault of the code and must not be dressed up.
        if (error.name or "").partition(".")[0] not in PACKAGES:
            raise
        raise UseChatError(
            f"The demo server needs {error.name}. Install it with: pip install 'usechat[server]'"
        ) from error
