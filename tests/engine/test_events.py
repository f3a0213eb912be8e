"""The outbox: what is merged, what is built, and what a batch is."""

from __future__ import annotations

from typing import get_args

import pytest

from usechat.engine import events
from usechat.engine.events import (
    EVENT_TYPES,
    ChatState,
    Event,
    MessageAdded,
    Outbox,
    PartUpdated,
    ReasoningDelta,
    StatusChanged,
    TextDelta,
    ToolInputDelta,
    TurnFinished,
)

from .harness import STEP, Chat, Told, replying, text_delta, text_start, tool

STATE = ChatState((), "ready", None, ())


def outbox(*wanted: type[Event]) -> Outbox:
    made = Outbox()
    made.wanted = frozenset(wanted or EVENT_TYPES)
    return made


def taken(box: Outbox) -> Told:
    return Told(event for batch in box.take() for event in batch.events)


def test_every_event_type_is_listed_once() -> None:
    assert set(EVENT_TYPES) == set(get_args(Event))
    assert len(EVENT_TYPES) == 16


def test_adjacent_deltas_of_one_part_are_one_event() -> None:
    box = outbox()
    for start, piece in ((5, "a"), (6, "bc"), (8, "d")):
        box.add_delta(TextDelta, "m", 0, piece, start)
    assert taken(box) == [TextDelta("m", 0, "abcd", 5)]


@pytest.mark.parametrize(
    "other",
    [(TextDelta, "m", 1), (TextDelta, "n", 0), (ReasoningDelta, "m", 0), (ToolInputDelta, "m", 0)],
)
def test_deltas_of_another_part_message_or_kind_are_not_merged(other: tuple) -> None:
    box = outbox()
    box.add_delta(TextDelta, "m", 0, "a", 0)
    box.add_delta(*other, "b", 0)
    box.add_delta(TextDelta, "m", 0, "c", 1)
    assert taken(box) == [
        TextDelta("m", 0, "a", 0),
        other[0](other[1], other[2], "b", 0),
        TextDelta("m", 0, "c", 1),
    ]


def test_nothing_merges_across_another_event() -> None:
    box = outbox()
    box.add_delta(TextDelta, "m", 0, "a", 0)
    box.add(PartUpdated("m", 0))
    box.add_delta(TextDelta, "m", 0, "b", 1)
    assert taken(box) == [TextDelta("m", 0, "a", 0), PartUpdated("m", 0), TextDelta("m", 0, "b", 1)]


def test_nothing_merges_across_deliveries() -> None:
    box = outbox()
    box.add_delta(TextDelta, "m", 0, "a", 0)
    assert taken(box) == [TextDelta("m", 0, "a", 0)]
    box.add_delta(TextDelta, "m", 0, "b", 1)
    assert taken(box) == [TextDelta("m", 0, "b", 1)]
    box.add_delta(TextDelta, "m", 0, "c", 2)
    box.close_batch(STATE)
    box.add_delta(TextDelta, "m", 0, "d", 3)
    assert taken(box) == [TextDelta("m", 0, "c", 2), TextDelta("m", 0, "d", 3)]


def test_an_event_that_nobody_wants_is_dropped_and_parts_nothing() -> None:
    box = outbox(TextDelta)
    box.add_delta(TextDelta, "m", 0, "a", 0)
    box.add(PartUpdated("m", 0))
    box.add_delta(TextDelta, "m", 0, "b", 1)
    assert taken(box) == [TextDelta("m", 0, "ab", 0)]


def test_events_that_nobody_listens_to_are_not_built() -> None:
    chat = Chat(listens=())
    chat.send()
    chat.receive(text_start(), text_delta("a"), text_delta("b"), tool("input-start"))
    chat.receive(tool("input-delta", inputTextDelta="{"))
    assert chat.engine.outbox._entries == []
    assert chat.events() == []


def test_a_change_without_events_is_still_a_delivery() -> None:
    box = outbox()
    assert box.take() == []
    box.changed = True
    assert [(b.events, b.state) for b in box.take()] == [([], None)]
    assert (box.changed, box.take()) == (False, [])


def test_what_users_wait_for_is_urgent_even_where_nobody_listens() -> None:
    box = outbox(MessageAdded)
    box.add(MessageAdded("m", 0))
    assert box.urgent is False
    for event in (StatusChanged("ready"), TurnFinished(None)):
        box.add(event)
        assert box.urgent is True
        box.take()
        assert box.urgent is False


def test_each_closed_batch_has_the_state_that_it_led_to() -> None:
    box = outbox()
    box.add(StatusChanged("submitted"))
    box.close_batch(STATE._replace(status="submitted"))
    box.add(StatusChanged("ready"))
    box.close_batch(STATE)
    box.add(MessageAdded("m", 0))
    assert [(b.events, b.state and b.state.status) for b in box.take()] == [
        ([StatusChanged("submitted")], "submitted"),
        ([StatusChanged("ready")], "ready"),
        ([MessageAdded("m", 0)], None),
    ]


def test_a_chat_that_records_gives_each_change_with_its_messages() -> None:
    chat = Chat(records=True)
    chat.send()
    chat.receive(text_start(), text_delta("a"), STEP, text_delta("b"))
    states = [batch.state for batch in chat.engine.outbox.take()]
    assert all(state is not None for state in states)
    shown = [[m.text for m in state.messages] for state in states if state is not None]
    # The list, the status and the request; then the reply's first write and each that follows.
    assert shown == [["Hi"]] * 3 + [["Hi", ""], ["Hi", "a"], ["Hi", "ab"]]


def test_no_delta_is_told_of_nothing_or_of_half_a_character() -> None:
    chat = replying(text_start(), text_delta(""), text_delta("\ud83d"), text_delta("\ude00"))
    assert chat.events(TextDelta) == [TextDelta("id-1", 0, "\U0001f600", 0)]


def test_the_documented_urgent_events_are_events() -> None:
    assert set(events._URGENT) < set(EVENT_TYPES)
