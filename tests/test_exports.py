"""The public names: what is listed is there, what is there is listed."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import usechat


def test_all_is_sorted_and_complete() -> None:
    there = {name for name in usechat._MODULES if getattr(usechat, name) is not None}
    assert list(usechat.__all__) == sorted(usechat.__all__)
    assert set(usechat.__all__) == there | {"__version__"}
    assert dir(usechat) == usechat.__all__


def test_nothing_else_is_there() -> None:
    names = {name for name in vars(usechat) if not name.startswith("_")}
    own = {name for name in names if not isinstance(getattr(usechat, name), ModuleType)}
    assert own - set(usechat.__all__) == {"TYPE_CHECKING", "import_module"}


def test_every_public_thing_says_what_it_is() -> None:
    for name in usechat.__all__:
        value = getattr(usechat, name)
        if isinstance(value, type) and not hasattr(value, "__origin__"):
            assert value.__doc__, name


def test_the_version_is_the_packages() -> None:
    code = "import importlib.metadata as m; print(m.version('usechat'))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() in ("", usechat.__version__)
