"""Cases of text that streams: in pieces, at length, to many, and to one who looks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.benchmarks import contenders
from tests.benchmarks.bench import HAND, LIMIT, OURS, SDK, THREADED, Bench, flat
from tests.benchmarks.measure import Case, Claim, Entry, Marks, timed
from tests.benchmarks.replies import Reply
from usechat import AsyncChatSession


def text(bench: Bench, piece: int) -> Case:
    """Text in network pieces of one size, all contenders."""
    reply = Reply(bench.sizes.text, piece)
    sdk, by_hand = (2.0, 1.0) if piece == 70 else (3.0, 0.85)
    runners: dict[str, Callable[[str, Reply], Marks]] = {
        OURS: contenders.session,
        THREADED: contenders.threaded,
        HAND: contenders.by_hand,
        LIMIT: contenders.read_bytes,
    }
    if bench.sdk is not None:
        runners[SDK] = bench.sdk.chat
    return Case(
        f"text-{piece}",
        f"Text of {reply.deltas:,} deltas in network pieces of {piece:,} bytes, throttle=0",
        [
            Entry(name, timed(partial(run, bench.url, reply), reply.deltas), profile=name == OURS)
            for name, run in runners.items()
        ],
        [
            Claim(f"{SDK} / {OURS}", SDK, OURS, "wall", at_least=sdk),
            Claim(f"{SDK} / {THREADED}", SDK, THREADED, "wall", at_least=2.0),
            Claim(f"{OURS} / {HAND}", OURS, HAND, at_most=by_hand),
            Claim(f"{OURS} / {LIMIT}", OURS, LIMIT),
        ],
        bench.sizes.runs,
    )


def long_text(bench: Bench) -> Case:
    """A delta of a long text, and of a short one."""
    large, small = bench.sizes.long_text, bench.sizes.short_text
    entries = [
        Entry(
            f"{deltas:,} deltas",
            timed(
                partial(contenders.session, bench.url, Reply(deltas)), deltas, times=large // deltas
            ),
            profile=deltas == large,
        )
        for deltas in (large, small)
    ]
    if bench.sdk is not None:
        entries += [
            Entry(
                f"{SDK}, {deltas:,} deltas",
                timed(partial(bench.sdk.chat, bench.url, Reply(deltas)), deltas),
                runs=bench.sizes.sdk_runs,
                warm=deltas == small,
            )
            for deltas in (large, small)
        ]
    claims = [
        flat(f"{large:,} deltas", f"{small:,} deltas"),
        Claim("the same of the SDK", f"{SDK}, {large:,} deltas", f"{SDK}, {small:,} deltas"),
    ]
    title = f"A delta of a text of {large:,} deltas, and of {small:,}"
    return Case("long-text", title, entries, claims, bench.sizes.runs)


def crowd(bench: Bench) -> Case:
    """Very many sessions at once, and ten."""
    deltas = bench.sizes.crowd_text
    crowded, few = f"{bench.sizes.crowd:,} sessions", "10 sessions"

    def entry(name: str, count: int, times: int) -> Entry:
        run = partial(contenders.crowd, bench.url, Reply(deltas, together=count))
        return Entry(name, timed(run, deltas * count, times=times), profile=name == crowded)

    return Case(
        "crowd",
        f"Sessions at once, {deltas} deltas each: a delta of all, connecting included",
        [entry(crowded, bench.sizes.crowd, 1), entry(few, 10, 10)],
        [Claim("throughput, many / ten", few, crowded, "wall", at_least=0.6)],
        max(bench.sizes.runs // 2, 1),
    )


def _read(chat: AsyncChatSession) -> None:
    assert chat.last_message is not None
    _ = chat.last_message.text


def view(bench: Bench) -> Case:
    """A view that reads the message's text at every flush, and one that does not."""
    reply = Reply(bench.sizes.text)

    def entry(name: str, look: Callable[[AsyncChatSession], object]) -> Entry:
        run = partial(contenders.session, bench.url, reply, throttle=0.03, view=look)
        return Entry(name, timed(run, reply.deltas), profile=look is _read)

    return Case(
        "view",
        f"A view that reads the text at every flush (throttle=0.03) of {reply.deltas:,} deltas",
        [entry("reads the text", _read), entry("reads nothing", lambda chat: None)],
        [Claim("reading / not reading", "reads the text", "reads nothing", at_most=1.05)],
        bench.sizes.looks,
    )
