"""The table of handlers."""

from __future__ import annotations

import logging

import pytest

from usechat.engine.reducer import HANDLERS, handler_of
from usechat.engine.reducer.parts import data_part
from usechat.errors import StreamProtocolError
from usechat.model.chunks import CHUNK_TYPES

from .harness import Chat, replying, text, tool


def test_there_is_a_handler_for_every_chunk_type() -> None:
    assert set(HANDLERS) == CHUNK_TYPES | {"[DONE]"}


def test_data_parts_have_one_handler_whatever_their_name() -> None:
    assert handler_of("data-") is handler_of("data-weather") is data_part


def test_a_type_that_nobody_knows_is_skipped_with_one_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chat = replying({"type": "new"}, {"type": "new"}, {"type": "newer"}, text("x"))
    assert chat.messages[-1].text == "x"
    assert [record.getMessage() for record in caplog.records] == [
        "A new chunk is out of order: this version does not know the type.",
        "A newer chunk is out of order: this version does not know the type.",
    ]


# What refers to something that is not there.
LOST = [
    {"type": "text-delta", "id": "x", "delta": "d"},
    {"type": "text-end", "id": "x"},
    {"type": "reasoning-delta", "id": "x", "delta": "d"},
    {"type": "reasoning-end", "id": "x"},
    tool("input-delta", id="x", inputTextDelta="{"),
    tool("approval-request", id="x", approvalId="a"),
    {"type": "tool-approval-response", "approvalId": "x", "approved": True},
    tool("output-available", id="x", output=1),
    tool("output-error", id="x", errorText="e"),
    tool("output-denied", id="x"),
]


@pytest.mark.parametrize("chunk", LOST, ids=lambda chunk: chunk["type"])
def test_read_strictly_a_chunk_that_refers_to_nothing_ends_the_reply(chunk: dict) -> None:
    chat = replying(text("x"), chunk, strict=True)
    assert isinstance(chat.error, StreamProtocolError)
    assert f'Received {chunk["type"]} for "x", which is not there' in str(chat.error)
    assert chat.error.position == 3
    assert chat.messages[-1].text == "x"


@pytest.mark.parametrize("chunk", LOST, ids=lambda chunk: chunk["type"])
def test_else_it_is_told_once_and_the_reply_goes_on(
    chunk: dict, caplog: pytest.LogCaptureFixture
) -> None:
    chat = replying(chunk, chunk, text("y", "t2"))
    assert (chat.error, chat.messages[-1].text[-1:]) == (None, "y")
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert f"A {chunk['type']} chunk is out of order: it came without a " in caplog.text


def test_each_reply_has_its_own_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    chat = Chat()
    for _ in "12":
        chat.send()
        chat.reply({"type": "new"})
    assert len(caplog.records) == 2
