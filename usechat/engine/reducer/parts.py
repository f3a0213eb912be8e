"""Parts that come whole, and steps."""

from __future__ import annotations

from typing import Any

from usechat.engine.draft import DraftPart
from usechat.engine.events import MessagesReplaced, PartUpdated
from usechat.engine.exchange import Effect, Exchange
from usechat.model.chunks import (
    CustomChunk,
    DataPartChunk,
    FileChunk,
    SourceDocumentChunk,
    SourceUrlChunk,
    SteeringMessageChunk,
    StepChunk,
)

_WholeChunk = CustomChunk | FileChunk | SourceDocumentChunk | SourceUrlChunk | SteeringMessageChunk

_FIELDS = {
    "custom": ("kind", "providerMetadata"),
    "file": ("mediaType", "url", "providerMetadata"),
    "reasoning-file": ("mediaType", "url", "providerMetadata"),
    "source-url": ("sourceId", "url", "title", "providerMetadata"),
    "source-document": ("sourceId", "mediaType", "title", "filename", "providerMetadata"),
    "steering-message": ("id", "parts"),
}


def whole_part(exchange: Exchange, chunk: _WholeChunk) -> Effect:
    """A part that comes in one chunk; fields beyond its own are not kept."""
    fields = {name: chunk[name] for name in _FIELDS[chunk["type"]] if name in chunk}  # type: ignore[literal-required]
    exchange.draft.add(DraftPart({"type": chunk["type"], **fields}))
    return Effect.CONTENT


def data_part(exchange: Exchange, chunk: DataPartChunk) -> Effect:
    """A data part, all its fields kept; or new data for the one with the same type and id.

    Those come with ``update_data``: the data callback sees the part as it was.

    Raises:
        StreamProtocolError: the data does not fit the type that it should have.
    """
    if exchange.types is not None:
        exchange.types.check_data(chunk, exchange.received)
    if chunk.get("transient"):
        return Effect.TRANSIENT
    if _known_data(exchange, chunk) is None:
        exchange.draft.add(DraftPart(dict(chunk)))
    return Effect.DATA


def update_data(exchange: Exchange, chunk: Any) -> None:
    """Give the data part with a chunk's type and id its data, when the callback has seen it.

    Args:
        exchange: the exchange.
        chunk: one that is not transient.
    """
    part = _known_data(exchange, chunk)
    if part is not None:
        part.edit()["data"] = chunk["data"]
        exchange.emit(PartUpdated(exchange.draft.id, part.index))


def _known_data(exchange: Exchange, chunk: DataPartChunk) -> DraftPart | None:
    data_id = chunk.get("id")
    return None if data_id is None else exchange.draft.data(chunk["type"], data_id)


def start_step(exchange: Exchange, chunk: StepChunk) -> None:
    """A step begins; that shows with the first part after it."""
    exchange.draft.add(DraftPart({"type": "step-start"}))


def finish_step(exchange: Exchange, chunk: StepChunk) -> None:
    """A step ends; text that is open stays so, another step's part may be among it."""


def reset_step(exchange: Exchange, chunk: StepChunk) -> Effect | None:
    """What the current step has brought is taken back."""
    if not exchange.draft.reset_step():
        return None
    if exchange.message_index is not None:
        exchange.outbox.add(MessagesReplaced(exchange.message_index))
    return Effect.CONTENT
