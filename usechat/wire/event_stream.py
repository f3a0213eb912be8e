"""What the protocols over server-sent events share: the events, and errors in their place."""

from __future__ import annotations

from typing import Any, ClassVar

from usechat.errors import StreamProtocolError
from usechat.model.chunks import UIMessageChunk
from usechat.model.json import loads
from usechat.wire.sse import DEFAULT_MAX_EVENT_SIZE, SSEDecoder

_SHOWN = 200


class EventStreamDecoder:
    """The base of decoders that read events; a subclass says what the data of events mean.

    Args:
        max_event_size: the most characters that one event may hold.
        events: splits the body into events, where somebody has begun to; it has the limit then.
    """

    protocol: ClassVar[str]

    def __init__(
        self, max_event_size: int = DEFAULT_MAX_EVENT_SIZE, events: SSEDecoder | None = None
    ) -> None:
        self.error: StreamProtocolError | None = None
        self.position = 0
        self._events = SSEDecoder(max_event_size) if events is None else events

    @property
    def last_event_id(self) -> str | None:
        """The id of the last event that had one."""
        return self._events.last_event_id

    @property
    def first_event_id(self) -> str | None:
        """The id of the first event of this connection that had one."""
        return self._events.first_event_id

    def reconnected(self) -> None:
        """Another connection goes on with the reply, at the begin of an event."""
        self._events.reconnected()

    def open(self) -> list[UIMessageChunk]:
        """Nothing stands before the first event."""
        return []

    def feed(self, piece: bytes) -> list[UIMessageChunk]:
        """Take a piece of the body; return the chunks that it completed.

        Args:
            piece: bytes as they came, of any length.
        """
        if self.error is not None:
            return []
        try:
            events = self._events.feed(piece)
        except StreamProtocolError as error:
            events, self.error = self._events.completed, error
        return self.take(events)

    def take(self, events: list[str]) -> list[UIMessageChunk]:
        """Take whole events; return their chunks.

        Args:
            events: the data of each.
        """
        chunks = self.read(events) if events else []
        self.position += len(chunks)
        return chunks

    def close(self) -> list[UIMessageChunk]:
        """An event that was not ended is dropped."""
        return []

    def read(self, events: list[str]) -> list[UIMessageChunk]:
        """The chunks of some events; up to the first bad one, which is kept in ``error``.

        Args:
            events: the data of each.
        """
        chunks: list[UIMessageChunk] = []
        for data in events:
            try:
                chunks += self.read_one(data)
            except StreamProtocolError as error:
                error.position = self.position + len(chunks)
                self.error = error
                break
        return chunks

    def read_one(self, data: str) -> list[UIMessageChunk]:
        """The chunks of one event.

        Args:
            data: its data.

        Raises:
            StreamProtocolError: the data mean nothing.
        """
        raise StreamProtocolError("An event cannot be read.", chunk=shown(data))


def parse(data: str) -> Any:
    """The JSON value that the data of an event are.

    Args:
        data: the event's data.

    Raises:
        StreamProtocolError: they are none.
    """
    try:
        return loads(data)
    except ValueError as error:
        raise StreamProtocolError(
            f"The server sent an event that is not JSON ({error}): {shown(data)}",
            chunk=shown(data),
        ) from error


def shown(data: str) -> str:
    """The start of something that came, for a message.

    Args:
        data: any text.
    """
    start = data if len(data) <= _SHOWN else data[:_SHOWN] + "…"
    return start.encode("utf-8", "backslashreplace").decode()
