"""The list of messages, with the one that streams in its place."""

from __future__ import annotations

from collections.abc import Iterable

from usechat.engine.draft import Draft
from usechat.engine.events import MessageAdded, MessagesReplaced, Outbox
from usechat.engine.exchange import Exchange
from usechat.model.messages import UIMessage


class History:
    """The messages of a chat. A write costs the same at any length; a look costs what changed.

    Args:
        messages: what is there from the start.
        outbox: where changes are told.
    """

    def __init__(self, messages: Iterable[UIMessage], outbox: Outbox) -> None:
        self._messages = list(messages)
        self._outbox = outbox
        self._draft: Draft | None = None
        self._index = -1  # where the draft stands
        self._stale = False  # whether the draft was written since it was last built
        self._snapshot: tuple[UIMessage, ...] | None = None

    def snapshot(self) -> tuple[UIMessage, ...]:
        """The messages as they are now; the same tuple until something changes."""
        self._refresh()
        if self._snapshot is None:
            self._snapshot = tuple(self._messages)
        return self._snapshot

    def _refresh(self) -> None:
        if self._stale and self._draft is not None:
            # In this order, since whoever merely looks may be interrupted too.
            self._messages[self._index] = self._draft.published()
            self._snapshot = None
            self._stale = False

    def __len__(self) -> int:
        return len(self._messages)

    def last(self) -> UIMessage | None:
        """The last message."""
        self._refresh()
        return self._messages[-1] if self._messages else None

    def at(self, index: int) -> UIMessage:
        """The message at an index.

        Args:
            index: from 0.
        """
        self._refresh()
        return self._messages[index]

    def find(self, message_id: str) -> int | None:
        """The index of the first message with this id.

        Args:
            message_id: the id.
        """
        self._refresh()
        return next((i for i, m in enumerate(self._messages) if m.id == message_id), None)

    def find_last(self, message_id: str) -> int | None:
        """The index of the last message with this id.

        Args:
            message_id: the id.
        """
        self._refresh()
        indexes = range(len(self._messages) - 1, -1, -1)
        return next((i for i in indexes if self._messages[i].id == message_id), None)

    def find_reply(self, message_id: str) -> int | None:
        """The index of the last message with this id, if it is an assistant's.

        Args:
            message_id: the id.
        """
        index = self.find_last(message_id)
        return None if index is None or self._messages[index].role != "assistant" else index

    def is_free(self, message_id: str) -> bool:
        """Whether a reply can have this id: nobody else's message has it.

        Args:
            message_id: the id.
        """
        return self.find_reply(message_id) is not None or self.find_last(message_id) is None

    def replace_all(self, messages: Iterable[UIMessage]) -> None:
        """Put other messages in place of all.

        Args:
            messages: the new ones.
        """
        before, self._messages = self._messages, list(messages)
        self._snapshot = None
        pairs = zip(before, self._messages, strict=False)
        same = next((i for i, (a, b) in enumerate(pairs) if a is not b), None)
        shorter = min(len(before), len(self._messages))
        self._told(MessagesReplaced(shorter if same is None else same))

    def cut(self, length: int) -> None:
        """Drop the messages from an index on.

        Args:
            length: how many stay.
        """
        self.replace_all(self._messages[:length])

    def push(self, message: UIMessage) -> None:
        """Add a message at the end.

        Args:
            message: the message.
        """
        self._messages.append(message)
        self._snapshot = None
        self._told(MessageAdded(message.id, len(self._messages) - 1))

    def replace(self, index: int, message: UIMessage) -> None:
        """Put another message in the place of one.

        Args:
            index: the place.
            message: the new one.
        """
        self._messages[index] = message
        self._snapshot = None
        self._told(MessagesReplaced(index))

    def update(self, index: int, message: UIMessage) -> None:
        """Put another message in the place of one; the caller tells what has changed in it.

        Args:
            index: the place.
            message: the new one.
        """
        self._messages[index] = message
        self._snapshot = None

    def _told(self, event: MessageAdded | MessagesReplaced) -> None:
        self._outbox.add(event)
        self._outbox.changed = True

    def attach(self, exchange: Exchange) -> None:
        """Give the draft of an exchange its place: where its id is, or at the end.

        Args:
            exchange: the exchange, about to be written for the first time.
        """
        draft = exchange.draft
        index = self.find_reply(draft.id)
        if index is None:
            index = len(self._messages)
            self._messages.append(draft.published())
            self._outbox.add(MessageAdded(draft.id, index))
        else:
            self._outbox.add(MessagesReplaced(index))
        self._draft, self._index, self._stale = draft, index, True
        exchange.message_index = index

    def stand_in(self, exchange: Exchange, index: int) -> None:
        """Let the draft continue the message at an index, which shows until the first write.

        Args:
            exchange: the exchange.
            index: where the message is.
        """
        self._draft, self._index, self._stale = exchange.draft, index, False
        exchange.message_index = index

    def written(self) -> None:
        """Say that the draft has changed."""
        self._stale = True
        self._outbox.changed = True

    def rename(self, exchange: Exchange, message_id: str) -> None:
        """Give the draft the id that the server gave it.

        An assistant message that has the id is replaced. (The SDK leaves a copy of the reply
        behind.)

        Args:
            exchange: the exchange.
            message_id: the new id, which is free.
        """
        index = self.find_reply(message_id)
        exchange.draft.fields["id"] = message_id
        here = exchange.message_index
        if here is None:
            return
        if index is not None and index != here:
            self.release()
            del self._messages[here]
            exchange.message_index = None
            self._told(MessagesReplaced(min(here, index)))
        else:
            self._outbox.add(MessagesReplaced(here))

    def restore(self, messages: tuple[UIMessage, ...]) -> None:
        """Put back what a snapshot showed, whatever is here now; nobody is told.

        Args:
            messages: the snapshot.
        """
        self._draft, self._index, self._stale = None, -1, False
        self._messages = list(messages)
        self._snapshot = messages

    def release(self) -> None:
        """Let the draft go; what was last written stays in the list."""
        self._refresh()
        self._draft, self._index = None, -1
