"""Fixtures and rules for all tests."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

ALLOWED_SKIPS = Path(__file__).parent / "allowed_skips.txt"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def quick_collections() -> Iterator[None]:
    """What was there before is nobody's garbage: the collections after each test skip it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def collected(quick_collections: None) -> Iterator[None]:
    """What a test has left behind warns now, and warnings are errors."""
    yield
    gc.collect()


def allowed_skips() -> list[str]:
    """The reasons that may stand for a skip where everything must run."""
    lines = ALLOWED_SKIPS.read_text(encoding="utf-8").split("\n")
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With USECHAT_REQUIRE_ALL=1 a skip is a failure, unless its reason is listed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("USECHAT_REQUIRE_ALL"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(allowed in reason for allowed in allowed_skips()):
            report.outcome = "failed"
            report.longrepr = f"skipped where nothing may be: {reason}"
    return report
