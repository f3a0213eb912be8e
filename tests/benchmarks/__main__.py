"""Measures usechat against the SDK, the loop by hand and the limit, on this machine, in one run.

    python -m tests.benchmarks [--full] [--case NAME]... [--json FILE] [--plot FILE] [--profile]

Contenders run alternately, and medians of their runs count: what is claimed is ratios. Then what a
Tk window does meanwhile, see ``tk_tick``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import plot, profiling, report, sdk, server, tk_tick
from tests.benchmarks.bench import FULL, QUICK, Bench
from tests.benchmarks.cases import CASES
from tests.benchmarks.files import allow_many
from tests.benchmarks.measure import alternate


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--full", action="store_true", help="all sizes and runs; some minutes")
    parser.add_argument(
        "--case", action="append", choices=[*CASES, "tk"], help="only this; may be given again"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--plot", type=Path, help="draw the figures into this SVG file")
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead")
    return parser.parse_args()


def run(options: argparse.Namespace, bench: Bench) -> dict[str, Any]:
    """Run the cases that are asked for, and print them."""
    result: dict[str, Any] = {"machine": report.machine(bench.sdk), "full": options.full}
    result["cases"] = []
    for name, make in CASES.items():
        if options.case and name not in options.case:
            continue
        case = make(bench)
        if options.profile:
            profiling.show(case)
            continue
        result["cases"].append(report.case_data(case, *alternate(case)))
        report.show(result["cases"][-1])
    return result


def main() -> None:
    """Measure, print and write."""
    options, began = arguments(), time.monotonic()
    allow_many()
    with server.running() as url, sdk.running(url) as node:
        if node is None:
            print(f"The SDK is not measured: {sdk.why_not()}")
        result = run(options, Bench(url, node, FULL if options.full else QUICK))
        if not options.profile and (not options.case or "tk" in options.case):
            tk_tick.run(url, (70, 300, 16_384) if options.full else (300,))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if options.plot is not None:
        options.plot.write_text(plot.draw(result), "utf-8")
    if not options.profile:
        print(f"\n{', '.join(f'{name} {value}' for name, value in result['machine'].items())}")
        print(f"{report.summary(result['cases'])}; {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
