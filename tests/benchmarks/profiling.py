"""Where the time goes in usechat: a case's own run under cProfile."""

from __future__ import annotations

import cProfile
import pstats

from tests.benchmarks import imports
from tests.benchmarks.measure import Case

LINES = 20


def show(case: Case) -> None:
    """Profile the entries of a case that say so, and print the functions that take longest.

    Args:
        case: the case.
    """
    if case.name == "import":
        print(imports.modules(imports.THREADED))
    for entry in case.entries:
        if not entry.profile:
            continue
        print(f"\n{case.name}: {case.title}\n  {entry.name}")
        entry.measure()
        profile = cProfile.Profile()
        profile.runcall(entry.measure)
        pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(LINES)
