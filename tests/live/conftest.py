"""Fixtures of the live tests: servers of other projects, each a process of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from backends import AI7, Backend
from live_server import LiveServer, running

Starter = Callable[[Backend], LiveServer]


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Gives the server of a backend, started at its first use: a process a program."""
    servers: dict[str, LiveServer] = {}
    with ExitStack() as stack:

        def started(backend: Backend) -> LiveServer:
            if not backend.always and os.environ.get("USECHAT_LIVE") != "all":
                pytest.skip("runs with USECHAT_LIVE=all")
            key = str(backend.folder / backend.program)
            if key not in servers:
                command = backend.command()
                stderr = tmp_path_factory.mktemp("live") / "stderr.txt"
                servers[key] = stack.enter_context(running(command, backend.folder, stderr))
            return servers[key]

        yield started


def with_an_empty_log(server: LiveServer) -> Iterator[LiveServer]:
    """A server; a fault of its own fails the test that caused it."""
    server.reset()
    before = len(server.complaints())
    yield server
    complaints = server.complaints()[before:]
    if complaints:
        pytest.fail(f"the server complained:\n{complaints}")


@pytest.fixture
def ai7(start: Starter) -> Iterator[LiveServer]:
    """npm `ai` 7 with a scripted model."""
    yield from with_an_empty_log(start(AI7))


@pytest.fixture
def live(start: Starter, backend: Backend) -> Iterator[LiveServer]:
    """The server of the backend that the test is about."""
    yield from with_an_empty_log(start(backend))
