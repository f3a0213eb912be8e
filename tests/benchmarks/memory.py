"""How much memory sessions take: each figure from a process of its own.

    python -m tests.benchmarks.memory WHAT URL COUNT

prints it as JSON. ``rss`` is what the system says a process holds (Linux only), ``traced`` what
Python's allocator does; what Rust and OpenSSL allocate is in the former alone.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

from tests.benchmarks.files import allow_many
from tests.benchmarks.measure import Values
from tests.benchmarks.replies import Reply, said
from usechat import AsyncChatSession, TextDelta

STATM = Path("/proc/self/statm")


def measured(what: str, url: str, count: int) -> Values:
    """Measure in a fresh process.

    Args:
        what: ``idle``, ``used`` or ``reply``.
        url: the server's.
        count: of sessions, or of the reply's deltas.
    """
    command = [sys.executable, "-m", "tests.benchmarks.memory", what, url, str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    values: Values = json.loads(done.stdout)
    return values


def _resident() -> int | None:
    gc.collect()
    if not STATM.exists():
        return None
    return int(STATM.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _watch(url: str, reply: Reply) -> AsyncChatSession:
    chat = AsyncChatSession(f"{url}?{reply.query}")
    chat.on(TextDelta, lambda event: None)
    return chat


async def sessions(url: str, count: int, used: bool) -> Values:
    """Bytes a session takes that has an observer and waits.

    Args:
        url: the server's.
        count: how many to make.
        used: whether each of them has received a short reply and keeps its connection.
    """
    reply = Reply(10)

    async def made() -> AsyncChatSession:
        chat = _watch(url, reply)
        if used:
            await chat.send_message("Hi")
        return chat

    kept = [await made() for _ in range(20)]  # what all sessions share is there now
    before = _resident()
    kept += [await made() for _ in range(count)]
    after = _resident()
    tracemalloc.start()
    before_traced = _traced()
    kept += [await made() for _ in range(count)]
    figures = {"traced": (_traced() - before_traced) / count}
    tracemalloc.stop()
    if before is not None and after is not None:
        figures["rss"] = (after - before) / count
    for chat in kept:
        await chat.aclose()
    return figures


async def reply_held(url: str, deltas: int) -> Values:
    """How many bytes a session holds for each byte of a long reply of ASCII text."""
    reply = Reply(deltas, kind="ascii")
    length = len(said(reply))
    async with _watch(url, Reply(10)) as warm:
        await warm.send_message("Hi")
    tracemalloc.start()
    figures: Values = {}
    async with _watch(url, reply) as chat:
        before = _traced()
        await chat.send_message("Hi")
        figures["unread"] = (_traced() - before) / length
        assert len(chat.messages[-1].text) == length
        figures["read"] = (_traced() - before) / length
        async with chat.stream("Hi") as second:
            async for _ in second:  # the first reply has been encoded for the request
                break
        figures["sent"] = (_traced() - before) / length
        figures["peak"] = (tracemalloc.get_traced_memory()[1] - before) / length
    return figures


def main(what: str, url: str, count: int) -> None:
    """Measure in this process, and print."""
    allow_many()
    if what == "reply":
        print(json.dumps(asyncio.run(reply_held(url, count))))
    else:
        print(json.dumps(asyncio.run(sessions(url, count, what == "used"))))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
