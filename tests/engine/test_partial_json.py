"""The begin of a JSON text, read as far as it goes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from usechat.engine.partial_json import UNDEFINED, parse_partial_json
from usechat.model.json import dumps

DATA = Path(__file__).parent / "data"

TEXTS = [
    '{"city":"Paris","days":3,"tags":["a","b"],"ok":true,"none":null}',
    '[1,-2.5e+10,0.1E-3,[],{},[[]],{"a":{"b":[{"c":false}]}}]',
    '"a \\"quoted\\" \\u00e9 \\ud83d\\ude00 \\\\ text\\n"',
    ' { "a" : [ true , false , null ] , "b" : -1 } ',
    "-12.5",
    "true",
    "null",
]


def lines(name: str) -> list[Any]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def by_value(text: str | bytes) -> Any:
    """A JSON text read with JavaScript's numbers."""
    return json.loads(text, parse_int=float)


def test_300_prefixes_are_read_as_the_sdk_reads_them() -> None:
    texts, expected = lines("partial_json.jsonl"), lines("partial_json_expected.jsonl")
    assert len(texts) == len(expected) == 300
    for text, want in zip(texts, expected, strict=True):
        value = UNDEFINED if text is None else parse_partial_json(text)
        if "value" in want:
            assert by_value(dumps(value)) == by_value(json.dumps(want["value"])), text
        else:
            assert value is UNDEFINED, text


def fits(part: Any, whole: Any) -> bool:
    """Whether a value can become another by more text."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and fits(part[key], whole[key]) for key in part)
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(map(fits, part, whole))
    if isinstance(part, str) and isinstance(whole, str):
        # The first half of a surrogate pair may be there without the other.
        return whole.encode("utf-16-le").startswith(part.encode("utf-16-le", "surrogatepass"))
    if isinstance(part, (int, float)) and isinstance(whole, (int, float)):
        return isinstance(part, bool) == isinstance(whole, bool)
    return bool(part == whole)


@pytest.mark.parametrize("text", TEXTS)
def test_every_prefix_gives_a_part_of_the_whole_or_nothing_yet(text: str) -> None:
    whole = json.loads(text)
    for end in range(len(text) + 1):
        value = parse_partial_json(text[:end])
        assert value is UNDEFINED or fits(value, whole), text[:end]
    assert parse_partial_json(text) == whole


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":', {}),
        ('{"a":tr', {"a": True}),
        ('{"a":f', {"a": False}),
        ('{"a":n', {"a": None}),
        ('{"a":1,', {"a": 1}),
        ('{"a":1.', {"a": 1}),
        ('{"a":1e', {"a": 1}),
        ('{"a":"x\\', {"a": "x"}),
        ('{"a":"x\\u00', {"a": "x"}),
        ('{"a":"x\\u00e9', {"a": "xé"}),
        ('{"a":"x\\n', {"a": "x\n"}),
        ("[1,2", [1, 2]),
        ("[[1],", [[1]]),
        ("[true,", [True]),
        ("[", []),
        ('{"a":{}', {"a": {}}),
        ('{"a":[]', {"a": []}),
        ('{"a":12}', {"a": 12}),
        ('{"a":true}', {"a": True}),
        ("[12]", [12]),
        ("-1", -1),
    ],
)
def test_what_is_open_is_closed(text: str, value: Any) -> None:
    assert parse_partial_json(text) == value


@pytest.mark.parametrize(
    "text", ["", "   ", "-", "[1 2]", "nope", '{"a":1 x}', '{"a":tx}', "[tx", "[1 x]", '"\\q"']
)
def test_what_says_nothing_or_is_no_json_is_undefined(text: str) -> None:
    assert parse_partial_json(text) is UNDEFINED


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{1", {}),
        ("{]", {}),
        ("[1}", [1]),
        ("[1e,", [1]),
        ('{"a":1]', {"a": 1}),
        ('{"a" 1}', {}),
        ("{,", {}),
        ('{"a"x', {}),
        ('{"a":x', {}),
        ('{"a":1x', {"a": 1}),
        ('{"a":1 x', {"a": 1}),
        ('{"a":"b" x', {"a": "b"}),
        ('{"a":truex', {"a": True}),
        ("[1x", [1]),
        ("[truex", [True]),
        ('"\\u00zz', ""),
        ("1,", 1),
        ("1x", 1),
        ("nullx", None),
        ("[]x", []),
    ],
)
def test_what_does_not_belong_there_is_read_as_the_sdk_reads_it(text: str, value: Any) -> None:
    assert parse_partial_json(text) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"__proto__":{"a":1}}',
        '{"a":[{"__proto__":1}]}',
        '{"constructor":{"prototype":{}}}',
        '{"\\u005f_proto__":1}',
    ],
)
def test_what_would_change_a_prototype_is_refused_as_by_the_sdk(text: str) -> None:
    assert parse_partial_json(text) is UNDEFINED


@pytest.mark.parametrize("text", ['{"constructor":1,"b":"prototype"}', '["__proto__"]', '"proto"'])
def test_what_only_looks_like_a_prototype_is_read(text: str) -> None:
    assert parse_partial_json(text) == json.loads(text)


def test_numbers_too_large_are_infinite_as_in_javascript_or_refused() -> None:
    value = parse_partial_json("1e999")
    assert value is UNDEFINED or value == math.inf


def test_a_text_nested_without_end_is_undefined() -> None:
    assert parse_partial_json("[" * 10_000) is UNDEFINED


def test_a_half_of_a_surrogate_pair_is_read() -> None:
    assert parse_partial_json('{"a":"\\ud83d') == {"a": "\ud83d"}
    assert parse_partial_json('{"a":"\ud83d') == {"a": "\ud83d"}
