"""What a model gives, as a function's arguments or as words on what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, Strict, field_validator

from usechat.tools.context import ToolContext
from usechat.tools.faults import ToolInputError
from usechat.tools.tool import Tool

SENTINEL: Any = object()


class Color(Enum):
    RED = "red"


class Named(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name == "nobody":
            raise ValueError("nobody is not\nknown")
        return name


def from_json(
    day: date,
    at: timedelta,
    color: Color,
    numbers: set[int],
    pair: tuple[int, str],
    raw: bytes,
    price: Decimal,
    path: Path,
    strict: Annotated[date, Strict()],
) -> None: ...


def test_types_that_json_lacks() -> None:
    bound = Tool(from_json).arguments_of(
        {
            "day": "2026-01-02",
            "at": "PT5S",
            "color": "red",
            "numbers": [1, 2, 2],
            "pair": [1, "x"],
            "raw": "é",
            "price": "1.10",
            "path": "a/b",
            "strict": "2026-01-02",
        }
    )
    day = date(2026, 1, 2)
    made = (day, timedelta(seconds=5), Color.RED, {1, 2}, (1, "x"), "é".encode())
    assert bound.args == (*made, Decimal("1.10"), Path("a/b"), day)


def many(a: int, /, b: Any = SENTINEL, *, c: int = 3, **rest: int) -> tuple[Any, ...]:
    return a, b, c, rest


def skipped(a: int = 1, b: int = 2, /, c: int = 3) -> tuple[Any, ...]:
    return a, b, c


def odd(schema: int, model_config: int, _x: int, self_: int, copy: Any = None) -> tuple[Any, ...]:
    return schema, model_config, _x, self_, copy


ONE: Any = Field(default=[1])


def fields(a: int = Field(default=4), b: list[int] = ONE) -> tuple[Any, ...]:
    return a, b


def noted(a: Annotated[int, Field(alias="z", default=5)]) -> int:
    return a


def with_context(a: int, ctx: ToolContext, b: int = 2) -> tuple[Any, ...]:
    return a, ctx, b


CONTEXT: Any = object()

CALLS: list[tuple[Callable[..., Any], Any, Any]] = [
    (many, {"a": "1"}, (1, SENTINEL, 3, {})),
    (many, {"a": 1, "b": [1], "c": 2, "d": 4, "p0": 5}, (1, [1], 2, {"d": 4, "p0": 5})),
    (many, {"a": 1, "model_config": 2, "p1": 7}, (1, SENTINEL, 3, {"model_config": 2, "p1": 7})),
    (skipped, None, (1, 2, 3)),
    (skipped, "", (1, 2, 3)),
    (skipped, {"b": 5}, (1, 5, 3)),
    (odd, {"schema": 1, "model_config": 2, "_x": 3, "self_": 4}, (1, 2, 3, 4, None)),
    (fields, {}, (4, [1])),
    (fields, {"b": ["2"]}, (4, [2])),
    (noted, {}, 5),
    (noted, {"a": 6}, 6),
    (with_context, {"a": 1}, (1, CONTEXT, 2)),
    (partial(with_context, 7), {}, (7, CONTEXT, 2)),
    (partial(with_context, a=7), {"b": 1}, (7, CONTEXT, 1)),
]


@pytest.mark.parametrize(("function", "input", "made"), CALLS)
def test_a_call_gets_what_was_given(function: Callable[..., Any], input: Any, made: Any) -> None:
    tool = Tool(function)
    assert tool.call_with(tool.arguments_of(input), CONTEXT) == made


def test_the_arguments_by_name() -> None:
    def named(function: Callable[..., Any], input: Any) -> dict[str, Any]:
        tool = Tool(function)
        return tool.named_arguments(tool.arguments_of(input))

    assert named(many, {"a": 1, "d": 4}) == {"a": 1, "b": SENTINEL, "c": 3, "d": 4}
    assert named(with_context, {"a": 1}) == {"a": 1, "b": 2}
    assert named(partial(with_context, a=7), {}) == {"b": 2}


def place(city: str, days: Annotated[int, Field(le=3)] = 1, who: list[Named] = []) -> None: ...  # noqa: B006
def more(a: int, ctx: ToolContext, **rest: Any) -> None: ...


WRONG: dict[str, tuple[Any, list[str]]] = {
    "missing": ({}, ["city: Field required"]),
    "unknown": (
        {"city": "Rome", "town": None},
        ["town: Extra inputs are not permitted"],
    ),
    "several": (
        {"city": 5, "days": 9},
        [
            "city: Input should be a valid string (it is 5)",
            "days: Input should be less than or equal to 3 (it is 9)",
        ],
    ),
    "inside": (
        {"city": "Rome", "who": [{"name": "you"}, {}, {"name": "nobody"}, "é"]},
        [
            "who[1].name: Field required",
            'who[2].name: Value error, nobody is not known (it is "nobody")',
            'who[3]: Input should be an object (it is "é")',
        ],
    ),
    "long": (
        {"city": "Rome", "days": "9" * 50 + "x"},
        [
            "days: Input should be a valid integer, unable to parse string as an integer "
            '(it is "' + "9" * 38 + "…)"
        ],
    ),
    "odd name": (
        {"city": "Rome", "a\nb" + "c" * 200: []},
        ["a b" + "c" * 96 + "…: Extra inputs are not permitted"],
    ),
}


@pytest.mark.parametrize(("input", "lines"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_a_line_each(input: Any, lines: list[str]) -> None:
    with pytest.raises(ToolInputError) as caught:
        Tool(place).arguments_of(input)
    assert str(caught.value).split("\n") == ["Invalid input for place:", *lines]


@pytest.mark.parametrize(
    ("input", "kind"),
    [([], "an array"), ("{}", "a string"), (5, "a number"), (1.5, "a number"), (True, "a boolean")],
)
def test_what_is_no_object(input: Any, kind: str) -> None:
    with pytest.raises(ToolInputError, match=f"it must be an object, not {kind}"):
        Tool(place).arguments_of(input)


def test_no_more_than_twenty_faults_are_told() -> None:
    with pytest.raises(ToolInputError) as caught:
        Tool(place).arguments_of({"city": "Rome", "who": [5] * 1000})
    lines = str(caught.value).split("\n")
    assert (len(lines), lines[-1]) == (22, "and 980 more")


def test_nobody_gives_the_context_or_what_a_partial_has_given() -> None:
    with pytest.raises(ToolInputError, match="ctx: Not permitted"):
        Tool(more).arguments_of({"a": 1, "ctx": {}})
    with pytest.raises(ToolInputError, match="a: Not permitted"):
        Tool(partial(more, a=1)).arguments_of({"a": 2})
    with pytest.raises(ToolInputError, match="a: Extra inputs"):
        Tool(partial(with_context, a=1)).arguments_of({"a": 2})


def test_half_a_character_is_replaced_as_pydantic_cannot_hold_it() -> None:
    assert Tool(place).arguments_of({"city": "x\ud83d"}).args[0] == "x?"


def test_what_is_deeper_than_json_here_can_be_does_not_fit() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ToolInputError, match="Invalid input for odd"):
        Tool(odd).arguments_of({"copy": deep})


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
HALVES = st.sampled_from(["\ud83d", "x\udc00y"])
JUNK = st.recursive(
    LEAVES | HALVES | st.binary() | st.builds(object) | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | HALVES | st.integers(), inner),
)
TOOLS = [Tool(function) for function in (place, many, odd, with_context, from_json, more)]
KEYS = st.sampled_from(["a", "b", "city", "days", "who", "day", "ctx", "raw", "schema"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(TOOLS), JUNK | st.dictionaries(KEYS, JUNK))
def test_junk_fits_or_is_refused_in_words(tool: Tool, input: Any) -> None:
    try:
        bound = tool.arguments_of(input)
    except ToolInputError as error:
        said = str(error)
        assert said.startswith(f"Invalid input for {tool.name}")
        assert "pydantic" not in said.lower()
        assert len(said) < 10_000
    else:
        assert "ctx" not in bound.arguments
