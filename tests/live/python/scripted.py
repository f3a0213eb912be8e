"""What the Python servers of the live tests share: the scripted words, the log, how they run.

Each server is a program beside this module. It prints {"port": N} in one line once it listens on
127.0.0.1, ends with its stdin, and beside its chat has the control routes of `../ai7/server.mjs`:

    GET    /log            {requests, modelCalls, toolRuns, finishes, aborts, errors} so far
    DELETE /log            forgets all that; what is still running writes to the old log
    GET    /wait-abort     answers when a reply has been aborted, with what is known of it
    POST   /release        lets one word of each "slow" reply go, now or when it comes to it

The text of the last user message chooses the words (`_SCRIPTS`); any other text is echoed.
"call NAME({...}) NAME()" calls those tools, and with "again and again" after each result too;
"recall" quotes all results that there ever were.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import socket
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Characters that a line splitter, a UTF-8 decoder or a careless JSON reader breaks: line
# separators, a combining accent, CJK, a family of joined emoji, quotes, escapes, a BOM, a NUL.
ODD = (
    "a\u2028b\u2029c\u0085d\u000be\u000cf\u001cg\r\nh\ri\n\nj e\u0301 \u00e9 \u65e5\u672c\u8a9e "
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f600 \"double\" 'single' \\back\\ "
    '\ufeff\u0000\u007f data: [DONE]\n\ndata: {"type":"error"} \u202eend'
)


# ------------------------------------------------------------------ the log
class Log:
    """What the server saw; in ``seen`` as it is told."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {
            "requests": [],
            "modelCalls": 0,
            "toolRuns": [],
            "finishes": [],
            "aborts": [],
            "errors": [],
        }
        self.aborted = asyncio.Event()
        self.released = asyncio.Semaphore(0)

    def abort(self, chat_id: str | None, reason: str) -> None:
        self.seen["aborts"].append({"chatId": chat_id, "reason": reason})
        self.aborted.set()


class Exchange(NamedTuple):
    """A request that is being answered: the log it began with, and its chat."""

    log: Log
    chat_id: str | None


_exchange: ContextVar[Exchange] = ContextVar("exchange")


class Recorder:
    """Puts the requests of an ASGI app into a log, and serves the log beside it."""

    def __init__(self, app: ASGIApp) -> None:
        self.log = Log()
        self._app = app
        self.routed = Starlette(
            routes=[
                Route("/log", self._tell, methods=["GET"]),
                Route("/log", self._forget, methods=["DELETE"]),
                Route("/wait-abort", self._wait_abort, methods=["GET"]),
                Route("/release", self._release, methods=["POST"]),
                Mount("/", self._record),
            ]
        )

    async def _record(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self._app(scope, receive, send)
        request = Request(scope, receive)
        text = await request.body()
        body = json.loads(text)
        self.log.seen["requests"].append({"headers": dict(request.headers), "body": body})
        _exchange.set(Exchange(self.log, body.get("id")))
        unread: list[Message] = [{"type": "http.request", "body": text, "more_body": False}]

        async def again() -> Message:
            return unread.pop() if unread else await receive()

        await self._app(scope, again, send)

    async def _tell(self, request: Request) -> Response:
        return JSONResponse(self.log.seen)

    async def _forget(self, request: Request) -> Response:
        self.log = Log()
        return Response(status_code=204)

    async def _wait_abort(self, request: Request) -> Response:
        log = self.log
        await log.aborted.wait()
        return JSONResponse(log.seen["aborts"][0])

    async def _release(self, request: Request) -> Response:
        self.log.released.release()
        return Response(status_code=204)


# ---------------------------------------------------------------- the model
class Call(NamedTuple):
    """A tool call that the model makes."""

    id: str
    name: str
    input: dict[str, Any]

    @property
    def pieces(self) -> tuple[str, str]:
        """The input as JSON, in two pieces."""
        text = json.dumps(self.input, ensure_ascii=False)
        return text[:9], text[9:]


class ScriptedError(Exception):
    """What the model raises where it is asked to."""


async def model(
    length: int,
    question: str,
    results: list[dict[str, Any]],
    all_results: list[dict[str, Any]] | None = None,
) -> AsyncIterator[str | Call]:
    """Give the pieces of text and the calls that the model answers with.

    Args:
        length: of the prompt, in messages.
        question: the text of its last user message.
        results: the results of tools that follow this; the answer quotes them.
        all_results: those of all the conversation.
    """
    log = _exchange.get().log
    log.seen["modelCalls"] += 1
    if results:
        yield _quoting(results)
    if question.startswith("call ") and (not results or question.endswith("again and again")):
        for call in _named(question, log.seen["modelCalls"]):
            yield call
    elif results:
        return
    elif question == "recall":
        yield _quoting(all_results or [])
    elif script := _SCRIPTS.get(question):
        async for piece in script(log):
            yield piece
    else:
        yield f"Message {length}: "
        yield question


def _quoting(results: list[dict[str, Any]]) -> str:
    return f"The tool said {json.dumps(results, ensure_ascii=False, separators=(',', ':'))}."


def _named(question: str, answer: int) -> Iterator[Call]:
    """The calls that a text names; their ids differ from those of the other answers."""
    for at, (name, given) in enumerate(re.findall(r"([\w-]+)\((\{.*?\})?\)", question)):
        yield Call(f"call-{answer}-{at}", name, json.loads(given or "{}"))


async def _text(log: Log) -> AsyncIterator[str]:
    for character in ODD:
        yield character


async def _count(log: Log) -> AsyncIterator[str]:
    yield f"Answer {log.seen['modelCalls']}."


async def _server_tool(log: Log) -> AsyncIterator[str | Call]:
    yield "Looking it up."
    yield Call("call-1", "weather", {"city": "Osló"})


async def _client_tool(log: Log) -> AsyncIterator[Call]:
    yield Call("call-1", "location", {"precise": True})


async def _approval(log: Log) -> AsyncIterator[Call]:
    yield Call("call-1", "deleteFile", {"path": "a b.txt"})


async def _error(log: Log) -> AsyncIterator[str]:
    yield "Half a sen"
    log.seen["errors"].append("provider exploded")
    raise ScriptedError("The server says: provider exploded")


async def _stall(log: Log) -> AsyncIterator[str]:
    chat_id = _exchange.get().chat_id
    try:
        yield "Once upon a time"
        await asyncio.Event().wait()
    finally:  # the framework cancelled or closed it
        log.abort(chat_id, "client left")


async def _slow(log: Log) -> AsyncIterator[str]:
    for word in ("One ", "two ", "three ", "four ", "five."):
        await log.released.acquire()
        yield word


_SCRIPTS: dict[str, Callable[[Log], AsyncIterator[str | Call]]] = {
    "text": _text,
    "count": _count,
    "server tool": _server_tool,
    "client tool": _client_tool,
    "approval": _approval,
    "error": _error,
    "stall": _stall,
    "slow": _slow,
}


# ---------------------------------------------------------------- the tools
def weather(city: str) -> dict[str, Any]:
    """The tool that runs on the server."""
    return _ran("weather", {"city": city}, {"city": city, "degrees": -3.5})


def delete_file(path: str) -> dict[str, Any]:
    """The tool that runs on the server once the user has said yes."""
    return _ran("deleteFile", {"path": path}, {"deleted": path})


def _ran(name: str, given: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
    _exchange.get().log.seen["toolRuns"].append({"name": name, "input": given})
    return output


def result(output: Any) -> dict[str, Any]:
    """A tool's output as the model is told of it."""
    return {"type": "json", "value": output}


def denied(reason: str | None) -> dict[str, Any]:
    """A denial as the model is told of it."""
    return {"type": "execution-denied", **({"reason": reason} if reason else {})}


# ------------------------------------------- an agent, for servers without one
Chunk = dict[str, Any]


async def reply(messages: list[dict[str, Any]]) -> AsyncIterator[Chunk]:
    """Answer UI messages: the model, its tools and the steps, as chunks of the UI protocol."""
    results: list[dict[str, Any]] = []
    for part in _answered_tools(messages[-1]):
        chunk, told = _settle(part)
        results.append(told)
        if chunk:
            yield chunk
    question = next(text_of(m) for m in reversed(messages) if m["role"] == "user")
    going_on = True
    while going_on:
        calls: list[Call] = []
        yield {"type": "start-step"}
        async for chunk in _model_chunks(model(len(messages), question, results), calls):
            yield chunk
        results = []
        for call in calls:
            if call.name == "weather":
                output = weather(**call.input)
                results.append(result(output))
                yield {"type": "tool-output-available", "toolCallId": call.id, "output": output}
            elif call.name == "deleteFile":
                yield {
                    "type": "tool-approval-request",
                    "toolCallId": call.id,
                    "approvalId": f"approval-of-{call.id}",
                }
        yield {"type": "finish-step"}
        going_on = bool(results)


async def _model_chunks(
    pieces: AsyncIterator[str | Call], calls: list[Call]
) -> AsyncIterator[Chunk]:
    is_open = False
    async for piece in pieces:
        if isinstance(piece, str):
            if not is_open:
                yield {"type": "text-start", "id": "text-1"}
            is_open = True
            yield {"type": "text-delta", "id": "text-1", "delta": piece}
            continue
        if is_open:
            yield {"type": "text-end", "id": "text-1"}
        is_open = False
        calls.append(piece)
        for chunk in _call_chunks(piece):
            yield chunk
    if is_open:
        yield {"type": "text-end", "id": "text-1"}


def _call_chunks(call: Call) -> Iterator[Chunk]:
    yield {"type": "tool-input-start", "toolCallId": call.id, "toolName": call.name}
    for piece in call.pieces:
        yield {"type": "tool-input-delta", "toolCallId": call.id, "inputTextDelta": piece}
    yield {
        "type": "tool-input-available",
        "toolCallId": call.id,
        "toolName": call.name,
        "input": call.input,
    }


def _answered_tools(message: dict[str, Any]) -> list[dict[str, Any]]:
    if message["role"] != "assistant":
        return []
    states = ("output-available", "approval-responded")
    return [part for part in message["parts"] if part.get("state") in states]


def _settle(part: dict[str, Any]) -> tuple[Chunk | None, dict[str, Any]]:
    if part["state"] == "output-available":
        return None, result(part["output"])
    call_id, approval = part["toolCallId"], part["approval"]
    if not approval["approved"]:
        return {"type": "tool-output-denied", "toolCallId": call_id}, denied(approval.get("reason"))
    output = delete_file(**part["input"])
    chunk = {"type": "tool-output-available", "toolCallId": call_id, "output": output}
    return chunk, result(output)


def reply_id(messages: list[dict[str, Any]]) -> str:
    """The id of the message that is written: the last one's where that is gone on with."""
    last = messages[-1]
    return str(last["id"]) if last["role"] == "assistant" else f"msg-{uuid.uuid4().hex}"


def text_of(message: dict[str, Any]) -> str:
    """The text of a UI message; of version 4's too, which may have no parts."""
    if "parts" not in message:
        return str(message["content"])
    return "".join(part["text"] for part in message["parts"] if part["type"] == "text")


# ---------------------------------------------------------------- the program
def run(app: ASGIApp) -> None:
    """Serve an app with its log, until stdin ends."""
    serve(Recorder(app).routed)


def serve(app: ASGIApp) -> None:
    """Serve an app until stdin ends; the first line on stdout tells the port."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_is_a_fault)
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        uvicorn.Server(config).run(sockets=[listener])


def _is_a_fault(record: logging.LogRecord) -> bool:
    """Whether a record is more than the scripted error, which some frameworks let through."""
    return not (record.exc_info and isinstance(record.exc_info[1], ScriptedError))


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)  # whoever started it is gone
