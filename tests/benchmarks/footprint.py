"""Cases of what usechat takes: time to import, memory."""

from __future__ import annotations

from functools import partial

from tests.benchmarks import imports, memory
from tests.benchmarks.bench import Bench
from tests.benchmarks.measure import Case, Claim, Entry, timed


def import_time(bench: Bench) -> Case:
    """Importing usechat, a session of it, and what it is made of.

    The package alone loads nothing: what a program pays, the sessions show.
    """
    theirs = "httpx, httpx_sse, anyio, BaseModel"
    used = (imports.THREADED, imports.ASYNC, imports.EVERYTHING)
    statements = {name: name for name in (imports.OURS, *used)} | {theirs: imports.THEIRS}
    return Case(
        "import",
        "Import in a fresh process, byte code compiled",
        [
            Entry(name, timed(partial(imports.imported, statement), 1_000), unit="ms")
            for name, statement in statements.items()
        ],
        [
            Claim("usechat / what it is made of", imports.OURS, theirs, at_most=1.35),
            *(Claim(f"{name} / what it is made of", name, theirs) for name in used),
        ],
        bench.sizes.imports,
    )


def memory_idle(bench: Bench) -> Case:
    """What a session holds that waits."""
    count, limit = bench.sizes.idle, 15 * 1024
    idle, used = "never used", "after a reply, connected"
    measured = (idle, "idle", count), (used, "used", count // 5)
    return Case(
        "memory-idle",
        "Memory of an idle session",
        [
            Entry(name, partial(memory.measured, what, bench.url, number), "bytes", warm=False)
            for name, what, number in measured
        ],
        [
            Claim(idle, idle, None, "rss", at_most=limit),
            Claim(idle, idle, None, "traced", at_most=limit),
            Claim(used, used, None, "rss"),
        ],
        1,
    )


def memory_reply(bench: Bench) -> Case:
    """What a session holds for a long reply."""
    held = "a reply held"
    measure = partial(memory.measured, "reply", bench.url, bench.sizes.held)
    return Case(
        "memory-reply",
        "Memory that a session holds for a long reply, as a multiple of its text",
        [Entry(held, measure, "times", warm=False)],
        [
            Claim("nobody has read it", held, None, "unread", at_most=3),
            Claim("read", held, None, "read", at_most=3),
            Claim("read, and sent with the next message", held, None, "sent", at_most=3),
            Claim("the most there was meanwhile", held, None, "peak"),
        ],
        1,
    )
