"""What is told of the figures: a table, and JSON.

Beside each ratio of medians stands that of the fastest runs (``best``): where the two differ much,
the machine was busy with something else, and the targets are judged by the former all the same.
"""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Case, Claim, Figures
from tests.benchmarks.sdk import Sdk

CPUS = Path("/proc/cpuinfo")
MARKS = {True: "met", False: "MISSED", None: ""}
_DIGITS = {"us": 2, "ms": 2, "bytes": 0, "times": 2}


def machine(sdk: Sdk | None) -> dict[str, Any]:
    """Where this ran, and with what.

    Args:
        sdk: the SDK, where it can run.
    """
    packages = ("httpx", "httpx-sse", "pydantic", "anyio")
    about = {} if sdk is None else {"ai": sdk.about["version"], "node": sdk.about["node"]}
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        **about,
    }


def _processor() -> str:
    if CPUS.exists():
        for line in CPUS.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.strip()
    return platform.processor() or platform.machine()


def _target(claim: Claim) -> str:
    if claim.at_most is not None:
        return f"at most {claim.at_most:,g}"
    return "" if claim.at_least is None else f"at least {claim.at_least:,g}"


def case_data(case: Case, figures: Figures, seconds: float) -> dict[str, Any]:
    """A case and its figures, as JSON.

    Args:
        case: the case.
        figures: what came of it.
        seconds: how long it took.
    """
    return {
        "name": case.name,
        "seconds": round(seconds, 1),
        "title": case.title,
        "entries": [
            {
                "name": entry.name,
                "unit": entry.unit,
                "median": figures.medians(entry.name),
                "runs": {by: figures.of(entry.name, by) for by in figures.medians(entry.name)},
            }
            for entry in case.entries
        ],
        "claims": [
            {
                "what": claim.what,
                "by": claim.by,
                "value": (value := claim.value(figures)),
                "best": claim.best(figures),
                "target": _target(claim),
                "met": claim.met(value),
            }
            for claim in case.claims
        ],
    }


def show(data: dict[str, Any]) -> None:
    """Print a case.

    Args:
        data: the case as ``case_data`` gives it.
    """
    lines = [f"\n{data['name']}: {data['title']}  ({data['seconds']} s)"]
    for entry in data["entries"]:
        digits = _DIGITS[entry["unit"]]
        values = "   ".join(f"{by} {value:10,.{digits}f}" for by, value in entry["median"].items())
        lines.append(f"    {entry['name']:<36} {values} {entry['unit']}")
    for claim in data["claims"]:
        if claim["value"] is not None:
            best = f", best {claim['best']:,.2f}" if claim["by"] in ("wall", "cpu") else ""
            shown = f"{claim['value']:9,.2f} ({claim['by']}{best})"
            end = f"{claim['target']:<16} {MARKS[claim['met']]}"
            lines.append(f"  = {claim['what']:<40} {shown:<35} {end}".rstrip())
    print("\n".join(lines), flush=True)


def summary(cases: list[dict[str, Any]]) -> str:
    """How many targets are met, and which are not.

    Args:
        cases: as ``case_data`` gives them.
    """
    judged = [(case, claim) for case in cases for claim in case["claims"]]
    judged = [(case, claim) for case, claim in judged if claim["met"] is not None]
    missed = [(case, claim) for case, claim in judged if not claim["met"]]
    lines = [f"{len(judged) - len(missed)} of {len(judged)} targets are met"]
    lines += [
        f"  missed: {case['name']}: {claim['what']}: {claim['value']:,.2f}, {claim['target']}"
        for case, claim in missed
    ]
    return "\n".join(lines)
