"""Text and reasoning."""

from __future__ import annotations

from usechat.engine.draft import DraftPart, Fields
from usechat.engine.events import PartDone, PartUpdated, ReasoningDelta, TextDelta
from usechat.engine.exchange import Effect, Exchange
from usechat.engine.reducer.lenient import missing
from usechat.engine.text import TextBuffer
from usechat.model.chunks import PartDeltaChunk, PartStartChunk, ReasoningEndChunk, TextEndChunk


def text_start(exchange: Exchange, chunk: PartStartChunk) -> Effect:
    """A text part begins."""
    part = _open({"type": "text", "state": "streaming"}, chunk)
    exchange.draft.open_text[chunk["id"]] = exchange.draft.add(part)
    return Effect.CONTENT


def text_delta(exchange: Exchange, chunk: PartDeltaChunk) -> Effect:
    """More text. A part that nobody opened is opened, unless the reading is strict."""
    part = exchange.draft.open_text.get(chunk["id"])
    if part is None:
        missing(exchange, "text-delta", chunk["id"], "text-start")
        text_start(exchange, {"type": "text-start", "id": chunk["id"]})
        exchange.publish()
        part = exchange.draft.open_text[chunk["id"]]
    assert part.text is not None
    start = part.text.shown
    text = part.text.append(chunk["delta"])
    part.grow()
    exchange.emit_delta(TextDelta, part.index, text, start)
    if "providerMetadata" in chunk:
        _provider_metadata(exchange, part, chunk)
    return Effect.CONTENT


def text_end(exchange: Exchange, chunk: TextEndChunk) -> Effect | None:
    """A text part is complete."""
    part = exchange.draft.open_text.pop(chunk["id"], None)
    if part is None:
        missing(exchange, "text-end", chunk["id"], "text-start")
        return None
    if "citations" in chunk:
        part.edit()["citations"] = chunk["citations"]
    return _close(exchange, part, chunk)


def reasoning_start(exchange: Exchange, chunk: PartStartChunk) -> Effect:
    """A reasoning part begins."""
    part = _open({"type": "reasoning", "id": chunk["id"], "state": "streaming"}, chunk)
    exchange.draft.open_reasoning[chunk["id"]] = exchange.draft.add(part)
    return Effect.CONTENT


def reasoning_delta(exchange: Exchange, chunk: PartDeltaChunk) -> Effect:
    """More reasoning. A part that nobody opened is opened, unless the reading is strict."""
    part = exchange.draft.open_reasoning.get(chunk["id"])
    if part is None:
        missing(exchange, "reasoning-delta", chunk["id"], "reasoning-start")
        reasoning_start(exchange, {"type": "reasoning-start", "id": chunk["id"]})
        exchange.publish()
        part = exchange.draft.open_reasoning[chunk["id"]]
    assert part.text is not None
    start = part.text.shown
    text = part.text.append(chunk["delta"])
    part.grow()
    exchange.emit_delta(ReasoningDelta, part.index, text, start)
    if "providerMetadata" in chunk:
        _provider_metadata(exchange, part, chunk)
    return Effect.CONTENT


def reasoning_end(exchange: Exchange, chunk: ReasoningEndChunk) -> Effect | None:
    """A reasoning part is complete."""
    part = exchange.draft.open_reasoning.pop(chunk["id"], None)
    if part is None:
        missing(exchange, "reasoning-end", chunk["id"], "reasoning-start")
        return None
    return _close(exchange, part, chunk)


def _open(fields: Fields, chunk: PartStartChunk) -> DraftPart:
    if "providerMetadata" in chunk:
        fields["providerMetadata"] = chunk["providerMetadata"]
    return DraftPart(fields, TextBuffer())


def _provider_metadata(exchange: Exchange, part: DraftPart, chunk: PartDeltaChunk) -> None:
    part.edit()["providerMetadata"] = chunk["providerMetadata"]
    exchange.emit(PartUpdated(exchange.draft.id, part.index))


def _close(exchange: Exchange, part: DraftPart, chunk: TextEndChunk | ReasoningEndChunk) -> Effect:
    assert part.text is not None
    kind = TextDelta if chunk["type"] == "text-end" else ReasoningDelta
    start = part.text.shown
    exchange.emit_delta(kind, part.index, part.text.close(), start)
    fields = part.edit()
    fields["state"] = "done"
    if "providerMetadata" in chunk:
        fields["providerMetadata"] = chunk["providerMetadata"]
    exchange.emit(PartDone(exchange.draft.id, part.index))
    return Effect.CONTENT
