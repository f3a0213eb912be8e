"""Text and reasoning: parts of two types that stream in the same way."""

from __future__ import annotations

from usechat.engine.draft import Draft, DraftPart, Fields
from usechat.engine.events import PartDone, PartUpdated, ReasoningDelta, TextDelta
from usechat.engine.exchange import Effect, Exchange
from usechat.engine.reducer.lenient import missing
from usechat.engine.text import TextBuffer
from usechat.model.chunks import PartDeltaChunk, PartStartChunk, ReasoningEndChunk, TextEndChunk


class Streaming:
    """The handlers of one of the two types.

    Args:
        kind: ``text`` or ``reasoning``.
        event: what observers are told of a delta.
    """

    def __init__(self, kind: str, event: type[TextDelta] | type[ReasoningDelta]) -> None:
        self._kind = kind
        self._event = event

    def _open(self, draft: Draft) -> dict[str, DraftPart]:
        """The open parts of the type, by the ids of their chunks."""
        return draft.open_text if self._kind == "text" else draft.open_reasoning

    def start(self, exchange: Exchange, chunk: PartStartChunk) -> Effect:
        """A part begins."""
        fields: Fields = {"type": self._kind, "state": "streaming"}
        if self._kind == "reasoning":
            fields["id"] = chunk["id"]
        if "providerMetadata" in chunk:
            fields["providerMetadata"] = chunk["providerMetadata"]
        part = exchange.draft.add(DraftPart(fields, TextBuffer()))
        self._open(exchange.draft)[chunk["id"]] = part
        return Effect.CONTENT

    def delta(self, exchange: Exchange, chunk: PartDeltaChunk) -> Effect:
        """More text. A part that nobody opened is opened, unless the reading is strict."""
        part = self._open(exchange.draft).get(chunk["id"])
        if part is None:
            part = self._open_late(exchange, chunk["id"])
        assert part.text is not None
        start = part.text.shown
        text = part.text.append(chunk["delta"])
        part.grow()
        exchange.emit_delta(self._event, part.index, text, start)
        if "providerMetadata" in chunk:
            part.edit()["providerMetadata"] = chunk["providerMetadata"]
            exchange.emit(PartUpdated(exchange.draft.id, part.index))
        return Effect.CONTENT

    def _open_late(self, exchange: Exchange, part_id: str) -> DraftPart:
        missing(exchange, f"{self._kind}-delta", part_id, f"{self._kind}-start")
        self.start(exchange, {"type": "text-start", "id": part_id})
        exchange.publish()
        return self._open(exchange.draft)[part_id]

    def end(self, exchange: Exchange, chunk: TextEndChunk | ReasoningEndChunk) -> Effect | None:
        """A part is complete."""
        part = self._open(exchange.draft).pop(chunk["id"], None)
        if part is None:
            missing(exchange, chunk["type"], chunk["id"], f"{self._kind}-start")
            return None
        assert part.text is not None
        start = part.text.shown
        exchange.emit_delta(self._event, part.index, part.text.close(), start)
        fields = part.edit()
        fields["state"] = "done"
        if chunk["type"] == "text-end" and "citations" in chunk:
            fields["citations"] = chunk["citations"]
        if "providerMetadata" in chunk:
            fields["providerMetadata"] = chunk["providerMetadata"]
        exchange.emit(PartDone(exchange.draft.id, part.index))
        return Effect.CONTENT


TEXT = Streaming("text", TextDelta)
REASONING = Streaming("reasoning", ReasoningDelta)
