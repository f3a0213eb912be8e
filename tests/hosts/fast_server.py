"""The benchmark's server, for tests that want very much at full speed from another process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.replies import Reply, said
from tests.benchmarks.server import running

REPLY = Reply(20_000, piece=4096)
TEXT = said(REPLY)


@contextmanager
def fast_server() -> Iterator[str]:
    """Run it. The URL is that of ``REPLY``."""
    with running() as url:
        yield f"{url}?{REPLY.query}"
