"""What all cases share: sizes, names, and what they run with."""

from __future__ import annotations

from typing import NamedTuple

from tests.benchmarks.measure import Claim
from tests.benchmarks.sdk import Sdk

OURS, THREADED, HAND, SDK, LIMIT = (
    "AsyncChatSession",
    "ChatSession, dispatch",
    "loop by hand",
    "SDK in Node",
    "httpx reading bytes",
)
FLAT = 1.3  # how much longer a delta may take at the large end


class Sizes(NamedTuple):
    """How much is measured.

    Attributes:
        runs: how often each contender runs.
        text: deltas of a text.
        long_text: deltas of the long text.
        short_text: deltas of the short one.
        after: deltas behind a history, or behind many parts.
        crowd: how many sessions at once.
        crowd_text: deltas that each of them gets.
        looks: runs of the view, whose difference is small.
        sdk_runs: runs of the SDK where they take seconds.
        imports: how often each import runs.
        idle: sessions whose memory is measured.
        held: deltas of the reply that is held.
    """

    runs: int
    text: int
    long_text: int
    short_text: int
    after: int
    crowd: int
    crowd_text: int
    looks: int
    sdk_runs: int
    imports: int
    idle: int
    held: int


QUICK = Sizes(3, 8_000, 30_000, 3_000, 5_000, 300, 60, 5, 1, 3, 300, 40_000)
FULL = Sizes(9, 50_000, 100_000, 10_000, 20_000, 1_000, 500, 15, 3, 11, 2_000, 200_000)


class Bench(NamedTuple):
    """What the cases run with.

    Attributes:
        url: the server's.
        sdk: the SDK, where it can run.
        sizes: how much is measured.
    """

    url: str
    sdk: Sdk | None
    sizes: Sizes


def flat(large: str, small: str) -> Claim:
    """That what is large costs no more for each delta than what is small.

    Args:
        large: the name of the entry at the large end.
        small: of that at the small end.
    """
    return Claim(f"{large} / {small}", large, small, at_most=FLAT)
