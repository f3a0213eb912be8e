"""A server that speaks the chat completions API as it is documented, with a scripted model.

What the user says last is how the model answers: see ``SCRIPTS``. It checks requests as the API
does. Alone: ``python openai_server.py [PORT]``, with any key.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import struct
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

KEY = "sk-test-0123456789abcdef"
TEXT = "Hello there, how are you?"
UNICODE = "Grüße \u2028🌍 \u0085 日本\u200d語"
CITIES = ["Paris", "Rome", "Oslo"]

Message = dict[str, Any]
Piece = dict[str, Any] | str | None
"""A delta, a finish reason, or None: wait for ever."""


class Refused(Exception):
    """The request is not as the API wants it."""


# ------------------------------------------------------------------ what is asked


def check(body: Any) -> None:
    """Refuse a request that the API would refuse."""
    known = {"model", "messages", "stream", "stream_options", "tools", "temperature"}
    unknown = set(body) - known
    wanted(not unknown, f"Unrecognized request argument supplied: {', '.join(sorted(unknown))}")
    wanted(isinstance(body.get("model"), str), "you must provide a model parameter")
    wanted(body.get("stream") is True, "this server streams only")
    messages = body.get("messages")
    wanted(isinstance(messages, list) and messages, "'messages' is too short")
    open_calls: set[str] = set()
    for at, message in enumerate(messages):
        where = f"messages.[{at}]"
        if message.get("role") == "tool":
            wanted(set(message) == {"role", "tool_call_id", "content"}, f"{where}: fields")
            wanted(isinstance(message["content"], str), f"{where}: content is a string")
            wanted(
                message["tool_call_id"] in open_calls,
                "messages with role 'tool' must be a response to a preceding message with "
                "'tool_calls'",
            )
            open_calls.discard(message["tool_call_id"])
            continue
        wanted(
            not open_calls,
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            f"to each 'tool_call_id': {sorted(open_calls)}",
        )
        open_calls = CHECKS.get(message.get("role"), no_role)(message, where)
    wanted(not open_calls, f"tool calls without a result: {sorted(open_calls)}")
    for tool in body.get("tools", [None])[: len(body.get("tools", []))]:
        check_tool(tool)
    wanted(body.get("tools") != [], "[] is too short - 'tools'")


def wanted(is_so: Any, otherwise: str) -> None:
    if not is_so:
        raise Refused(otherwise)


def no_role(message: Message, where: str) -> set[str]:
    raise Refused(f"{where}.role: {message.get('role')!r} is not one of the supported values")


def check_system(message: Message, where: str) -> set[str]:
    wanted(set(message) == {"role", "content"}, f"{where}: fields {sorted(message)}")
    wanted(isinstance(message["content"], str), f"{where}.content: expected a string")
    return set()


def check_user(message: Message, where: str) -> set[str]:
    wanted(set(message) == {"role", "content"}, f"{where}: fields {sorted(message)}")
    content = message["content"]
    if not isinstance(content, str):
        wanted(isinstance(content, list) and content, f"{where}.content: a string or an array")
        for part in content:
            check_part(part, where)
    return set()


def check_part(part: Message, where: str) -> None:
    kind = part.get("type")
    wanted(set(part) == {"type", kind}, f"{where}: a part has a type and what that says")
    value = part[kind]
    if kind == "text":
        wanted(isinstance(value, str), f"{where}: text is a string")
    elif kind == "image_url":
        url = value["url"]
        is_data = re.match(r"data:image/\w+;base64,", url)
        wanted(url.startswith(("http://", "https://")) or is_data, f"{where}: Invalid image URL")
    elif kind == "input_audio":
        wanted(value["format"] in ("wav", "mp3"), f"{where}: format")
        base64.b64decode(value["data"], validate=True)
    else:
        wanted(kind == "file" and set(value) == {"filename", "file_data"}, f"{where}: {kind}")
        wanted(value["file_data"].startswith("data:"), f"{where}: file_data")


def check_assistant(message: Message, where: str) -> set[str]:
    calls = message.get("tool_calls", [])
    thoughts = {"reasoning_content", "reasoning"} if calls else set()  # DeepSeek's, OpenRouter's
    wanted(set(message) <= {"role", "content", "tool_calls"} | thoughts, f"{where}: fields")
    wanted(calls != [] or "tool_calls" not in message, f"{where}.tool_calls: [] is too short")
    text = message.get("content")
    wanted(isinstance(text, str) or (text is None and calls), f"{where}.content: got {text!r}")
    for call in calls:
        fields = set(call) - {"extra_content"}  # Gemini's
        wanted(fields == {"id", "type", "function"}, f"{where}: a call's fields")
        wanted(call["type"] == "function", f"{where}: a call's type")
        wanted(isinstance(call["function"]["name"], str), f"{where}: a call's name")
        given = json.loads(call["function"]["arguments"])
        wanted(isinstance(given, dict), f"{where}: arguments are an object")
    ids = {call["id"] for call in calls}
    wanted(len(ids) == len(calls), f"{where}: Duplicate value for 'tool_call_id'")
    return ids


def check_tool(tool: Any) -> None:
    wanted(set(tool) == {"type", "function"} and tool["type"] == "function", "tools: type")
    function = tool["function"]
    wanted(set(function) <= {"name", "description", "parameters"}, "tools: function")
    wanted(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", function["name"]), "tools: name")
    wanted(isinstance(function.get("description", ""), str), "tools: description")
    wanted(function.get("parameters", {}).get("type") == "object", "tools: parameters")


CHECKS: dict[Any, Callable[[Message, str], set[str]]] = {
    "system": check_system,
    "developer": check_system,
    "user": check_user,
    "assistant": check_assistant,
}


# ------------------------------------------------------------------ how it answers


def words(text: str) -> list[Piece]:
    return [{"content": word} for word in re.findall(r"\S+\s*", text)]


def call(index: int, name: str, **arguments: Any) -> list[Piece]:
    """A tool call as OpenAI streams it: the id and the name, then the arguments in pieces."""
    text = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    head = {"index": index, "id": f"call_{name}_{index}", "type": "function"}
    pieces: list[Piece] = [
        {"tool_calls": [{**head, "function": {"name": name, "arguments": ""}}]},
    ]
    for at in range(0, len(text), 7):
        piece = {"index": index, "function": {"arguments": text[at : at + 7]}}
        pieces.append({"tool_calls": [piece]})
    return pieces


def results(messages: list[Message]) -> list[str]:
    """The results of the tools since the user has spoken."""
    last = max(at for at, message in enumerate(messages) if message["role"] == "user")
    return [message["content"] for message in messages[last:] if message["role"] == "tool"]


def text(messages: list[Message]) -> list[Piece]:
    return [*words(TEXT), "stop"]


def unicode(messages: list[Message]) -> list[Piece]:
    return [*({"content": character} for character in UNICODE), "stop"]


def reasoning(messages: list[Message]) -> list[Piece]:
    thoughts: list[Piece] = [{"reasoning_content": "Let me "}, {"reasoning_content": "see."}]
    return [*thoughts, *words("It is 4."), "stop"]


def refusal(messages: list[Message]) -> list[Piece]:
    return [{"refusal": "I cannot "}, {"refusal": "do that."}, "stop"]


def one_tool(messages: list[Message]) -> list[Piece]:
    came = results(messages)
    if came:
        return [*words(f"I am told: {came[0]}"), "stop"]
    return [*words("Let me look."), *call(0, "weather", city="Zürich"), "tool_calls"]


def three_tools(messages: list[Message]) -> list[Piece]:
    came = results(messages)
    if came:
        return [*words(f"I am told: {', '.join(came)}"), "stop"]
    calls = [call(at, "weather", city=city) for at, city in enumerate(CITIES)]
    return [*(piece for pieces in calls for piece in pieces), "tool_calls"]


def two_rounds(messages: list[Message]) -> list[Piece]:
    came = results(messages)
    if not came:
        return [*call(0, "place"), "tool_calls"]
    if len(came) == 1:
        return [*words("There."), *call(0, "weather", city=came[0]), "tool_calls"]
    return [*words(f"I am told: {' / '.join(came)}"), "stop"]


def image(messages: list[Message]) -> list[Piece]:
    urls = [p["image_url"]["url"] for p in messages[-1]["content"] if p["type"] == "image_url"]
    data = base64.b64decode(urls[0].partition(",")[2])
    width, height = struct.unpack(">II", data[16:24])
    return [*words(f"A picture of {width} x {height}, {len(data)} bytes."), "stop"]


def history(messages: list[Message]) -> list[Piece]:
    return [{"content": json.dumps(messages, ensure_ascii=False)}, "stop"]


def error(messages: list[Message]) -> list[Piece]:
    return [*words("Hello there"), {"error": {"message": f"Out of memory, {KEY}.", "code": 500}}]


def cut(messages: list[Message]) -> list[Piece]:
    return [*words("Hello there"), "cut"]


def cut_in_call(messages: list[Message]) -> list[Piece]:
    return [*words("Hello there"), *call(0, "weather", city="Paris"), "cut"]


def ends_early(messages: list[Message]) -> list[Piece]:
    return [*words("Hello there"), *call(0, "weather", city="Paris"), "end"]


def endless(messages: list[Message]) -> list[Piece]:
    return [*words("Hello there"), None]


def length(messages: list[Message]) -> list[Piece]:
    return [*words("Hello there, how"), "length"]


SCRIPTS: dict[str, Callable[[list[Message]], list[Piece]]] = {
    script.__name__.replace("_", " "): script
    for script in (
        *(text, unicode, reasoning, refusal, one_tool, three_tools, two_rounds, image, history),
        *(error, cut, cut_in_call, ends_early, endless, length),
    )
}
"""What the user says last, and what it brings. Others: ``429``; anything else is ``text``."""


def said(messages: list[Message]) -> str:
    """What the user said last."""
    content = next(m["content"] for m in reversed(messages) if m["role"] == "user")
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(choices: list[Any], usage: Any, with_usage: bool) -> bytes:
    fields = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return event({**fields, "choices": choices, **({"usage": usage} if with_usage else {})})


class OpenAIServer:
    """The server.

    Args:
        key: the key that is wanted; None: any will do.

    Attributes:
        bodies: of the requests that came, in order.
        headers: theirs.
        left: how many clients left in the middle of a reply.
    """

    def __init__(self, key: str | None = KEY) -> None:
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.left = threading.Semaphore(0)
        self._key = key
        self.app = Starlette(routes=[Route("/v1/chat/completions", self.answer, methods=["POST"])])

    async def answer(self, request: Request) -> Response:
        given = request.headers.get("authorization", "")
        if self._key is not None and given != f"Bearer {self._key}":
            words = f"Incorrect API key provided: {given.removeprefix('Bearer ')}."
            return refusal_of(401, words if given else "You didn't provide an API key.")
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        try:
            check(body)
        except Refused as error:
            return refusal_of(400, str(error))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return refusal_of(400, f"Invalid request: {error!r}")
        if body["model"] == "missing":
            return refusal_of(404, "model 'missing' not found")
        how = said(body["messages"])
        if how == "429":
            return refusal_of(429, "Rate limit reached for requests")
        pieces = SCRIPTS.get(how, text)(body["messages"])
        with_usage = body.get("stream_options", {}).get("include_usage") is True
        stream = self.stream(pieces, len(body["messages"]), with_usage)
        return StreamingResponse(stream, media_type="text/event-stream")

    async def stream(
        self, pieces: list[Piece], given: int, with_usage: bool
    ) -> AsyncIterator[bytes]:
        first = {"role": "assistant", "content": None, "refusal": None}
        yield chunk([{"index": 0, "delta": first, "finish_reason": None}], None, with_usage)
        for piece in pieces:
            if piece is None:
                try:
                    await anyio.sleep_forever()
                finally:
                    self.left.release()
            elif piece == "cut":
                raise ConnectionAbortedError("as the script says")
            elif piece == "end":
                return
            elif isinstance(piece, dict) and "error" in piece:
                yield event(piece)
                return
            else:
                delta = piece if isinstance(piece, dict) else {}
                reason = piece if isinstance(piece, str) else None
                choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
                yield chunk([choice], None, with_usage)
        if with_usage:
            made = len(pieces)
            usage = {
                "prompt_tokens": given,
                "completion_tokens": made,
                "total_tokens": given + made,
            }
            yield chunk([], usage, True)
        yield b"data: [DONE]\n\n"


def refusal_of(status: int, message: str) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return JSONResponse({"error": error}, status)


@contextmanager
def running_openai(key: str | None = KEY) -> Iterator[tuple[OpenAIServer, str]]:
    """The server in a thread, and its base URL."""
    server = OpenAIServer(key)
    config = uvicorn.Config(
        server.app, lifespan="off", log_config=None, timeout_graceful_shutdown=1
    )
    runner = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            runner.should_exit = True
            thread.join(5)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 11434
    uvicorn.run(OpenAIServer(key=None).app, host="127.0.0.1", port=port)
