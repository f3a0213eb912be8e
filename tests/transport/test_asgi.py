"""An ASGI app in the process as the backend: what it sends comes as it sends it."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from fastapi import FastAPI
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from usechat import (
    AsyncChatSession,
    ChatRequest,
    ChatSession,
    ChatTimeoutError,
    ConnectionBrokenError,
    HTTPStatusError,
    InvalidArgumentError,
    RequestOptions,
)
from usechat.server import create_app
from usechat.testing import text_reply
from usechat.threads import run_in_thread
from usechat.transport.asgi import ASGITransport
from usechat.wire.ui_message_stream import DONE, HEADERS, encode_chunk

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("collected")]

REPLY = text_reply("Grüße \u2028 from the app", message_id="m1")
REQUEST = ChatRequest("submit-message", "c1", (), None, RequestOptions())
EVENTS = [*map(encode_chunk, REPLY), DONE]


def starlette_app(answer: Callable[[Request], Any], **options: Any) -> Starlette:
    routes = [Route("/api/chat", answer, methods=["POST", "GET"])]
    return Starlette(routes=routes, **options)


class Backend:
    """Sends a reply up to its text, then waits until it is told to go on."""

    def __init__(self) -> None:
        self.go = anyio.Event()
        self.ended: list[str] = []

    async def body(self) -> AsyncIterator[bytes]:
        try:
            for event in EVENTS[:5]:
                yield event
            await self.go.wait()
            for event in EVENTS[5:]:
                yield event
            self.ended.append("finished")
        except BaseException:
            self.ended.append("stopped")
            raise

    async def data(self) -> AsyncIterator[dict[str, str]]:
        async with aclosing(self.body()) as body:
            async for event in body:
                yield {"data": event.decode()[6:-2]}

    async def streaming(self, request: Request) -> Response:
        await request.json()
        return StreamingResponse(self.body(), headers=HEADERS)

    async def sse(self, request: Request) -> Response:
        await request.json()
        return EventSourceResponse(self.data(), headers=HEADERS)

    def starlette(self) -> Any:
        return starlette_app(self.streaming)

    def fastapi(self) -> Any:
        app = FastAPI()

        @app.post("/api/chat")
        async def chat(body: dict[str, Any]) -> StreamingResponse:
            assert body["messages"]
            return StreamingResponse(self.body(), headers=HEADERS)

        return app

    def middleware(self) -> Any:
        async def tagged(request: Request, call_next: Any) -> Response:
            response: Response = await call_next(request)
            response.headers["x-tag"] = "passed"
            return response

        return starlette_app(
            self.streaming, middleware=[Middleware(BaseHTTPMiddleware, dispatch=tagged)]
        )

    def sse_starlette(self) -> Any:
        return starlette_app(self.sse)

    def bare(self) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert (await receive())["body"]
            head = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            async with aclosing(self.body()) as body:
                async for event in body:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body"})

        return app


FRAMEWORKS = ["starlette", "fastapi", "middleware", "sse_starlette", "bare"]


async def sent(send: Any, *bodies: bytes, end: bool = True, status: int = 200) -> None:
    """Send a response."""
    head = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
    await send({"type": "http.response.start", "status": status, "headers": head})
    for body in bodies:
        await send({"type": "http.response.body", "body": body, "more_body": True})
    if end:
        await send({"type": "http.response.body"})


@asynccontextmanager
async def talking(app: Any, api: str = "/api/chat", **options: Any) -> AsyncIterator[Any]:
    transport = ASGITransport(app, api, **options)
    try:
        async with AsyncChatSession(transport) as chat:
            yield chat
    finally:
        await transport.aclose()


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_what_is_sent_comes_before_the_reply_is_complete(framework: str) -> None:
    backend = Backend()
    async with talking(getattr(backend, framework)()) as chat:
        pieces = []
        turn = chat.send_message("Hi")
        async for piece in turn:
            pieces.append(piece)
            assert backend.ended == ([] if len(pieces) <= 2 else backend.ended)
            if len(pieces) == 2:  # both of them come while the app waits
                backend.go.set()
        assert turn.outcome == "completed"
        assert "".join(pieces) == turn.text == "Grüße \u2028 from the app"
    assert backend.ended == ["finished"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_the_app_sees_that_a_reply_is_stopped(framework: str) -> None:
    backend = Backend()
    async with talking(getattr(backend, framework)()) as chat:
        turn = chat.send_message("Hi")
        async for _ in turn:
            chat.stop()
        await turn
        assert turn.outcome == "stopped"
    if framework != "middleware":  # Starlette's leaves the generator behind a stream of its own
        assert backend.ended == ["stopped"]


async def test_one_that_does_not_notice_is_cancelled_and_may_clean_up() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await sent(send, *EVENTS[:4], end=False)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await receive()
                seen.append(await receive())
                for more in (True, False):
                    message = {"type": "http.response.body", "body": b"", "more_body": more}
                    with pytest.raises(OSError, match="The client has left"):
                        await send(message)

    async with talking(app) as chat:
        async for _ in chat.send_message("Hi"):
            chat.stop()
    assert seen == [{"type": "http.disconnect"}]


async def test_one_that_is_stopped_before_its_head() -> None:
    ended: list[str] = []
    begun = anyio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        begun.set()
        assert (await receive())["type"] == "http.disconnect"
        ended.append("noticed")

    async with talking(app) as chat, anyio.create_task_group() as group:
        turn = chat.send_message("Hi")
        group.start_soon(turn.wait)
        await begun.wait()
        chat.stop()
    assert (turn.outcome, ended) == ("stopped", ["noticed"])


async def test_closing_the_transport_ends_what_runs() -> None:
    backend = Backend()
    transport = ASGITransport(backend.bare())
    reply = await transport.send_messages(REQUEST)
    assert (await anext(reply))[0]["type"] == "start"
    await transport.aclose()
    assert backend.ended == ["stopped"]
    await reply.aclose()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_closing_the_transport_on_one_loop_leaves_the_others(backend: str) -> None:
    go = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await sent(send, *EVENTS[:5], end=False)
        await run_in_thread(go.wait)
        await send({"type": "http.response.body", "body": b"".join(EVENTS[5:])})

    transport = ASGITransport(app)
    with ChatSession(transport) as chat:
        turn = chat.send_message("Hi")
        for _ in turn:
            if not go.is_set():
                anyio.run(transport.aclose, backend=backend)
                go.set()
        assert turn.outcome == "completed"
        assert chat.send_message("And now?").wait().outcome == "completed"


async def test_a_transport_that_was_closed_is_of_use() -> None:
    transport = ASGITransport(create_app(delay=0))
    for _ in range(2):
        async with AsyncChatSession(transport) as chat:
            assert (await chat.send_message("odd")).outcome == "completed"
        await transport.aclose()


async def test_one_that_never_ends_is_left_after_its_time_to_clean_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("usechat.transport.asgi._NOTICE", 0)
    monkeypatch.setattr("usechat.transport.asgi._CLEAN_UP", 0.5)
    go = anyio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await sent(send, *EVENTS[:4], end=False)
        while not go.is_set():
            with suppress(anyio.get_cancelled_exc_class()), anyio.CancelScope(shield=True):
                await go.wait()

    async with talking(app) as chat:
        async for _ in chat.send_message("Hi"):
            chat.stop()
            begun = anyio.current_time()
        took = anyio.current_time() - begun
        go.set()
        await anyio.wait_all_tasks_blocked()
    assert took < 0.9  # not once for each cancellation


def at_once(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
    """A task factory that runs what never waits as its task is made, as Python 3.12's does."""
    with suppress(StopIteration):
        coro.send(None)
        raise AssertionError("It waits.")
    ended = loop.create_future()
    ended.set_result(None)
    return ended


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_call_that_ends_as_its_task_is_made_is_not_kept() -> None:
    class Held:
        pass

    held: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["held"] = Held()
        held.append(weakref.ref(scope["held"]))

    transport = ASGITransport(app)
    asyncio.get_running_loop().set_task_factory(at_once)
    with pytest.raises(ConnectionBrokenError):
        await transport.send_messages(REQUEST)
    asyncio.get_running_loop().set_task_factory(None)
    gc.collect()
    assert [kept() for kept in held] == [None]


async def test_the_app_waits_for_a_reader_that_does_not_read() -> None:
    count = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal count
        await sent(send, end=False)
        while True:
            delta = encode_chunk({"type": "text-delta", "id": "t", "delta": "x"})
            await send({"type": "http.response.body", "body": delta, "more_body": True})
            count += 1

    transport = ASGITransport(app)
    reply = await transport.send_messages(REQUEST)
    for read in range(1, 4):
        await anext(reply)
        await anyio.wait_all_tasks_blocked()
        assert count <= read + 1
    await reply.aclose()
    await transport.aclose()


async def raises_at_once(scope: Any, receive: Any, send: Any) -> None:
    raise KeyError("mine")


async def raises_in_groups(scope: Any, receive: Any, send: Any) -> None:
    async with anyio.create_task_group(), anyio.create_task_group():
        raise KeyError("mine")


async def raises_exit(scope: Any, receive: Any, send: Any) -> None:
    raise SystemExit(3)


async def raises_in_body(scope: Any, receive: Any, send: Any) -> None:
    await sent(send, *EVENTS[:5], end=False)
    raise KeyError("mine")


async def starlette_raises(request: Request) -> Response:
    raise KeyError("mine")


async def returns_in_body(scope: Any, receive: Any, send: Any) -> None:
    await sent(send, *EVENTS[:-2], end=False)


async def returns_at_once(scope: Any, receive: Any, send: Any) -> None:
    pass


async def body_first(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.body", "body": b"x"})


async def two_heads(scope: Any, receive: Any, send: Any) -> None:
    for _ in range(2):
        await send({"type": "http.response.start", "status": 200})


@pytest.mark.parametrize(
    ("app", "said", "cause"),
    [
        (raises_at_once, "the app raised KeyError: 'mine'", KeyError),
        (raises_exit, "the app raised SystemExit: 3", SystemExit),
        (raises_in_body, "the app raised KeyError: 'mine'", KeyError),
        (starlette_app(starlette_raises), "the app raised KeyError: 'mine'", KeyError),
        (returns_in_body, "the app returned before the end of its reply", None),
        (returns_at_once, "the app returned before the end of its reply", None),
        (body_first, "sent http.response.body out of turn", RuntimeError),
        (two_heads, "sent http.response.start out of turn", RuntimeError),
    ],
)
async def test_what_the_app_raises_is_the_cause(
    app: Any, said: str, cause: type[BaseException] | None
) -> None:
    async with talking(app) as chat:
        turn = await chat.send_message("Hi")
        assert turn.outcome == "error"
        assert isinstance(turn.error, ConnectionBrokenError)
        assert said in str(turn.error)
        read_error = turn.error.__cause__
        assert (None if cause is None else cause) == (
            None if read_error.__cause__ is None else type(read_error.__cause__)
        )


async def test_the_one_exception_of_a_group_is_named() -> None:
    async with talking(raises_in_groups) as chat:
        turn = await chat.send_message("Hi")
        assert isinstance(turn.error, ConnectionBrokenError)
        assert "the app raised KeyError: 'mine'" in str(turn.error)


async def test_an_answer_that_is_no_reply() -> None:
    async def denied(request: Request) -> Response:
        return JSONResponse({"detail": "who are you?"}, 401)

    async with talking(starlette_app(denied)) as chat:
        turn = await chat.send_message("Hi")
        assert isinstance(turn.error, HTTPStatusError)
        assert (turn.error.status_code, turn.error.body) == (401, '{"detail":"who are you?"}')
        assert "POST http://app/api/chat answered 401" in str(turn.error)


@pytest.mark.parametrize("fails", [False, True])
async def test_what_the_app_does_after_its_reply_goes_on(
    fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    go, done = anyio.Event(), anyio.Event()

    async def later() -> None:
        await go.wait()
        done.set()
        if fails:
            raise KeyError("mine")

    async def answer(request: Request) -> Response:
        body = b"".join(EVENTS)
        return Response(body, headers=HEADERS, background=BackgroundTask(later))

    async with talking(starlette_app(answer)) as chat:
        assert (await chat.send_message("Hi")).outcome == "completed"
        go.set()
        await done.wait()
        await anyio.wait_all_tasks_blocked()
    said = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert said == (["The app raised after its reply"] if fails else [])


async def test_silence_is_a_timeout() -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        if scope["query_string"]:
            await sent(send, *EVENTS[:4], end=False)
        while (await receive())["type"] != "http.disconnect":
            pass

    for query in ("", "?head"):
        async with talking(silent, f"/api/chat{query}", timeout=0.01) as chat:
            assert isinstance((await chat.send_message("Hi")).error, ChatTimeoutError)


async def test_what_the_app_is_told() -> None:
    variable: ContextVar[str] = ContextVar("variable")
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        told.extend([scope, await receive(), variable.get()])
        await sent(send, *EVENTS)

    variable.set("of who asks")
    options = {"headers": {"X-Key": "k"}, "body": {"model": "m"}}
    async with talking(app, "/a%20b?c=d", **options) as chat:
        assert (await chat.send_message("Grüße", headers={"x-b": "c"})).outcome == "completed"
    scope, message, seen = told
    assert seen == "of who asks"
    assert (message["type"], message["more_body"]) == ("http.request", False)
    assert json.loads(message["body"])["model"] == "m"
    assert (scope["type"], scope["method"], scope["scheme"]) == ("http", "POST", "http")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b", b"/a%20b", b"c=d")
    assert (scope["server"], scope["root_path"]) == (("app", None), "")
    headers = dict(scope["headers"])
    assert (headers[b"x-key"], headers[b"x-b"], headers[b"host"]) == (b"k", b"c", b"app")


async def test_two_requests_at_once() -> None:
    both = [anyio.Event(), anyio.Event()]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        own = int(dict(scope["headers"])[b"x-number"])
        await sent(send, *EVENTS[:5], end=False)
        both[own].set()
        await both[1 - own].wait()
        await send({"type": "http.response.body", "body": b"".join(EVENTS[5:])})

    transport = ASGITransport(app)

    async def ask(number: int) -> None:
        async with AsyncChatSession(transport) as chat:
            turns.append(await chat.send_message("Hi", headers={"x-number": str(number)}))

    turns: list[Any] = []
    async with anyio.create_task_group() as group:
        group.start_soon(ask, 0)
        group.start_soon(ask, 1)
    await transport.aclose()
    assert [turn.outcome for turn in turns] == ["completed"] * 2


def only_message(asked: Any) -> dict[str, Any]:
    return {"body": {"message": asked.messages[-1].text}}


@pytest.mark.parametrize(
    ("api", "options"),
    [
        ("/api/chat", {}),
        ("/api/chat?protocol=text", {}),
        ("/api/chat?protocol=data-stream", {"request_format": "data-stream"}),
        ("/api/stream", {"prepare_send_request": only_message}),
    ],
)
async def test_the_demo_in_each_protocol(api: str, options: Any) -> None:
    async with talking(create_app(delay=0), api, **options) as chat:
        turn = await chat.send_message("odd")
        assert turn.outcome == "completed"
        assert "U+2028 [\u2028]" in turn.text
        assert turn.text.endswith("data: [DONE] at the end.")


async def test_a_running_reply_is_resumed() -> None:
    async with talking(create_app(delay=0)) as chat:
        turn = await chat.resume_stream()
        assert (turn.outcome, chat.messages) == ("completed", ())


def test_a_session_with_threads() -> None:
    transport = ASGITransport(create_app(delay=0))
    with ChatSession(transport) as chat:
        turn = chat.send_message("odd").wait()
        assert (turn.outcome, turn.text[:5]) == ("completed", "Emoji")
        failed = chat.send_message("error").wait()
        assert failed.outcome == "error"
        for _ in (silent := chat.send_message("stall")):
            chat.stop()
        assert silent.wait().outcome == "stopped"


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (("http://localhost/api/chat",), {}, "expected an ASGI app, got str"),
        ((raises_at_once,), {"client": None}, "has no client"),
        ((raises_at_once,), {"base_url": "http://x", "client": None}, "has no base_url, client"),
        ((raises_at_once, "ftp://x"), {}, "begins with http"),
        ((raises_at_once,), {"protocol": "morse"}, "protocol='morse'"),
    ],
)
def test_arguments_that_cannot_be_used(arguments: Any, options: Any, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        ASGITransport(*arguments, **options)


def test_it_shows_no_secret() -> None:
    assert repr(ASGITransport(raises_at_once, "/chat?key=k")) == "ASGITransport('/chat')"
