"""Fixtures of the live tests: servers of other projects, run by Node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ai7_server import Ai7Server, find_node, install, running


@pytest.fixture(scope="session")
def ai7_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ai7Server]:
    """npm `ai` 7 with a scripted model, one process for all tests."""
    node, npm = find_node()
    install(npm)
    with running(node, tmp_path_factory.mktemp("ai7") / "stderr.txt") as server:
        yield server


@pytest.fixture
def ai7(ai7_process: Ai7Server) -> Iterator[Ai7Server]:
    """That server with an empty log; a fault of its own fails the test that caused it."""
    ai7_process.reset()
    before = len(ai7_process.complaints())
    yield ai7_process
    complaints = ai7_process.complaints()[before:]
    if complaints:
        pytest.fail(f"the Node server complained:\n{complaints}")
