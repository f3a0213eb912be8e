"""The text stream: a body of nothing but text.

Source: ai 7.0.173, src/ui/text-stream-chat-transport.ts: it reads as a UI message stream with one
text part. It has no errors, tools or metadata, and an early end cannot be told from the real one.
"""

from __future__ import annotations

import codecs

from usechat.errors import StreamProtocolError
from usechat.model.chunks import UIMessageChunk

HEADERS = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-cache"}
"""The headers of a reply in this protocol."""

_PART_ID = "text-1"


def encode_text(text: str) -> bytes:
    """Write a piece of text.

    Args:
        text: the piece; half a character becomes a question mark.
    """
    return text.encode("utf-8", "replace")


class TextStreamDecoder:
    """Decodes the text stream. One byte order mark is stripped, broken UTF-8 becomes U+FFFD."""

    protocol = "text"
    first_event_id = last_event_id = None

    def __init__(self) -> None:
        self.error: StreamProtocolError | None = None
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")("replace")

    def open(self) -> list[UIMessageChunk]:
        """The text part, which is there before its first byte."""
        return [
            {"type": "start"},
            {"type": "start-step"},
            {"type": "text-start", "id": _PART_ID},
        ]

    def feed(self, piece: bytes) -> list[UIMessageChunk]:
        """Take a piece of the body; return its text as a delta.

        Args:
            piece: bytes as they came, of any length.
        """
        return self._delta(self._utf8.decode(piece))

    def close(self) -> list[UIMessageChunk]:
        """The body ended cleanly; return what ends the message."""
        return [
            *self._delta(self._utf8.decode(b"", final=True)),
            {"type": "text-end", "id": _PART_ID},
            {"type": "finish-step"},
            {"type": "finish"},
        ]

    def reconnected(self) -> None:
        """Another connection goes on with the text, where this one broke; in a character, even."""

    def _delta(self, text: str) -> list[UIMessageChunk]:
        return [{"type": "text-delta", "id": _PART_ID, "delta": text}] if text else []
