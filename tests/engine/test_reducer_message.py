"""The message itself: begin, end, metadata, errors."""

from __future__ import annotations

from typing import Any

import pytest

from usechat.engine.events import MetadataChanged
from usechat.engine.reducer.message import merged
from usechat.errors import ServerError, StreamProtocolError

from .harness import DONE, Chat, assistant, finish, replying, start, text, user


def metadata(value: Any) -> dict:
    return {"type": "message-metadata", "messageMetadata": value}


@pytest.mark.parametrize(
    ("base", "new", "want"),
    [
        (None, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"x": 1, "y": 1}}, {"a": {"y": 2, "z": 3}}, {"a": {"x": 1, "y": 2, "z": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"x": 1}}, {"a": None}, {"a": None}),
        ({"a": 1}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": 1}, "text", "text"),
        ("text", {"a": 1}, {"a": 1}),
        ([1], [2], [2]),
    ],
)
def test_objects_are_merged_and_of_anything_else_the_later_stays(
    base: Any, new: Any, want: Any
) -> None:
    assert merged(base, new) == want


def test_merging_changes_neither_of_the_two() -> None:
    base, new = {"a": {"x": 1}}, {"a": {"y": 2}}
    merged(base, new)
    assert (base, new) == ({"a": {"x": 1}}, {"a": {"y": 2}})


@pytest.mark.parametrize("kind", ["start", "message-metadata", "finish"])
def test_metadata_comes_with_three_chunks(kind: str) -> None:
    chat = replying(text("x"), {"type": kind, "messageMetadata": {"a": 1}})
    assert chat.messages[-1].metadata == {"a": 1}
    assert chat.events(MetadataChanged) == [MetadataChanged("id-1")]


@pytest.mark.parametrize("kind", ["start", "message-metadata", "finish"])
def test_null_and_no_metadata_change_nothing(kind: str) -> None:
    chat = replying({"type": kind, "messageMetadata": None}, {"type": kind})
    assert (len(chat.messages), chat.status) == (1, "submitted")


def test_metadata_alone_makes_a_message() -> None:
    chat = replying(metadata({"a": 1}))
    assert chat.dump()[-1] == {"id": "id-1", "role": "assistant", "parts": [], "metadata": {"a": 1}}
    assert chat.status == "streaming"
    # Whoever is told of the message sees its metadata.
    assert chat.events(MetadataChanged) == []


def test_metadata_of_a_start_shows_without_streaming() -> None:
    chat = replying(start(messageMetadata={"a": 1}))
    assert (chat.messages[-1].metadata, chat.status) == ({"a": 1}, "submitted")


def test_metadata_is_merged_into_that_of_a_message_that_is_continued() -> None:
    chat = Chat(user(), assistant(metadata={"a": {"x": 1}}))
    chat.send(None)
    chat.receive(metadata({"a": {"y": 2}}))
    assert chat.messages[-1].metadata == {"a": {"x": 1, "y": 2}}


def test_a_start_without_anything_shows_nothing() -> None:
    chat = replying(start())
    assert (len(chat.messages), chat.status) == (1, "submitted")


def test_a_start_with_an_id_shows_the_message() -> None:
    chat = replying(start("m"))
    assert (chat.messages[-1].id, chat.status) == ("m", "submitted")


def test_the_last_finish_reason_wins_and_what_follows_counts() -> None:
    turn = (chat := Chat()).send()
    chat.receive(finish("length"), finish("stop"), finish(), text("x"))
    chat.finish()
    assert (turn.finish_reason, chat.messages[-1].text) == ("stop", "x")


def test_a_finish_reason_that_the_sdk_does_not_know_passes_unless_strict() -> None:
    turn = (chat := Chat()).send()
    chat.receive(finish("new"))
    chat.finish()
    assert (turn.finish_reason, turn.outcome) == ("new", "completed")
    strict = replying(finish("new"), strict=True)
    assert isinstance(strict.error, StreamProtocolError)
    assert 'finish reason "new"' in str(strict.error)


@pytest.mark.parametrize(
    ("chunk", "outcome"),
    [
        (finish("stop"), "completed"),
        (finish(), "completed"),
        (DONE, "completed"),
        ({"type": "abort"}, "stopped"),
        ({"type": "abort", "reason": "tired"}, "stopped"),
    ],
)
def test_the_protocols_own_end_decides_the_outcome(chunk: dict, outcome: str) -> None:
    turn = (chat := Chat()).send()
    chat.receive(text("x"), chunk)
    assert turn.outcome is None
    chat.finish()
    assert (turn.outcome, chat.status) == (outcome, "ready")


def test_an_error_of_the_servers_ends_the_reply_and_what_came_stays() -> None:
    chat = replying(text("x"), {"type": "error", "errorText": "no more"}, text("late", "t2"))
    assert isinstance(chat.error, ServerError)
    assert (chat.error.error_text, chat.status) == ("no more", "error")
    assert chat.messages[-1].text == "x"
