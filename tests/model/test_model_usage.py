"""The tokens that a reply has used."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from usechat.model.usage import Usage


def counts(metadata: Any) -> tuple[int | None, int | None, int | None] | None:
    usage = Usage.in_metadata(metadata)
    return None if usage is None else (usage.input_tokens, usage.output_tokens, usage.total_tokens)


SPELLINGS = [
    {"inputTokens": 3, "outputTokens": 4, "totalTokens": 9},
    {"promptTokens": 3, "completionTokens": 4, "totalTokens": 9},
    {"input_tokens": 3, "output_tokens": 4, "total_tokens": 9},
    {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9},
    {"inputTokens": {"total": 3, "noCache": 1}, "outputTokens": {"total": 4}, "totalTokens": 9},
    {"inputTokens": 3.0, "outputTokens": 4.0, "totalTokens": 9.0},
]


@pytest.mark.parametrize("sent", SPELLINGS)
def test_every_spelling_is_read_wherever_it_stands(sent: dict[str, Any]) -> None:
    assert counts({"usage": sent, "model": "a"}) == (3, 4, 9)
    assert counts({"totalUsage": sent}) == (3, 4, 9)
    assert counts({"model": "a", **sent}) == (3, 4, 9)
    usage = Usage.in_metadata({"usage": sent})
    assert usage is not None
    assert usage.raw is sent


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"promptTokens": None, "completionTokens": None}, (None, None, None)),
        ({"promptTokens": 3}, (3, None, None)),
        ({"outputTokens": 4}, (None, 4, None)),
        ({"totalTokens": 9}, (None, None, 9)),
        ({"inputTokens": 3, "outputTokens": 4}, (3, 4, 7)),
        ({"inputTokens": {"noCache": 1}, "outputTokens": "4"}, (None, None, None)),
        ({"inputTokens": True, "outputTokens": 1.5}, (None, None, None)),
        ({"inputTokens": None, "promptTokens": 3}, (3, None, None)),
        ({"inputTokens": 0, "outputTokens": 0}, (0, 0, 0)),
        ({"inputTokens": -5, "outputTokens": 10}, (None, 10, None)),
    ],
)
def test_what_the_server_did_not_say_is_none(sent: dict[str, Any], expected: object) -> None:
    assert counts({"usage": sent}) == expected


def test_the_last_request_goes_before_all_together() -> None:
    metadata = {"totalUsage": {"inputTokens": 9}, "usage": {"inputTokens": 3}, "inputTokens": 1}
    assert counts(metadata) == (3, None, None)


@pytest.mark.parametrize(
    "metadata",
    [None, "usage", [], {}, {"usage": None}, {"usage": 3}, {"usage": {}}, {"usage": {"cost": 1}}],
)
def test_where_there_is_none_there_is_none(metadata: Any) -> None:
    assert Usage.in_metadata(metadata) is None


def test_what_has_no_counts_does_not_hide_what_has() -> None:
    assert counts({"usage": {"cost": 1}, "totalUsage": {"inputTokens": 3}}) == (3, None, None)
    assert counts({"usage": {"cost": 1}, "outputTokens": 4}) == (None, 4, None)


def test_it_is_a_value() -> None:
    one, other = (Usage.in_metadata({"usage": {"inputTokens": 3}}) for _ in range(2))
    assert (one, hash(one)) == (other, hash(other))
    assert repr(one) == "Usage(input_tokens=3, output_tokens=None, total_tokens=None)"
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(AttributeError):
        one.input_tokens = 4  # type: ignore[union-attr, misc]
