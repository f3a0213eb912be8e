"""What users can do."""

from __future__ import annotations

from typing import Any

import pytest

from usechat.engine.events import MessageAdded, MessagesReplaced
from usechat.errors import (
    ChatClosedError,
    ConnectionBrokenError,
    InvalidArgumentError,
)

from .harness import (
    ASKED,
    Chat,
    assistant,
    call,
    finish,
    text,
    text_delta,
    text_start,
    user,
)

GONE = ConnectionBrokenError("gone")


def always(_: object) -> bool:
    return True


def conversation(**options: Any) -> Chat:
    return Chat(
        user("one", id="u1"),
        assistant({"type": "text", "text": "1"}, id="a1"),
        user("two", id="u2"),
        assistant({"type": "text", "text": "2"}, id="a2"),
        **options,
    )


def ids(chat: Chat) -> list[str]:
    return [message.id for message in chat.messages]


# --------------------------------------------------------------------- sending


def test_a_message_gets_an_id_and_the_users_role() -> None:
    chat = Chat()
    chat.send({"parts": [], "metadata": {"a": 1}})
    assert chat.dump() == [{"id": "id-0", "role": "user", "parts": [], "metadata": {"a": 1}}]
    assert chat.events(MessageAdded) == [MessageAdded("id-0", 0)]


def test_an_id_and_a_role_of_its_own_are_kept() -> None:
    chat = Chat()
    chat.send({"id": "mine", "role": "system", "parts": []})
    assert chat.dump() == [{"id": "mine", "role": "system", "parts": []}]


def test_null_for_id_and_role_is_none() -> None:
    chat = Chat()
    chat.send({"id": None, "role": None, "parts": []})
    assert chat.dump() == [{"id": "id-0", "role": "user", "parts": []}]


def test_the_id_of_an_edit_never_lands_in_a_message() -> None:
    chat = Chat(user())
    chat.send({"messageId": "u1", "parts": []})
    chat.stop()
    chat.send({"messageId": "u1", "parts": []}, edit="u1")
    assert "messageId" not in chat.dump()[0]


def test_what_is_no_message_is_refused_before_any_change() -> None:
    chat = Chat()
    with pytest.raises(InvalidArgumentError):
        chat.send({"parts": 3})
    assert (chat.messages, chat.status) == ((), "ready")


# --------------------------------------------------------------------- editing


def test_an_edit_replaces_a_users_message_and_drops_what_follows() -> None:
    chat = conversation()
    chat.send({"parts": [{"type": "text", "text": "uno"}], "metadata": {"a": 1}}, edit="u1")
    assert chat.texts() == ["user: uno"]
    assert (ids(chat), chat.messages[0].metadata) == (["u1"], {"a": 1})
    assert (chat.exchange.request.trigger, chat.exchange.request.message_id) == (
        "submit-message",
        "u1",
    )
    assert chat.events(MessagesReplaced) == [MessagesReplaced(1), MessagesReplaced(0)]
    chat.reply(text("1!"))
    assert chat.texts() == ["user: uno", "assistant: 1!"]


def test_an_edit_may_bring_another_id() -> None:
    chat = conversation()
    chat.send({"id": "u9", "parts": []}, edit="u1")
    assert ids(chat) == ["u9"]


@pytest.mark.parametrize(("edit", "match"), [("?", "no message"), ("a1", "not the user's")])
def test_what_cannot_be_edited_is_refused_before_any_change(edit: str, match: str) -> None:
    chat = conversation(when_busy="queue")
    chat.send("three")
    running, waiting = chat.exchange.turn, chat.send("four")
    with pytest.raises(InvalidArgumentError, match=match):
        chat.send("x", edit=edit)
    assert (running.outcome, waiting.outcome, len(chat.messages)) == (None, None, 5)


def test_an_edit_that_is_no_message_is_refused_before_any_change() -> None:
    chat = conversation()
    with pytest.raises(InvalidArgumentError):
        chat.send({"parts": 3}, edit="u1")
    assert len(chat.messages) == 4


def test_an_edit_ends_the_running_turn() -> None:
    chat = conversation()
    turn = chat.send("three")
    chat.receive(text("3"))
    chat.send("uno", edit="u1")
    assert (turn.outcome, chat.texts()) == ("stopped", ["user: uno"])


# ---------------------------------------------------------------- regenerating


@pytest.mark.parametrize(
    ("message_id", "left"),
    [
        (None, ["u1", "a1", "u2"]),
        ("a2", ["u1", "a1", "u2"]),
        ("a1", ["u1"]),
        ("u1", ["u1"]),
        ("u2", ["u1", "a1", "u2"]),
    ],
)
def test_a_reply_is_asked_for_again(message_id: str | None, left: list[str]) -> None:
    chat = conversation()
    turn = chat.regenerate(message_id)
    request = chat.exchange.request
    assert (ids(chat), [m.id for m in request.messages]) == (left, left)
    assert (request.trigger, request.message_id) == ("regenerate-message", message_id)
    chat.reply(text("new"))
    assert (ids(chat), turn.outcome) == ([*left, "id-0"], "completed")


def test_regenerating_after_an_error_is_a_retry() -> None:
    chat = Chat()
    chat.send("one")
    chat.fail(GONE)
    chat.regenerate()
    chat.reply(text("1"))
    assert (chat.texts(), chat.status) == (["user: one", "assistant: 1"], "ready")


@pytest.mark.parametrize(
    ("chat", "message_id", "match"),
    [(Chat(), None, "no message to"), (conversation(), "?", 'no message "\\?" to')],
)
def test_what_is_not_there_cannot_be_regenerated(
    chat: Chat, message_id: str | None, match: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=match):
        chat.regenerate(message_id)
    assert chat.status == "ready"


# --------------------------------------------------- other messages, clear, close


def test_other_messages_can_be_put_in_place() -> None:
    chat = conversation()
    turn = chat.send("three")
    chat.receive(text("3"))
    chat.events()
    chat.set_messages(user("one", id="u1"))
    assert (turn.outcome, chat.texts(), chat.status) == ("stopped", ["user: one"], "ready")
    assert chat.events(MessagesReplaced) == [MessagesReplaced(0)]


def test_messages_that_were_made_of_others_are_put_only_in_place_of_those() -> None:
    chat = conversation()
    before = chat.messages
    assert chat.run(chat.engine.set_messages((), before[:1])) is False
    assert chat.messages is before
    assert chat.run(chat.engine.set_messages((), before)) is True
    assert chat.messages == ()


def test_an_error_can_be_cleared() -> None:
    chat = Chat()
    chat.send()
    chat.fail(GONE)
    chat.engine.clear_error()
    assert (chat.status, chat.error) == ("ready", None)


@pytest.mark.parametrize("status", ["ready", "submitted", "streaming"])
def test_where_there_is_no_error_nothing_is_cleared(status: str) -> None:
    chat = Chat()
    if status != "ready":
        chat.send()
    if status == "streaming":
        chat.receive(text("x"))
    chat.events()
    chat.engine.clear_error()
    assert (chat.status, chat.events()) == (status, [])


def test_clearing_begins_a_new_chat() -> None:
    chat = Chat(user(), assistant(call("approval-requested", **ASKED)))
    chat.approve()
    turn = chat.send(None)
    chat.receive(text("x"), finish("interrupted"))
    chat.clear()
    assert (turn.outcome, chat.messages, chat.status) == ("stopped", (), "ready")
    assert chat.engine.queue.paused is False
    assert chat.engine.chat_id != "chat"
    chat.send(None)
    assert chat.exchange.request.message_id is None


def test_clearing_forgets_an_error_and_what_could_be_resumed() -> None:
    chat = Chat(replays=False)
    chat.send()
    chat.receive(text_start(), text_delta("a"))
    chat.fail(GONE)
    chat.clear()
    assert (chat.status, chat.error) == ("ready", None)
    chat.resume()
    chat.receive(text("new", "t2"))
    assert chat.texts() == ["assistant: new"]


def test_closing_ends_everything_and_a_second_time_nothing() -> None:
    chat = Chat(callbacks={"on_finish": always})
    turn = chat.send()
    chat.receive(text("x"))
    chat.close()
    assert (turn.outcome, chat.status, chat.texts()) == (
        "stopped",
        "ready",
        ["user: Hi", "assistant: x"],
    )
    chat.close()
    assert len(chat.calls) == 1


@pytest.mark.parametrize(
    "action",
    [
        Chat.send,
        Chat.regenerate,
        Chat.resume,
        Chat.output,
        Chat.approve,
        Chat.set_messages,
        Chat.clear,
        lambda chat: chat.send("x", edit="u1"),
        lambda chat: chat.send(None),
        lambda chat: chat.send_now("?"),
    ],
)
def test_nothing_can_be_done_with_a_closed_chat(action) -> None:  # type: ignore[no-untyped-def]
    chat = Chat(user())
    chat.close()
    with pytest.raises(ChatClosedError):
        action(chat)
    chat.stop()
    chat.engine.clear_error()
    assert chat.texts() == ["user: Hi"]
