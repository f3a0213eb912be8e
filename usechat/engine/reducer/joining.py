"""Deltas that follow each other for one part, applied as one: that is what makes a delta cheap."""

from __future__ import annotations

from collections.abc import Sequence

from usechat.engine.exchange import Exchange
from usechat.engine.reducer.tools import is_shown
from usechat.engine.text import HALF
from usechat.model.chunks import UIMessageChunk

_FIELDS = {
    "text-delta": ("id", "delta"),
    "reasoning-delta": ("id", "delta"),
    "tool-input-delta": ("toolCallId", "inputTextDelta"),
}
"""Of the chunks that are joined: whose text it is, and the text."""


def join_deltas(
    exchange: Exchange, chunks: Sequence[UIMessageChunk], first: int, end: int
) -> tuple[UIMessageChunk, int]:
    """One chunk that says the same as the deltas at a place.

    Args:
        exchange: whose reply they came in.
        chunks: valid chunks.
        first: the place.
        end: how far to look.

    Returns:
        The chunk, and the place of the next one. It is the chunk at the place itself where that is
        no delta, or none that can be joined.
    """
    try:
        texts = _run(exchange, chunks, first, end)
        if len(texts) > 1:
            kind = chunks[first]["type"]
            whose, what = _FIELDS[kind]
            joined = {"type": kind, whose: chunks[first][whose], what: "".join(texts)}
            return joined, first + len(texts)
    except (KeyError, TypeError, AttributeError):
        pass  # something of it is no chunk, as will be told in its place
    return chunks[first], first + 1


def _run(exchange: Exchange, chunks: Sequence[UIMessageChunk], first: int, end: int) -> list[str]:
    """The texts of the deltas at a place that can be joined; what ends them is looked at once."""
    kind, draft = chunks[first]["type"], exchange.draft
    # The first delta shows what has not been shown yet: the begin of a step, the part of an input.
    if kind not in _FIELDS or draft.announced < len(draft.parts):
        return []
    whose, what = _FIELDS[kind]
    owner = chunks[first][whose]
    if whose == "toolCallId" and not is_shown(exchange, owner):
        return []
    texts: list[str] = []
    for at in range(first, end):
        chunk = chunks[at]
        # With anything else in it, it says more than its text.
        if len(chunk) != 3 or chunk["type"] != kind or chunk[whose] != owner:
            break
        text = chunk[what]
        if not text.isascii() and HALF.search(text):
            break  # halves of characters meet where deltas do
        texts.append(text)
    return texts
