"""What a reply says: both sides compute it from its key, which stands in the text itself."""

from __future__ import annotations

import random
import re

_WORDS = (
    "the ",
    "quick ",
    "brown ",
    "føx ",
    "jumps\n",
    "over ",
    "🦊 ",
    "and\u2028",
    "\r\n",
    "so. ",
)
_KEY = re.compile("⟦([^⟧]*)⟧")
CALM = "calm:"
"""A prompt that begins so is answered without a fault."""


def deltas(key: str) -> list[str]:
    """The pieces of a reply's text.

    Args:
        key: what it answers, and a number that no other reply has.
    """
    chance = random.Random(key)
    count = chance.choice((0, 1, 5, 30, 30, 200))
    return [f"⟦{key}⟧", *chance.choices(_WORDS, k=count), "⟧"]


def text(key: str) -> str:
    """All of a reply's text.

    Args:
        key: as for ``deltas``.
    """
    return "".join(deltas(key))


def fault_in(said: str, prompt: str | None) -> str | None:
    """What is wrong with the text of a completed turn; None: nothing.

    Args:
        said: the text.
        prompt: what was sent, where that is known.
    """
    keys = _KEY.findall(said)
    if not keys:
        return f"no reply is in {said!r}"
    expected = "\n\n".join(text(key) for key in keys)
    if said != expected:
        return f"text {said!r}, expected {expected!r}"
    answered = keys[0].partition("#")[0]
    if prompt is not None and answered != prompt:
        return f"{prompt!r} was sent, and {answered!r} answered"
    return None
