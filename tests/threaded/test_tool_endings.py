"""Tools of a ``ChatSession`` whose turn is stopped, left or replaced while they run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from held_tools import HELD, Held, released, stopped, usable
from hosting import PATIENCE, chatting, elsewhere, hosted, told

from tests.session.tool_replies import HeldThread, answer, outputs, states
from usechat import (
    ChatBusyError,
    ChatClosedError,
    ChatSession,
    ToolContext,
)
from usechat.engine.tool_rounds import NO_RESULT

# -------------------------------------------------------------------- stops


@pytest.mark.parametrize("where", ["host", "elsewhere", "observer"])
def test_stop_ends_the_tools(held: Held, where: str) -> None:
    with hosted(HELD, answer(), tools=[held.hold], throttle=0) as (chat, host):
        turn = host.ask(lambda: chat.send_message("Hi"))
        told(held.began)
        if where == "observer":
            with chat.subscribe(lambda chat: chat.stop()):
                chat.input = "stop"
                turn.wait(PATIENCE)
        else:
            (host.ask if where == "host" else elsewhere)(chat.stop)
        assert (turn.wait(PATIENCE).outcome, chat.status) == ("stopped", "ready")
        assert outputs(turn.message) == [NO_RESULT]
        stopped(held)
        host.ask(lambda: None)
        before = chat.messages
        if isinstance(held, HeldThread):
            held.go.set()
            told(held.left)
        host.ask(lambda: None)
        assert chat.messages == before
        usable(chat)


def test_a_tool_that_stops_its_chat() -> None:
    ended = threading.Event()

    def hold(ctx: ToolContext) -> str:
        ctx.chat.stop()
        told(ctx.stopped, "the stop")
        ended.set()
        return "late"

    with chatting(HELD, answer(), tools=[hold]) as chat:
        turn = chat.send_message("Hi").wait(PATIENCE)
        told(ended)
        assert (turn.outcome, outputs(turn.message)) == ("stopped", [NO_RESULT])
        usable(chat)


@pytest.mark.parametrize("way", ["close", "stream"])
def test_leaving_ends_the_tools(held: Held, way: str) -> None:
    chat = chatting(HELD, answer(), tools=[held.hold])
    if way == "stream":
        with chat.stream("Hi") as turn:
            told(held.began)
    else:
        turn = chat.send_message("Hi")
        told(held.began)
        chat.close()
        with pytest.raises(ChatClosedError):
            chat.send_message("Hi")
    assert (turn.wait(PATIENCE).outcome, outputs(turn.message)) == ("stopped", [NO_RESULT])
    stopped(held)
    chat.close()


def test_a_wait_that_is_too_long_stops_nothing(held: Held) -> None:
    with chatting(HELD, answer(), tools=[held.hold]) as chat:
        turn = chat.send_message("Hi")
        told(held.began)
        for wait in (turn.wait, turn.result):
            with pytest.raises(TimeoutError):
                wait(0.001)
        assert chat.is_loading
        released(held)
        assert (turn.wait(PATIENCE).text, outputs(turn.message)) == ("Done.", ["ok"])


@pytest.mark.parametrize("when_busy", ["reject", "queue", "interrupt"])
def test_a_message_while_tools_run(held: Held, when_busy: Any) -> None:
    replies = [HELD, answer(), answer()]
    with chatting(*replies, tools=[held.hold], when_busy=when_busy) as chat:
        turn = chat.send_message("Hi")
        told(held.began)
        if when_busy == "reject":
            with pytest.raises(ChatBusyError):
                chat.send_message("Now")
        else:
            second = chat.send_message("Now")
            assert second.queued == (when_busy == "queue")
        if when_busy != "interrupt":
            released(held)
        outcome = "stopped" if when_busy == "interrupt" else "completed"
        assert turn.wait(PATIENCE).outcome == outcome
        if when_busy != "reject":
            assert second.wait(PATIENCE).text == "Done."
            assert [m.role for m in chat.messages] == ["user", "assistant"] * 2


CHANGES: dict[str, Callable[[ChatSession], Any]] = {
    "set_messages": lambda chat: chat.set_messages([]),
    "the same messages": lambda chat: chat.set_messages(lambda messages: messages),
    "clear": lambda chat: chat.clear(),
    "regenerate": lambda chat: chat.regenerate(),
    "an edit": lambda chat: chat.send_message("New", message_id=chat.messages[0].id),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_replaces_messages_ends_the_tools(
    held: Held, change: Callable[[ChatSession], Any]
) -> None:
    with chatting(HELD, answer(), answer(), tools=[held.hold]) as chat:
        turn = chat.send_message("Hi")
        told(held.began)
        made = change(chat)
        assert turn.wait(PATIENCE).outcome == "stopped"
        if made is not None:
            assert made.wait(PATIENCE).text == "Done."
        stopped(held)
        assert "input-available" not in [s for m in chat.messages for s in states(m)]
        usable(chat)


def test_a_users_answer_for_a_call_that_runs(held: Held) -> None:
    with chatting(HELD, answer(), tools=[held.hold]) as chat:
        turn = chat.send_message("Hi")
        told(held.began)
        chat.add_tool_output("c1", "mine")
        assert (turn.wait(PATIENCE).text, outputs(turn.message)) == ("Done.", ["mine"])
        stopped(held)
