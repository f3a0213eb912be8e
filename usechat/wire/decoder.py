"""What every protocol's decoder is."""

from __future__ import annotations

from typing import Protocol

from usechat.errors import StreamProtocolError
from usechat.model.chunks import UIMessageChunk


class Decoder(Protocol):
    """Bytes of a reply to chunks, whatever the split of the bytes.

    Attributes:
        error: what ended the reply; chunks that came before it are returned first.
    """

    error: StreamProtocolError | None

    def open(self) -> list[UIMessageChunk]:
        """The chunks that stand before the first byte."""
        ...

    def feed(self, piece: bytes) -> list[UIMessageChunk]:
        """Take a piece of the body; return the chunks that it completed.

        Args:
            piece: bytes as they came, of any length.
        """
        ...

    def close(self) -> list[UIMessageChunk]:
        """The body ended cleanly; return the chunks that this completes."""
        ...
