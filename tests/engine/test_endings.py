"""How an exchange ends, and what is told of it."""

from __future__ import annotations

import pytest

from usechat.engine.events import TurnFinished
from usechat.errors import ConnectionBrokenError, ServerError

from .harness import (
    DONE,
    Chat,
    finish,
    text,
    text_delta,
    text_start,
)

GONE = ConnectionBrokenError("gone")


def ignore(_: object) -> None:
    pass


# ------------------------------------------------------------------- outcomes


def test_a_reply_with_its_end_completes_the_turn() -> None:
    chat = Chat()
    turn = chat.send()
    chat.reply(text("x"))
    assert (turn.outcome, turn.over, turn.exchange_over, chat.status) == (
        "completed",
        True,
        True,
        "ready",
    )
    assert turn.message is chat.messages[-1]
    assert chat.events(TurnFinished) == [TurnFinished(turn)]


def test_a_reply_without_its_end_is_incomplete_and_stays() -> None:
    chat = Chat()
    turn = chat.send()
    chat.receive(text_start(), text_delta("x"))
    chat.finish()
    assert (turn.outcome, turn.error, chat.status) == ("incomplete", None, "ready")
    assert turn.message is not None
    assert turn.message.text == "x"


def test_where_the_end_is_not_required_it_is_complete() -> None:
    chat = Chat(require_finish=False)
    turn = chat.send()
    chat.receive(text("x"))
    chat.finish()
    assert turn.outcome == "completed"


def test_a_server_that_was_stopped_is_stopped_whatever_else_it_says() -> None:
    chat = Chat(require_finish=False)
    turn = chat.send()
    chat.receive(text("x"), {"type": "abort"}, finish("stop"), DONE)
    chat.finish()
    assert turn.outcome == "stopped"


def test_a_reply_that_fails_before_its_first_write_leaves_no_message() -> None:
    chat = Chat()
    turn = chat.send()
    chat.fail(GONE)
    assert (turn.outcome, turn.error, turn.message, chat.status) == ("error", GONE, None, "error")
    assert chat.texts() == ["user: Hi"]


def test_a_reply_that_fails_later_keeps_what_came() -> None:
    chat = Chat()
    turn = chat.send()
    chat.receive(text_start(), text_delta("x"))
    chat.fail(GONE)
    assert (turn.outcome, turn.message) == ("error", chat.messages[-1])
    assert chat.texts() == ["user: Hi", "assistant: x"]


def test_a_stop_keeps_what_came() -> None:
    chat = Chat(callbacks={"on_finish": ignore})
    turn = chat.send()
    chat.receive(text_start(), text_delta("x"), finish("length"))
    chat.stop()
    assert (turn.outcome, turn.finish_reason, chat.status) == ("stopped", "length", "ready")
    assert chat.texts() == ["user: Hi", "assistant: x"]
    assert [f.is_abort for f in chat.called("on_finish")] == [True]


def test_a_stop_with_nothing_running_is_no_error() -> None:
    chat = Chat()
    chat.stop()
    assert (chat.status, chat.engine.queue.paused) == ("ready", True)


def test_a_drive_that_is_cancelled_stops_the_turn() -> None:
    chat = Chat()
    turn = chat.send()
    chat.receive(text("x"))
    chat.run(chat.engine.end_cancelled(chat.exchange))
    assert (turn.outcome, chat.status, chat.engine.exchange) == ("stopped", "ready", None)


# -------------------------------------------------------------- what finish says


@pytest.mark.parametrize(
    ("end", "flags"),
    [
        (lambda c: c.finish(), (False, False, False)),
        (lambda c: c.stop(), (True, False, False)),
        (lambda c: c.fail(GONE), (False, True, True)),
        (lambda c: c.fail(ServerError("x")), (False, False, True)),
    ],
    ids=["finished", "stopped", "disconnected", "failed"],
)
def test_finish_says_how_it_ended(end, flags: tuple) -> None:  # type: ignore[no-untyped-def]
    chat = Chat(callbacks={"on_finish": ignore})
    chat.send()
    chat.receive(text("x"), finish("stop"))
    end(chat)
    (told,) = chat.called("on_finish")
    assert (told.is_abort, told.is_disconnect, told.is_error) == flags
    assert (told.message.text, told.finish_reason) == ("x", "stop")
    assert told.messages == chat.messages


def test_finish_is_called_once_an_exchange_after_the_final_status() -> None:
    seen: list[object] = []
    chat = Chat(callbacks={"on_finish": lambda f: seen.append((chat.status, f.message.text))})
    chat.send()
    chat.reply(text("x"))
    chat.send()
    chat.receive(text("y"))
    chat.fail(GONE)
    assert seen == [("ready", "x"), ("error", "y")]


def test_the_error_callback_comes_before_the_status_and_finish_after() -> None:
    seen: list[object] = []
    chat = Chat(
        callbacks={
            "on_error": lambda e: seen.append(("error", chat.status, chat.error)),
            "on_finish": lambda f: seen.append(("finish", chat.status, chat.error)),
        }
    )
    chat.send()
    chat.receive(text("x"))
    chat.fail(GONE)
    assert seen == [("error", "streaming", None), ("finish", "error", GONE)]


def test_finish_has_a_message_even_where_nothing_came() -> None:
    chat = Chat(callbacks={"on_finish": ignore})
    chat.send()
    chat.fail(GONE)
    (told,) = chat.called("on_finish")
    assert (told.message.id, told.message.parts) == ("id-1", ())
    assert [m.id for m in told.messages] == ["id-0"]


def test_an_interrupt_in_on_finish_ends_the_turn() -> None:
    chat = Chat(callbacks={"on_finish": ignore})
    turn = chat.send()
    chat.receive([*text("x"), finish()])
    steps = chat.engine.finish(chat.exchange)
    assert next(steps).name == "on_finish"
    steps.close()  # as a session does when the callback is left by a KeyboardInterrupt
    assert (turn.outcome, chat.engine.status, chat.engine.exchange) == ("stopped", "ready", None)
    assert chat.send().outcome is None


def test_an_interrupt_in_the_predicate_ends_the_turn() -> None:
    chat = Chat(callbacks={"send_automatically_when": ignore})
    turn = chat.send()
    chat.receive([*text("x"), finish()])
    steps = chat.engine.finish(chat.exchange)
    assert next(steps).name == "send_automatically_when"
    steps.close()
    assert (turn.outcome, chat.engine.status) == ("stopped", "ready")
