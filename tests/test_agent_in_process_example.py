"""The example of an agent in the process as its user runs it, without a key."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "agent_in_process.py"

# Found, not imported: the test needs it in another process only, and it takes a second.
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pydantic_ai") is None,
    reason="needs pydantic-ai: pip install 'pydantic-ai-slim[ui,openai]'",
)


@pytest.mark.parametrize("question", [(), ("And", "tomorrow?")])
def test_the_agent_calls_its_tool_and_answers(question: tuple[str, ...]) -> None:
    made = subprocess.run(
        [sys.executable, EXAMPLE.name, *question],
        cwd=EXAMPLE.parent,
        env={name: value for name, value in os.environ.items() if "OPENAI" not in name},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (made.stdout, made.stderr, made.returncode) == ("It is clear, 21 degrees. \n", "", 0)


def test_it_fits_one_screen() -> None:
    assert len(EXAMPLE.read_text("utf-8").split("\n")) <= 50
