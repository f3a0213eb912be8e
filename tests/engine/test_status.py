"""The status of a chat as a table, and that nothing outside it can happen."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any, get_args

import pytest

from usechat.engine.answers import ToolOutput
from usechat.engine.exchange import TurnState
from usechat.engine.status import TRANSITIONS, ChatStatus, StatusEvent
from usechat.errors import (
    CallbackError,
    ChatBusyError,
    ConnectionBrokenError,
    InvalidArgumentError,
    ServerError,
)
from usechat.model.tools import ToolDefinition

from .harness import RESET, STEP, Chat, data, finish, start, text, tool, user

TABLE = {
    ("ready", "submit"): "submitted",
    ("ready", "run"): "streaming",
    ("ready", "settle"): "ready",
    ("ready", "fail"): "error",
    ("submitted", "submit"): "submitted",
    ("submitted", "run"): "streaming",
    ("submitted", "write"): "streaming",
    ("submitted", "settle"): "ready",
    ("submitted", "fail"): "error",
    ("streaming", "submit"): "submitted",
    ("streaming", "run"): "streaming",
    ("streaming", "write"): "streaming",
    ("streaming", "settle"): "ready",
    ("streaming", "fail"): "error",
    ("error", "submit"): "submitted",
    ("error", "run"): "streaming",
    ("error", "settle"): "ready",
    ("error", "fail"): "error",
    ("error", "clear"): "ready",
}

WEATHER = ToolDefinition("weather", "Says what it is like.", {"type": "object"})

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


def _anything(chat: Chat, rng: random.Random, turns: list[TurnState]) -> None:
    """Do one thing of all that users and servers can do."""
    actions: list[Callable[[], object]] = [
        chat.send,
        lambda: chat.send(None),
        lambda: chat.send("edited", edit=rng.choice(chat.messages).id if chat.messages else "?"),
        chat.regenerate,
        chat.resume,
        chat.stop,
        chat.output,
        lambda: chat.approve(rng.random() < 0.5, _approval(chat, rng)),
        chat.engine.clear_error,
        chat.clear,
        lambda: _replace_messages(chat),
        lambda: next((chat.send_now(m.id) for m in chat.engine.queue.messages), None),
        lambda: [chat.engine.remove_queued_message(m.id) for m in chat.engine.queue.messages[:1]],
        lambda: chat.run(chat.engine.stop_turn(rng.choice(turns))) if turns else None,
    ]
    if chat.engine.round is not None:
        actions += [lambda: _of_a_call(chat, rng)] * 9
        actions += [
            lambda: chat.run(chat.engine.fail_work(ConnectionBrokenError("gone"))),
            lambda: chat.run(chat.engine.end_cancelled(chat.engine.round)),
        ]
    if chat.engine.exchange is not None:
        actions += [lambda: chat.receive(rng.choice(_CHUNKS))] * 9
        actions += [
            lambda: chat.receive(_CALLED, finish()),
            lambda: setattr(chat.exchange.turn, "abandoned", True),
            chat.finish,
            lambda: chat.fail(ConnectionBrokenError("gone")),
            lambda: chat.fail(ServerError("bad")),
            lambda: chat.run(chat.engine.end_cancelled(chat.exchange)),
        ]
        if chat.exchange.connecting:
            actions.append(chat.nothing_to_resume)
    with contextlib.suppress(ChatBusyError, InvalidArgumentError):
        made = rng.choice(actions)()
        if isinstance(made, TurnState):
            turns.append(made)


def _replace_messages(chat: Chat) -> None:
    chat.set_messages(user(), {**user(id="a"), "role": "assistant"})


def _approval(chat: Chat, rng: random.Random) -> str:
    """What some call asks for, if one does."""
    calls = [part for message in chat.messages for part in message.tool_parts]
    asked = [part.approval.id for part in calls if part.approval is not None]
    return rng.choice(asked) if asked else "ap1"


def _of_a_call(chat: Chat, rng: random.Random) -> None:
    """Let something come of a call that runs."""
    engine, round = chat.engine, chat.engine.round
    assert round is not None
    run = rng.choice(round.runs)
    what: Any = rng.choice(
        [
            lambda: engine.tool_ended(round, run, ToolOutput.available(run.tool_call_id, "sun")),
            lambda: engine.tool_progressed(round, run, "soon"),
            lambda: engine.tool_asks(round, run),
        ]
    )
    chat.run(what())


_CHUNKS: list[Any] = [
    start("m0"),
    start("m1"),
    start("u1"),
    STEP,
    RESET,
    text("words"),
    tool("input-start"),
    tool("input-available"),
    tool("input-available", id="c2"),
    tool("approval-request", approvalId="ap1"),
    data(1, id="1"),
    finish("stop"),
    finish("interrupted"),
    {"type": "error", "errorText": "no"},
    {"type": "message-metadata", "messageMetadata": {"a": 1}},
    {"type": "text-delta", "id": "nobody's", "delta": "x"},
]


# Calls of a tool that may run on this side: not "?", which nobody has.
_CALLED: list[Any] = [start(), STEP, tool("input-available"), tool("input-available", id="c2")]


@pytest.mark.parametrize("tools", [False, True], ids=["", "tools"])
@pytest.mark.parametrize("when_busy", ["reject", "queue", "interrupt"])
@pytest.mark.parametrize("seed", range(12))
def test_whatever_users_and_servers_do_the_chat_is_in_order(
    seed: int, when_busy: str, tools: bool
) -> None:
    rng = random.Random(seed)
    turns: list[TurnState] = []

    def sometimes(_: object) -> bool:
        if rng.random() < 0.2:
            _anything(chat, rng, turns)
        if rng.random() < 0.05:
            raise RuntimeError("a callback's own")
        return rng.random() < 0.5

    names = ("on_finish", "on_error", "on_data", "on_tool_call", "send_automatically_when")
    chat = Chat(
        user(),
        when_busy=when_busy,
        strict=seed % 2 == 0,
        replays=seed % 3 == 0,
        max_steps=5,
        queue_limit=3,
        callbacks=dict.fromkeys(names[: 4 if tools else 5], sometimes),
        repair=seed % 4 == 0,
    )
    chat.engine.tools = {"weather": WEATHER} if tools else {}
    for _ in range(150):
        with contextlib.suppress(CallbackError):
            _anything(chat, rng, turns)
        _is_in_order(chat, turns)
    chat.clear()
    _is_in_order(chat, turns)


def _is_in_order(chat: Chat, turns: list[TurnState]) -> None:
    """What runs is what the status says, and no turn waits for something that cannot come."""
    engine = chat.engine
    work, waiting = engine.work, engine.queue
    assert engine.exchange is None or engine.round is None
    assert work is None or not (work.over or work.turn.over)
    if chat.status in ("submitted", "streaming"):
        assert work is not None
    elif work is not None:
        assert engine.exchange is not None
        assert engine.exchange.connecting
    if engine.round is not None:
        assert not all(run.over for run in engine.round.runs)
    assert (chat.error is not None) == (chat.status == "error")
    for turn in turns:
        if not turn.over:
            assert turn.queued == (waiting.entry_of(turn) is not None)
            assert turn.queued or (work is not None and work.turn is turn)
    if waiting and not waiting.paused and work is None:
        assert engine._waits_for_user()
    assert len(engine._open_turns) == len(waiting) + (work is not None)
