"""The example of a local model as its user runs it; the model is scripted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.transport.openai_server import running_openai

EXAMPLE = Path(__file__).parent.parent / "examples" / "ollama_chat.py"


def run(*arguments: str, typed: str) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    done = subprocess.run(
        command, input=typed, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("end", ["\n", ""], ids=["an empty line", "end of input"])
def test_it_streams_and_calls_the_tool(end: str) -> None:
    with running_openai(key=None) as (server, base_url):
        said = run("llama3.2", base_url, typed=f"text\none tool\n{end}")
    assert "> Hello there, how are you?\n(" in said
    assert "I am told: It is " in said
    assert "in Zürich, and it rains.\n(" in said
    first, _, followed = server.bodies
    assert first["messages"][0] == {
        "role": "system",
        "content": "You are brief. Use a tool only where it helps.",
    }
    assert first["tools"][0]["function"]["name"] == "weather"
    assert [m["role"] for m in followed["messages"]][-3:] == ["user", "assistant", "tool"]


def test_it_says_so_where_no_model_is() -> None:
    said = run("llama3.2", "http://127.0.0.1:9/v1", typed="Hi\n\n")
    assert "cannot connect" in said
    assert "127.0.0.1:9/v1" in said


def test_it_fits_on_a_screen() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").split("\n")) <= 45
