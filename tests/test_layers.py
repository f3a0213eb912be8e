"""Who may import whom: data goes one way through the house."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "usechat"

PERMITTED: dict[str, set[str]] = {
    "errors": set(),
    "model": {"errors"},
    "wire": {"errors", "model"},
    "engine": {"errors", "model"},
    "threads": set(),
    "transport": {"errors", "model", "wire", "engine", "threads"},
    "tools": {"errors", "model", "threads"},
    "session": {"errors", "model", "engine", "transport", "tools"},
    "__init__": {"errors", "model", "engine", "transport", "tools", "session"},
    "hosts": {"", "errors", "model", "engine", "transport", "session"},
    "testing": {"", "errors", "model", "wire", "engine", "transport"},
    "server": {"errors", "model", "wire"},
    "cli": {"", "errors", "model", "wire", "engine", "transport", "session", "server"},
}
"""Which rooms each room may import; ``""`` is the public names of the package."""

PURE = {"model", "wire", "engine"}
FOREIGN_TO_PURE = {"httpx", "httpx_sse", "anyio", "asyncio", "trio", "threading", "time", "socket"}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The full names of the modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by the full name"
            names.add(node.module or "")
    return names


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(ROOT)) for p in FILES])
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    own = [name for name in imported(path) if name.split(".")[0] == "usechat"]
    rooms = {name.split(".")[1] if "." in name else "" for name in own}
    assert rooms - {room} <= PERMITTED[room]


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if room_of(p) in PURE],
    ids=[str(p.relative_to(ROOT)) for p in FILES if room_of(p) in PURE],
)
def test_pure_rooms_do_no_io(path: Path) -> None:
    assert {name.split(".")[0] for name in imported(path)} & FOREIGN_TO_PURE == set()


def test_wire_and_engine_do_not_know_each_other() -> None:
    assert "engine" not in PERMITTED["wire"]
    assert "wire" not in PERMITTED["engine"]


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(ROOT)) for p in FILES])
def test_modules_are_small(path: Path) -> None:
    assert path.read_text(encoding="utf-8").count("\n") <= 400


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(ROOT)) for p in FILES])
def test_no_stream_is_split_into_lines(path: Path) -> None:
    """``splitlines`` and ``iter_lines`` split at U+2028 and U+0085, which servers send."""
    calls = {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert calls & {"splitlines", "iter_lines", "aiter_lines"} == set()


HANDLERS = sorted((ROOT / "engine" / "reducer").glob("*.py"))


@pytest.mark.parametrize("path", HANDLERS, ids=[p.name for p in HANDLERS])
def test_handlers_are_short(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 30, f"{path.name}: {node.name}"
