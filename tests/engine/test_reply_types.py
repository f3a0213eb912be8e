"""Types of the application's own for metadata and data parts."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from usechat.engine.events import DataReceived, MetadataChanged, PartAdded, PartUpdated
from usechat.engine.typed import ReplyTypes
from usechat.errors import InvalidArgumentError, StreamProtocolError

from .harness import Chat, Chunk, assistant, data, finish, start, text, user


class Meta(BaseModel):
    model: str
    tokens: int = 0


class MetaDict(TypedDict, total=False):
    model: str


@dataclass
class Weather:
    city: str
    degrees: float | None = None


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    at: datetime.datetime


class Incomplete(BaseModel):
    other: Nowhere  # type: ignore[name-defined]  # noqa: F821


class NoType:
    pass


def typed(metadata: Any = None, types: Any = None, **options: Any) -> Chat:
    chat = Chat(**options, types=ReplyTypes.of(metadata, types))
    chat.send()
    return chat


def brings(metadata: Any) -> Chunk:
    return {"type": "message-metadata", "messageMetadata": metadata}


def refused(chat: Chat) -> StreamProtocolError:
    assert isinstance(chat.error, StreamProtocolError)
    assert (chat.status, chat.engine.exchange) == ("error", None)
    return chat.error


# ------------------------------------------------------------------ metadata


@pytest.mark.parametrize(
    "chunk",
    [
        start("m1", messageMetadata={"tokens": 3}),
        brings({"tokens": 3}),
        finish("stop", messageMetadata={"tokens": 3}),
    ],
)
def test_metadata_that_does_not_fit_ends_the_reply(chunk: Chunk) -> None:
    chat = typed(Meta)
    turn = chat.exchange.turn
    chat.receive(text("Hello"), chunk)
    error = refused(chat)
    assert str(error) == (
        "The message's metadata does not fit Meta (message_metadata_type): model: field required."
    )
    assert error.position == 3
    assert error.chunk is not None
    assert '"messageMetadata":{"tokens":3}' in error.chunk
    assert isinstance(error.__cause__, ValidationError)
    assert (turn.outcome, chat.messages[-1].text) == ("error", "Hello")
    assert chat.messages[-1].metadata is None
    assert chat.events(MetadataChanged) == []


def test_it_is_the_merged_metadata_that_has_to_fit() -> None:
    chat = typed(Meta)
    chat.receive(start(messageMetadata={"model": "a"}), brings({"tokens": 3}))
    chat.receive(finish(messageMetadata={"tokens": 4, "more": [1]}))
    assert chat.error is None
    assert chat.messages[-1].metadata == {"model": "a", "tokens": 4, "more": [1]}
    chat.receive(brings({"model": None}))
    assert "model: input should be a valid string" in str(refused(chat))
    assert chat.messages[-1].metadata == {"model": "a", "tokens": 4, "more": [1]}


def test_what_a_continued_message_has_counts_too() -> None:
    chat = Chat(user(), assistant(metadata={"model": "a"}), types=ReplyTypes(Meta))
    chat.send(None)
    chat.receive(brings({"tokens": 1}))
    assert chat.error is None


def test_a_null_is_no_metadata() -> None:
    chat = typed(Meta)
    chat.receive(start(messageMetadata=None), brings(None), finish(messageMetadata=None))
    assert chat.error is None


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (MetaDict, {"model": "a"}, {"model": 1}),
        (Weather, {"city": "Rome"}, {"city": 1}),
        (int | None, 3, "three"),
        (list[int], [1, 2], [1, "two"]),
        (Strict, {"at": "2026-01-01T00:00:00Z"}, {"at": "today"}),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_any_type_that_pydantic_knows(kind: Any, good: Any, bad: Any, strict: bool) -> None:
    chat = typed(kind, strict=strict)
    chat.receive(brings(good), text("x"))
    assert chat.messages[-1].metadata == good
    chat.receive(brings(bad))
    assert "(message_metadata_type)" in str(refused(chat))


# ---------------------------------------------------------------- data parts


def test_data_that_does_not_fit_ends_the_reply_before_anybody_sees_it() -> None:
    chat = typed(types={"weather": Weather}, callbacks={"on_data": lambda _: None})
    chat.receive(data({"city": "Rome"}, "d1"))
    chat.events()
    chat.receive(data({"town": "Oslo"}, "d1"))
    error = refused(chat)
    assert str(error) == (
        "The data of a data-weather chunk does not fit Weather (data_part_types['weather']): "
        "city: field required."
    )
    assert (error.position, error.chunk) == (
        1,
        '{"type":"data-weather","data":{"town":"Oslo"},"id":"d1"}',
    )
    assert [part["data"] for part in chat.reply_parts()] == [{"city": "Rome"}]
    assert len(chat.called("on_data")) == 1
    assert chat.events(DataReceived, PartAdded, PartUpdated) == []


@pytest.mark.parametrize("transient", [True, False])
def test_transient_data_is_checked_too(transient: bool) -> None:
    chat = typed(types={"weather": Weather}, callbacks={"on_data": lambda _: None})
    chat.receive(text("x"), data("rain", transient=transient))
    refused(chat)
    assert chat.called("on_data") == []
    assert [part["type"] for part in chat.reply_parts()] == ["text"]


@pytest.mark.parametrize("metadata", [Meta, None])
def test_what_has_no_type_may_be_anything(metadata: Any) -> None:
    chat = typed(metadata, {"weather": Weather})
    chat.receive(brings({"model": "a"}) if metadata else brings(3))
    chat.receive(data("x", name="note"), data({"city": "Rome", "more": 1}))
    assert [part["data"] for part in chat.reply_parts()] == ["x", {"city": "Rome", "more": 1}]


# ------------------------------------------------------- kept as it came, JSON


def test_the_value_is_kept_as_it_came() -> None:
    class Changing(BaseModel):
        city: str

        @model_validator(mode="before")
        @classmethod
        def _rename(cls, value: Any) -> Any:
            value["city"] = value.pop("town")
            return value

    chat = typed(Changing, {"weather": Changing})
    chat.receive(brings({"town": "Rome"}), data({"town": "Oslo"}))
    assert chat.error is None
    assert chat.messages[-1].metadata == {"town": "Rome"}
    assert chat.reply_parts()[0]["data"] == {"town": "Oslo"}


def test_half_a_character_is_no_fault() -> None:
    chat = typed(Meta)
    chat.receive(brings({"model": "a \\ud \u00e9 \U0001f600 \ud83d"}))
    assert chat.error is None
    assert chat.messages[-1].metadata == {"model": "a \\ud \u00e9 \U0001f600 \ud83d"}


def test_nothing_of_a_large_value_is_in_the_message() -> None:
    chat = typed(dict[str, int])
    chat.receive(brings({"k" * 5000: "s" * 5000}))
    error = refused(chat)
    assert len(str(error)) < 400
    assert "sss" not in str(error)
    assert error.chunk is not None
    assert len(error.chunk) == 201


@pytest.mark.parametrize("raised", [KeyError("secret"), RuntimeError("secret"), StopIteration()])
def test_whatever_a_validator_raises_is_the_cause(raised: Exception) -> None:
    class Raising(BaseModel):
        city: str

        @field_validator("city")
        @classmethod
        def _check(cls, value: str) -> str:
            raise raised

    chat = typed(types={"weather": Raising})
    chat.receive(text("Hello"), data({"city": "Rome"}))
    error = refused(chat)
    assert error.__cause__ is raised
    assert f"its validator raised {type(raised).__name__}" in str(error)
    assert "secret" not in str(error)
    assert chat.messages[-1].text == "Hello"


def test_a_transport_that_gives_what_is_no_json() -> None:
    chat = typed(types={"weather": Weather})
    chat.receive(data(NoType()))
    error = refused(chat)
    assert (error.chunk, error.position) == (None, 0)
    assert isinstance(error.__cause__, InvalidArgumentError)


# ------------------------------------------------------------------ the options


def test_without_types_nothing_is_checked() -> None:
    assert ReplyTypes.of(None, None) is None
    assert ReplyTypes.of(None, {}) is None
    assert typed().exchange.types is None


@pytest.mark.parametrize(
    ("metadata", "types", "said"),
    [
        (NoType, None, "message_metadata_type: pydantic cannot use NoType"),
        (3, None, "message_metadata_type: pydantic cannot use 3"),
        (Incomplete, None, "message_metadata_type: pydantic cannot use Incomplete.*Nowhere"),
        (None, {"a": list[NoType]}, r"data_part_types\['a'\]: pydantic cannot use list"),
        (None, {"data-a": int}, r"data_part_types\['data-a'\]: .* without 'data-'"),
        (None, {3: int}, r"data_part_types\[3\]: expected the name"),
        (None, [int], "data_part_types: expected a mapping .* got list"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(metadata: Any, types: Any, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"(?s){said}"):
        ReplyTypes.of(metadata, types)


def test_a_start_whose_metadata_does_not_fit_changes_nothing() -> None:
    chat = Chat(
        user(),
        assistant({"type": "text", "text": "old"}, id="old"),
        types=ReplyTypes.of(Meta, None),
    )
    turn = chat.send()
    chat.receive(start("new"), text("what came"), start("old", messageMetadata={"model": 5}))
    refused(chat)
    assert chat.texts() == ["user: Hi", "assistant: old", "user: Hi", "assistant: what came"]
    assert turn.message is not None
    assert turn.message.id == "new"


def test_a_type_that_was_made_in_a_function_comes_as_an_adapter() -> None:
    class Inner(TypedDict):
        n: int

    class Outer(TypedDict):
        inner: Inner

    with pytest.raises(InvalidArgumentError, match=r"give a TypeAdapter") as refusal:
        ReplyTypes.of(Outer, None)
    assert "\n" not in str(refusal.value)
    chat = typed(TypeAdapter(Outer))
    chat.receive(brings({"inner": {"n": 1}}))
    assert chat.error is None
    chat.receive(brings({"inner": {"n": "x"}}))
    refused(chat)


def test_the_name_of_a_type_is_none() -> None:
    with pytest.raises(InvalidArgumentError, match="expected a type, not the name of one"):
        ReplyTypes.of("Meta", None)


def test_where_it_is_wrong_is_told_in_one_line() -> None:
    chat = typed(dict[str, int])
    chat.receive(brings({"a\nb\x1b" + "c" * 999: "x"}))
    said = str(refused(chat))
    assert "a\ufffdb\ufffdccc" in said
    assert len(said) < 500


def test_half_a_character_is_checked_as_a_question_mark() -> None:
    chat = typed(dict[str, Literal["a ?"]])
    chat.receive(brings({"x": "a \ud83d"}))
    assert chat.error is None
