"""Text that grows: halves of surrogate pairs, and what an append costs."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from usechat.engine import text as text_module
from usechat.engine.text import TextBuffer

GRIN = "\U0001f600"
HIGH, LOW = "\ud83d", "\ude00"
LETTERS = ["a", "é", "\u2028", GRIN, "\U0001f9d1", HIGH, LOW, "\n", "中"]


def as_javascript(text: str) -> str:
    """The text as a JavaScript string would have it, halves that meet being one character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def random_split(text: str, rng: random.Random) -> list[str]:
    """Pieces of a text, cut between any two UTF-16 units, as a server may cut it."""
    units = text.encode("utf-16-le", "surrogatepass")
    cuts = sorted(2 * rng.randrange(len(units) // 2 + 1) for _ in range(rng.randrange(8)))
    edges = [0, *cuts, len(units)]
    return [units[a:b].decode("utf-16-le", "surrogatepass") for a, b in pairwise(edges)]


@pytest.mark.parametrize("seed", range(200))
def test_deltas_however_they_are_split_are_the_text(seed: int) -> None:
    rng = random.Random(seed)
    text = as_javascript("".join(rng.choice(LETTERS) for _ in range(rng.randrange(30))))
    buffer = TextBuffer()
    shown = ""
    for delta in random_split(text, rng):
        shown += buffer.append(delta)
        assert buffer.shown == len(shown)
        start = rng.randrange(buffer.shown + 1)
        assert buffer.since(start) == shown[start:]
        if rng.random() < 0.3:
            assert len(buffer.text()) == len(buffer)
    shown += buffer.close()
    assert buffer.text() == text
    assert len(buffer) == buffer.shown == len(text) == len(shown)
    assert shown == "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


def test_halves_that_meet_are_one_character() -> None:
    buffer = TextBuffer()
    assert buffer.append("a" + HIGH) == "a"
    assert (buffer.shown, len(buffer), buffer.text()) == (1, 2, "a" + HIGH)
    assert buffer.append(LOW + "b") == GRIN + "b"
    assert buffer.text() == f"a{GRIN}b"


def test_an_empty_delta_keeps_a_half_waiting() -> None:
    buffer = TextBuffer()
    buffer.append(HIGH)
    assert buffer.append("") == ""
    assert buffer.append(LOW) == GRIN


def test_a_half_that_stays_alone_is_kept_and_shown_as_a_replacement() -> None:
    buffer = TextBuffer()
    assert buffer.append(LOW + "a") == "\ufffda"
    assert buffer.append(HIGH) == ""
    assert buffer.append(HIGH) == "\ufffd"
    assert buffer.append("x") == "\ufffdx"
    assert buffer.text() == f"{LOW}a{HIGH}{HIGH}x"
    assert buffer.since(0) == "\ufffda\ufffd\ufffdx"


def test_close_gives_a_half_at_the_end_and_nothing_else() -> None:
    buffer = TextBuffer("ab")
    assert buffer.close() == ""
    buffer.append(HIGH)
    assert buffer.close() == "\ufffd"
    assert (buffer.text(), buffer.shown, buffer.close()) == ("ab" + HIGH, 3, "")


def test_a_buffer_can_begin_with_a_text() -> None:
    assert TextBuffer().text() == ""
    buffer = TextBuffer("Hel")
    buffer.append("lo")
    assert (buffer.text(), len(buffer), buffer.since(1)) == ("Hello", 5, "ello")


def test_since_gives_nothing_at_the_end_and_beyond() -> None:
    buffer = TextBuffer("abc")
    assert (buffer.since(3), buffer.since(9), TextBuffer().since(0)) == ("", "", "")


def test_since_looks_only_at_the_pieces_that_it_returns() -> None:
    class Counted(list[str]):
        looks = 0

        def __reversed__(self):  # type: ignore[no-untyped-def]
            for piece in super().__reversed__():
                Counted.looks += 1
                yield piece

    buffer = TextBuffer()
    buffer._pieces, buffer._blocks = Counted(), Counted()
    for _ in range(5_000):
        buffer.append("x")
    assert buffer.since(4_997) == "xxx"
    assert Counted.looks <= 3 + 2


def test_an_append_joins_nothing_that_was_joined_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "_JOIN_AT", 8)
    buffer = TextBuffer()
    for i in range(100):
        before = list(buffer._blocks)
        buffer.append(str(i % 10))
        # What was there stays the same object: the cost does not depend on the length.
        assert all(a is b for a, b in zip(before, buffer._blocks, strict=False))
        assert len(buffer._pieces) < 8
    assert [len(block) for block in buffer._blocks] == [8] * 12
    assert buffer.text() == "0123456789" * 10


def test_a_look_joins_once_and_gives_the_same_text_until_more_comes() -> None:
    buffer = TextBuffer()
    for i in range(1_500):
        buffer.append(str(i % 10))
    whole = buffer.text()
    assert buffer.text() is whole
    assert (len(buffer._blocks), buffer._pieces) == (1, [])
    buffer.append("x")
    assert buffer.text() == whole + "x"
