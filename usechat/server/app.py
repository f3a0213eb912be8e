"""The demo endpoint as a Starlette app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from usechat.server.data_stream_messages import ui_message
from usechat.server.demo import new_id, reply
from usechat.server.requests import messages_in, read_object, refuse, text_in
from usechat.server.responses import (
    FollowResponse,
    PlainText,
    ReplyResponse,
    data_stream_wire,
    text_wire,
    ui_wire,
)
from usechat.server.running import (
    UNATTENDED_SECONDS,
    OnReplyEnd,
    Outcome,
    RunningReplies,
    RunningReply,
)
from usechat.wire import json_sse

ABOUT = """\
The demo endpoint of usechat: an assistant of rules, without a model.

POST /api/chat              a reply as a UI message stream (the AI SDK's useChat speaks it)
     ?protocol=text         the same as plain text
     ?protocol=data-stream  the same as a data stream (version 4 of the SDK speaks it)
     ?resumable=1           the reply goes on when the client is gone
GET  /api/chat/{id}/stream  the reply that runs for a chat, from its start; 204 without one
GET  /api/chat?chatId={id}  the same, as version 4 of the SDK asks for it
POST /api/stream            {"message": "..."}: SSE, data: {"text": "..."} up to data: [DONE]

Send "help" to see what it can show.
"""

_WIRES = {"ui": ui_wire, "text": text_wire, "data-stream": data_stream_wire}


def create_app(*, delay: float = 0.03, on_reply_end: OnReplyEnd | None = None) -> Starlette:
    """Make the demo endpoint.

    Args:
        delay: seconds before a word of a reply.
        on_reply_end: called with the chat's id (for ``/api/stream``: an empty one) and
            ``"finished"`` or ``"stopped"`` when a reply has ended.
    """
    endpoint = _Demo(delay, on_reply_end)
    app = Starlette(
        routes=[
            Route("/", _about, methods=["GET"]),
            Route("/api/chat", endpoint.chat, methods=["POST"]),
            Route("/api/chat", endpoint.resume, methods=["GET"]),
            Route("/api/chat/{id:path}/stream", endpoint.resume, methods=["GET"]),
            Route("/api/stream", endpoint.stream, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )
    app.state.replies = endpoint.replies
    return app


class _Demo:
    """The endpoint's routes and the replies that run."""

    def __init__(self, delay: float, on_reply_end: OnReplyEnd | None) -> None:
        self.replies = RunningReplies(on_reply_end)
        self._delay = delay
        self._on_reply_end = on_reply_end

    async def chat(self, request: Request) -> ASGIApp:
        protocol = _protocol(request)
        body = await read_object(request)
        messages = messages_in(body)
        if protocol == "data-stream":
            messages = [ui_message(message) for message in messages]
        chat_id = text_in(body, "id", default=new_id())
        if self.replies.full:
            raise refuse("Too many replies are running; try again later.", 503)
        grace = UNATTENDED_SECONDS if request.query_params.get("resumable") == "1" else 0.0
        running = RunningReply(reply(messages, delay=self._delay), grace)
        return ReplyResponse(self.replies, chat_id, running, _WIRES[protocol]())

    async def resume(self, request: Request) -> ASGIApp:
        chat_id = request.path_params.get("id") or request.query_params.get("chatId")
        if chat_id is None:
            raise refuse('"chatId" must say which chat is to be resumed.')
        wire = _WIRES[_protocol(request)]()
        running = self.replies.get(chat_id)
        return FollowResponse(running, wire) if running else Response(status_code=204)

    async def stream(self, request: Request) -> Response:
        message = text_in(await read_object(request), "message")
        return EventSourceResponse(self._events(message), headers=json_sse.HEADERS)

    async def _events(self, message: str) -> AsyncIterator[bytes]:
        messages = [{"role": "user", "parts": [{"type": "text", "text": message}]}]
        plain = PlainText()
        outcome: Outcome = "stopped"
        try:
            async with aclosing(reply(messages, delay=self._delay)) as chunks:
                async for chunk in chunks:
                    if chunk["type"] == "error":
                        yield json_sse.encode_error(chunk["errorText"])
                        break
                    if text := plain(chunk):
                        yield json_sse.encode_text(text)
                else:
                    yield json_sse.DONE
            outcome = "finished"
        finally:
            if self._on_reply_end:
                self._on_reply_end("", outcome)


def _protocol(request: Request) -> str:
    protocol = request.query_params.get("protocol", "ui")
    if protocol not in _WIRES:
        raise refuse(f'"protocol" must be one of: {", ".join(_WIRES)}.')
    return protocol


async def _about(request: Request) -> Response:
    return PlainTextResponse(ABOUT)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "The server has a fault; its log says which."}, 500)
