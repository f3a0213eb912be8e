"""Plain functions in threads of their own: what a task sees of them, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from usechat.threads import ThreadIterator, run_in_thread

pytestmark = pytest.mark.anyio

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="")


class Flag:
    """An event of threads that a test's task awaits; it never waits for more than 5 s."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def set(self) -> None:
        self.event.set()

    def wait(self) -> None:
        assert self.event.wait(5)

    async def __call__(self) -> None:
        await anyio.to_thread.run_sync(self.wait)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Whatever a test does, its workers end."""
    yield
    for thread in threading.enumerate():
        if thread.name == "usechat-worker":
            thread.join(5)
            assert not thread.is_alive()


# --------------------------------------------------------------- run_in_thread


async def test_a_function_runs_in_a_daemon_thread_of_its_own() -> None:
    VARIABLE.set("mine")

    def function() -> tuple[threading.Thread, str]:
        seen = VARIABLE.get()
        VARIABLE.set("the thread's")
        return threading.current_thread(), seen

    thread, seen = await run_in_thread(function, "my worker")
    assert thread is not threading.current_thread()
    assert (thread.name, thread.daemon) == ("my worker", True)
    assert (seen, VARIABLE.get()) == ("mine", "mine")


async def test_the_loop_goes_on_meanwhile() -> None:
    begun, go = Flag(), Flag()

    def function() -> str:
        begun.set()
        go.wait()
        return "done"

    async def release() -> None:
        await begun()
        go.set()

    async with anyio.create_task_group() as group:
        group.start_soon(release)
        assert await run_in_thread(function) == "done"


async def test_what_it_raises_is_raised() -> None:
    error = KeyError("mine")

    def function() -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        await run_in_thread(function)
    assert caught.value is error


@pytest.mark.parametrize(
    "kind",
    [
        StopIteration,
        StopAsyncIteration,
        SystemExit,
        KeyboardInterrupt,
        GeneratorExit,
        asyncio.CancelledError,
    ],
)
async def test_what_no_task_may_raise_is_the_cause_of_what_can(kind: type[BaseException]) -> None:
    def function() -> None:
        raise kind

    with pytest.raises(RuntimeError, match=f"It was left by {kind.__name__}") as caught:
        await run_in_thread(function)
    assert type(caught.value.__cause__) is kind


async def test_a_cancelled_task_leaves_the_thread_to_itself() -> None:
    begun, go, ended = Flag(), Flag(), Flag()

    def function() -> None:
        begun.set()
        go.wait()
        ended.set()

    async with anyio.create_task_group() as group:
        group.start_soon(run_in_thread, function)
        await begun()
        group.cancel_scope.cancel()
    assert not ended.event.is_set()
    go.set()
    await ended()


async def test_there_is_no_limit_of_threads() -> None:
    barrier = threading.Barrier(60)
    async with anyio.create_task_group() as group:
        for _ in range(60):
            group.start_soon(run_in_thread, lambda: barrier.wait(10))


async def test_a_loop_of_its_own_may_run_in_the_thread() -> None:
    async def nested() -> str:
        await anyio.lowlevel.checkpoint()
        return "nested"

    for backend in ("asyncio", "trio"):
        assert await run_in_thread(lambda b=backend: anyio.run(nested, backend=b)) == "nested"


DEV = (sys.executable, "-X", "dev", "-W", "error", "-c")
LEFT = """
import sys, threading
import anyio
from usechat.threads import ThreadIterator, run_in_thread

begun = threading.Event()

def stuck():
    begun.set()
    threading.Event().wait()

def items():
    yield 1
    stuck()

async def wait_begun(scope):
    await anyio.to_thread.run_sync(begun.wait)
    scope.cancel()

async def run():
    await run_in_thread(stuck)

async def iterate():
    async for _ in ThreadIterator(items):
        pass

async def main():
    async with anyio.create_task_group() as group:
        group.start_soon(wait_begun, group.cancel_scope)
        await what()

for backend in ("asyncio", "trio"):
    for what in (run, iterate):
        begun.clear()
        anyio.run(main, backend=backend)
print("over")
"""


def test_a_process_exits_at_once_whatever_is_stuck() -> None:
    made = subprocess.run(
        [*DEV, LEFT],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert (made.stdout, made.stderr, made.returncode) == ("over\n", "", 0)


def test_a_loop_that_is_closed_gets_nothing_and_says_nothing(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    begun, go, seen = Flag(), Flag(), []

    def function() -> None:
        seen.append(threading.current_thread())
        begun.set()
        go.wait()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(run_in_thread, function)
            await begun()
            group.cancel_scope.cancel()

    anyio.run(main, backend=anyio_backend)
    go.set()
    seen[0].join(5)
    assert not seen[0].is_alive()
    assert said == []


# -------------------------------------------------------------- ThreadIterator


async def test_all_items_are_made_in_one_daemon_thread() -> None:
    local = threading.local()
    VARIABLE.set("mine")

    def items() -> Iterator[tuple[int, threading.Thread, str]]:
        local.count = 0
        while local.count < 3:
            local.count += 1
            yield local.count, threading.current_thread(), VARIABLE.get()

    iterator = ThreadIterator(items, "my worker")
    made = [item async for item in iterator]
    assert [number for number, _, _ in made] == [1, 2, 3]
    (thread,) = {thread for _, thread, _ in made}
    assert (thread.name, thread.daemon) == ("my worker", True)
    assert {variable for _, _, variable in made} == {"mine"}


async def test_any_iterator_and_iterable_will_do() -> None:
    assert [item async for item in ThreadIterator(lambda: iter("abc"))] == ["a", "b", "c"]
    assert [item async for item in ThreadIterator(lambda: map(str, [1, 2]))] == ["1", "2"]
    assert [item async for item in ThreadIterator(lambda: iter([None]))] == [None]


async def test_what_a_generator_returns_is_kept() -> None:
    def items() -> Iterator[int]:
        yield 1
        return "all"

    iterator = ThreadIterator(items)
    assert await anext(iterator) == 1
    assert iterator.returned is None
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)
    assert iterator.returned == "all"


async def test_it_does_not_run_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    iterator = ThreadIterator(items)
    for number in range(20):
        assert await anext(iterator) == number
        assert len(made) <= number + 2
    await iterator.aclose()


async def test_what_an_iterator_raises_is_raised_and_ends_it() -> None:
    error = ValueError("mine")

    def items() -> Iterator[int]:
        yield 1
        raise error

    iterator = ThreadIterator(items)
    assert await anext(iterator) == 1
    with pytest.raises(ValueError, match="mine") as caught:
        await anext(iterator)
    assert caught.value is error
    with pytest.raises(StopAsyncIteration):
        await anext(iterator)


def _no_iterator() -> Any:
    raise LookupError("there is none")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (_no_iterator, LookupError),
        (lambda: 5, TypeError),
        (lambda: next(iter([])), RuntimeError),  # a StopIteration that is no end
        (lambda: (sys.exit() for _ in "a"), RuntimeError),
    ],
)
async def test_an_iterator_that_is_none(make: Callable[[], Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await anext(ThreadIterator(make))


async def test_closing_runs_the_finally_blocks_in_the_thread() -> None:
    closed_in: list[threading.Thread] = []
    closed = Flag()

    def items() -> Iterator[threading.Thread]:
        try:
            yield threading.current_thread()
        finally:
            closed_in.append(threading.current_thread())
            closed.set()

    iterator = ThreadIterator(items)
    thread = await anext(iterator)
    await iterator.aclose()
    await iterator.aclose()
    await closed()
    assert closed_in == [thread]
    with pytest.raises(StopAsyncIteration):
        await anext(iterator)


async def test_closing_does_not_wait_for_what_is_stuck() -> None:
    begun, go, closed = Flag(), Flag(), Flag()

    def items() -> Iterator[int]:
        try:
            begun.set()
            go.wait()
            yield 1
        finally:
            closed.set()

    iterator = ThreadIterator(items)

    async def cancel(scope: anyio.CancelScope) -> None:
        await begun()
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(cancel, group.cancel_scope)
        await anext(iterator)
    assert group.cancel_scope.cancelled_caught
    assert not closed.event.is_set()
    with pytest.raises(StopAsyncIteration):  # the cancellation has ended it
        await anext(iterator)
    go.set()
    await closed()  # at the yield that comes next


async def test_what_was_not_begun_is_not_begun_by_closing() -> None:
    begun: list[str] = []
    iterator = ThreadIterator(lambda: iter(begun.append("begun") or []))
    await iterator.aclose()
    assert [item async for item in iterator] == []
    assert begun == []


async def test_a_generator_that_raises_when_it_is_closed_is_logged() -> None:
    said: list[str] = []

    class Logged(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())
            logged.set()

    def items() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise ValueError("mine")

    logged, handler = Flag(), Logged()
    logging.getLogger("usechat").addHandler(handler)
    try:
        iterator = ThreadIterator(items)
        await anext(iterator)
        await iterator.aclose()
        await logged()
    finally:
        logging.getLogger("usechat").removeHandler(handler)
    assert said == ["usechat-worker raised when it was closed"]


async def test_one_that_nobody_holds_ends_its_thread() -> None:
    closed = Flag()

    def items() -> Iterator[int]:
        try:
            yield 1
        finally:
            closed.set()

    iterator = ThreadIterator(items)
    await anext(iterator)
    gone = weakref.ref(iterator)
    del iterator
    gc.collect()
    assert gone() is None
    await closed()


def test_an_iterator_of_a_loop_that_is_closed_ends(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    begun, go, closed = Flag(), Flag(), Flag()

    def items() -> Iterator[int]:
        try:
            begun.set()
            go.wait()
            yield 1
        finally:
            closed.set()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(anext, ThreadIterator(items))
            await begun()
            group.cancel_scope.cancel()

    anyio.run(main, backend=anyio_backend)
    go.set()
    closed.wait()
    assert said == []
