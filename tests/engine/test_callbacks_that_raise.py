"""Callbacks that raise: where, and what becomes of the turn."""

from __future__ import annotations

import pytest

from usechat.errors import CallbackError, ConnectionBrokenError

from .harness import (
    Chat,
    assistant,
    call,
    text,
    tool,
    user,
)

GONE = ConnectionBrokenError("gone")


def ignore(_: object) -> None:
    pass


def boom(_: object) -> None:
    raise RuntimeError("boom")


def test_what_on_finish_raises_is_the_turns_error() -> None:
    chat = Chat(callbacks={"on_finish": boom, "on_error": ignore})
    turn = chat.send()
    chat.reply(text("x"))
    assert (turn.outcome, chat.status, chat.engine.queue.paused) == ("error", "error", True)
    assert isinstance(turn.error, CallbackError)
    assert isinstance(turn.error.__cause__, RuntimeError)
    assert chat.called("on_error") == [turn.error]
    assert chat.texts() == ["user: Hi", "assistant: x"]


def test_what_the_predicate_raises_is_too() -> None:
    chat = Chat(callbacks={"send_automatically_when": boom})
    turn = chat.send()
    chat.reply(text("x"))
    assert (turn.outcome, chat.status, chat.error) == ("error", "error", turn.error)


def test_the_predicate_may_raise_after_an_answer_which_stays() -> None:
    chat = Chat(
        user(), assistant(call("input-available")), callbacks={"send_automatically_when": boom}
    )
    with pytest.raises(CallbackError):
        chat.output("sun")
    assert (chat.reply_parts()[0]["output"], chat.status) == ("sun", "ready")


@pytest.mark.parametrize(
    ("name", "chunk"),
    [("on_data", {"type": "data-x", "data": 1}), ("on_tool_call", tool("input-available"))],
)
def test_a_callback_that_raises_in_the_reply_ends_it(name: str, chunk: dict) -> None:
    chat = Chat(callbacks={name: boom, "on_error": ignore, "on_finish": ignore})
    turn = chat.send()
    chat.receive(text("x"), chunk, text("late", "t2"))
    assert (turn.outcome, chat.status, chat.error) == ("error", "error", turn.error)
    assert isinstance(turn.error, CallbackError)
    assert chat.called("on_error") == [turn.error]
    assert [f.is_error for f in chat.called("on_finish")] == [True]
    assert chat.texts()[-1] == "assistant: x"


def test_data_whose_callback_raised_is_not_published() -> None:
    chat = Chat(callbacks={"on_data": lambda c: 1 / (2 - c.data)})
    chat.send()
    chat.receive({"type": "data-x", "id": "1", "data": 1}, text("x"))
    chat.receive({"type": "data-x", "id": "1", "data": 2})
    assert chat.status == "error"
    assert chat.reply_parts()[0]["data"] == 1
    chat.send()
    chat.receive({"type": "data-x", "id": "2", "data": 2})
    assert len(chat.messages) == 3


def test_on_response_that_raises_ends_the_exchange() -> None:
    chat = Chat(callbacks={"on_response": boom})
    turn = chat.send()
    chat.open(object())
    assert (turn.outcome, chat.status) == ("error", "error")


def test_on_response_that_raises_ends_a_resume_before_it_opens() -> None:
    chat = Chat(callbacks={"on_response": boom, "on_finish": ignore})
    turn = chat.resume()
    chat.open(object())
    assert (turn.outcome, chat.status, chat.called("on_finish")) == ("error", "error", [])


def test_what_on_error_raises_is_logged_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chat = Chat(callbacks={"on_error": boom})
    turn = chat.send()
    chat.fail(GONE)
    assert (turn.error, chat.error, chat.status) == (GONE, GONE, "error")
    assert [r.getMessage() for r in caplog.records] == ["on_error raised"]


def test_both_may_raise(caplog: pytest.LogCaptureFixture) -> None:
    chat = Chat(callbacks={"on_error": boom, "on_finish": boom})
    turn = chat.send()
    chat.fail(GONE)
    assert turn.error is GONE
    assert [r.getMessage() for r in caplog.records] == ["on_error raised", "on_finish raised"]
    caplog.clear()
    turn = chat.send()
    chat.reply(text("x"))
    assert isinstance(turn.error, CallbackError)
    assert [r.getMessage() for r in caplog.records] == ["on_error raised"]


def test_what_on_finish_raises_after_a_stop_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    chat = Chat(callbacks={"on_finish": boom})
    turn = chat.send()
    chat.stop()
    assert (turn.outcome, turn.error, chat.status) == ("stopped", None, "ready")
    assert [r.getMessage() for r in caplog.records] == ["on_finish raised"]
