"""What is measured: usechat, the loop that one would write by hand, and the limit.

Each function takes the server's URL and the reply to ask for, and gives its marks.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack
from queue import SimpleQueue
from typing import Any

import anyio
import httpx
import httpx_sse

from tests.benchmarks.measure import Marks
from tests.benchmarks.replies import Reply, said
from usechat import AsyncChatSession, ChatSession, TextDelta, ToolInputDelta, UIMessage


def _run(contender: Callable[[Marks], Coroutine[Any, Any, str]], expected: str) -> Marks:
    """Run a contender in a loop of its own; it gives the text that it got."""
    marks = Marks()
    got = asyncio.run(contender(marks))
    assert got == expected, "the text is not what was sent"
    return marks


def _send(marks: Marks) -> None:
    gc.collect()  # nobody pays for the garbage of the one before
    marks.mark("send")


def _observe(chat: AsyncChatSession | ChatSession, reply: Reply, marks: Marks) -> list[str]:
    """Collect the deltas as an observer; mark the first one, and the first of the last part."""
    kind = ToolInputDelta if reply.kind == "tool" else TextDelta
    pieces: list[str] = []

    def first(_: object) -> None:
        marks.mark("first")
        no_more_first()

    def last_part(event: Any) -> None:
        if event.part_index == reply.parts + 1:  # behind step-start and the short ones
            marks.mark("last part")
            no_more_parts()

    chat.on(kind, lambda event: pieces.append(event.text))
    no_more_first = chat.on(kind, first)
    no_more_parts = chat.on(kind, last_part)
    return pieces


def session(
    url: str,
    reply: Reply,
    *,
    messages: Iterable[UIMessage] = (),
    throttle: float | None = 0,
    view: Callable[[AsyncChatSession], object] | None = None,
) -> Marks:
    """``AsyncChatSession`` with an observer of the deltas.

    Args:
        url: the server's.
        reply: what to ask for.
        messages: the history.
        throttle: the session's; 0 delivers at each network piece.
        view: called at each flush, if there is one.
    """

    async def run(marks: Marks) -> str:
        async with AsyncChatSession(
            f"{url}?{reply.query}", throttle=throttle, messages=messages
        ) as chat:
            pieces = _observe(chat, reply, marks)
            if view is not None:
                chat.subscribe(view)
            _send(marks)
            turn = await chat.send_message("Hi")
            marks.mark("end")
            assert turn.outcome == "completed", turn
        return "".join(pieces)

    return _run(run, said(reply))


def threaded(url: str, reply: Reply) -> Marks:
    """``ChatSession`` as in a window: a queue that the main thread works off."""
    marks = Marks()
    calls: SimpleQueue[Callable[[], object]] = SimpleQueue()
    with ChatSession(f"{url}?{reply.query}", dispatch=calls.put, throttle=0) as chat:
        pieces = _observe(chat, reply, marks)
        _send(marks)
        turn = chat.send_message("Hi")
        while not turn.over:
            calls.get()()
        marks.mark("end")
    assert "".join(pieces) == said(reply), "the text is not what was sent"
    return marks


def by_hand(url: str, reply: Reply) -> Marks:
    """The loop by hand: httpx, httpx-sse, json.loads, a list of the text and a callback."""
    shown: list[str] = []
    on_delta = shown.append

    async def run(marks: Marks) -> str:
        pieces: list[str] = []
        async with httpx.AsyncClient(verify=False) as client:
            _send(marks)
            async with httpx_sse.aconnect_sse(
                client, "POST", f"{url}?{reply.query}", json={"messages": []}
            ) as source:
                async for event in source.aiter_sse():
                    if event.data == "[DONE]":
                        continue
                    chunk = json.loads(event.data)
                    if chunk["type"] == "text-delta":
                        pieces.append(chunk["delta"])
                        on_delta(chunk["delta"])
            marks.mark("end")
        return "".join(pieces)

    return _run(run, said(reply))


def read_bytes(url: str, reply: Reply) -> Marks:
    """The limit: httpx reads the bytes, and nothing is done with them."""

    async def run(marks: Marks) -> str:
        async with httpx.AsyncClient(verify=False) as client:
            _send(marks)
            async with client.stream("POST", f"{url}?{reply.query}") as response:
                async for _ in response.aiter_raw():
                    pass
            marks.mark("end")
        return ""

    return _run(run, "")


def crowd(url: str, reply: Reply) -> Marks:
    """As many sessions at once as ``reply.together`` says, each with its observer."""
    expected = said(reply)

    async def send(chat: AsyncChatSession) -> None:
        pieces: list[str] = []
        chat.on(TextDelta, lambda event: pieces.append(event.text))
        await chat.send_message("Hi")
        assert "".join(pieces) == expected, "the text is not what was sent"

    async def run(marks: Marks) -> str:
        async with AsyncExitStack() as stack:
            chats = [
                await stack.enter_async_context(
                    AsyncChatSession(f"{url}?{reply.query}", throttle=0)
                )
                for _ in range(reply.together)
            ]
            _send(marks)
            async with anyio.create_task_group() as tasks:
                for chat in chats:
                    tasks.start_soon(send, chat)
            marks.mark("end")
        return ""

    return _run(run, "")


class _Recorder(httpx.AsyncBaseTransport):
    """In the place of a network: notes when a request has been written, and answers it."""

    def __init__(self) -> None:
        self.marks = Marks()
        self.sizes: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.marks.mark("end")
        self.sizes.append(len(request.content))
        reply = b'data: {"type":"start"}\n\ndata: {"type":"finish"}\n\ndata: [DONE]\n\n'
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=reply)


def request(messages: list[Mapping[str, Any]], turns: int = 1) -> Marks:
    """How long it takes from the call to a request that is written, in the last of some turns.

    Args:
        messages: the history.
        turns: how many messages are sent; from the second on the history has been sent before.
    """
    recorder = _Recorder()

    async def run(marks: Marks) -> str:
        async with (
            httpx.AsyncClient(transport=recorder, verify=False) as client,
            AsyncChatSession("http://test/chat", client=client, messages=messages) as chat,
        ):
            for _ in range(turns):
                _send(marks)
                await chat.send_message("Hi")
        marks["end"] = recorder.marks["end"]
        return ""

    marks = _run(run, "")
    assert recorder.sizes[-1] > sum(len(m["parts"][0]["text"]) for m in messages)
    return marks


def request_by_hand(messages: list[Mapping[str, Any]]) -> Marks:
    """The same with ``json.dumps``."""
    marks = Marks()
    _send(marks)
    json.dumps({"id": "chat", "messages": messages, "trigger": "submit-message"}).encode()
    marks.mark("end")
    return marks
