"""Responses that follow a running reply, whatever the ASGI server knows of disconnects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

import anyio
from starlette.types import Receive, Scope, Send

from usechat.server.running import RunningReplies, RunningReply
from usechat.server.script import Chunk
from usechat.wire import data_stream, data_stream_encoder, ui_message_stream


class Wire(NamedTuple):
    """How a reply is written on the wire.

    Attributes:
        headers: the response's headers.
        encode: gives the bytes of a chunk.
        end: the bytes after the last chunk.
    """

    headers: Mapping[str, str]
    encode: Callable[[Chunk], bytes]
    end: bytes


def ui_wire() -> Wire:
    """The UI message stream."""
    return Wire(ui_message_stream.HEADERS, ui_message_stream.encode_chunk, ui_message_stream.DONE)


def text_wire() -> Wire:
    """The bare text: all else is left out, and an error just ends it."""
    plain = PlainText()
    headers = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-cache"}
    return Wire(headers, lambda chunk: plain(chunk).encode("utf-8", "replace"), b"")


def data_stream_wire() -> Wire:
    """The data stream of version 4."""
    return Wire(data_stream.HEADERS, data_stream_encoder.DataStreamEncoder().encode, b"")


class PlainText:
    """Takes the text out of chunks, with a blank line between two text parts."""

    def __init__(self) -> None:
        self._any = False

    def __call__(self, chunk: Chunk) -> str:
        """The text of a chunk, empty where it has none."""
        if chunk["type"] == "text-start" and self._any:
            return "\n\n"
        if chunk["type"] == "text-delta":
            self._any = True
            return str(chunk["delta"])
        return ""


class FollowResponse:
    """Follows a running reply: what there is, then what comes, to its end.

    Args:
        reply: the reply.
        wire: how to write it.
    """

    def __init__(self, reply: RunningReply, wire: Wire) -> None:
        self._reply = reply
        self._wire = wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, until its end or until the client is gone."""
        with self._reply.reading():
            async with anyio.create_task_group() as tasks:
                # Starlette's StreamingResponse leaves this out where ASGI 2.4 is spoken, and
                # would not see a client that goes while nothing is sent.
                tasks.start_soon(_until_disconnect, receive, tasks.cancel_scope)
                with suppress(OSError):  # ASGI 2.4: the client is gone
                    await self._stream(send)
                tasks.cancel_scope.cancel()

    async def _stream(self, send: Send) -> None:
        headers = [(name.encode(), value.encode()) for name, value in self._wire.headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        seen = 0
        while chunks := await self._reply.after(seen):
            seen += len(chunks)
            piece = b"".join(map(self._wire.encode, chunks))
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": self._wire.end, "more_body": False})


async def _until_disconnect(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


class ReplyResponse:
    """Writes a reply and follows it.

    The reply runs in the request's own task, also when the client is gone and others read on:
    nothing is ever left running without an owner.

    Args:
        replies: where the reply is kept while it runs.
        chat_id: the chat's id.
        reply: the reply.
        wire: how to write it.
    """

    def __init__(
        self, replies: RunningReplies, chat_id: str, reply: RunningReply, wire: Wire
    ) -> None:
        self._replies = replies
        self._chat_id = chat_id
        self._reply = reply
        self._follow = FollowResponse(reply, wire)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; returns when the reply is over too."""
        self._replies.add(self._chat_id, self._reply)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._replies.run, self._chat_id, self._reply)
            await self._follow(scope, receive, send)
