"""How things are measured: marks in a run, alternating runs, medians, what is claimed.

Two clocks: ``cpu`` is the CPU time of the measured process, all its threads; ``wall`` is what a
watch shows. CPU time is steadier on a machine that does other things as well, so Python is held
against Python by it. Node collects garbage and compiles on threads of its own, beside the one that
handles chunks, so the SDK is held against by the watch: that is what its user waits.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Values = dict[str, float]


class Marks(dict[str, tuple[float, float]]):
    """When things happened in a run, by both clocks: ``send``, ``first`` (delta), ``end``."""

    def mark(self, name: str) -> None:
        """Note that something happens now."""
        self[name] = (time.perf_counter(), time.process_time())

    def between(self, begin: str, end: str) -> tuple[float, float]:
        """Seconds between two marks, by the watch and of CPU time."""
        (wall, cpu), (wall_end, cpu_end) = self[begin], self[end]
        return wall_end - wall, cpu_end - cpu


def timed(
    run: Callable[[], Marks], count: int, begin: str = "send", end: str = "end", times: int = 1
) -> Callable[[], Values]:
    """Microseconds for each of what a run does so many of, between two of its marks.

    Args:
        run: runs once.
        count: how many deltas (messages, imports) a run handles.
        begin: the mark from which time counts.
        end: the mark up to which it counts.
        times: how often to run for one figure, where a run is short.
    """

    def measured() -> Values:
        spans = [run().between(begin, end) for _ in range(times)]
        wall, cpu = (sum(span) / (count * times) * 1e6 for span in zip(*spans, strict=True))
        return {"wall": wall, "cpu": cpu}

    return measured


@dataclass
class Entry:
    """A contender in a case.

    Attributes:
        name: who it is, and of what size.
        measure: runs it once, and gives its figures by clock (or ``bytes``, ``times``).
        unit: of what ``measure`` gives.
        warm: whether its first run is a warm-up that does not count.
        runs: how often it runs at most; None: as often as the others.
        profile: whether ``--profile`` shows where its time goes.
    """

    name: str
    measure: Callable[[], Values]
    unit: str = "us"
    warm: bool = True
    runs: int | None = None
    profile: bool = False


@dataclass
class Claim:
    """A ratio of two entries (or one entry's own figure), and the target for it.

    Attributes:
        what: what it says.
        over: the name of the entry that is divided.
        under: the name of that which divides it; None: the target is for the figure itself.
        by: the clock, or whatever the figures are called.
        at_most: the target, if the ratio shall be small.
        at_least: the target, if it shall be large.
    """

    what: str
    over: str
    under: str | None
    by: str = "cpu"
    at_most: float | None = None
    at_least: float | None = None

    def value(self, figures: Figures) -> float | None:
        """The median of the ratios of all rounds; None: one of the two was not measured."""
        over = figures.of(self.over, self.by)
        if self.under is None or not over:
            return statistics.median(over) if over else None
        under = figures.of(self.under, self.by)
        if len(over) != len(under):  # one of them runs less often
            return statistics.median(over) / statistics.median(under) if under else None
        return statistics.median(a / b for a, b in zip(over, under, strict=True))

    def best(self, figures: Figures) -> float | None:
        """The same of the fastest runs: what it would be if the machine did nothing else."""
        over = figures.of(self.over, self.by)
        under = [1.0] if self.under is None else figures.of(self.under, self.by)
        return min(over) / min(under) if over and under else None

    def met(self, value: float | None) -> bool | None:
        """Whether the target is met; None: there is none, or nothing was measured."""
        if value is None or (self.at_most is None and self.at_least is None):
            return None
        if self.at_most is not None:
            return value <= self.at_most
        return value >= (self.at_least or 0)


@dataclass
class Case:
    """What is measured side by side.

    Attributes:
        name: for ``--case``.
        title: what is measured.
        entries: the contenders, which run one after the other, again and again.
        claims: what is said of them.
        runs: how many rounds count.
    """

    name: str
    title: str
    entries: list[Entry]
    claims: list[Claim]
    runs: int

    def __post_init__(self) -> None:
        names = {entry.name for entry in self.entries}
        for claim in self.claims:
            for name in (claim.over, claim.under):
                # The SDK alone may be missing: its claims are then left out.
                assert name is None or name in names or name.startswith("SDK"), name


class Figures:
    """What came of a case: the figures of each entry, in the order of its runs."""

    def __init__(self) -> None:
        self._values: dict[str, list[Values]] = {}

    def add(self, name: str, values: Values) -> None:
        """Note what one run gave."""
        self._values.setdefault(name, []).append(values)

    def of(self, name: str, by: str) -> list[float]:
        """All figures of an entry by one clock."""
        return [values[by] for values in self._values.get(name, []) if by in values]

    def medians(self, name: str) -> Values:
        """The median figure of an entry by each clock."""
        runs = self._values.get(name, [])
        return {by: statistics.median(self.of(name, by)) for by in (runs[0] if runs else ())}


def alternate(case: Case) -> tuple[Figures, float]:
    """Run the entries of a case in turn, A B C A B C, as often as it says.

    Returns:
        their figures, and how many seconds all of it took.
    """
    figures, began = Figures(), time.monotonic()
    done = dict.fromkeys((entry.name for entry in case.entries), 0)
    for round_ in range(case.runs + 1):
        for entry in case.entries:
            warms_up = round_ == 0
            if (warms_up and not entry.warm) or done[entry.name] == (entry.runs or case.runs):
                continue
            values = entry.measure()
            if not warms_up:
                done[entry.name] += 1
                figures.add(entry.name, values)
    return figures, time.monotonic() - began
