"""Cases of what grows: histories, parts, the input of a tool."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from tests.benchmarks import contenders
from tests.benchmarks.bench import SDK, Bench, flat
from tests.benchmarks.measure import Case, Claim, Entry, timed
from tests.benchmarks.replies import Reply
from usechat import UIMessage


def history(count: int) -> list[Mapping[str, Any]]:
    """Messages of a user and an assistant, in wire form."""
    said = "The quick brown føx jumps over it, and so on. " * 4
    return [
        {
            "id": f"m{number}",
            "role": "assistant" if number % 2 else "user",
            "parts": [{"type": "text", "text": said, **({"state": "done"} if number % 2 else {})}],
        }
        for number in range(count)
    ]


def long_history(bench: Bench) -> Case:
    """A delta behind a long history, and behind a short one, from the first delta on."""
    reply = Reply(bench.sizes.after)
    entries = []
    for count in (10_000, 10):
        messages = history(count)
        models = tuple(UIMessage.model_validate(message) for message in messages)
        ours = partial(contenders.session, bench.url, reply, messages=models)
        name = f"{count:,} messages"
        entries.append(Entry(name, timed(ours, reply.deltas, "first"), profile=count > 10))
        if bench.sdk is not None:
            theirs = partial(bench.sdk.chat, bench.url, reply, messages)
            measure = timed(theirs, reply.deltas, "first")
            entries.append(Entry(f"{SDK}, {name}", measure, runs=bench.sizes.sdk_runs))
    return Case(
        "history",
        f"A delta of {reply.deltas:,} behind 10,000 messages and behind 10, from the first on",
        entries,
        [
            flat("10,000 messages", "10 messages"),
            Claim("the same of the SDK", f"{SDK}, 10,000 messages", f"{SDK}, 10 messages"),
            Claim("SDK / usechat at 10,000", f"{SDK}, 10,000 messages", "10,000 messages", "wall"),
        ],
        bench.sizes.runs,
    )


def encoding(bench: Bench) -> Case:
    """The request of a long history: from the call to the bytes."""
    count = 10_000
    messages = history(count)
    entries = [
        Entry("first request", timed(partial(contenders.request, messages), count), profile=True),
        Entry("a later request", timed(partial(contenders.request, messages, 2), count)),
        Entry("json.dumps", timed(partial(contenders.request_by_hand, messages), count)),
    ]
    if bench.sdk is not None:
        entries.append(Entry(SDK, timed(partial(bench.sdk.request, messages), count)))
    claims = [
        Claim("first request / json.dumps", "first request", "json.dumps"),
        Claim("a later request / json.dumps", "a later request", "json.dumps"),
        Claim("SDK / a later request", SDK, "a later request", "wall"),
    ]
    title = f"The request with a history of {count:,} messages, a message"
    return Case("encoding", title, entries, claims, bench.sizes.runs)


def parts(bench: Bench) -> Case:
    """A delta behind many parts, and the parts themselves."""
    deltas, entries = bench.sizes.after, []
    for count in (5_000, 50):
        reply = Reply(deltas, parts=count)
        run = partial(contenders.session, bench.url, reply)
        name = f"behind {count:,} parts"
        entries.append(Entry(name, timed(run, deltas, "last part"), profile=count > 50))
    for count in (5_000, 500):  # fifty are over before a clock can tell
        run = partial(contenders.session, bench.url, Reply(10, parts=count))
        measure = timed(run, count, "first", "last part", times=5_000 // count)
        entries.append(Entry(f"one of {count:,} parts", measure))
    return Case(
        "parts",
        f"A delta of {deltas:,} behind 5,000 parts and behind 50; a part of three chunks",
        entries,
        [
            flat("behind 5,000 parts", "behind 50 parts"),
            flat("one of 5,000 parts", "one of 500 parts"),
        ],
        bench.sizes.runs,
    )


def tool_input(bench: Bench) -> Case:
    """A delta of a tool's input, from the first on."""
    large, middle, small = 8_000, 4_000, 500
    entries = []
    for deltas in (large, middle, small):
        run = partial(contenders.session, bench.url, Reply(deltas, kind="tool"))
        measure = timed(run, deltas, "first", times=large // deltas)
        entries.append(Entry(f"{deltas:,} deltas", measure, profile=deltas == large))
    if bench.sdk is not None:
        run = partial(bench.sdk.chat, bench.url, Reply(middle, kind="tool"))
        measure = timed(run, middle, "first")
        entries.append(Entry(SDK, measure, warm=False, runs=bench.sizes.sdk_runs))
    return Case(
        "tool-input",
        f"A delta of a tool input of {large:,} deltas, of {middle:,}, of {small:,}",
        entries,
        [
            flat(f"{large:,} deltas", f"{small:,} deltas"),
            Claim(f"SDK / usechat at {middle:,}", SDK, "4,000 deltas", "wall", at_least=50),
        ],
        bench.sizes.runs,
    )
