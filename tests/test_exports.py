"""The public names: what is listed is there, what is there is listed."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import usechat


def test_all_is_sorted_and_complete() -> None:
    there = {
        name
        for name, value in vars(usechat).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert list(usechat.__all__) == sorted(usechat.__all__)
    assert set(usechat.__all__) == there | {"__version__"}


def test_every_public_thing_says_what_it_is() -> None:
    for name in usechat.__all__:
        value = getattr(usechat, name)
        if isinstance(value, type) and not hasattr(value, "__origin__"):
            assert value.__doc__, name


def test_the_version_is_the_packages() -> None:
    code = "import importlib.metadata as m; print(m.version('usechat'))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() in ("", usechat.__version__)
