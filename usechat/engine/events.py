"""What observers are told, and where it waits until they are.

Deltas of one part that nothing came between are one event when they are delivered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from usechat.model.chunks import DataChunk, ToolCall
from usechat.model.messages import UIMessage

if TYPE_CHECKING:
    from usechat.engine.status import ChatStatus


class MessageAdded(NamedTuple):
    """A message came to the end of the list."""

    message_id: str
    message_index: int


class PartAdded(NamedTuple):
    """A part came to the end of a message."""

    message_id: str
    part_index: int


class TextDelta(NamedTuple):
    """Text came to a part. ``start`` is how many characters the part had before."""

    message_id: str
    part_index: int
    text: str
    start: int


class ReasoningDelta(NamedTuple):
    """Text came to a reasoning part. ``start`` is how many characters the part had before."""

    message_id: str
    part_index: int
    text: str
    start: int


class ToolInputDelta(NamedTuple):
    """Input of a tool call came, as text. ``start`` is how many characters there were before."""

    message_id: str
    part_index: int
    text: str
    start: int


class PartUpdated(NamedTuple):
    """A part changed in another way: a tool call's state, data, provider metadata."""

    message_id: str
    part_index: int


class PartDone(NamedTuple):
    """A text or reasoning part is complete."""

    message_id: str
    part_index: int


class MessagesReplaced(NamedTuple):
    """The list changed from an index on: draw anew from there."""

    from_index: int


class MetadataChanged(NamedTuple):
    """A message's metadata changed."""

    message_id: str


class StatusChanged(NamedTuple):
    """The status changed."""

    status: ChatStatus


class InputChanged(NamedTuple):
    """The text box changed."""

    input: str


class ErrorChanged(NamedTuple):
    """There is an error, or it is gone."""

    error: Exception | None


class QueueChanged(NamedTuple):
    """The messages that wait changed."""

    messages: tuple[UIMessage, ...]


class DataReceived(NamedTuple):
    """A data part came, transient or not."""

    chunk: DataChunk


class ToolCalled(NamedTuple):
    """A tool call's input is complete, and it is not the model's provider that runs it."""

    call: ToolCall


class TurnFinished(NamedTuple):
    """A turn is over."""

    turn: Any


Event: TypeAlias = (
    MessageAdded
    | PartAdded
    | TextDelta
    | ReasoningDelta
    | ToolInputDelta
    | PartUpdated
    | PartDone
    | MessagesReplaced
    | MetadataChanged
    | StatusChanged
    | InputChanged
    | ErrorChanged
    | QueueChanged
    | DataReceived
    | ToolCalled
    | TurnFinished
)
"""Any event."""

DeltaType: TypeAlias = type[TextDelta] | type[ReasoningDelta] | type[ToolInputDelta]

EVENT_TYPES: tuple[type[Event], ...] = (
    MessageAdded,
    PartAdded,
    TextDelta,
    ReasoningDelta,
    ToolInputDelta,
    PartUpdated,
    PartDone,
    MessagesReplaced,
    MetadataChanged,
    StatusChanged,
    InputChanged,
    ErrorChanged,
    QueueChanged,
    DataReceived,
    ToolCalled,
    TurnFinished,
)
"""Every event type."""

# What is so whatever state the chat goes back to.
_LASTING = (TurnFinished, InputChanged)

_URGENT = (StatusChanged, ErrorChanged, QueueChanged, ToolCalled, TurnFinished)


class ChatState(NamedTuple):
    """What a chat shows at one moment."""

    messages: tuple[UIMessage, ...]
    status: ChatStatus
    error: Exception | None
    queued_messages: tuple[UIMessage, ...]


class Batch(NamedTuple):
    """What one delivery brings: events, and the state they led to where it was recorded."""

    events: list[Event]
    state: ChatState | None


class _Deltas:
    """Adjacent deltas of one part."""

    __slots__ = ("kind", "message_id", "part_index", "pieces", "start")

    def __init__(self, kind: DeltaType, message_id: str, part_index: int, start: int) -> None:
        self.kind = kind
        self.message_id = message_id
        self.part_index = part_index
        self.start = start
        self.pieces: list[str] = []

    def until(self, count: int) -> _Deltas:
        run = _Deltas(self.kind, self.message_id, self.part_index, self.start)
        run.pieces = self.pieces[:count]
        return run

    def event(self) -> Event:
        return self.kind(self.message_id, self.part_index, "".join(self.pieces), self.start)


class Mark(NamedTuple):
    """A place in the outbox to go back to. The lists are the outbox's own, and grow."""

    closed: list[Batch]
    closed_length: int
    entries: list[Event | _Deltas]
    entries_length: int
    run: _Deltas | None
    pieces: int


class Outbox:
    """Events on their way to the observers.

    Attributes:
        wanted: the event types that somebody listens to; others are not built.
        changed: whether anything has changed since the last ``take``.
        urgent: whether it should not wait for the throttle.
    """

    def __init__(self) -> None:
        self.wanted: frozenset[type[Event]] = frozenset()
        self.changed = False
        self.urgent = False
        self._entries: list[Event | _Deltas] = []
        self._open: _Deltas | None = None
        self._closed: list[Batch] = []

    def add(self, event: Event) -> None:
        """Put an event in, if its type is wanted.

        Args:
            event: what happened.
        """
        kind = type(event)
        if kind in _URGENT:
            self.urgent = True
        if kind in self.wanted:
            self._open = None
            self._entries.append(event)

    def add_delta(
        self, kind: DeltaType, message_id: str, part_index: int, text: str, start: int
    ) -> None:
        """Put a delta in; the caller has seen that its type is wanted and the text not empty.

        Args:
            kind: the event type.
            message_id: the message.
            part_index: the part in it.
            text: what came.
            start: how many characters the part had before.
        """
        run = self._open
        if run is None or (
            run.part_index != part_index or run.message_id != message_id or run.kind is not kind
        ):
            run = self._open = _Deltas(kind, message_id, part_index, start)
            self._entries.append(run)
        run.pieces.append(text)

    def close_batch(self, state: ChatState) -> None:
        """Deliver what is in by itself, with the state as it is now.

        Args:
            state: what observers of this batch are shown.
        """
        self._close(state)

    def take(self) -> list[Batch]:
        """All that waits, to be delivered in order."""
        if self._entries or (self.changed and not self._closed):
            self._close(None)
        batches, self._closed = self._closed, []
        self.changed = self.urgent = False
        return batches

    def _close(self, state: ChatState | None) -> None:
        entries = self._entries
        events = [entry.event() if isinstance(entry, _Deltas) else entry for entry in entries]
        self._closed.append(Batch(events, state))
        self._entries, self._open = [], None

    def mark(self) -> Mark:
        """Where the outbox is now."""
        run, entries, closed = self._open, self._entries, self._closed
        pieces = 0 if run is None else len(run.pieces)
        return Mark(closed, len(closed), entries, len(entries), run, pieces)

    def restore(
        self, mark: Mark, redraw: list[Event], finished: list[Event], withdrawn: list[Event]
    ) -> None:
        """Go back to a mark, whatever is here now, and on from there.

        What came after the mark is dropped, but that turns are over and that the text box changed
        is told all the same. What has been taken since, nobody can take back.

        Args:
            mark: an earlier ``mark``.
            redraw: what is told then.
            finished: the turns that are over now; they are told once.
            withdrawn: the turns that are no longer over; they are not told.
        """
        kept, length = self._kept(mark)
        known = {id(event) for event in kept}
        after = [event for batch in self._closed[length:] for event in batch.events]
        for event in [*after, *self._entries]:
            if isinstance(event, _LASTING) and id(event) not in known and event not in withdrawn:
                known.add(id(event))
                kept.append(event)
        told = [*redraw, *(event for event in finished if event not in kept)]
        self._entries = [*kept, *(event for event in told if type(event) in self.wanted)]
        self._open = None
        del self._closed[length:]
        self.changed = self.urgent = True

    def _kept(self, mark: Mark) -> tuple[list[Event | _Deltas], int]:
        """What was in no batch at a mark and waits still; and how many batches do that."""
        if self._closed is not mark.closed:
            return [], 0
        entries = mark.entries[: mark.entries_length]
        if mark.run is not None:
            entries[-1] = mark.run.until(mark.pieces)
        return entries, mark.closed_length
