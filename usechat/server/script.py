"""What every script of the demo is written with, and what it can read of the history; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from usechat.model.json import dumps

Chunk: TypeAlias = dict[str, Any]
"""One chunk of the UI message stream, in wire form."""

Message: TypeAlias = Mapping[str, Any]
"""One UI message of the history, in wire form."""

Script: TypeAlias = Generator[Chunk, None, str]
"""The chunks of a reply's content; what it returns is the finish reason."""

SILENCE: Chunk = {}
"""No chunk: from here on nothing comes any more (it is told by identity)."""

_QUOTED = 500  # characters of the user's text that a reply repeats
_INPUT_PIECE = 6  # characters of a tool input in one delta


class Pen:
    """Writes the chunks of one reply: numbers the parts, counts the words.

    Args:
        messages: the history; its last message is what is answered.
        generate_id: gives the ids of tool calls and approvals.
    """

    def __init__(self, messages: Sequence[Message], generate_id: Callable[[], str]) -> None:
        self.messages = messages
        self.generate_id = generate_id
        self._parts = 0
        self._words = 0

    @property
    def asked(self) -> str:
        """The text of the last message."""
        return text_of(self.messages[-1])

    @property
    def quoted(self) -> str:
        """The text of the last message, short enough to be repeated."""
        text = self.asked.strip()
        return text if len(text) <= _QUOTED else text[:_QUOTED] + "…"

    def text(self, text: str) -> Iterator[Chunk]:
        """Write a text part, a word a delta."""
        yield from self._prose("text", text)

    def reasoning(self, text: str) -> Iterator[Chunk]:
        """Write a reasoning part, a word a delta."""
        yield from self._prose("reasoning", text)

    def text_broken_off(self, text: str) -> Iterator[Chunk]:
        """Write a text part that never ends."""
        *whole, _end = self._prose("text", text)
        yield from whole

    def _prose(self, kind: str, text: str) -> Iterator[Chunk]:
        self._parts += 1
        part_id = f"{kind}-{self._parts}"
        yield {"type": f"{kind}-start", "id": part_id}
        for word in re.findall(r"\s*\S+\s*|\s+", text):
            self._words += 1
            yield {"type": f"{kind}-delta", "id": part_id, "delta": word}
        yield {"type": f"{kind}-end", "id": part_id}

    def tool_call(self, name: str, given: Mapping[str, Any]) -> Generator[Chunk, None, str]:
        """Write a tool call whose input comes in pieces; returns its id."""
        call = {"toolCallId": f"call-{self.generate_id()}", "toolName": name}
        yield {"type": "tool-input-start", **call}
        text = dumps(given).decode()
        for at in range(0, len(text), _INPUT_PIECE):
            piece = text[at : at + _INPUT_PIECE]
            yield {
                "type": "tool-input-delta",
                "toolCallId": call["toolCallId"],
                "inputTextDelta": piece,
            }
        yield {"type": "tool-input-available", **call, "input": dict(given)}
        return call["toolCallId"]

    def next_step(self) -> Iterator[Chunk]:
        """End the step and begin another."""
        yield {"type": "finish-step"}
        yield {"type": "start-step"}

    def usage(self) -> dict[str, int]:
        """Words instead of tokens: the history's and the reply's own."""
        given = sum(len(text_of(message).split()) for message in self.messages)
        return {
            "inputTokens": given,
            "outputTokens": self._words,
            "totalTokens": given + self._words,
        }


def parts_of(message: Message) -> list[Message]:
    """The parts of a message; none where it has none."""
    parts = message.get("parts")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def text_of(message: Message) -> str:
    """The text of a message; ``content``, as of the SDK's version 4, where it has no parts."""
    content = message.get("content")
    if "parts" not in message and isinstance(content, str):
        return content
    texts = (part.get("text") for part in parts_of(message) if part.get("type") == "text")
    return "\n\n".join(text for text in texts if isinstance(text, str))


def last_step_tools(message: Message) -> list[Message]:
    """The tool parts after the last step's beginning."""
    tools: list[Message] = []
    for part in parts_of(message):
        kind = part.get("type")
        if kind == "step-start":
            tools.clear()
        elif isinstance(kind, str) and (kind == "dynamic-tool" or kind.startswith("tool-")):
            tools.append(part)
    return tools


def tool_name(part: Message) -> str:
    """The name of a tool part's tool, static or dynamic."""
    kind = str(part.get("type"))
    return str(part.get("toolName")) if kind == "dynamic-tool" else kind.removeprefix("tool-")
