"""Text that grows."""

from __future__ import annotations

import re

HALF = re.compile("[\ud800-\udfff]")
"""One half of a surrogate pair, as JavaScript has it."""

_JOIN_AT = 512


def _is_high_half(character: str) -> bool:
    return "\ud800" <= character <= "\udbff"


class TextBuffer:
    """A text made of deltas; an append costs the same at any length.

    A JavaScript server may send the two halves of a surrogate pair in two deltas. Halves that
    meet become their character; one that stays alone stays in the text, as JavaScript has it, and
    is U+FFFD in what ``append`` and ``since`` give, which is for showing.

    Args:
        text: what is there from the start.
    """

    __slots__ = ("_blocks", "_half", "_pieces", "shown")

    def __init__(self, text: str = "") -> None:
        self._blocks: list[str] = [text] if text else []
        self._pieces: list[str] = []
        self._half = ""  # a high half at the end, which may still meet its other half
        self.shown = len(text)
        """How many characters there are, a half at the end not counted."""

    def append(self, delta: str) -> str:
        """Add a delta; return the text that can be shown now.

        Args:
            delta: any text, also empty or half a character.
        """
        if self._half or not delta.isascii():
            delta = self._mend(delta)
        self._pieces.append(delta)
        self.shown += len(delta)
        # Bare pieces cost 49 bytes each beside their text.
        if len(self._pieces) >= _JOIN_AT:
            self._blocks.append("".join(self._pieces))
            self._pieces.clear()
        return delta if delta.isascii() else HALF.sub("\ufffd", delta)

    def _mend(self, delta: str) -> str:
        if self._half and delta:
            pair = self._half + delta[0]
            self._half = ""
            delta = (
                pair.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") + delta[1:]
            )
        if delta and _is_high_half(delta[-1]):
            self._half = delta[-1]
            delta = delta[:-1]
        return delta

    def close(self) -> str:
        """Say that nothing will follow; return what can be shown of a half at the end."""
        half, self._half = self._half, ""
        if not half:
            return ""
        self._pieces.append(half)
        self.shown += 1
        return "\ufffd"

    def text(self) -> str:
        """The whole text."""
        if self._pieces or len(self._blocks) > 1:
            # At once, since whoever merely looks may be interrupted too.
            self._blocks, self._pieces = ["".join([*self._blocks, *self._pieces])], []
        whole = self._blocks[0] if self._blocks else ""
        return whole + self._half if self._half else whole

    def since(self, start: int) -> str:
        """What can be shown from a position on; costs what it returns.

        Args:
            start: a position in characters, up to ``shown``.
        """
        missing = self.shown - start
        if missing <= 0:
            return ""
        tail: list[str] = []
        held = 0
        for pieces in (self._pieces, self._blocks):
            for piece in reversed(pieces):
                if held >= missing:
                    break
                tail.append(piece)
                held += len(piece)
        text = "".join(reversed(tail))[-missing:]
        return text if text.isascii() else HALF.sub("\ufffd", text)

    def __len__(self) -> int:
        return self.shown + len(self._half)
