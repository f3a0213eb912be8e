"""All cases, by the names that ``--case`` takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.benchmarks import footprint, growth, streams
from tests.benchmarks.bench import Bench
from tests.benchmarks.measure import Case

CASES: dict[str, Callable[[Bench], Case]] = {
    "text-70": partial(streams.text, piece=70),
    "text-300": partial(streams.text, piece=300),
    "text-16384": partial(streams.text, piece=16_384),
    "long-text": streams.long_text,
    "history": growth.long_history,
    "encoding": growth.encoding,
    "parts": growth.parts,
    "tool-input": growth.tool_input,
    "crowd": streams.crowd,
    "view": streams.view,
    "import": footprint.import_time,
    "memory-idle": footprint.memory_idle,
    "memory-reply": footprint.memory_reply,
}
