"""Parts of a message, a line each."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from usechat.model.json import dumps
from usechat.model.parts import (
    CustomPart,
    FilePart,
    Part,
    ReasoningFilePart,
    SourceDocumentPart,
    SourceUrlPart,
    SteeringMessagePart,
    ToolCallPart,
    UnknownPart,
)

_LENGTH = 200
"""How many characters of a value are shown."""


def short(value: Any) -> str:
    """A JSON value in one line of bounded length.

    Args:
        value: the value.
    """
    return _cut(dumps(value).decode())


def whole_input(part: Any) -> str | None:
    """All of a tool call's input, where ``call_of`` shows only its start.

    Args:
        part: the tool's part.
    """
    text = dumps(_given(part)).decode()
    return text if len(text) > _LENGTH else None


def one_line(text: str, length: int = _LENGTH) -> str:
    """A text in one line of bounded length.

    Args:
        text: any text.
        length: of how many characters at most.
    """
    return _cut(" ".join(text[: 4 * length].split()), length)


def _cut(text: str, length: int = _LENGTH) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def call_of(part: Any) -> str:
    """A tool call: its name and its input.

    Args:
        part: the tool's part.
    """
    return f"{one_line(part.tool_name)} {short(_given(part))}"


def _given(part: Any) -> Any:
    return part.raw_input if part.input is None else part.input


def tool_lines(part: Any) -> list[str]:
    """What there is to say of a tool call: the call, when its input is there, and how it ended.

    Args:
        part: the tool's part.
    """
    if part.state == "input-streaming":
        return []
    lines = [f"[tool] {call_of(part)}"]
    end = _end_of(part)
    if end is not None:
        lines.append(f"[tool] {one_line(part.tool_name)} {end}")
    return lines


def _end_of(part: Any) -> str | None:
    if part.state == "output-available":
        return f"{'...' if part.preliminary else '->'} {short(part.output)}"
    if part.state == "output-error":
        return f"failed: {one_line(part.error_text or 'it does not say why')}"
    return "was denied" if part.state == "output-denied" else None


def _file(part: FilePart | ReasoningFilePart) -> str:
    name = getattr(part, "filename", None)
    return f"[file] {part.media_type} {one_line(name) + ' ' if name else ''}{_place(part.url)}"


def _place(url: str) -> str:
    """A URL, or for one that holds its bytes how many."""
    head, comma, data = url.partition(",")
    if not comma or not head.lower().startswith("data:"):
        return one_line(url)
    if head.lower().endswith(";base64"):
        try:
            return f"({len(base64.b64decode(data)):,} bytes)"
        except ValueError:
            return "(not readable)"
    return f"({len(unquote_to_bytes(data)):,} bytes)"


def _document(part: SourceDocumentPart) -> str:
    named = ", ".join(one_line(x) for x in (part.filename, part.media_type) if x)
    return f"[source] {one_line(part.title)} ({named})"


def _source(part: SourceUrlPart) -> str:
    return f"[source] {one_line(part.title) + ' ' if part.title else ''}<{one_line(part.url)}>"


_LINES: dict[type[Any], Callable[[Any], str]] = {
    FilePart: _file,
    ReasoningFilePart: _file,
    SourceUrlPart: _source,
    SourceDocumentPart: _document,
    CustomPart: lambda part: f"[custom] {one_line(part.kind)}",
    SteeringMessagePart: lambda part: f"[steering] {short(part.parts)}",
    UnknownPart: lambda part: f"[{one_line(part.type)}]",
}


def lines_of(part: Part) -> list[str]:
    """What there is to say of a part that comes whole, or of a tool call as far as it is.

    Text, reasoning and data are not among them.

    Args:
        part: any part.
    """
    if isinstance(part, ToolCallPart):
        return tool_lines(part)
    line = _LINES.get(type(part))
    return [line(part)] if line else []
