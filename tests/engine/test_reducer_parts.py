"""Parts that come whole, data parts, and steps."""

from __future__ import annotations

import pytest

from usechat.engine.events import DataReceived, MessagesReplaced, PartAdded, PartUpdated
from usechat.model.chunks import DataChunk

from .harness import END_STEP, RESET, STEP, Chat, data, parts_of, replying, text, tool

META = {"provider": {"a": 1}}

WHOLE = [
    {"type": "custom", "kind": "openai.compaction", "providerMetadata": META},
    {"type": "file", "mediaType": "image/png", "url": "data:,x", "providerMetadata": META},
    {"type": "reasoning-file", "mediaType": "image/png", "url": "data:,x"},
    {"type": "source-url", "sourceId": "s", "url": "https://x", "title": "X"},
    {"type": "source-document", "sourceId": "s", "mediaType": "m", "title": "T", "filename": "f"},
    {"type": "steering-message", "id": "s1", "parts": [{"type": "text", "text": "stay"}]},
]


@pytest.mark.parametrize("chunk", WHOLE, ids=lambda chunk: chunk["type"])
def test_a_whole_part_is_its_chunk(chunk: dict) -> None:
    assert parts_of(chunk) == [chunk]
    assert parts_of({**chunk, "unknown": 1}) == [chunk]
    assert replying(chunk).status == "streaming"


@pytest.mark.parametrize("chunk", WHOLE, ids=lambda chunk: chunk["type"])
def test_two_of_them_are_two_parts(chunk: dict) -> None:
    chat = replying(chunk, chunk)
    assert chat.reply_parts() == [chunk, chunk]
    assert chat.events(PartAdded) == [PartAdded("id-1", 0), PartAdded("id-1", 1)]


def test_a_data_part_keeps_every_field_of_its_chunk() -> None:
    chunk = data({"a": [None]}, id="1", transient=False, unknown=1)
    assert parts_of(chunk) == [chunk]


def test_new_data_replaces_only_the_data() -> None:
    chat = replying(data(1, id="1", more="x"), data({"b": 2}, id="1", more="y"), strict=True)
    assert chat.reply_parts() == [data({"b": 2}, id="1", more="x")]
    assert chat.events(PartAdded, PartUpdated) == [PartAdded("id-1", 0), PartUpdated("id-1", 0)]


def test_data_of_another_name_or_id_or_without_one_is_another_part() -> None:
    chunks = [data(1, id="1"), data(2, id="2"), data(3, id="1", name="y"), data(4), data(5)]
    assert [part["data"] for part in parts_of(*chunks)] == [1, 2, 3, 4, 5]


def test_data_of_an_earlier_step_is_updated_in_its_place() -> None:
    parts = parts_of(data(1, id="1"), STEP, text("x"), data(2, id="1"))
    assert [part["type"] for part in parts] == ["data-weather", "step-start", "text"]
    assert parts[0]["data"] == 2


def test_data_null_is_data() -> None:
    assert parts_of(data(1, id="1"), data(None, id="1")) == [data(None, id="1")]


def test_transient_data_reaches_only_the_callback() -> None:
    chat = Chat(callbacks={"on_data": lambda _: None})
    chat.send()
    chat.receive(data(1, id="1", transient=True))
    assert (len(chat.messages), chat.status) == (1, "submitted")
    assert [c.data for c in chat.called("on_data")] == [1]
    assert [event.chunk.transient for event in chat.events(DataReceived)] == [True]


def test_the_data_callback_sees_the_chat_before_the_change() -> None:
    seen: list[object] = []

    def on_data(chunk: DataChunk) -> None:
        last = chat.dump()[-1]
        seen.append((chunk.name, chunk.id, chunk.data, [p.get("data") for p in last["parts"]]))

    chat = Chat(callbacks={"on_data": on_data})
    chat.send()
    chat.receive(data(1, id="1"))
    # Nobody has looked since this text, whose write is published with the next look.
    chat.receive(text("x"), data(2, id="1"))
    assert seen == [("weather", "1", 1, [None]), ("weather", "1", 2, [1, None])]
    assert chat.reply_parts()[0]["data"] == 2


def test_data_is_told_before_what_it_changes() -> None:
    chat = replying(data(1, id="1"))
    chat.events()
    chat.receive(data(2, id="1"))
    assert [type(event) for event in chat.events()] == [DataReceived, PartUpdated]


def test_a_step_shows_with_the_first_part_after_it() -> None:
    chat = replying(STEP, strict=True)
    assert (len(chat.messages), chat.status) == (1, "submitted")
    chat.receive(text("x"))
    assert [part["type"] for part in chat.reply_parts()] == ["step-start", "text"]
    assert chat.events(PartAdded) == [PartAdded("id-1", 0), PartAdded("id-1", 1)]


def test_the_end_of_a_step_changes_nothing() -> None:
    chat = replying(STEP, text("x"))
    chat.events()
    chat.receive(END_STEP)
    assert chat.engine.outbox.take() == []


def test_a_step_that_is_reset_is_taken_back() -> None:
    chat = replying(STEP, text("a"), STEP, text("b"), tool("input-start"), strict=True)
    chat.events()
    chat.receive(RESET)
    assert [part["type"] for part in chat.reply_parts()] == ["step-start", "text", "step-start"]
    assert chat.events() == [MessagesReplaced(1)]
    chat.receive(text("c"))
    assert chat.messages[-1].text == "a\n\nc"
    assert chat.events(PartAdded) == [PartAdded("id-1", 3)]


def test_a_reset_of_an_empty_step_writes_nothing() -> None:
    chat = replying(STEP, RESET)
    assert (len(chat.messages), chat.status) == (1, "submitted")


def test_without_a_step_a_reset_takes_back_all() -> None:
    chat = Chat()
    chat.send()
    chat.receive(data(1))
    chat.receive(RESET)
    assert chat.reply_parts() == []
