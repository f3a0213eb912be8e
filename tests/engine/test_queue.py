"""The list of messages that wait. (When it moves on: test_queueing.)"""

from __future__ import annotations

from usechat.engine.events import EVENT_TYPES, Outbox, QueueChanged
from usechat.engine.exchange import RequestOptions, TurnState
from usechat.engine.queue import QueuedMessage, SendQueue
from usechat.model.messages import UIMessage


def queue_of(ids: str) -> tuple[SendQueue, list[QueuedMessage], Outbox]:
    outbox = Outbox()
    outbox.wanted = frozenset(EVENT_TYPES)
    queue = SendQueue(outbox, 10)
    entries = [
        QueuedMessage(UIMessage(id=i, role="user"), TurnState(RequestOptions())) for i in ids
    ]
    for entry in entries:
        queue.add(entry)
    outbox.take()
    return queue, entries, outbox


def order(queue: SendQueue) -> str:
    return "".join(message.id for message in queue.messages)


def changes(outbox: Outbox) -> list[str]:
    events = [event for batch in outbox.take() for event in batch.events]
    return ["".join(m.id for m in e.messages) for e in events if isinstance(e, QueueChanged)]


def test_first_come_first_sent() -> None:
    queue, entries, outbox = queue_of("abc")
    assert all(entry.turn.queued for entry in entries)
    assert queue.next() is entries[0]
    assert entries[0].turn.queued is False
    assert (order(queue), len(queue), changes(outbox)) == ("bc", 2, ["bc"])


def test_a_message_can_be_moved_to_the_front() -> None:
    queue, entries, outbox = queue_of("abc")
    queue.move_to_front(entries[2])
    assert (order(queue), changes(outbox)) == ("cab", ["cab"])
    queue.move_to_front(entries[2])
    assert changes(outbox) == []


def test_a_message_can_be_taken_out() -> None:
    queue, entries, outbox = queue_of("abc")
    queue.remove(entries[1])
    assert (order(queue), changes(outbox)) == ("ac", ["ac"])


def test_entries_are_found_by_message_and_by_turn() -> None:
    queue, entries, _ = queue_of("ab")
    assert queue.find("b") is entries[1]
    assert queue.find("?") is None
    assert queue.entry_of(entries[0].turn) is entries[0]
    assert queue.entry_of(TurnState(RequestOptions())) is None


def test_clearing_gives_the_turns_that_will_never_run() -> None:
    queue, entries, outbox = queue_of("ab")
    queue.deferred = RequestOptions()
    assert queue.clear() == [entry.turn for entry in entries]
    assert (len(queue), queue.deferred, changes(outbox)) == (0, None, [""])
    assert queue.clear() == []
    assert changes(outbox) == []
