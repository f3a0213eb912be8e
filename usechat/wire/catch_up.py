"""What a reply has brought already, so that a second connection does not bring it again.

A server that is asked for a running reply either sends it again from its begin or goes on where
the connection broke. A repeated reply has the same parts in the same order, but its deltas may be
cut elsewhere: text is counted in UTF-16 units, as a JavaScript server cuts it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TypeAlias

from usechat.errors import StreamProtocolError
from usechat.model.chunks import UIMessageChunk
from usechat.model.json import dumps

Key: TypeAlias = tuple[str, object, int]
"""What is counted: a chunk type, what it refers to, and the how manieth of these that is."""

_DELTAS = {
    "text-delta": ("text-start", "id", "delta"),
    "reasoning-delta": ("reasoning-start", "id", "delta"),
    "tool-input-delta": ("tool-input-start", "toolCallId", "inputTextDelta"),
}
"""For each type of delta: what begins what it belongs to, whose id is where, and the text."""

# Of these a repeated reply has as many, even if a field (a time, say) should differ.
_STRUCTURE = {
    "start": "",
    "start-step": "",
    "finish-step": "",
    "text-start": "id",
    "text-end": "id",
    "reasoning-start": "id",
    "reasoning-end": "id",
    "tool-input-start": "toolCallId",
    "tool-input-available": "toolCallId",
    "tool-approval-request": "approvalId",
}

_ENDS = frozenset(("finish", "abort", "error", "[DONE]"))


class CatchUp:
    """Lets through what has not come yet. A chunk costs the same whatever came before it.

    Attributes:
        ended: whether the reply has said that it is over.
        passed: how many chunks were let through.
    """

    def __init__(self) -> None:
        self.ended = False
        self.passed = 0
        self._seen: dict[Key, int] = {}
        self._pass: dict[Key, int] = {}  # the same, of the present connection alone
        self._first: UIMessageChunk | None = None
        self._undecided = False

    def reconnected(self, replays: bool | None) -> None:
        """What comes now is another connection's.

        Args:
            replays: whether that repeats the reply; None: its first chunk tells.
        """
        self._undecided = replays is None
        self._pass = {} if replays else dict(self._seen)

    def take(self, chunks: list[UIMessageChunk]) -> list[UIMessageChunk]:
        """Of some chunks those that are new, the text of deltas cut to what is.

        Args:
            chunks: as they came.

        Raises:
            StreamProtocolError: they are of another reply.
        """
        if not chunks:
            return chunks
        if self._first is None:
            self._first = chunks[0]
        if self._undecided:
            self._decide(chunks[0], self._first)
        new = [left for chunk in chunks if (left := self._left_of(chunk)) is not None]
        self.passed += len(new)
        return new

    def _decide(self, chunk: UIMessageChunk, first: UIMessageChunk) -> None:
        """Whether the reply is repeated: then it begins as it did."""
        self._undecided = False
        if chunk["type"] == first["type"] == "start":
            ids = {chunk.get("messageId"), first.get("messageId")}
            if len(ids) > 1:
                raise StreamProtocolError(
                    "The server was asked for the rest of a reply and sent another reply."
                )
            self._pass = {}
        elif chunk == first:
            self._pass = {}

    def _left_of(self, chunk: UIMessageChunk) -> UIMessageChunk | None:
        kind = chunk["type"]
        if kind in _DELTAS and chunk[_DELTAS[kind][2]]:
            return self._left_of_delta(chunk, *_DELTAS[kind])
        self.ended = self.ended or kind in _ENDS
        if kind in _STRUCTURE:
            what: object = chunk.get(_STRUCTURE[kind])
        else:
            what = blake2b(dumps(chunk), digest_size=16).digest()
        key = (kind, what, 0)
        return chunk if self._count(key, 1) else None

    def _left_of_delta(
        self, chunk: UIMessageChunk, start: str, id_field: str, text_field: str
    ) -> UIMessageChunk | None:
        """A delta, or the end of it that is new."""
        what, text = chunk[id_field], chunk[text_field]
        which = self._pass.get((start, what, 0), 0)  # of the parts with this id
        size = _units(text)
        new = self._count((chunk["type"], what, which), size)
        if new == size:
            return chunk
        return {**chunk, text_field: _last_units(text, new)} if new else None

    def _count(self, key: Key, amount: int) -> int:
        """Count; how much of it is new."""
        there, seen = self._pass.get(key, 0), self._seen.get(key, 0)
        now = self._pass[key] = there + amount
        if now <= seen:
            return 0
        self._seen[key] = now
        return now - max(there, seen)


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _last_units(text: str, count: int) -> str:
    if text.isascii():
        return text[-count:]
    encoded = text.encode("utf-16-le", "surrogatepass")
    return encoded[-2 * count :].decode("utf-16-le", "surrogatepass")
