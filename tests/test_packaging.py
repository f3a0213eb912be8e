"""The wheel: built, installed in a clean environment, and used there."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

USE = """
import asyncio, importlib.util, sys
import usechat
from usechat.testing import FakeServer, text_reply

assert "site-packages" in usechat.__file__, usechat.__file__
for name in ("starlette", "uvicorn", "sse_starlette", "trio", "pytest"):
    assert importlib.util.find_spec(name) is None, name

async def main(url):
    async with usechat.AsyncChatSession(url) as chat:
        turn = await chat.send_message("Hi")
        print(turn.outcome, turn.text)

with FakeServer([text_reply("It works.")]) as server:
    asyncio.run(main(server.url))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment with nothing but the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", str(wheel)], check=True)
    return python


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {
        "usechat",
        next(name for name in names if name.endswith("METADATA")).split("/")[0],
    }
    assert "usechat/py.typed" in names
    assert not [name for name in names if "test_" in name or name.endswith(".pyc")]


def test_it_depends_on_exactly_four_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(next(n for n in archive.namelist() if n.endswith("METADATA")))
    lines = metadata.decode().split("\n")
    required = [line for line in lines if line.startswith("Requires-Dist") and "extra" not in line]
    names = {line.split(": ")[1].split(">")[0].split("<")[0] for line in required}
    assert names == {"anyio", "httpx", "httpx-sse", "pydantic"}


def test_it_chats_in_a_clean_environment(python: str, tmp_path: Path) -> None:
    command = [python, "-W", "error", "-c", USE]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.stderr == ""
    assert run.stdout == "completed It works.\n"


def test_the_terminal_says_what_is_missing(python: str, tmp_path: Path) -> None:
    command = [str(Path(python).parent / "usechat")]
    run = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, stdin=subprocess.DEVNULL, check=False
    )
    assert run.returncode != 0
    assert "pip install" in run.stderr
    assert "Traceback" not in run.stderr
