"""The message itself: its begin and end, its metadata, errors."""

from __future__ import annotations

from typing import Any

from usechat.engine.events import MetadataChanged
from usechat.engine.exchange import Effect, Exchange
from usechat.errors import ServerError, StreamProtocolError
from usechat.model.chunks import (
    FINISH_REASONS,
    AbortChunk,
    ErrorChunk,
    FinishChunk,
    MessageMetadataChunk,
    StartChunk,
    UIMessageChunk,
)


def start(exchange: Exchange, chunk: StartChunk) -> Effect:
    """The reply begins. Where its message stands is the engine's business."""
    return Effect.START


def metadata(exchange: Exchange, chunk: MessageMetadataChunk) -> Effect | None:
    """Metadata, merged into what is there."""
    check_metadata(exchange, chunk, exchange.draft.fields.get("metadata"), exchange.received)
    return Effect.CONTENT if merge_metadata(exchange, chunk) else None


def finish(exchange: Exchange, chunk: FinishChunk) -> Effect | None:
    """The reply says that it is complete; what follows still counts, the last reason wins."""
    check_metadata(exchange, chunk, exchange.draft.fields.get("metadata"), exchange.received)
    reason = chunk.get("finishReason")
    if reason is not None:
        if exchange.strict and reason not in FINISH_REASONS:
            raise StreamProtocolError(
                f'The server sent the finish reason "{reason}", which ai 7 does not know.',
                position=exchange.received,
            )
        exchange.draft.finish_reason = reason
    exchange.ended = True
    return Effect.CONTENT if merge_metadata(exchange, chunk) else None


def abort(exchange: Exchange, chunk: AbortChunk) -> None:
    """The server says that it was stopped."""
    exchange.ended = exchange.aborted = True


def done(exchange: Exchange, chunk: UIMessageChunk) -> None:
    """``[DONE]``: the stream is complete, whatever follows still counts."""
    exchange.ended = True


def error(exchange: Exchange, chunk: ErrorChunk) -> None:
    """The server failed."""
    raise ServerError(chunk["errorText"])


def check_metadata(exchange: Exchange, chunk: Any, base: Any, position: int) -> None:
    """Refuse metadata that would not fit, before anything is changed.

    Args:
        exchange: the exchange.
        chunk: ``start``, ``finish`` or ``message-metadata``.
        base: the metadata that it would be merged into.
        position: how many chunks came before.

    Raises:
        StreamProtocolError: all together does not fit the type that it should have.
    """
    new = chunk.get("messageMetadata")
    if exchange.types is not None and new is not None:
        exchange.types.check_metadata(merged(base, new), chunk, position)


def merge_metadata(exchange: Exchange, chunk: Any) -> bool:
    """Merge the metadata of a chunk; whether it had any. Null is none.

    Args:
        exchange: the exchange.
        chunk: ``start``, ``finish`` or ``message-metadata``.
    """
    new = chunk.get("messageMetadata")
    if new is None:
        return False
    fields = exchange.draft.fields
    fields["metadata"] = merged(fields.get("metadata"), new)
    exchange.emit(MetadataChanged(exchange.draft.id))
    return True


def merged(base: Any, new: Any) -> Any:
    """Two JSON values as one: objects are merged, of anything else the new one stays.

    Args:
        base: what was there; not changed.
        new: what comes over it.
    """
    if not (isinstance(base, dict) and isinstance(new, dict)):
        return new
    return {**base, **{key: merged(base.get(key), value) for key, value in new.items()}}
