"""What a reply has brought already, so that a second connection does not bring it again.

A server that is asked for a running reply either sends it again from its begin or goes on where
the connection broke. A repeated reply has the same parts in the same order, but its deltas may be
cut elsewhere: text is counted in UTF-16 units, as a JavaScript server cuts it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NoReturn, TypeAlias

from usechat.errors import StreamProtocolError
from usechat.model.chunks import UIMessageChunk
from usechat.model.json import canonical

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

# What a server may send before the ``start`` of a reply.
_BEFORE_START = ("data-", "source-", "file", "message-metadata")

# How many bytes of UTF-16 at the end of a text are compared with those of its repetition.
_TAIL = 128


class _Progress:
    """How far a reply has come, over all connections or over one.

    Attributes:
        counts: of chunks, and of the UTF-16 units of deltas.
        tails: the end of each text, in UTF-16.
        chunks: how many came.
    """

    def __init__(self) -> None:
        self.counts: dict[Key, int] = {}
        self.tails: dict[Key, bytes] = {}
        self.chunks = 0

    def copy(self) -> _Progress:
        """The same, to go on from."""
        made = _Progress()
        made.counts, made.tails = dict(self.counts), dict(self.tails)
        made.chunks = self.chunks
        return made


class CatchUp:
    """Lets through what has not come yet. A chunk costs the same whatever came before it.

    Attributes:
        ended: whether the reply has said that it is over.
        advanced: whether the last chunks brought it further than it had ever come.
    """

    def __init__(self) -> None:
        self.ended = False
        self.advanced = False
        self._seen = _Progress()
        self._pass = _Progress()  # the same, of the present connection
        self._first: UIMessageChunk | None = None
        self._undecided = False
        self._first_tells = True

    def reconnected(self, replays: bool | None, first_tells: bool = True) -> None:
        """What comes now is another connection's.

        Args:
            replays: whether that repeats the reply; None: it does if it begins as the reply did.
            first_tells: whether any chunk tells that, or only a ``start``.
        """
        self._undecided, self._first_tells = replays is None, first_tells
        self._pass = _Progress() if replays else self._seen.copy()

    def take(self, chunks: list[UIMessageChunk]) -> list[UIMessageChunk]:
        """Of some chunks those that are new, the text of deltas cut to what is.

        Args:
            chunks: as they came.

        Raises:
            StreamProtocolError: they are of another reply.
        """
        self.advanced = False
        new: list[UIMessageChunk] = []
        for chunk in chunks:
            if self._first is None:
                self._first = chunk
            if self._undecided:
                self._decide(chunk, self._first)
            left = self._left_of(chunk)
            if left is not None:
                new.append(left)
        if self._pass.chunks > self._seen.chunks:
            self._seen.chunks = self._pass.chunks
            self.advanced = True
        return new

    def _decide(self, chunk: UIMessageChunk, first: UIMessageChunk) -> None:
        """Whether the reply is repeated: then it begins as it did."""
        kind = chunk["type"]
        if kind == "start" and first["type"] == "start":
            ids = {chunk.get("messageId"), first.get("messageId")} - {None}
            if len(ids) > 1:
                _refuse()
            repeats = True
        else:
            repeats = self._first_tells and chunk == first
        self._undecided = not repeats and kind.startswith(_BEFORE_START)
        if repeats:
            self._pass = _Progress()

    def _left_of(self, chunk: UIMessageChunk) -> UIMessageChunk | None:
        self._pass.chunks += 1
        kind = chunk["type"]
        if kind in _DELTAS and chunk[_DELTAS[kind][2]]:
            return self._left_of_delta(chunk, *_DELTAS[kind])
        if kind in _ENDS:
            self._end(kind)
        if kind in _STRUCTURE:
            key = (kind, chunk.get(_STRUCTURE[kind]), 0)
            is_new = self._count(key, 1) > 0
            self.advanced = self.advanced or is_new
        else:
            digest = blake2b(canonical(chunk), digest_size=16).digest()
            is_new = self._count((kind, digest, 0), 1) > 0
        return chunk if is_new else None

    def _left_of_delta(
        self, chunk: UIMessageChunk, start: str, id_field: str, text_field: str
    ) -> UIMessageChunk | None:
        """A delta, or the end of it that is new."""
        what = chunk[id_field]
        # Of the parts with this id.
        key = (chunk["type"], what, self._pass.counts.get((start, what, 0), 0))
        raw = chunk[text_field].encode("utf-16-le", "surrogatepass")
        size = len(raw) // 2
        new = self._count(key, size)
        self._compare(key, raw, new)
        if not new:
            return None
        self.advanced = True
        if new == size:
            return chunk
        return {**chunk, text_field: raw[-2 * new :].decode("utf-16-le", "surrogatepass")}

    def _count(self, key: Key, amount: int) -> int:
        """Count; how much of it is new."""
        seen = self._seen.counts.get(key, 0)
        there = self._pass.counts.get(key, 0)
        now = self._pass.counts[key] = there + amount
        if now <= seen:
            return 0
        self._seen.counts[key] = now
        return now - seen

    def _compare(self, key: Key, raw: bytes, new: int) -> None:
        """Refuse a text that is not the one that came, where it has come as far."""
        old = raw[: len(raw) - 2 * new]
        there = self._pass.tails.get(key, b"") + old
        known = self._seen.tails.get(key, b"")
        has_come_as_far = new or self._pass.counts[key] == self._seen.counts[key]
        if old and has_come_as_far and there[-len(known) :] != known:
            _refuse()
        self._pass.tails[key] = (there + raw[len(old) :])[-_TAIL:]
        if new:
            self._seen.tails[key] = self._pass.tails[key]

    def _end(self, kind: str) -> None:
        """The reply is over; one that is repeated is not complete before it has come as far."""
        self.ended = True
        if kind in ("abort", "error"):
            return
        for key, amount in self._seen.counts.items():
            if key[0] in _DELTAS and self._pass.counts.get(key, 0) < amount:
                _refuse()


def _refuse() -> NoReturn:
    raise StreamProtocolError(
        "The server was asked for the rest of a reply and sent another reply."
    )
