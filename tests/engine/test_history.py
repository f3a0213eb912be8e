"""The list of messages: what is shared, what a write costs, and how a reply gets its id."""

from __future__ import annotations

import pytest

from usechat.engine.events import MessageAdded, MessagesReplaced, PartAdded
from usechat.engine.history import History
from usechat.model.messages import UIMessage

from .harness import Chat, assistant, start, text, text_delta, text_start, user


def ids(chat: Chat) -> list[str]:
    return [message.id for message in chat.messages]


def test_settled_messages_are_the_same_objects_between_looks() -> None:
    chat = Chat(user(), assistant({"type": "text", "text": "x"}))
    before = chat.messages
    chat.send("more")
    chat.receive(text_start(), text_delta("a"))
    during = chat.messages
    chat.receive(text_delta("b"))
    after = chat.messages
    assert all(a is b for a, b in zip(before, during, strict=False))
    assert [a is b for a, b in zip(during, after, strict=True)] == [True, True, True, False]


def test_settled_parts_of_the_streaming_message_are_shared_too() -> None:
    chat = Chat()
    chat.send()
    chat.receive(text("done", "t0"), text_start(), text_delta("a"))
    before = chat.messages[-1].parts
    chat.receive(text_delta("b"))
    after = chat.messages[-1].parts
    assert after[0] is before[0]
    assert (before[1].text, after[1].text) == ("a", "ab")


def test_a_look_without_a_change_gives_the_same_tuple() -> None:
    chat = Chat(user())
    assert chat.messages is chat.messages
    chat.send()
    chat.receive(text_start())
    assert chat.messages is chat.messages
    assert chat.engine.state().messages is chat.messages


def test_a_write_neither_copies_the_list_nor_builds_the_message() -> None:
    chat = Chat(*[user(id=f"u{i}") for i in range(50)])
    chat.send()
    chat.receive(text_start())
    kept = chat.messages
    inner = chat.engine.history._messages
    for _ in range(20):
        chat.receive(text_delta("x"))
        assert chat.engine.history._messages is inner
        assert chat.engine.history._snapshot is kept
        assert inner[-1] is kept[-1]
    assert chat.messages[-1].text == "x" * 20


def test_the_reply_shows_from_its_first_write_on() -> None:
    chat = Chat()
    chat.send()
    chat.open()
    assert ids(chat) == ["id-0"]
    chat.receive(text_start())
    assert ids(chat) == ["id-0", "id-1"]
    assert chat.events(MessageAdded) == [MessageAdded("id-0", 0), MessageAdded("id-1", 1)]


def test_a_new_id_renames_the_message_in_place() -> None:
    chat = Chat()
    chat.send()
    chat.receive(text("x"))
    chat.events()
    chat.receive(start("m"), text_start("t2"))
    assert ids(chat) == ["id-0", "m"]
    assert chat.messages[-1].text == "x"
    assert chat.events(MessagesReplaced, PartAdded) == [MessagesReplaced(1), PartAdded("m", 1)]


def test_a_new_id_before_anything_was_written_is_simply_the_id() -> None:
    chat = Chat()
    chat.send()
    chat.receive(start("m"), text("x"))
    assert ids(chat) == ["id-0", "m"]


def test_an_assistant_message_that_has_the_id_is_replaced() -> None:
    chat = Chat(user(), assistant({"type": "text", "text": "old"}, id="m"))
    chat.send()
    chat.receive(start("m"), text("new"))
    assert chat.texts() == ["user: Hi", "assistant: new", "user: Hi"]
    assert chat.events(MessagesReplaced) == [MessagesReplaced(1)]


def test_an_assistant_message_that_has_the_id_is_replaced_by_a_reply_that_is_there() -> None:
    chat = Chat(user(), assistant({"type": "text", "text": "old"}, id="m"))
    chat.send()
    chat.receive(text("new"))
    chat.events()
    chat.receive(start("m"))
    assert chat.texts() == ["user: Hi", "assistant: new", "user: Hi"]
    assert ids(chat) == ["u1", "m", "id-0"]
    assert MessagesReplaced(1) in chat.events()
    chat.receive(text(" and more", "t2"))
    assert chat.messages[1].text == "new and more"


def test_an_id_that_a_users_message_has_is_ignored() -> None:
    chat = Chat(user())
    chat.send()
    chat.receive(start("u1"), text("x"), start("id-0"))
    assert ids(chat) == ["u1", "id-0", "id-1"]
    chat.receive(start("u1"))
    assert ids(chat) == ["u1", "id-0", "id-1"]


@pytest.mark.parametrize("replays", [True, False])
def test_an_id_that_a_users_message_has_is_ignored_in_a_resumed_reply(replays: bool) -> None:
    chat = Chat(user(), replays=replays)
    chat.resume()
    chat.receive(text("a"), start("u1"), text("b", "t2"))
    assert ids(chat) == ["u1", "id-0"]
    assert chat.messages[-1].text == "ab"  # it began with text: it is no replay


def test_the_id_that_it_has_already_changes_nothing() -> None:
    chat = Chat()
    chat.send()
    chat.receive(text("x"), start("id-1"))
    assert chat.events(MessagesReplaced) == []


def test_an_id_that_a_users_message_has_by_chance_does_not_hide_that_message() -> None:
    chat = Chat(generate_id=lambda: "same")
    chat.send()
    chat.receive(text("x"))
    assert chat.texts() == ["user: Hi", "assistant: x"]


def test_of_two_messages_with_one_id_one_is_continued_as_in_the_sdk() -> None:
    chat = Chat(
        assistant({"type": "text", "text": "1"}), user(), assistant({"type": "text", "text": "2"})
    )
    chat.send(None)
    chat.receive(text("x"))
    # (No server makes such a list.)
    assert chat.texts() == ["assistant: 1", "user: Hi", "assistant: 1x"]


def test_messages_are_found_by_id_and_index() -> None:
    history = Chat(user(), assistant(), user()).engine.history
    assert (history.find("u1"), history.find_last("u1"), history.find("?")) == (0, 2, None)
    assert (history.find_last("?"), history.find_reply("?"), history.find_reply("u1")) == (
        None,
    ) * 3
    assert history.find_reply("a1") == 1
    assert (history.is_free("?"), history.is_free("a1"), history.is_free("u1")) == (
        True,
        True,
        False,
    )
    assert history.at(1).id == "a1"
    assert len(history) == 3


def test_an_empty_list_has_no_last_message() -> None:
    assert Chat().engine.history.last() is None


@pytest.mark.parametrize(
    ("before", "after", "index"),
    [("abc", "abc", 3), ("abc", "ab", 2), ("ab", "abc", 2), ("abc", "axc", 1), ("abc", "", 0)],
)
def test_replacing_all_tells_from_where_on_it_differs(before: str, after: str, index: int) -> None:
    made = {c: UIMessage(id=c, role="user") for c in "abcx"}
    chat = Chat(listens=[MessagesReplaced])
    history = History([made[c] for c in before], chat.engine.outbox)
    history.replace_all(made[c] for c in after)
    assert [m.id for m in history.snapshot()] == list(after)
    assert chat.events() == [MessagesReplaced(index)]


def test_a_step_that_nothing_has_followed_is_not_shown() -> None:
    chat = Chat()
    chat.send()
    chat.receive(text("x"), {"type": "start-step"})
    assert len(chat.messages[-1].parts) == 1
    chat.receive(text("y", "t2"))
    assert [p.type for p in chat.messages[-1].parts] == ["text", "step-start", "text"]
