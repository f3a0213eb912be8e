"""The example of tools as its user runs it: on a pipe, with the demo and with another server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from usechat.testing import FakeServer, text_reply

EXAMPLE = Path(__file__).parent.parent / "examples" / "tools_chat.py"


def run(folder: Path, *arguments: str, typed: str, logged: str = "") -> str:
    command = [sys.executable, "-X", "utf8", "-W", "error", str(EXAMPLE), *arguments]
    done = subprocess.run(
        command, input=typed, cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr.partition("\n")[0]) == (0, logged)
    return done.stdout


def test_the_model_calls_both(tmp_path: Path) -> None:
    calls = 'call timer({"seconds": 1}), save({"name": "a.txt", "text": "Hellø"})'
    said = run(tmp_path, typed=f"{calls}\ny\nhello\n")
    progress, _, rest = said.partition("save {'name': 'a.txt', 'text': 'Hellø'}? [y/n] ")
    assert progress == "> timer: 1 s left\n"
    assert rest.startswith("timer gave the time is over. save gave 5 characters in a.txt.\n> ")
    assert "You said: hello" in rest
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "Hellø"


def test_nothing_is_written_without_a_yes(tmp_path: Path) -> None:
    calls = " ".join(f'save({{"name": "{name}", "text": "x"}})' for name in "ab")
    said = run(tmp_path, typed=f"call {calls}\nn\ny\n\n")
    assert said.count("? [y/n] ") == 2
    assert "You denied save. save gave 1 characters in b.\n" in said
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_call_of_what_it_does_not_have_or_cannot_do(tmp_path: Path) -> None:
    typed = 'what time is it\ncall save({"name": "no/such/folder", "text": ""})\ny\nerror\n\n'
    said = run(tmp_path, typed=typed, logged="The tool save raised FileNotFoundError")
    assert "I ask your clock." in said
    assert "save failed: FileNotFoundError: " in said
    assert "> The demo failed, as you asked.\n" in said


def test_it_talks_to_the_server_that_is_named(tmp_path: Path) -> None:
    with FakeServer([text_reply("Hello there")]) as server:
        assert run(tmp_path, server.url, typed="Hi\n\n") == "> Hello there\n> "


def test_it_fits_on_a_screen() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").split("\n")) <= 45
