"""What all tests of the threaded session share: nothing hangs, and no thread is left."""

from __future__ import annotations

import gc
import logging
import signal
import threading
from collections.abc import Iterator
from time import monotonic

import pytest
from held_tools import Held, HeldOnLoop
from hosting import PATIENCE

import usechat.session.toolkits as toolkits
from tests.session.tool_replies import HeldThread


def _left() -> list[threading.Thread]:
    """Threads of the library's, or of a test's host; the loop's thread stays."""
    names = ("usechat-", "host", "asked")
    return [thread for thread in threading.enumerate() if thread.name.startswith(names)]


@pytest.fixture(autouse=True)
def _no_thread_left(quick_collections: None) -> Iterator[None]:
    yield
    gc.collect()
    until = monotonic() + PATIENCE
    for thread in _left():
        thread.join(max(0.0, until - monotonic()))
    assert _left() == []


@pytest.fixture(autouse=True)
def _limit() -> Iterator[None]:
    """A test that hangs on the main thread fails."""

    def too_long(*_: object) -> None:
        raise TimeoutError("the test hangs")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(2 * PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def _no_toolkit_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of the process may have imported a toolkit; the warning has its own test."""
    monkeypatch.setattr(toolkits, "_warned", ["here"])


@pytest.fixture(params=["async", "sync"])
def held(request: pytest.FixtureRequest) -> Iterator[Held]:
    """A tool that runs until it is let go; in the end its thread is over."""
    made: Held = HeldOnLoop() if request.param == "async" else HeldThread()
    yield made
    if isinstance(made, HeldThread):
        made.go.set()
        if made.thread is not None:
            made.thread.join(PATIENCE)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the log was told; for the tests in which it is told of errors."""
    return caplog


@pytest.fixture(autouse=True)
def _no_error_logged(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """An observer that raises (an assertion, perhaps) is only logged: then the test fails."""
    yield
    if "logged" not in request.fixturenames:
        bad = [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
        assert [logging.Formatter().format(record) for record in bad] == []
