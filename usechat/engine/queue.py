"""Messages that wait to be sent.

Source: ai 7.0.173, src/ui/chat.ts, experimental_queue. A stop, an error or an interrupted reply
pauses the queue until the user sends again.
"""

from __future__ import annotations

from typing import NamedTuple

from usechat.engine.events import Outbox, QueueChanged
from usechat.engine.exchange import RequestOptions, TurnState
from usechat.model.messages import UIMessage


class QueuedMessage(NamedTuple):
    """A message that waits, and the turn that will send it."""

    message: UIMessage
    turn: TurnState


class SendQueue:
    """The messages that wait, first come first sent.

    Args:
        outbox: where changes are told.
        limit: how many may wait.

    Attributes:
        paused: whether the queue waits for the user to send again.
        deferred: request options for an answered approval that has to be sent first.
    """

    def __init__(self, outbox: Outbox, limit: int) -> None:
        self.limit = limit
        self.paused = False
        self.deferred: RequestOptions | None = None
        self._outbox = outbox
        self._entries: tuple[QueuedMessage, ...] = ()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def messages(self) -> tuple[UIMessage, ...]:
        """The messages in the order in which they will be sent."""
        return tuple(entry.message for entry in self._entries)

    @property
    def entries(self) -> tuple[QueuedMessage, ...]:
        """The messages with their turns, in the same order."""
        return self._entries

    def find(self, message_id: str) -> QueuedMessage | None:
        """The entry with this message id.

        Args:
            message_id: the id.
        """
        return next((e for e in self._entries if e.message.id == message_id), None)

    def entry_of(self, turn: TurnState) -> QueuedMessage | None:
        """The entry of a turn.

        Args:
            turn: the turn.
        """
        return next((e for e in self._entries if e.turn is turn), None)

    def add(self, entry: QueuedMessage) -> None:
        """Put a message at the end.

        Args:
            entry: the message and its turn.
        """
        entry.turn.queued = True
        self._set((*self._entries, entry))

    def move_to_front(self, entry: QueuedMessage) -> None:
        """Let a message be the next.

        Args:
            entry: one of the queue's own.
        """
        self._set((entry, *(e for e in self._entries if e is not entry)))

    def remove(self, entry: QueuedMessage) -> None:
        """Take a message out.

        Args:
            entry: one of the queue's own.
        """
        self._set(tuple(e for e in self._entries if e is not entry))

    def next(self) -> QueuedMessage:
        """Take the first message out."""
        first, *rest = self._entries
        first.turn.queued = False
        self._set(tuple(rest))
        return first

    def clear(self) -> list[TurnState]:
        """Take all out; return their turns, which will never run."""
        turns = [entry.turn for entry in self._entries]
        self._set(())
        self.deferred = None
        return turns

    def restore(
        self, entries: tuple[QueuedMessage, ...], paused: bool, deferred: RequestOptions | None
    ) -> None:
        """Put back what was here; nobody is told.

        Args:
            entries: what waited.
            paused: as the attribute.
            deferred: as the attribute.
        """
        self._entries, self.paused, self.deferred = entries, paused, deferred

    def _set(self, entries: tuple[QueuedMessage, ...]) -> None:
        if entries != self._entries:
            self._entries = entries
            self._outbox.add(QueueChanged(self.messages))
            self._outbox.changed = True
