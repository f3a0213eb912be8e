"""What is wrong with a tool's input, in words for the model that gave it."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

_FAULTS = 20
"""How many are told."""

_WHAT = 300
"""How many characters say what one is."""

_WHERE = 100
"""How many say where."""

_INPUT = 40
"""How many are shown of what came."""


class ToolInputError(Exception):
    """A tool's input does not fit; the text is for the model."""


def said_of(error: ValidationError) -> str:
    """What is wrong, one line a fault: where, what, and the start of what stands there.

    Args:
        error: pydantic's.
    """
    faults = error.errors(include_url=False, include_context=False)
    lines = [_line(fault) for fault in faults[:_FAULTS]]
    if len(faults) > _FAULTS:
        lines.append(f"and {len(faults) - _FAULTS} more")
    return "\n".join(lines)


def kind_of(value: Any) -> str:
    """What a value is in JSON.

    Args:
        value: a JSON value.
    """
    if isinstance(value, bool):
        return "a boolean"
    kinds = {str: "a string", int: "a number", float: "a number", list: "an array"}
    return kinds.get(type(value), "something else")


def _line(fault: Any) -> str:
    where = "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in fault["loc"])
    told = (
        f"{_short(where.removeprefix('.'), _WHERE) or 'the input'}: {_short(fault['msg'], _WHAT)}"
    )
    came = fault["input"]
    if not isinstance(came, (str, int, float)) or fault["type"] == "missing":
        return told
    return f"{told} (it is {_short(json.dumps(came, ensure_ascii=False), _INPUT)})"


def _short(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
