"""Arguments, looked at when they are given: later nobody would know whose fault it was."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from usechat.errors import InvalidArgumentError
from usechat.model.messages import UIMessage, message_from
from usechat.session.user_input import plain


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_seconds(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 <= value < math.inf


_EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "id": (lambda v: v is None or isinstance(v, str), "text or None"),
    "input": (lambda v: isinstance(v, str), "text"),
    "when_busy": (
        lambda v: v in ("reject", "queue", "interrupt"),
        "'reject', 'queue' or 'interrupt'",
    ),
    "queue_limit": (_is_count, "a number above 0"),
    "max_steps": (lambda v: v is None or _is_count(v), "a number above 0, or None"),
    "repair": (lambda v: isinstance(v, bool), "True or False"),
    "resume": (lambda v: isinstance(v, bool), "True or False"),
    "throttle": (lambda v: v is None or _is_seconds(v), "seconds, 0 or more, or None"),
}


def check(**options: Any) -> None:
    """Refuse options that cannot be used.

    Args:
        options: by their names.

    Raises:
        InvalidArgumentError: says which, and what was expected.
    """
    for name, value in options.items():
        fits, expected = _EXPECTED[name]
        if not fits(value):
            raise InvalidArgumentError(f"{name}={value!r}: expected {expected}.")


def checked_messages(messages: Any) -> list[UIMessage]:
    """Messages, of messages and their wire forms.

    Args:
        messages: an iterable of either.

    Raises:
        InvalidArgumentError: it is none, or one of them is no message.
    """
    if not isinstance(messages, Iterable) or isinstance(messages, (str, bytes, Mapping)):
        raise InvalidArgumentError(f"Expected a list of messages, got {type(messages).__name__}.")
    return [
        message_from(plain(message) if isinstance(message, Mapping) else message)
        for message in messages
    ]
