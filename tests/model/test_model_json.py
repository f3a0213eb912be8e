"""JSON, read and written in one place."""

from __future__ import annotations

import datetime
import json
import math
import uuid
from collections import deque
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from usechat import InvalidArgumentError, TextPart, UIMessage
from usechat.model.json import dumps, loads

HALF = "\ud83d"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Halves of surrogate pairs among them.
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@given(json_values)
def test_what_is_written_is_read_again(value: Any) -> None:
    text = dumps(value).decode()
    assert loads(text) == value
    assert json.loads(text) == value


@given(json_values)
def test_what_others_write_is_read(value: Any) -> None:
    assert loads(json.dumps(value)) == value
    assert loads(json.dumps(value, ensure_ascii=False)) == value


@given(st.text())
def test_any_text_is_read_or_a_value_error(text: str) -> None:
    try:
        value = loads(text)
    except ValueError:
        return
    assert dumps(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"\ud83d"', HALF),
        (r'"\uD83D"', HALF),
        (r'"\ude00\ud83d"', "\ude00\ud83d"),
        (r'"\ud83d\ude00"', "😀"),
        ('"\ud83d"', HALF),
        (r'["\\ud83d", "\ud83d"]', ["\\ud83d", HALF]),
        (r'{"\ud83d":1}', {HALF: 1}),
        ('{"a":1,"a":2}', {"a": 2}),
        ("9" * 4300, int("9" * 4300)),
        ("1e999", math.inf),
        ("-0", 0),
    ],
)
def test_odd_texts(text: str, value: Any) -> None:
    assert loads(text) == value


@pytest.mark.parametrize("half", ["", r'"\ud83d",', r'"\uD83D",', '"\ud83d",'])
@pytest.mark.parametrize(
    "inner",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "9" * 10_000,
        "[" * 10_000 + "]" * 10_000,
        "[" * 210 + "]" * 210,
        '"\t"',
        '"\\ud8"',
        '"\\udxyz"',
        "'a'",
        "01",
        "1,]",
        "",
        "tru",
        "1]]",
    ],
)
def test_what_is_no_json_or_beyond_is_a_value_error(half: str, inner: str) -> None:
    with pytest.raises(ValueError, match="line 1 column"):
        loads(f"[{half}{inner}]" if inner or half else "")


@pytest.mark.parametrize("half", ["1,", r'"\ud83d",'])
def test_nesting_has_the_same_bound_with_half_characters(half: str) -> None:
    assert loads(f"[{half}" * 190 + "1" + "]" * 190)
    with pytest.raises(ValueError, match="recursion limit"):
        loads(f"[{half}" * 210 + "1" + "]" * 210)


def test_what_can_be_read_can_be_written() -> None:
    deep = loads(r'["\ud83d",' * 190 + "1" + "]" * 190)
    assert loads(dumps(deep).decode()) == deep
    plain = loads("[" * 200 + "]" * 200)
    message = UIMessage(id="a", role="user", parts=[{"type": "data-x", "data": plain}])
    assert json.loads(message.encoded()) == message.model_dump()


class Point(BaseModel):
    x: float
    when: datetime.date


POINT = Point(x=1.5, when=datetime.date(2026, 1, 2))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "null"),
        ([math.inf, -math.inf, 1.5], "[null,null,1.5]"),
        ({"a": (1, math.nan)}, '{"a":[1,null]}'),
        ({1}, "[1]"),
        (deque([1]), "[1]"),
        (datetime.date(2026, 1, 2), '"2026-01-02"'),
        (Decimal("1.50"), '"1.50"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (POINT, '{"x":1.5,"when":"2026-01-02"}'),
        (Point(x=math.nan, when=POINT.when), '{"x":null,"when":"2026-01-02"}'),
        (b"bytes", '"bytes"'),
    ],
)
def test_values_beyond_json(value: Any, text: str) -> None:
    assert dumps(value).decode() == text
    # And the same where half a character makes escaped ASCII of all.
    with_half = json.loads(dumps([HALF, value]))
    assert with_half == [HALF, json.loads(text)]


def test_a_ten_thousand_digit_number_is_written() -> None:
    assert dumps(10**9999) == b"1" + b"0" * 9999


def test_half_characters_are_written_as_escapes() -> None:
    assert dumps({"ö": f"a{HALF}"}) == b'{"\\u00f6":"a\\ud83d"}'
    assert dumps({HALF: TextPart(text=HALF)}) == (b'{"\\ud83d":{"type":"text","text":"\\ud83d"}}')


def circular() -> list[Any]:
    value: list[Any] = []
    value.append({"a": value})
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        print,
        b"\xff",
        circular(),
        nested(10_000),
        {"a": [object()]},
        [HALF, object()],
        [HALF, circular()],
        [HALF, nested(10_000)],
        [HALF, b"\xff"],
        {HALF: {(1, 2): 3}},
    ],
)
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^This cannot be written as JSON: .*dicts"):
        dumps(value)


class Array:
    """Like NumPy's."""

    def tolist(self) -> list[int]:
        return [1, 2]


def test_arrays_are_lists() -> None:
    assert dumps({"a": Array(), "half": "\ud83d"}) == b'{"a":[1,2],"half":"\\ud83d"}'
    assert dumps([Array()]) == b"[[1,2]]"
    for value in (Array, object()):
        with pytest.raises(InvalidArgumentError, match="Unable to serialize unknown type"):
            dumps(value)
