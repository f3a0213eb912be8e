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
        kind, owner, texts = _run(chunks, first, end)
        text = "".join(texts)
    except (KeyError, TypeError):  # something of it is no chunk, as will be told in its place
        return chunks[first], first + 1
    # Halves of characters meet where deltas do. The first delta of an input makes its part, and
    # the first of any shows what has not been shown yet (the begin of a step).
    splits = not text.isascii() and HALF.search(text)
    makes = kind == "tool-input-delta" and not is_shown(exchange, owner)
    shows = exchange.draft.announced < len(exchange.draft.parts)
    if len(texts) < 2 or splits or makes or shows:
        return chunks[first], first + 1
    whose, what = _FIELDS[kind]
    return {"type": kind, whose: owner, what: text}, first + len(texts)


def _run(chunks: Sequence[UIMessageChunk], first: int, end: int) -> tuple[str, str, list[str]]:
    """The deltas of one part at a place: their type, whose they are, their texts."""
    kind = chunks[first]["type"]
    texts: list[str] = []
    if kind not in _FIELDS:
        return kind, "", texts
    whose, what = _FIELDS[kind]
    owner = chunks[first][whose]
    for at in range(first, end):
        chunk = chunks[at]
        # With anything else in it, it says more than its text.
        if len(chunk) != 3 or chunk["type"] != kind or chunk[whose] != owner:
            break
        texts.append(chunk[what])
    return kind, owner, texts
