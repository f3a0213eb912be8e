"""``message_metadata_type``, ``data_part_types`` and ``turn.usage`` in both sessions."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from usechat import (
    AsyncChatSession,
    ChatSession,
    DataReceived,
    InvalidArgumentError,
    StreamProtocolError,
    Usage,
)
from usechat.testing import FakeServer, ScriptedTransport, text_reply

pytestmark = pytest.mark.anyio


class Meta(BaseModel):
    model: str
    usage: dict[str, int] = {}


class Weather(BaseModel):
    model_config = ConfigDict(extra="forbid")
    city: str


TYPES: dict[str, Any] = {
    "message_metadata_type": Meta,
    "data_part_types": {"weather": Weather, "note": str | None},
}
GOOD = text_reply("Hello there", message_id="m1")
USED = {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}
FITS = [
    {**GOOD[0], "messageMetadata": {"model": "a"}},
    *GOOD[1:-1],
    {"type": "data-weather", "id": "d1", "data": {"city": "Rome"}},
    {"type": "data-note", "data": None, "transient": True},
    {**GOOD[-1], "messageMetadata": {"usage": USED}},
]
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "metadata": (
        {"type": "message-metadata", "messageMetadata": {"model": 3}},
        "The message's metadata does not fit Meta (message_metadata_type): "
        "model: input should be a valid string.",
    ),
    "data": (
        {"type": "data-weather", "data": {"city": "Rome", "degrees": 30}},
        "The data of a data-weather chunk does not fit Weather (data_part_types['weather']): "
        "degrees: extra inputs are not permitted.",
    ),
    "transient data": (
        {"type": "data-note", "data": [1], "transient": True},
        "The data of a data-note chunk does not fit str | None (data_part_types['note']): "
        "the value: input should be a valid string.",
    ),
}


async def test_a_reply_that_fits_is_as_without_types() -> None:
    with FakeServer([FITS, FITS]) as server:
        async with AsyncChatSession(server.url, **TYPES) as chat:
            turn = await chat.send_message("Hi")
        async with AsyncChatSession(server.url) as plain:
            other = await plain.send_message("Hi")
    assert turn.message == other.message
    assert turn.message is not None
    assert turn.message.metadata == {"model": "a", "usage": USED}
    assert turn.message.parts[-1].data == {"city": "Rome"}
    assert turn.usage == Usage(3, 4, 7, USED)
    assert Meta.model_validate(turn.message.metadata).model == "a"


@pytest.mark.parametrize("name", BAD)
async def test_what_does_not_fit_ends_the_reply(name: str) -> None:
    chunk, says = BAD[name]
    seen: list[Any] = []
    with FakeServer([[*FITS[:4], chunk, *GOOD[4:]], GOOD]) as server:
        async with AsyncChatSession(server.url, on_data=seen.append, **TYPES) as chat:
            chat.on(DataReceived, seen.append)
            turn = await chat.send_message("Hi")
            assert (turn.outcome, turn.text, chat.status) == ("error", "Hello ", "error")
            assert isinstance(turn.error, StreamProtocolError)
            assert (str(turn.error), turn.error.position) == (says, 4)
            assert turn.error.chunk is not None
            assert turn.error.chunk.startswith(f'{{"type":"{chunk["type"]}"')
            assert isinstance(turn.error.__cause__, ValidationError)
            assert turn.message is not None
            assert turn.message.metadata == {"model": "a"}
            assert seen == []
            assert (await chat.regenerate()).text == "Hello there"


@pytest.mark.parametrize("name", BAD)
def test_in_a_chat_session_too(name: str) -> None:
    chunk, says = BAD[name]
    with (
        FakeServer([[*FITS[:4], chunk, *GOOD[4:]], FITS]) as server,
        ChatSession(server.url, **TYPES) as chat,
    ):
        turn = chat.send_message("Hi").wait()
        assert (turn.text, str(turn.error)) == ("Hello ", says)
        assert chat.regenerate().wait().usage == Usage(3, 4, 7, USED)


def test_a_validator_that_uses_the_chat_ends_the_reply() -> None:
    class Curious(BaseModel):
        city: str

        @field_validator("city")
        @classmethod
        def _look(cls, value: str) -> str:
            chat.stop()
            raise KeyError(value)

    with (
        FakeServer([FITS, GOOD]) as server,
        ChatSession(server.url, data_part_types={"weather": Curious}) as chat,
    ):
        turn = chat.send_message("Hi").wait()
        assert turn.outcome in ("error", "stopped")
        assert chat.send_message("Again").wait().text == "Hello there"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"message_metadata_type": object()}, "message_metadata_type: pydantic cannot use"),
        ({"data_part_types": {"weather": object()}}, r"data_part_types\['weather'\]: pydantic"),
        ({"data_part_types": {"data-weather": Weather}}, "without 'data-'"),
        ({"data_part_types": Weather}, "expected a mapping"),
        ({"repair": 1}, "repair=1: expected True or False"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(options: dict[str, Any], says: str) -> None:
    for cls in (AsyncChatSession, ChatSession):
        with pytest.raises(InvalidArgumentError, match=says):
            cls(ScriptedTransport(), **options)


@pytest.mark.parametrize(
    ("metadata", "usage"),
    [
        ({"totalUsage": {"inputTokens": 3, "outputTokens": 4}}, (3, 4, 7)),
        ({"usage": {"promptTokens": None, "completionTokens": None}}, (None, None, None)),
        ({"input_tokens": 3}, (3, None, None)),
        ({"model": "a"}, None),
    ],
)
async def test_the_usage_is_found(metadata: Any, usage: tuple[int | None, ...] | None) -> None:
    reply = [*GOOD[:-1], {**GOOD[-1], "messageMetadata": metadata}]
    async with AsyncChatSession(ScriptedTransport([reply])) as chat:
        turn = chat.send_message("Hi")
        assert turn.usage is None
        found = (await turn).usage
    counts = found and (found.input_tokens, found.output_tokens, found.total_tokens)
    assert counts == usage
