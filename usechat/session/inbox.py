"""What has been read and not yet applied."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from usechat.engine.exchange import Exchange, Steps
from usechat.engine.tool_round import ToolRound
from usechat.model.chunks import UIMessageChunk

_LIMIT = 1024 * 1024  # bytes, about, that may wait in one session
_CHUNK = 300  # bytes, about, of a chunk without its values
_URGENT = frozenset(("tool-input-available", "error"))  # what makes an urgent event


class Item(NamedTuple):
    """One thing that came for an exchange or for tool calls: chunks, or something to be done.

    Attributes:
        work: what it is for; nothing is done with it when that is over.
        chunks: what one read brought.
        steps: what to do with the engine.
        call: a function of the user's that a request needs.
        size: about how many bytes it holds.
    """

    work: Exchange | ToolRound
    chunks: list[UIMessageChunk] | None = None
    steps: Callable[[], Steps[None]] | None = None
    call: Callable[[], None] | None = None
    size: int = 0


class Inbox:
    """First in, first out: the loop's thread puts, whoever applies takes."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        # Each is written by one side only.
        self._put = 0
        self._taken = 0

    def __bool__(self) -> bool:
        return bool(self._items)

    @property
    def full(self) -> bool:
        """Whether reading should pause."""
        return self._put - self._taken >= _LIMIT

    def put(self, item: Item) -> None:
        """Add an item.

        Args:
            item: what came.
        """
        self._put += item.size
        self._items.append(item)

    def take(self) -> Item | None:
        """The oldest item."""
        if not self._items:
            return None
        item = self._items.popleft()
        self._taken += item.size
        return item


def size_of(chunks: list[UIMessageChunk]) -> int:
    """About how many bytes some chunks hold; of what is no chunk, nothing is known.

    Args:
        chunks: what a transport gave.
    """
    try:
        size = _CHUNK * (1 + len(chunks))
        for chunk in chunks:
            for value in chunk.values():
                size += len(value) if type(value) is str else _size(value)
    except (AttributeError, TypeError):
        return _CHUNK
    return size


def is_urgent(chunks: list[UIMessageChunk]) -> bool:
    """Whether observers should not be kept waiting for what some chunks bring.

    Args:
        chunks: what a transport gave.
    """
    try:
        return any(chunk["type"] in _URGENT for chunk in chunks)
    except (KeyError, TypeError):
        return True


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return _CHUNK + sum(_size(inner) for inner in value.values())
    if isinstance(value, list):
        return sum(_size(inner) for inner in value)
    return 0
