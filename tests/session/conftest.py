"""What all tests of the session share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _quick_collections() -> None:
    """What was imported is garbage for nobody: the collections of the tests may skip it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _collected(_quick_collections: None) -> Iterator[None]:
    """What a test left behind warns now, and warnings are errors."""
    yield
    gc.collect()
