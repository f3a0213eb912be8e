"""Draws the figures of a full run as SVG, for the README.

python -m tests.benchmarks.plot RESULTS.json PLOT.svg
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

# The cases that are drawn, and what stands above their bars.
PANELS = {
    "text-70": "Text, network pieces of 70 bytes",
    "text-300": "Text, network pieces of 300 bytes",
    "text-16384": "Text, network pieces of 16,384 bytes",
    "long-text": "Text by its length",
    "history": "Text by the history before it",
    "tool-input": "Tool input by its length",
}
WIDTH, LEFT, RIGHT, BAR, GAP, HEAD = 720, 200, 90, 18, 4, 34
COLOURS = {"ours": "#2f6fdf", "others": "#9aa4b2"}
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#444}.t{font-weight:600}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}}"
)


def _is_ours(name: str) -> bool:
    return not name.startswith(("SDK", "loop", "httpx"))


def _panel(case: dict[str, Any], top: int) -> Iterator[str]:
    entries = [entry for entry in case["entries"] if entry["median"]]
    most = max(entry["median"]["wall"] for entry in entries)
    yield f'<text class="t" x="0" y="{top + 20}">{escape(PANELS[case["name"]])}</text>'
    for row, entry in enumerate(entries):
        value = entry["median"]["wall"]
        y = top + HEAD + row * (BAR + GAP)
        length = max((WIDTH - LEFT - RIGHT) * value / most, 1.5)
        ours = _is_ours(entry["name"])
        name = escape(entry["name"])
        colour = COLOURS["ours" if ours else "others"]
        yield f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{name}</text>'
        yield f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>'
        yield f'<text x="{LEFT + length + 6:.1f}" y="{y + 13}">{_shown(value)}</text>'


def _shown(value: float) -> str:
    return f"{value:.1f} µs" if value < 1_000 else f"{value / 1_000:.2f} ms"


def draw(result: dict[str, Any]) -> str:
    """The time a delta takes, a bar for each contender and size.

    Args:
        result: the figures, as ``--json`` writes them.
    """
    shapes: list[str] = []
    top = 0
    for case in result["cases"]:
        if case["name"] in PANELS:
            shapes += _panel(case, top)
            top += HEAD + len(case["entries"]) * (BAR + GAP) + 10
    about = result["machine"]
    told = [f"Time a delta. {about['cpu']}, {about['cores']} cores", f"Python {about['python']}"]
    if "ai" in about:
        told.append(f"ai {about['ai']} on Node {about['node'].lstrip('v')}")
    shapes.append(f'<text x="0" y="{top + 20}">{escape(", ".join(told))}</text>')
    size = f'width="{WIDTH}" height="{top + 30}" viewBox="0 0 {WIDTH} {top + 30}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>'
    return "\n".join([head, *shapes, "</svg>\n"])


if __name__ == "__main__":
    figures = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    Path(sys.argv[2]).write_text(draw(figures), "utf-8")
