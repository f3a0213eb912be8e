"""JSON over server-sent events: ``data: {"text": "…"}`` up to ``data: [DONE]``.

The simplest protocol that a hand-written server speaks.
"""

from __future__ import annotations

from usechat.errors import StreamProtocolError
from usechat.model.chunks import STREAM_DONE, UIMessageChunk
from usechat.model.json import dumps
from usechat.wire.event_stream import EventStreamDecoder, parse, shown
from usechat.wire.sse import DEFAULT_MAX_EVENT_SIZE, SSEDecoder

HEADERS = {"content-type": "text/event-stream", "cache-control": "no-cache"}
"""The headers of a reply in this protocol."""

DONE = b"data: [DONE]\n\n"
"""The last event of a reply."""

_PART_ID = "text-1"


def encode_text(text: str) -> bytes:
    """Write a piece of text as an event.

    Args:
        text: the piece; an empty one is an event too.
    """
    return b"data: " + dumps({"text": text}) + b"\n\n"


def encode_error(error_text: str) -> bytes:
    """Write an error as an event; it ends the reply for the client.

    Args:
        error_text: what went wrong, in words for the user.
    """
    return b"data: " + dumps({"error": error_text}) + b"\n\n"


class JSONSSEDecoder(EventStreamDecoder):
    """Decodes JSON over server-sent events to a message with one text part.

    ``{"text": …}`` is a piece, ``{"error": …}`` ends the reply with the server's words, ``[DONE]``
    completes it. An object with neither field is skipped: a heartbeat, say.

    Args:
        max_event_size: the most characters that one event may hold.
        events: as for ``EventStreamDecoder``.
    """

    protocol = "json-sse"

    def __init__(
        self, max_event_size: int = DEFAULT_MAX_EVENT_SIZE, events: SSEDecoder | None = None
    ) -> None:
        super().__init__(max_event_size, events)
        self._begun = False

    def read_one(self, data: str) -> list[UIMessageChunk]:
        """The chunks of one event.

        Args:
            data: its data.

        Raises:
            StreamProtocolError: it is no JSON object, or its text is no string.
        """
        if data == "[DONE]":
            return [*self._end(), STREAM_DONE]
        value = parse(data)
        if not isinstance(value, dict):
            raise _unreadable(data)
        error = value.get("error")
        if error is not None:
            said = error if isinstance(error, str) else dumps(error).decode()
            return [{"type": "error", "errorText": said}]
        if "text" not in value:
            return []
        if not isinstance(value["text"], str):
            raise _unreadable(data)
        begin = [] if self._begun else [{"type": "text-start", "id": _PART_ID}]
        self._begun = True
        return [*begin, {"type": "text-delta", "id": _PART_ID, "delta": value["text"]}]

    def _end(self) -> list[UIMessageChunk]:
        if not self._begun:
            return []
        self._begun = False
        return [{"type": "text-end", "id": _PART_ID}]


def _unreadable(data: str) -> StreamProtocolError:
    return StreamProtocolError(
        f'The server sent an event that is not {{"text": "…"}}: {shown(data)}', chunk=shown(data)
    )
