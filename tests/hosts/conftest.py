"""A display and windows for these tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from windows import App, Window


@pytest.fixture(scope="session")
def display() -> Iterator[None]:
    """A display; where there is none, one of Xvfb's."""
    if sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY"):
        yield
        return
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        pytest.skip("no display and no Xvfb")
    reading, writing = os.pipe()
    command = [xvfb, "-displayfd", str(writing), "-screen", "0", "1024x768x24"]
    command += ["-nolisten", "tcp", "-noreset"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, pass_fds=[writing], stdout=quiet, stderr=quiet) as server:
        os.close(writing)
        try:
            with os.fdopen(reading) as numbers:
                number = numbers.readline().strip()  # comes when it is ready
            assert number, f"Xvfb did not start: {server.wait()}"
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("DISPLAY", f":{number}")
                yield
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def app(display: None) -> Iterator[App]:
    app = App()
    yield app
    app.destroy()


@pytest.fixture
def window(app: App) -> Iterator[Window]:
    """A window in which nothing may go wrong that the test does not take out of ``errors``."""
    window = Window(app)
    yield window
    window.for_a_while(40)  # what comes late is seen too
    window.destroy()
    window.for_a_while(40)
    errors = app.errors[:]
    app.errors.clear()
    assert errors == []
