"""What every protocol's decoder is."""

from __future__ import annotations

from typing import Protocol

from usechat.errors import StreamProtocolError
from usechat.model.chunks import UIMessageChunk


class Decoder(Protocol):
    """Bytes of a reply to chunks, whatever the split of the bytes."""

    @property
    def error(self) -> StreamProtocolError | None:
        """What ended the reply; the chunks before it have been returned."""
        ...

    @property
    def protocol(self) -> str | None:
        """The protocol's name, as ``protocol=`` has it; None where that is not known yet."""
        ...

    @property
    def last_event_id(self) -> str | None:
        """The id of the last whole event, where the server gives ids."""
        ...

    @property
    def first_event_id(self) -> str | None:
        """The id of the first event of this connection that had one."""
        ...

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

    def reconnected(self) -> None:
        """The connection broke, and another goes on where the last whole chunk ended."""
        ...
