"""The tokens that a reply has used, in the spellings of the servers that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# AI SDK 5 to 7; its version 4; pydantic-ai; OpenAI.
_INPUT = ("inputTokens", "promptTokens", "input_tokens", "prompt_tokens")
_OUTPUT = ("outputTokens", "completionTokens", "output_tokens", "completion_tokens")
_TOTAL = ("totalTokens", "total_tokens")
_COUNTS = frozenset((*_INPUT, *_OUTPUT, *_TOTAL))


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens that a reply has used. What the server did not say is None.

    Attributes:
        input_tokens: how many the model was given.
        output_tokens: how many it made.
        total_tokens: both together; their sum where the server names only the two.
        raw: all that the server sent of it, as it came.
    """

    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    raw: Mapping[str, Any] = field(repr=False, hash=False)

    @classmethod
    def in_metadata(cls, metadata: Any) -> Usage | None:
        """What a message's metadata says: under ``usage`` or ``totalUsage``, or itself.

        Args:
            metadata: any JSON value.
        """
        if not isinstance(metadata, Mapping):
            return None
        for found in (metadata.get("usage"), metadata.get("totalUsage"), metadata):
            if isinstance(found, Mapping) and not _COUNTS.isdisjoint(found):
                return cls._of(found)
        return None

    @classmethod
    def _of(cls, raw: Mapping[str, Any]) -> Usage:
        given, made, total = (_first(raw, names) for names in (_INPUT, _OUTPUT, _TOTAL))
        if total is None and given is not None and made is not None:
            total = given + made
        return cls(given, made, total, raw)


def _first(raw: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    counts = (_count(raw.get(name)) for name in names)
    return next((count for count in counts if count is not None), None)


def _count(value: Any) -> int | None:
    if isinstance(value, Mapping):  # the model's own usage in ai 7 has details beside the total
        value = value.get("total")
    if isinstance(value, float) and value.is_integer():
        return int(value)
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_count else None
