"""Measures usechat against the loop by hand, on this machine, in one run.

    python -m tests.benchmarks

Contenders run alternately, and the median of their runs counts: what is claimed is ratios. Then
what a Tk window does meanwhile, see ``tk_tick``.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from typing import Any

from tests.benchmarks import tk_tick
from tests.benchmarks.contenders import (
    by_hand,
    iterated,
    read_bytes,
    script,
    script_iterated,
    session,
    throttled,
)
from tests.benchmarks.server import text

Contender = Callable[[str], Awaitable[str]]
RUNS = 7


@contextmanager
def running_server() -> Any:
    command = [sys.executable, "-m", "tests.benchmarks.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/chat"
        process.communicate()


def once(contender: Contender, url: str, expected: str) -> float:
    """Seconds of CPU and waiting that one run takes."""

    async def timed() -> float:
        begin = time.perf_counter()
        got = await contender(url)
        taken = time.perf_counter() - begin
        assert got in (expected, ""), "the text is not what was sent"
        return taken

    return asyncio.run(timed())


def measure(base: str, cases: list[tuple[str, Contender, int, int]]) -> dict[str, float]:
    """Microseconds a delta of each case, the median of alternating runs."""
    times: dict[str, list[float]] = {name: [] for name, *_ in cases}
    for run in range(RUNS + 1):
        for name, contender, deltas, piece in cases:
            taken = once(contender, f"{base}?deltas={deltas}&piece={piece}", text(deltas))
            if run:  # the first one warms up
                times[name].append(taken / deltas * 1e6)
    return {name: statistics.median(taken) for name, taken in times.items()}


def show(title: str, result: dict[str, float], base: str) -> None:
    print(f"\n{title}")
    for name, value in result.items():
        print(f"  {name:<38}{value:8.2f} us a delta   {value / result[base]:6.2f}")


def main() -> None:
    with running_server() as base:
        for piece in (70, 300, 16384):
            show(
                f"20,000 deltas in network pieces of {piece:,} bytes",
                measure(
                    base,
                    [
                        ("the loop by hand", by_hand, 20_000, piece),
                        ("AsyncChatSession, throttle=0", session, 20_000, piece),
                        ("AsyncChatSession, throttle=0.03", throttled, 20_000, piece),
                        ("AsyncChatSession, iterated", iterated, 20_000, piece),
                        ("ChatSession", script, 20_000, piece),
                        ("ChatSession, iterated", script_iterated, 20_000, piece),
                        ("httpx reading the bytes", read_bytes, 20_000, piece),
                    ],
                ),
                "the loop by hand",
            )
        show(
            "The cost of a delta at any length, pieces of 300 bytes",
            measure(
                base,
                [
                    ("a text of 1,000 deltas", session, 1_000, 300),
                    ("a text of 100,000 deltas", session, 100_000, 300),
                ],
            ),
            "a text of 1,000 deltas",
        )
        tk_tick.run(base)


if __name__ == "__main__":
    main()
