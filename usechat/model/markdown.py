"""Messages as Markdown that is safe to render: what a notebook shows of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from usechat.errors import InvalidArgumentError
from usechat.model.json import dumps
from usechat.model.parts import (
    CustomPart,
    DataPart,
    FilePart,
    ReasoningFilePart,
    ReasoningPart,
    SourceDocumentPart,
    SourceUrlPart,
    SteeringMessagePart,
    StepStartPart,
    TextPart,
    ToolCallPart,
    UnknownPart,
)
from usechat.model.safe_markdown import code, encoded, linked, printable, safe_markdown

if TYPE_CHECKING:
    from usechat.model.messages import UIMessage

__all__ = ["markdown_of_message", "markdown_of_messages", "safe_markdown"]

_LENGTH = 200
"""How many characters of a value are shown."""


def _plain(text: str) -> str:
    """A text in one line of bounded length, to be read as it is."""
    return encoded(_cut(" ".join(printable(text[: 4 * _LENGTH]).split())))


def _cut(text: str) -> str:
    return text if len(text) <= _LENGTH else text[: _LENGTH - 3] + "..."


def _value(value: Any) -> str:
    """A JSON value as code of bounded length."""
    try:
        text = dumps(value).decode()
    except InvalidArgumentError:
        text = f"({type(value).__name__})"
    return code(_cut(printable(text)))


def _quote(label: str, text: str) -> str:
    lines = [f"*{label}*", "", *safe_markdown(text.strip("\r\n")).split("\n")]
    return "\n".join(f"> {line}" if line else ">" for line in lines)


def _tool(part: Any) -> str:
    """One line: the call, how far it is, and what it gave."""
    line = f"Tool **{_plain(part.tool_name)}** ({part.state})"
    given = part.raw_input if part.input is None else part.input
    if given is not None:
        line += f": {_value(given)}"
    if part.state == "output-available":
        line += f" → {_value(part.output)}"
    return f"{line} → {_plain(part.error_text)}" if part.error_text else line


def _file(part: FilePart | ReasoningFilePart) -> str:
    name = getattr(part, "filename", None)
    return f"File {_plain(name) + ' ' if name else ''}({_plain(part.media_type)})"


def _source(part: SourceUrlPart) -> str:
    url = printable(part.url)
    title = " ".join(printable(part.title or url).split())
    if re.match(r"(?:https?|mailto):", url, re.IGNORECASE):
        return f"Source: {linked(_cut(title), url)}"
    return f"Source: {_plain(title)} ({_plain(url)})"


def _document(part: SourceDocumentPart) -> str:
    named = ", ".join(_plain(word) for word in (part.filename, part.media_type) if word)
    return f"Source: {_plain(part.title)} ({named})"


def _steering(part: SteeringMessagePart) -> str:
    texts = [part.get("text") for part in part.parts if part.get("type") == "text"]
    return _quote("user", "\n\n".join(text for text in texts if isinstance(text, str)))


_BLOCKS: dict[type[Any], Callable[[Any], str]] = {
    ReasoningPart: lambda part: _quote("reasoning", part.text) if part.text.strip() else "",
    FilePart: _file,
    ReasoningFilePart: _file,
    SourceUrlPart: _source,
    SourceDocumentPart: _document,
    StepStartPart: lambda part: "",
    CustomPart: lambda part: f"({_plain(part.kind)})",
    SteeringMessagePart: _steering,
    DataPart: lambda part: f"Data **{_plain(part.name)}**: {_value(part.data)}",
    UnknownPart: lambda part: f"({_plain(part.type)})",
}


def markdown_of_message(message: UIMessage) -> str:
    """A message as Markdown that is safe to render: its role, and its parts in order.

    Images and files are named and not loaded; metadata is not shown.

    Args:
        message: the message.
    """
    blocks = [f"**{message.role}**"]
    text = ""
    for part in message.parts:
        if isinstance(part, TextPart):
            text += part.text
            continue
        blocks.append(safe_markdown(text))
        text = ""
        make = _tool if isinstance(part, ToolCallPart) else _BLOCKS[type(part)]
        blocks.append(make(part))
    blocks.append(safe_markdown(text))
    return "\n\n".join(block.strip("\n") for block in blocks if block.strip())


def markdown_of_messages(messages: Iterable[UIMessage]) -> str:
    """Messages as Markdown that is safe to render, in order.

    Args:
        messages: the messages of a chat.
    """
    return "\n\n".join(markdown_of_message(message) for message in messages)
