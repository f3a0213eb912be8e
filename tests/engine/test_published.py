"""Published messages never change."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from usechat.model.messages import UIMessage

from .harness import (
    END_STEP,
    RESET,
    STEP,
    Chat,
    assistant,
    call,
    data,
    finish,
    start,
    text_delta,
    text_end,
    text_start,
    tool,
    user,
)


def any_chunk(rng: random.Random) -> dict[str, Any]:
    part, call_id = f"t{rng.randrange(2)}", f"c{rng.randrange(3)}"
    value = rng.choice([1, None, {"a": {"b": [rng.randrange(9)]}}, [1, {"x": 2}]])
    metadata = {"p": {"x": rng.randrange(9)}}
    own: dict[str, Any] = {"providerMetadata": metadata} if rng.random() < 0.3 else {}
    kinds: list[dict[str, Any]] = [
        start(rng.choice([None, "m1", "m2", "a1", "u1"]), messageMetadata={"n": value}),
        text_start(part, **own),
        text_delta(rng.choice(["x", "\ud83d", "\ude00"]), part, **own),
        text_end(part, **own),
        {"type": "reasoning-start", "id": part, **own},
        {"type": "reasoning-delta", "id": part, "delta": "r", **own},
        {"type": "reasoning-end", "id": part, **own},
        tool("input-start", call_id, dynamic=rng.random() < 0.5, **own),
        tool("input-delta", call_id, inputTextDelta=rng.choice(['{"a":[', "1,", '"b"'])),
        tool("input-available", call_id, input=value, **own),
        tool("input-error", call_id, errorText="e"),
        tool("approval-request", call_id, approvalId=f"ap-{call_id}", approvalDescriptor=value),
        {"type": "tool-approval-response", "approvalId": f"ap-{call_id}", "approved": True},
        tool("output-available", call_id, output=value, preliminary=rng.random() < 0.5),
        tool("output-error", call_id, errorText="e"),
        tool("output-denied", call_id),
        data(value, id=rng.choice([None, "1", "2"])),
        {"type": "file", "mediaType": "m", "url": "u", **own},
        {"type": "source-url", "sourceId": "s", "url": "u", **own},
        {"type": "message-metadata", "messageMetadata": {"n": value, rng.choice("ab"): value}},
        STEP,
        END_STEP,
        RESET,
    ]
    return rng.choice(kinds)


def act(chat: Chat, rng: random.Random) -> None:
    """Something that users do now and then."""
    call_id = f"c{rng.randrange(3)}"
    rng.choice(
        [
            lambda: chat.output({"t": [1]}, call_id),
            lambda: chat.output(id=call_id, error="e"),
            lambda: chat.approve(id=f"ap-{call_id}"),
            chat.stop,
            lambda: chat.set_messages(*chat.dump()),
            chat.regenerate,
        ]
    )()


def changes_of(value: Any) -> None:
    """Change everything in a value that can be changed."""
    if isinstance(value, dict):
        for item in value.values():
            changes_of(item)
        value["changed"] = True
    elif isinstance(value, list):
        for item in value:
            changes_of(item)
        value.append("changed")


@pytest.mark.parametrize("seed", range(30))
def test_a_message_that_was_published_is_the_same_for_ever(seed: int) -> None:
    rng = random.Random(seed)
    chat = Chat(
        user(),
        assistant({"type": "text", "text": "old"}, call("input-streaming", rawInput='{"a"')),
        replays=seed % 2 == 0,
    )
    kept: list[tuple[tuple[UIMessage, ...], list[dict[str, Any]], bytes]] = []
    for _ in range(120):
        if chat.engine.exchange is None:
            rng.choice([chat.send, lambda: chat.send(None), chat.resume])()
            chat.open()
        elif rng.random() < 0.05:
            chat.receive(finish("stop"))
            chat.finish()
        elif rng.random() < 0.1:
            act(chat, rng)
        else:
            chat.receive(any_chunk(rng))
        messages = chat.messages
        dumped = copy.deepcopy([m.model_dump() for m in messages])
        kept.append((messages, dumped, b"".join(m.encoded() for m in messages)))
    for messages, dumped, encoded in kept:
        assert [m.model_dump() for m in messages] == dumped
        assert b"".join(m.encoded() for m in messages) == encoded
        assert [UIMessage(**d) for d in dumped] == list(messages)


def test_what_a_caller_does_to_a_dump_changes_no_message() -> None:
    chat = Chat()
    chat.send()
    chat.receive(
        tool("input-available", input={"a": [1]}),
        data({"b": [2]}, id="1"),
        {"type": "message-metadata", "messageMetadata": {"c": {"d": 3}}},
    )
    before = copy.deepcopy(chat.dump())
    changes_of(chat.dump())
    assert chat.dump() == before
    chat.receive(tool("output-available", output=1), data({"b": [3]}, id="1"))
    assert [p.get("input", p.get("data")) for p in chat.reply_parts()] == [{"a": [1]}, {"b": [3]}]


def test_how_often_somebody_looks_makes_no_difference() -> None:
    for seed in range(40):
        dumps = []
        for looks in (True, False):
            rng = random.Random(seed)
            chat = Chat(user(), replays=False)
            chat.send()
            for _ in range(60):
                chat.receive(any_chunk(rng))
                if looks:
                    assert chat.messages
            chat.stop()
            dumps.append(chat.dump())
        assert dumps[0] == dumps[1], seed


def test_how_often_the_events_are_taken_makes_no_difference_to_the_messages() -> None:
    for seed in range(20):
        dumps = []
        for records in (True, False):
            rng = random.Random(seed)
            chat = Chat(user(), records=records)
            chat.send()
            for _ in range(60):
                chat.receive(any_chunk(rng))
                chat.events()
            dumps.append(chat.dump())
        assert dumps[0] == dumps[1]
