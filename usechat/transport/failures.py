"""What httpx raises, in our words. No URL's query and no header ends up in a message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from usechat.errors import (
    ChatTimeoutError,
    ConnectionBrokenError,
    InvalidArgumentError,
    TransportError,
)


def place(url: httpx.URL | str) -> str:
    """A URL without what may be secret: user, password, query.

    Args:
        url: any URL.
    """
    url = httpx.URL(url)
    return str(url.copy_with(username=None, password=None, query=None, fragment=None))


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what httpx raises into errors of ours.

    Args:
        what: the request, for messages: ``POST http://…``.
    """
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise ChatTimeoutError(
            f"{what}: no connection within the time allowed. Is the server up? See timeout=."
        ) from error
    except httpx.TimeoutException as error:
        raise ChatTimeoutError(
            f"{what}: the server has been silent for longer than timeout= allows."
        ) from error
    except httpx.ConnectError as error:
        raise ConnectionBrokenError(
            f"{what}: cannot connect ({error}). Is the server running, and is the URL right?"
        ) from error
    except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise InvalidArgumentError(f"{what}: this cannot be sent ({error}).") from error
    except httpx.DecodingError as error:
        raise TransportError(f"{what}: the reply's compression is broken ({error}).") from error
    except (httpx.TransportError, httpx.StreamError, OSError) as error:
        raise ConnectionBrokenError(
            f"{what}: the connection broke ({error or type(error).__name__})."
        ) from error
