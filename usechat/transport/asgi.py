"""An ASGI app in this process as the backend, with what it sends coming as it sends it.

``httpx.ASGITransport`` gives a reply when it is complete.
Source: the ASGI specification, HTTP & WebSocket message format, 2.5.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
import httpx
from typing_extensions import Unpack

from usechat.errors import InvalidArgumentError, cause_of
from usechat.transport.background import Background
from usechat.transport.failures import place
from usechat.transport.http import HttpTransport
from usechat.transport.options import HttpOptions

logger = logging.getLogger("usechat")

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

# How long an app has to notice that its client has left, and then to clean up, in seconds.
_NOTICE = 0.25
_CLEAN_UP = 2.0


class ASGITransport(HttpTransport):
    """Talks to an ASGI app in this process: Starlette, FastAPI or any other.

    The app runs on the session's loop, each request in a task of its own: for a ``ChatSession``
    that is the thread of the library that reads all replies. It gets no lifespan events: start
    what it needs yourself. When a reply is stopped the app is told that its client has left, and
    a quarter of a second later it is cancelled. What it raises is the cause of the turn's
    ``ConnectionBrokenError``.

    Starlette leaves a generator that is stopped at its ``yield`` to the collector. Its
    ``BaseHTTPMiddleware`` reads the app's reply itself: the text still comes as it is sent, but
    where a generator raises, the reply ends as if it were whole, and the turn is ``incomplete``.

    Args:
        app: the app.
        api: the endpoint's path, or a URL whose host the app is to see.
        options: those of ``HttpOptions`` but ``client`` and ``base_url``; of ``timeout``, the
            read timeout counts.

    Raises:
        InvalidArgumentError: an argument cannot be used.
    """

    def __init__(
        self, app: ASGIApp, api: str = "/api/chat", **options: Unpack[HttpOptions]
    ) -> None:
        if not callable(app):
            raise InvalidArgumentError(f"app: expected an ASGI app, got {type(app).__name__}.")
        refused = options.keys() & {"client", "base_url"}
        if refused:
            raise InvalidArgumentError(f"ASGITransport has no {', '.join(sorted(refused))}.")
        # Without the environment's proxies, each of which would make a TLS context.
        self._to_app = _AppTransport(app)
        options["client"] = httpx.AsyncClient(
            transport=self._to_app, base_url="http://app", trust_env=False
        )
        super().__init__(api, **options)

    def __repr__(self) -> str:
        return f"ASGITransport({place(self._api)!r})"

    async def aclose(self) -> None:
        """Leave the replies that run on this loop, and cancel what the app still does for them.

        Those of other loops go on, and new ones may begin.
        """
        # Not the client, which could not be used again: it holds nothing that is open.
        await self._to_app.aclose()


class _AppTransport(httpx.AsyncBaseTransport):
    """Sends requests to an app.

    Args:
        app: the app.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._calls: set[_Call] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Call the app; return its response when its head is there.

        Args:
            request: the request.
        """
        call = _Call(self._app, request, await request.aread(), self._calls.discard)
        self._calls.add(call)
        if call.task.over:  # already: a loop may run tasks as they are made
            self._calls.discard(call)
        try:
            await call.begun()
        except BaseException:
            await call.aclose()
            raise
        return httpx.Response(call.status, headers=call.headers, stream=call)

    async def aclose(self) -> None:
        """End the calls of this loop."""
        here = anyio.lowlevel.current_token()
        # A copy: other loops add to them and take from them.
        calls = [call for call in self._calls.copy() if call.task.loop == here]
        for call in calls:
            call.leave()
        for call in calls:
            await call.end()


class _Call(httpx.AsyncByteStream):
    """One call of the app, and the body of its response.

    Args:
        app: the app.
        request: the request.
        content: its body.
        ended: told when the app has ended.

    Attributes:
        task: runs the app.
        status: of the response.
        headers: of the response.
    """

    def __init__(
        self,
        app: ASGIApp,
        request: httpx.Request,
        content: bytes,
        ended: Callable[[_Call], object],
    ) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._app = app
        self._scope = _scope_of(request)
        self._timeout = request.extensions.get("timeout", {}).get("read")
        self._content: bytes | None = content
        self._head = anyio.Event()
        self._complete = False
        self._gone = anyio.Event()  # the client has all, or has left
        self._error: BaseException | None = None
        # One piece waits at most: then the app's send does.
        self._put, self._pieces = anyio.create_memory_object_stream[bytes](1)
        self._ended = ended
        self.task = Background(self._run)

    # ---------------------------------------------------------- the app's side

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        except BaseException as error:
            self._error = error
            if self._complete and self.status < 500 and isinstance(error, Exception):
                logger.exception("The app raised after its reply")
        finally:
            self._head.set()
            self._gone.set()
            self._put.close()
            self._ended(self)

    async def _receive(self) -> Message:
        content, self._content = self._content, None
        if content is not None:
            return {"type": "http.request", "body": content, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start" and not self._head.is_set():
            self.status = message["status"]
            self.headers = [
                (bytes(name), bytes(value)) for name, value in message.get("headers", ())
            ]
            self._head.set()
        elif kind == "http.response.body" and self._head.is_set() and not self._complete:
            await self._send_body(message)
        elif kind in ("http.response.start", "http.response.body"):
            raise RuntimeError(f"The app sent {kind} out of turn.")

    async def _send_body(self, message: Message) -> None:
        body = bytes(message.get("body", b""))
        try:
            if body:
                await self._put.send(body)
            elif self._gone.is_set():
                raise anyio.BrokenResourceError
        except anyio.BrokenResourceError:
            raise OSError("The client has left.") from None
        if not message.get("more_body", False):
            self._complete = True
            self._gone.set()
            self._put.close()

    # ------------------------------------------------------- the client's side

    async def begun(self) -> None:
        """Wait for the head of the response.

        Raises:
            ReadError: there is none.
            ReadTimeout: it has not come in time.
        """
        with anyio.move_on_after(self._timeout):
            await self._head.wait()
        if not self._head.is_set():
            raise httpx.ReadTimeout("")
        if not self.status:
            raise self._broken()

    def __aiter__(self) -> _Call:
        return self

    async def __anext__(self) -> bytes:
        try:
            with anyio.move_on_after(self._timeout):
                return await self._pieces.receive()
        except anyio.EndOfStream:
            if not self._complete or (self._error is not None and self.status >= 500):
                raise self._broken() from self._error
            raise StopAsyncIteration from None
        raise httpx.ReadTimeout("")

    def _broken(self) -> httpx.ReadError:
        """What the end of the app means before that of its reply."""
        error = self._error
        if error is None:
            return httpx.ReadError("the app returned before the end of its reply")
        cause = cause_of(error)
        broken = httpx.ReadError(f"the app raised {type(cause).__name__}: {cause}")
        broken.__cause__ = error
        return broken

    async def aclose(self) -> None:
        """Leave, if the reply is not complete; what the app does after it is its own."""
        self._pieces.close()
        if not self._complete:
            await self.end()

    def leave(self) -> None:
        """Tell the app that its client has left."""
        self._gone.set()
        self._pieces.close()

    async def end(self) -> None:
        """Leave, and wait until the app has ended; it is cancelled if it does not notice."""
        self.leave()
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(_NOTICE):
                await self.task.wait()
                return
            await self.task.end(_CLEAN_UP)


def _scope_of(request: httpx.Request) -> Message:
    url = request.url
    return {
        "type": "http",
        # As uvicorn says. From 2.4 on Starlette's replies end with their next send, not at once.
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
        "root_path": "",
        "server": (url.host, url.port),
        "client": ("127.0.0.1", 123),
    }
