"""What a chat is at one moment."""

from __future__ import annotations

import pytest

from usechat.engine.events import ErrorChanged, StatusChanged, TurnFinished
from usechat.errors import CallbackError, ConnectionBrokenError

from .harness import Chat, finish, text, user


def test_a_chat_begins_ready_with_its_history() -> None:
    chat = Chat(user())
    assert chat.engine.state() == (chat.messages, "ready", None, ())
    assert chat.texts() == ["user: Hi"]


def test_the_id_is_made_when_it_is_first_needed_after_those_of_the_messages() -> None:
    chat = Chat(chat_id=None)
    assert chat.made == 0
    chat.send()
    assert [m.id for m in chat.messages] == ["id-0"]
    assert chat.exchange.draft.id == "id-1"
    assert chat.exchange.request.chat_id == chat.engine.chat_id == "id-2"


def test_an_id_that_is_given_is_kept() -> None:
    assert Chat(chat_id="mine").engine.chat_id == "mine"


def test_a_change_of_status_and_error_is_told_once() -> None:
    chat = Chat()
    chat.send()
    chat.receive(text("x"))
    error = ConnectionBrokenError("gone")
    chat.fail(error)
    assert chat.events(StatusChanged, ErrorChanged) == [
        StatusChanged("submitted"),
        StatusChanged("streaming"),
        StatusChanged("error"),
        ErrorChanged(error),
    ]
    chat.send("again")
    assert chat.events(StatusChanged, ErrorChanged) == [
        StatusChanged("submitted"),
        ErrorChanged(None),
    ]


def test_observers_get_the_view_of_a_turn() -> None:
    chat = Chat()
    chat.engine.view_of = lambda turn: ("view", turn)
    turn = chat.send()
    chat.reply(text("x"))
    assert chat.events(TurnFinished) == [TurnFinished(("view", turn))]


def test_a_turn_is_seen_as_itself_where_nobody_says_otherwise() -> None:
    chat = Chat()
    turn = chat.send()
    chat.reply()
    assert chat.events(TurnFinished) == [TurnFinished(turn)]


def no_id() -> str:
    raise ZeroDivisionError("none left")


@pytest.mark.parametrize(
    ("generate_id", "says"), [(no_id, "ZeroDivisionError: none left"), (lambda: 5, "returned int")]
)
def test_an_id_that_cannot_be_made_leaves_the_chat_as_it_was(
    generate_id: object, says: str
) -> None:
    chat = Chat(generate_id=generate_id)  # type: ignore[arg-type]
    with pytest.raises(CallbackError, match=says):
        chat.send()
    assert (chat.engine.status, chat.engine.exchange, chat.messages) == ("ready", None, ())


def test_an_id_of_a_reply_that_cannot_be_made_does_not_leave_the_chat_waiting() -> None:
    ids = iter(["u", ""])
    chat = Chat(generate_id=lambda: next(ids) or no_id())
    with pytest.raises(CallbackError, match="none left"):
        chat.send()
    assert (chat.engine.status, chat.engine.exchange) == ("ready", None)


def test_an_id_of_a_resumed_reply_that_cannot_be_made_ends_the_turn() -> None:
    chat = Chat(generate_id=no_id)
    turn = chat.resume()
    chat.open()
    assert (turn.outcome, chat.engine.status, chat.engine.exchange) == ("error", "error", None)
    assert isinstance(turn.error, CallbackError)


def test_an_id_of_a_queued_messages_reply_that_cannot_be_made_ends_its_turn_alone() -> None:
    ids = iter(["u1", "a1", "u2", ""])
    chat = Chat(generate_id=lambda: next(ids) or no_id(), when_busy="queue")
    first, second = chat.send("1"), chat.send("2")
    chat.reply(text("x"), finish())
    assert (first.outcome, second.outcome) == ("completed", "error")
    assert (chat.engine.status, chat.engine.queue.paused) == ("error", True)
