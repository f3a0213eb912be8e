"""What is kept of a turn and an exchange, and when observers are told."""

from __future__ import annotations

import json
from dataclasses import replace

from usechat.engine.events import (
    MessageAdded,
    MetadataChanged,
    PartAdded,
    PartUpdated,
    StatusChanged,
    TextDelta,
)
from usechat.engine.exchange import ChatRequest, Exchange, RequestOptions, TurnState

from .harness import Chat, assistant, call, replying, text_delta, text_start, tool, user


def test_a_turn_is_over_when_it_has_an_outcome() -> None:
    turn = TurnState(RequestOptions())
    assert (turn.over, turn.exchange_over) == (False, False)
    turn.outcome = "dropped"
    assert turn.over is True


def test_its_exchange_may_be_over_before_it() -> None:
    chat = Chat()
    turn = chat.send()
    assert turn.exchange_over is False
    chat.stop()
    assert turn.exchange_over is True


def test_before_anybody_publishes_it_a_draft_is_in_no_list() -> None:
    chat = Chat()
    turn = chat.send()
    request = ChatRequest("submit-message", "chat", (), None, RequestOptions())
    exchange = Exchange(turn, request, chat.exchange.draft, chat.engine.outbox, strict=False)
    exchange.publish()
    assert exchange.message_index is None


def test_parts_are_announced_once_before_anything_else_is_told_of_them() -> None:
    chat = replying(tool("input-start"), tool("input-available"), text_start(), text_delta("x"))
    told = chat.events(MessageAdded, PartAdded, PartUpdated, TextDelta, StatusChanged)
    assert told[2:] == [
        MessageAdded("id-1", 1),
        PartAdded("id-1", 0),
        StatusChanged("streaming"),
        PartUpdated("id-1", 0),
        PartAdded("id-1", 1),
        TextDelta("id-1", 1, "x", 0),
    ]


def test_the_parts_of_a_message_that_is_continued_are_known() -> None:
    chat = Chat(user(), assistant(call("input-available")))
    chat.send(None)
    chat.events()
    chat.receive(tool("output-available", output=1), text_start())
    assert chat.events(MessageAdded, PartAdded, PartUpdated) == [
        PartUpdated("a1", 0),
        PartAdded("a1", 1),
    ]


def test_metadata_is_told_of_a_message_that_is_known() -> None:
    chat = replying(text_start())
    chat.events()
    chat.receive({"type": "message-metadata", "messageMetadata": {"a": 1}})
    assert chat.events() == [MetadataChanged("id-1")]


# ----------------------------------------------------------------- the request


def test_a_request_as_endpoints_of_the_sdk_read_it() -> None:
    chat = Chat(user("Hello"))
    options = RequestOptions(body={"model": "m", "messages": "no", "messageId": "no", "id": "no"})
    chat.run(chat.engine.regenerate(None, options))
    request = chat.exchange.request
    own = {"id": "chat", "trigger": "regenerate-message"}
    assert json.loads(request.ui_body()) == {"model": "m", **own, "messages": [user("Hello")]}
    assert json.loads(request.ui_body({"a": 1})) == {"a": 1, **own, "messages": [user("Hello")]}
    edited = replace(request, message_id="u1", options=RequestOptions(), messages=())
    assert json.loads(edited.ui_body()) == {**own, "messageId": "u1", "messages": []}
