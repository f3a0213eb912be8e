"""The begin of a JSON text, read as far as it goes: tool input while it streams.

Source: ai 7.0.173, src/util/fix-json.ts and parse-partial-json.ts. A scanner remembers where the
text was last complete enough and what is open there; the text is cut at that place and what is
open is closed. Broken JSON is not its business: reading the result tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from usechat.model.json import loads

UNDEFINED: Final = object()
"""What the begin of a JSON text is that says nothing yet: JavaScript's undefined."""

_SUSPECT = re.compile(r"proto|\\u00")
_LITERALS = ("true", "false", "null")
_STRING_STOP = re.compile(r'["\\]')
_DIGITS = frozenset("0123456789")
_HEX = frozenset("0123456789abcdefABCDEF")
_CLOSES = {
    "string": '"',
    "object-start": "}",
    "object-key": "}",
    "object-after-key": "}",
    "object-before-value": "}",
    "object-after-value": "}",
    "object-after-comma": "}",
    "array-start": "]",
    "array-after-value": "]",
    "array-after-comma": "]",
}
_VALUES = {
    '"': "string",
    "{": "object-start",
    "[": "array-start",
    **dict.fromkeys("tfn", "literal"),
    **dict.fromkeys("-0123456789", "number"),
}


def parse_partial_json(text: str) -> Any:
    """Read as much of a JSON text as has come.

    Args:
        text: the begin of a JSON text.

    Returns:
        The value so far, or ``UNDEFINED``.
    """
    value = _read(text)
    return _read(_Scanner(text).fixed()) if value is UNDEFINED else value


def _read(text: str) -> Any:
    try:
        value = loads(text)
    except ValueError:
        return UNDEFINED
    return UNDEFINED if _SUSPECT.search(text) and _poisons(value) else value


def _poisons(value: Any) -> bool:
    """Whether a value would change a prototype in JavaScript: the SDK refuses to read it."""
    values = [value]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            made_by = value.get("constructor")
            if "__proto__" in value or (isinstance(made_by, dict) and "prototype" in made_by):
                return True
            values += value.values()
        elif isinstance(value, list):
            values += value
    return False


class _Scanner:
    """Where a text was last complete, and what is open there."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.stack = ["root"]
        self.valid = 0  # how much of the text is complete
        self.literal_start = 0
        self.hex_digits = 0
        self.steps: dict[str, Callable[[str, int], None]] = {
            "root": lambda c, i: self.value_start(c, i, "end"),
            "object-start": self.object_start,
            "object-after-comma": lambda c, i: self.on(c, '"', "object-key"),
            "object-key": lambda c, i: self.on(c, '"', "object-after-key"),
            "object-after-key": lambda c, i: self.on(c, ":", "object-before-value"),
            "object-before-value": lambda c, i: self.value_start(c, i, "object-after-value"),
            "object-after-value": self.after_object_value,
            "array-start": self.array_start,
            "array-after-value": self.after_array_element,
            "array-after-comma": lambda c, i: self.value_start(c, i, "array-after-value"),
            "escape": self.escape,
            "unicode-escape": self.unicode_escape,
            "number": self.number,
            "literal": self.literal,
            "end": lambda c, i: None,
        }

    def fixed(self) -> str:
        """The text cut where it was last complete, with what is open there closed."""
        self.scan()
        tail = []
        for state in reversed(self.stack):
            if state == "literal":
                begun = self.text[self.literal_start :]
                tail.append(next((w[len(begun) :] for w in _LITERALS if w.startswith(begun)), ""))
            else:
                tail.append(_CLOSES.get(state, ""))
        return self.text[: self.valid] + "".join(tail)

    def scan(self) -> None:
        text, at = self.text, 0
        while at < len(text):
            if self.stack[-1] == "string":
                at = self.string(at)
            else:
                self.steps[self.stack[-1]](text[at], at)
                at += 1

    def string(self, at: int) -> int:
        """Take the rest of a string in one go; return where to go on."""
        stop = _STRING_STOP.search(self.text, at)
        if stop is None:
            self.valid = len(self.text)
            return len(self.text)
        if stop.start() > at:
            self.valid = stop.start()
        if stop.group() == '"':
            self.stack.pop()
            self.valid = stop.end()
        else:
            self.stack.append("escape")
        return stop.end()

    def value_start(self, c: str, i: int, then: str) -> None:
        kind = _VALUES.get(c)
        if kind is None:
            return
        if c != "-":
            self.valid = i + 1
        self.literal_start = i
        self.stack[-1:] = [then, kind]

    def on(self, c: str, wanted: str, then: str) -> None:
        if c == wanted:
            self.stack[-1] = then

    def close(self, i: int) -> None:
        self.valid = i + 1
        self.stack.pop()

    def object_start(self, c: str, i: int) -> None:
        if c == "}":
            self.close(i)
        else:
            self.on(c, '"', "object-key")

    def after_object_value(self, c: str, i: int) -> None:
        if c == "}":
            self.close(i)
        else:
            self.on(c, ",", "object-after-comma")

    def array_start(self, c: str, i: int) -> None:
        if c == "]":
            self.close(i)
        else:
            self.value_start(c, i, "array-after-value")

    def after_array_value(self, c: str, i: int) -> None:
        if c == "]":
            self.close(i)
        else:
            self.on(c, ",", "array-after-comma")

    def after_array_element(self, c: str, i: int) -> None:
        # What does not belong here counts as complete; reading the result will say no.
        if c not in ",]":
            self.valid = i + 1
        self.after_array_value(c, i)

    def escape(self, c: str, i: int) -> None:
        if c == "u":
            self.hex_digits = 0
            self.stack[-1] = "unicode-escape"
        else:
            self.stack.pop()
            self.valid = i + 1

    def unicode_escape(self, c: str, i: int) -> None:
        if c not in _HEX:
            return
        self.hex_digits += 1
        if self.hex_digits == 4:
            self.close(i)

    def number(self, c: str, i: int) -> None:
        if c in _DIGITS:
            self.valid = i + 1
        elif c not in "eE-.":
            self.stack.pop()
            self.after_scalar(c, i)

    def literal(self, c: str, i: int) -> None:
        begun = self.text[self.literal_start : i + 1]
        if any(word.startswith(begun) for word in _LITERALS):
            self.valid = i + 1
        else:
            self.stack.pop()
            self.after_scalar(c, i)

    def after_scalar(self, c: str, i: int) -> None:
        """What ends a number or a literal also says what follows it."""
        if self.stack[-1] == "object-after-value":
            if c in ",}":
                self.after_object_value(c, i)
        elif self.stack[-1] == "array-after-value" and c in ",]":
            self.after_array_value(c, i)
