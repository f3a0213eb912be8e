"""Replies that call tools, and tools whose end is under a test's control."""

from __future__ import annotations

import threading
from typing import Any

import anyio

from usechat import UIMessage
from usechat.testing import ScriptedTransport, text_reply

PATIENCE = 10  # seconds; whoever waits longer waits for something that does not come

Chunk = dict[str, Any]


def call(name: str, id: str = "c1", input: Any = None, **fields: Any) -> Chunk:
    """A call of a tool, whole."""
    given = {} if input is None else input
    return {
        "type": "tool-input-available",
        "toolCallId": id,
        "toolName": name,
        "input": given,
        **fields,
    }


def calls(*chunks: Chunk, id: str | None = None, reason: str = "tool-calls") -> list[Chunk]:
    """A whole reply of calls, or of whatever chunks are given."""
    start: Chunk = {"type": "start"} if id is None else {"type": "start", "messageId": id}
    end: list[Chunk] = [{"type": "finish-step"}, {"type": "finish", "finishReason": reason}]
    return [start, {"type": "start-step"}, *chunks, *end]


def answer(text: str = "Done.") -> list[Chunk]:
    """A reply of text, for the message that is there."""
    return [{"type": "start"}, *text_reply(text)[1:]]


def scripted(*replies: Any) -> ScriptedTransport:
    """A backend that gives these."""
    return ScriptedTransport(replies)


def states(message: UIMessage | None) -> list[str]:
    """The states of its tool calls."""
    return [] if message is None else [part.state for part in message.tool_parts]


def outputs(message: UIMessage | None) -> list[Any]:
    """The outputs of its tool calls, or their errors."""
    parts = () if message is None else message.tool_parts
    return [part.error_text if part.state == "output-error" else part.output for part in parts]


def weather(city: str = "Rome") -> str:
    """What it is like.

    Args:
        city: where.
    """
    return f"sun in {city}"


class Held:
    """An async tool that waits until it is let go; what became of it.

    Attributes:
        begun: set when it runs.
        told: what happened, in order.
    """

    def __init__(self, output: Any = "ok") -> None:
        self.begun = anyio.Event()
        self.go = anyio.Event()
        self.told: list[str] = []
        self.output = output

    async def hold(self) -> Any:
        """Wait."""
        self.told.append("began")
        self.begun.set()
        try:
            await self.go.wait()
        except BaseException:
            self.told.append("cancelled")
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            self.told.append("cleaned up")
        return self.output


class HeldThread:
    """A sync tool that waits until it is let go.

    Attributes:
        began, go, left: events of its thread.
        thread: what it runs in.
    """

    def __init__(self, output: Any = "ok") -> None:
        self.began, self.go, self.left = threading.Event(), threading.Event(), threading.Event()
        self.thread: threading.Thread | None = None
        self.output = output

    def hold(self) -> Any:
        """Wait."""
        self.thread = threading.current_thread()
        self.began.set()
        try:
            assert self.go.wait(PATIENCE)
            return self.output
        finally:
            self.left.set()
