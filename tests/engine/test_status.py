"""The status of a chat as a table, and that nothing outside it can happen."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import get_args

import pytest

from usechat.engine.status import TRANSITIONS, ChatStatus, StatusEvent
from usechat.errors import (
    ChatBusyError,
    ConnectionBrokenError,
    InvalidArgumentError,
    ServerError,
)

from .harness import STEP, Chat, finish, start, text, tool, user

TABLE = {
    ("ready", "submit"): "submitted",
    ("ready", "settle"): "ready",
    ("ready", "fail"): "error",
    ("submitted", "submit"): "submitted",
    ("submitted", "write"): "streaming",
    ("submitted", "settle"): "ready",
    ("submitted", "fail"): "error",
    ("streaming", "submit"): "submitted",
    ("streaming", "write"): "streaming",
    ("streaming", "settle"): "ready",
    ("streaming", "fail"): "error",
    ("error", "submit"): "submitted",
    ("error", "settle"): "ready",
    ("error", "fail"): "error",
    ("error", "clear"): "ready",
}

PRODUCT = [(status, event) for status in get_args(ChatStatus) for event in get_args(StatusEvent)]


@pytest.mark.parametrize(("status", "event"), PRODUCT)
def test_each_status_goes_where_the_table_says_or_nowhere(status: str, event: str) -> None:
    chat = Chat()
    chat.engine.status = status
    if (status, event) in TABLE:
        chat.engine._set_status(event, None)
        assert chat.status == TABLE[status, event]
    else:
        with pytest.raises(KeyError):
            chat.engine._set_status(event, None)
        assert chat.status == status


def test_the_table_has_every_status_and_no_other() -> None:
    assert set(TRANSITIONS) == set(get_args(ChatStatus))
    assert {(s, e) for s, row in TRANSITIONS.items() for e in row} == set(TABLE)


def _anything(chat: Chat, rng: random.Random) -> None:
    """Do one thing of all that users and servers can do."""
    actions: list[Callable[[], object]] = [
        chat.send,
        lambda: chat.send(None),
        lambda: chat.send("edited", edit=rng.choice(chat.messages).id if chat.messages else "?"),
        chat.regenerate,
        chat.resume,
        chat.stop,
        chat.output,
        chat.approve,
        chat.engine.clear_error,
        chat.clear,
        lambda: chat.set_messages(user(), {**user(id="a"), "role": "assistant"}),
        lambda: [chat.send_now(m.id) for m in chat.engine.queue.messages[:1]],
        lambda: [chat.engine.remove_queued_message(m.id) for m in chat.engine.queue.messages[:1]],
    ]
    if chat.engine.exchange is not None:
        chunks = [
            start(f"m{rng.randrange(3)}"),
            STEP,
            text("words"),
            tool("input-available", id=f"c{rng.randrange(3)}"),
            tool("approval-request", approvalId="ap1"),
            finish(rng.choice(["stop", "interrupted", "tool-calls"])),
            {"type": "error", "errorText": "no"},
            {"type": "message-metadata", "messageMetadata": {"a": 1}},
            {"type": "text-delta", "id": "nobody's", "delta": "x"},
        ]
        actions += [lambda: chat.receive(rng.choice(chunks))] * 9
        actions += [
            chat.finish,
            lambda: chat.fail(ConnectionBrokenError("gone")),
            lambda: chat.fail(ServerError("bad")),
            lambda: (
                chat.engine.nothing_to_resume(chat.exchange) if chat.exchange.connecting else None
            ),
        ]
    with contextlib.suppress(ChatBusyError, InvalidArgumentError):
        rng.choice(actions)()


@pytest.mark.parametrize("when_busy", ["reject", "queue", "interrupt"])
@pytest.mark.parametrize("seed", range(12))
def test_nothing_that_users_and_servers_do_leads_outside_the_table(
    seed: int, when_busy: str
) -> None:
    rng = random.Random(seed)

    def sometimes(_: object) -> None:
        if rng.random() < 0.2:
            _anything(chat, rng)
        if rng.random() < 0.05:
            raise RuntimeError("a callback's own")

    names = ("on_finish", "on_error", "on_data", "on_tool_call")
    chat = Chat(
        user(),
        when_busy=when_busy,
        strict=seed % 2 == 0,
        replays=seed % 3 == 0,
        max_steps=5,
        queue_limit=3,
        callbacks=dict.fromkeys(names, sometimes),
    )
    for _ in range(250):
        _anything(chat, rng)
        running = chat.engine.exchange
        if chat.status in ("submitted", "streaming"):
            assert running is not None
        elif running is not None:
            assert running.connecting
        assert (chat.error is not None) == (chat.status == "error")
    chat.clear()
    assert (chat.status, chat.messages, chat.engine.exchange) == ("ready", (), None)
