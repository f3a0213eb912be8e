"""The UI message stream of the AI SDK 5 to 7: JSON chunks as server-sent events.

Source: ai 7.0.173, src/ui-message-stream.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from usechat.errors import StreamProtocolError
from usechat.model.chunk_validation import validate_chunk, validate_chunks
from usechat.model.chunks import (
    CHUNK_TYPES,
    STREAM_DONE,
    UIMessageChunk,
)
from usechat.model.json import dumps
from usechat.model.messages import where_wrong
from usechat.wire.event_stream import EventStreamDecoder, parse, shown
from usechat.wire.sse import DEFAULT_MAX_EVENT_SIZE, SSEDecoder

logger = logging.getLogger("usechat")

HEADERS = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "x-vercel-ai-ui-message-stream": "v1",
    "x-accel-buffering": "no",
}
"""The headers of a reply in this protocol, as the SDK's server sends them."""

DONE = b"data: [DONE]\n\n"
"""The last event of a reply."""

# Fields that hold any JSON value; schema libraries differ in whether they may be absent.
_JSON_VALUES = ("input", "output", "data", "messageMetadata")


def encode_chunk(chunk: Mapping[str, Any]) -> bytes:
    """Write one chunk as an event.

    Args:
        chunk: the chunk in wire form, ``{"type": "text-delta", "id": …, "delta": …}``.

    Raises:
        InvalidArgumentError: the chunk holds something that JSON cannot say.
    """
    return b"data: " + dumps(chunk) + b"\n\n"


class UIMessageStreamDecoder(EventStreamDecoder):
    """Decodes the UI message stream.

    ``[DONE]`` says that the stream is complete, but chunks after it still count. Unless it is
    strict the reading forgives what servers get wrong: a chunk of an unknown type is skipped, an
    optional field that is null or of a wrong type is left out, and so is a missing JSON value.

    Args:
        strict: read exactly what ai 7.0.173 reads.
        max_event_size: the most characters that one event may hold.
        events: as for ``EventStreamDecoder``.
    """

    protocol = "ui"

    def __init__(
        self,
        strict: bool = False,
        max_event_size: int = DEFAULT_MAX_EVENT_SIZE,
        events: SSEDecoder | None = None,
    ) -> None:
        super().__init__(max_event_size, events)
        self._strict = strict
        self._told: set[str] = set()

    def read(self, events: list[str]) -> list[UIMessageChunk]:
        """The chunks of some events, all at once where all are of known types.

        Args:
            events: the data of each.
        """
        try:
            return validate_chunks([from_json(data, allow_inf_nan=False) for data in events])
        except ValueError:
            return super().read(events)

    def read_one(self, data: str) -> list[UIMessageChunk]:
        """The chunk of one event, if it has one.

        Args:
            data: its data.

        Raises:
            StreamProtocolError: it is no chunk.
        """
        if data == "[DONE]":
            return [STREAM_DONE]
        value = parse(data)
        try:
            return [validate_chunk(value)]
        except ValidationError as error:
            forgiven = None if self._strict else self._forgive(value, error)
            if forgiven is not None:
                return forgiven
            raise StreamProtocolError(
                f"The server sent a chunk that cannot be read ({where_wrong(error)}): "
                f"{shown(data)}",
                chunk=shown(data),
            ) from error

    def _forgive(self, value: Any, error: ValidationError) -> list[UIMessageChunk] | None:
        """What can be made of a chunk that is not as it should be; None: nothing."""
        if not isinstance(value, dict) or not isinstance(value.get("type"), str):
            return None
        kind = value["type"]
        if kind not in CHUNK_TYPES and not kind.startswith("data-"):
            self._tell(kind, "its type is unknown; it is skipped")
            return []
        mended = dict(value)
        depth = 0 if kind.startswith("data-") else 1
        for fault in error.errors(include_url=False, include_input=False):
            if len(fault["loc"]) <= depth:
                return None  # no field: a name that holds half a character
            at = fault["loc"][depth]
            if at in _JSON_VALUES and fault["type"] == "missing":
                mended[at] = None
            else:
                mended.pop(at, None)
        try:
            chunk = validate_chunk(mended)
        except ValidationError:
            return None
        self._tell(kind, where_wrong(error))
        return [chunk]

    def _tell(self, kind: str, what: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            logger.warning("A %s chunk is not as it should be: %s", shown(kind), what)
