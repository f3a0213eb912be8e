"""What all tests of the tools share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _quick_collections() -> Iterator[None]:
    """What was there before is nobody's garbage: the collections after each test skip it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _collected(_quick_collections: None) -> Iterator[None]:
    """What a test has left behind warns now, and warnings are errors."""
    yield
    gc.collect()
