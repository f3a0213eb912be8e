"""Deltas that are applied as one: the same as one by one."""

from __future__ import annotations

import random
from typing import Any

import pytest

from usechat.engine.events import EVENT_TYPES, ErrorChanged, StatusChanged, TextDelta, TurnFinished
from usechat.errors import ServerError, StreamProtocolError

from .harness import (
    STEP,
    Chat,
    data,
    finish,
    start,
    text_delta,
    text_end,
    text_start,
    tool,
)


def by_one(chat: Chat, chunks: list[Any], at_once: int) -> None:
    exchange = chat.open()
    for chunk in chunks:
        chat.receive(chunk, exchange=exchange)


def by_many(chat: Chat, chunks: list[Any], at_once: int) -> None:
    """As a session does, so many chunks a network read."""
    exchange = chat.open()
    try:
        for first in range(0, len(chunks), at_once):
            piece, at = chunks[first : first + at_once], 0
            while at < len(piece):
                at, steps = chat.engine.receive_some(exchange, piece, at, 7)
                if steps is not None:
                    chat.run(steps)
    except (ServerError, StreamProtocolError) as error:
        chat.fail(error, exchange)


def outcome(receive: Any, chunks: list[Any], at_once: int, **options: Any) -> Any:
    """All that can be seen of a reply."""
    seen = {"on_data": lambda _: None, "on_tool_call": lambda _: None}
    chat = Chat(callbacks=seen, **options)
    turn = chat.send()
    exchange = chat.exchange
    receive(chat, chunks, at_once)
    told = [event for event in chat.events() if not isinstance(event, (TurnFinished, ErrorChanged))]
    events = [(type(event).__name__, event) for event in told]
    position = getattr(chat.error, "position", None)
    return chat.dump(), exchange.received, str(chat.error), position, events, turn.outcome


def delta(n: int, **fields: Any) -> dict[str, Any]:
    return {"type": "tool-input-delta", "toolCallId": "c1", "inputTextDelta": f"{n}", **fields}


def reasoning(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"reasoning-{kind}", "id": "t1", **fields}


CHUNKS: list[Any] = [
    *[text_delta(text) for text in ("ab", "c", "", "é", "😀", "\u2028", "\ud83d", "\ude00")] * 2,
    *[text_delta(text, "t2") for text in "xyz"],
    *[delta(n) for n in range(5)] * 2,
    *[reasoning("delta", delta=text) for text in "uvw"],
    text_start(),
    text_start("t2"),
    text_end(),
    text_delta("p", providerMetadata={"p": {"q": 1}}),
    reasoning("start"),
    tool("input-start"),
    tool("input-start", dynamic=True),
    tool("input-available"),
    tool("input-start", "c2"),
    delta(1, toolCallId="c2"),
    delta(2, toolCallId="c2"),
    delta(2, more=1),
    data(1),
    STEP,
    {"type": "reset-step"},
    {"type": "message-metadata", "messageMetadata": {"a": 1}},
]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("seed", range(150))
def test_deltas_in_runs_are_the_same_as_one_by_one(seed: int, strict: bool) -> None:
    rng = random.Random(seed)
    chunks = [start("a1"), text_start(), tool("input-start"), reasoning("start")]
    for _ in range(rng.randint(1, 40)):
        chunks += [rng.choice(CHUNKS)] * rng.choice([1, 1, 1, 2, 3])
    chunks += [finish()]
    at_once = rng.choice([1, 2, 5, 100])
    kinds = rng.choice([EVENT_TYPES, (TextDelta,), ()])
    options: dict[str, Any] = {"strict": strict, "listens": kinds, "records": seed % 5 == 0}
    assert outcome(by_many, chunks, at_once, **options) == outcome(by_one, chunks, 1, **options)


def test_a_run_is_one_change() -> None:
    """What makes it cheap: however many deltas, the handler is called once."""
    chat = Chat()
    chat.send()
    chat.receive(start("a1"), text_start())
    exchange, deltas = chat.exchange, [text_delta("ab")] * 5
    at, steps = chat.engine.receive_some(exchange, deltas, 0, 100)
    assert (at, steps, exchange.received) == (5, None, 7)
    assert len(exchange.draft.parts[0].text._pieces) == 1  # type: ignore[union-attr]
    assert chat.reply_parts()[0]["text"] == "ab" * 5


def test_no_more_are_applied_than_were_asked_for() -> None:
    chat = Chat()
    chat.send()
    chat.receive(start("a1"), text_start())
    assert chat.engine.receive_some(chat.exchange, [text_delta("ab")] * 5, 1, 3)[0] == 4
    assert chat.reply_parts()[0]["text"] == "ababab"


def test_where_every_change_is_recorded_it_is_one_at_a_time() -> None:
    chat = Chat(records=True)
    chat.send()
    chat.receive(start("a1"), text_start())
    assert chat.engine.receive_some(chat.exchange, [text_delta("ab")] * 5, 1, 3)[0] == 2


@pytest.mark.parametrize("bad", [{"type": "text-delta", "id": "t1", "delta": 5}, 7, {"id": "x"}])
def test_what_is_no_chunk_is_told_in_its_place(bad: Any) -> None:
    chat = Chat()
    chat.send()
    chat.receive(start("a1"), text_start())
    chunks = [text_delta("a"), text_delta("b"), bad]
    with pytest.raises((TypeError, KeyError, AttributeError)):
        chat.engine.receive_some(chat.exchange, chunks, 0, 100)
    assert chat.reply_parts()[0]["text"] == "ab"


def test_a_reply_that_a_callback_ends_is_not_applied_further() -> None:
    chat = Chat(callbacks={"on_data": lambda _: chat.stop()})
    chat.send()
    chunks = [start("a1"), text_start(), data(1), text_delta("a"), text_delta("b")]
    by_many(chat, chunks, 100)
    assert chat.reply_parts()[0]["text"] == ""
    assert chat.events(StatusChanged)[-1] == StatusChanged("ready")


@pytest.mark.parametrize(
    "piece",
    [
        [text_delta("\ud83d"), text_delta("\ude00")],
        [delta(1, toolCallId="nobody's")],
        [text_delta("a", providerMetadata={})],
    ],
    ids=["halves", "unknown call", "metadata"],
)
def test_what_cannot_be_joined_is_not_looked_through_again_and_again(piece: list[Any]) -> None:
    """The looks at chunks grow as the chunks do."""
    looks = 0

    class Counted(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            nonlocal looks
            looks += 1
            return super().__getitem__(index)

    chat = Chat()
    chat.send()
    chat.receive(start("a1"), text_start())
    chunks, at = Counted(piece * 500), 0
    while at < len(chunks):
        at, _ = chat.engine.receive_some(chat.exchange, chunks, at, len(chunks))
    assert looks < 10 * len(chunks)
