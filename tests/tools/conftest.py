"""What all tests of the tools share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _collected(collected: None) -> None:
    """What any of them has left behind warns when it ends."""
