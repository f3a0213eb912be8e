"""A call from its input to what the model is told: values, errors, approval, time, cancellation."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from datetime import date
from functools import partial, wraps
from typing import Annotated, Any

import anyio
import anyio.to_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, BeforeValidator

from usechat.tools.context import ToolContext
from usechat.tools.running import (
    Failed,
    Finished,
    NeedsApproval,
    Preliminary,
    ToolReport,
    run_tool,
)
from usechat.tools.tool import Tool

pytestmark = pytest.mark.anyio

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="none")


class Call:
    """A call, and what was told of it."""

    def __init__(self, function: Callable[..., Any], input: Any = None, **options: Any) -> None:
        self.tool = function if isinstance(function, Tool) else Tool(function, **options)
        self.input = input
        self.context = ToolContext("the chat", "call-1", threading.Event())
        self.reports: list[ToolReport] = []
        self.approved = False

    async def report(self, report: ToolReport) -> None:
        await anyio.lowlevel.checkpoint()
        self.reports.append(report)

    async def run(self) -> list[ToolReport]:
        await run_tool(self.tool, self.input, self.context, self.approved, self.report)
        return self.reports

    @property
    def stopped(self) -> bool:
        return self.context.stopped.is_set()


async def told(function: Callable[..., Any], input: Any = None, **options: Any) -> list[ToolReport]:
    return await Call(function, input, **options).run()


def records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "usechat"]


# ------------------------------------------------------------------ what is a value


class Model(BaseModel):
    x: date


def add(a: int, b: int = 1) -> int:
    return a + b


async def add_async(a: int, b: int = 1) -> int:
    await anyio.lowlevel.checkpoint()
    return a + b


def steps() -> Iterator[Any]:
    yield "a"
    yield {"b": Model(x=date(2026, 1, 2))}


def steps_with_an_end() -> Iterator[int]:
    yield 1
    return "end"


def no_steps() -> Iterator[int]:
    yield from ()


async def steps_async() -> AsyncIterator[int]:
    yield 1
    await anyio.lowlevel.checkpoint()
    yield 2


async def no_steps_async() -> AsyncIterator[int]:
    for number in ():
        yield number


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def bare(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper() -> Any:
        return function()

    return wrapper


class Called:
    async def __call__(self, a: int) -> int:
        return a


class Stepping:
    async def __call__(self) -> AsyncIterator[int]:
        yield 1


class Counting:
    """An async iterator that is no generator."""

    def __init__(self) -> None:
        self.count = 0

    def __aiter__(self) -> Counting:
        return self

    async def __anext__(self) -> int:
        self.count += 1
        if self.count > 2:
            raise StopAsyncIteration
        return self.count


async def gives_steps() -> Any:
    return steps_with_an_end()


async def gives_steps_async() -> Any:
    return steps_async()


async def gives_awaitable() -> Any:
    return add_async(1)


def lone() -> str:
    return "x\ud83d"


DUMPED = {"b": {"x": "2026-01-02"}}

VALUES: list[tuple[Callable[..., Any], Any, list[ToolReport]]] = [
    (add, {"a": 1}, [Finished(2)]),
    (add_async, {"a": "1", "b": 2}, [Finished(3)]),
    (partial(add, 1), {}, [Finished(2)]),
    (partial(add_async, b=5), {"a": 1}, [Finished(6)]),
    (decorated(add), {"a": 1}, [Finished(2)]),
    (decorated(add_async), {"a": 1}, [Finished(2)]),
    (bare(steps_async), None, [Preliminary(1), Preliminary(2), Finished(2)]),
    (bare(steps_with_an_end), None, [Preliminary(1), Finished("end")]),
    (Called(), {"a": 3}, [Finished(3)]),
    (Stepping(), {}, [Preliminary(1), Finished(1)]),
    (
        steps,
        "",
        [Preliminary("a"), Preliminary(DUMPED), Finished(DUMPED)],
    ),
    (steps_with_an_end, {}, [Preliminary(1), Finished("end")]),
    (no_steps, {}, [Finished(None)]),
    (steps_async, {}, [Preliminary(1), Preliminary(2), Finished(2)]),
    (no_steps_async, {}, [Finished(None)]),
    (gives_steps, {}, [Preliminary(1), Finished("end")]),
    (gives_steps_async, {}, [Preliminary(1), Preliminary(2), Finished(2)]),
    (bare(Counting), {}, [Preliminary(1), Preliminary(2), Finished(2)]),
    (gives_awaitable, {}, [Finished(2)]),
    (bare(lambda: [1, (2, 3), float("nan")]), {}, [Finished([1, [2, 3], None])]),
    (bare(lambda: None), {}, [Finished(None)]),
    (lone, {}, [Finished("x\ud83d")]),
    (bare(lambda: Model(x=date(2026, 1, 2))), {}, [Finished({"x": "2026-01-02"})]),
]


@pytest.mark.parametrize(("function", "input", "reports"), VALUES)
async def test_what_a_function_gives_is_the_output(
    function: Callable[..., Any], input: Any, reports: list[ToolReport]
) -> None:
    call = Call(function, input)
    assert await call.run() == reports
    assert not call.stopped


async def test_where_functions_run_and_what_they_see() -> None:
    VARIABLE.set("the caller's")
    seen: list[Any] = []

    def look(ctx: ToolContext) -> None:
        seen.append((threading.current_thread(), VARIABLE.get(), ctx))

    def look_stepping(ctx: ToolContext) -> Iterator[None]:
        look(ctx)
        yield
        look(ctx)

    async def look_async(ctx: ToolContext) -> None:
        look(ctx)

    call = Call(look)
    await call.run()
    assert seen[0][0] is not threading.current_thread()
    assert seen[0][1:] == ("the caller's", call.context)
    await Call(look_stepping).run()
    assert seen[1][0] is seen[2][0] is not threading.current_thread()
    call = Call(look_async)
    await call.run()
    assert seen[3] == (threading.current_thread(), "the caller's", call.context)


async def test_an_output_is_what_it_was_when_it_was_given() -> None:
    def growing() -> Iterator[list[int]]:
        found: list[int] = []
        for number in range(3):
            found.append(number)
            yield found

    reports = await told(growing)
    assert [report.output for report in reports] == [[0], [0, 1], [0, 1, 2], [0, 1, 2]]  # type: ignore[union-attr]


async def test_three_at_once() -> None:
    barrier = threading.Barrier(3)
    both = anyio.Event()

    def meet(number: int) -> int:
        barrier.wait(10)
        return number

    async def wait(number: int) -> int:
        await both.wait()
        return number

    async def release() -> int:
        both.set()
        return 0

    calls = [Call(meet, {"number": number}) for number in range(3)]
    calls += [Call(wait, {"number": 3}), Call(release)]
    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(call.run)
    assert [call.reports for call in calls] == [[Finished(number)] for number in [0, 1, 2, 3, 0]]


# -------------------------------------------------------------------------- failures


class SilentError(Exception):
    pass


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError


def raising(error: BaseException) -> list[Callable[[], Any]]:
    """Functions of all kinds that raise it."""

    def function() -> None:
        raise error

    def generator() -> Iterator[int]:
        yield 1
        raise error

    async def function_async() -> None:
        raise error

    async def generator_async() -> AsyncIterator[int]:
        yield 1
        raise error

    return [function, generator, function_async, generator_async]


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
@pytest.mark.parametrize("kind", range(4))
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such city\ntry another"), "ValueError: no such city\ntry another"),
        (KeyError("x"), "KeyError: 'x'"),
        (SilentError(), "SilentError"),
        (MuteError(), "MuteError"),
        (TimeoutError("mine"), "TimeoutError: mine"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
async def test_an_exception_is_told_in_a_line_and_logged(
    error: BaseException, text: str, kind: int, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level, "usechat")
    reports = await told(raising(error)[kind], timeout=60)
    assert reports == ([Preliminary(1)] if kind % 2 else []) + [Failed(text)]
    (record,) = records(caplog)
    assert record.levelno == logging.WARNING
    # What it says may be what nobody else is to read: it is there for who looks for it.
    assert (record.exc_info is not None) is (level == logging.DEBUG)
    assert record.getMessage().endswith(f" raised {type(error).__name__}")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
async def test_what_ends_a_thread_is_no_end_of_the_caller(kind: type[BaseException]) -> None:
    function, generator, *_ = raising(kind("x"))
    assert await told(function) == [Failed(f"{kind.__name__}: x")]
    if kind is not GeneratorExit:
        assert await told(generator) == [Preliminary(1), Failed(f"{kind.__name__}: x")]


async def test_an_interrupt_in_place_is_the_programs() -> None:
    call = Call(raising(KeyboardInterrupt())[2])
    with pytest.raises(KeyboardInterrupt):
        await call.run()
    assert call.reports == []
    assert call.stopped


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancelled_task_that_a_tool_awaits_is_a_failure() -> None:
    async def function() -> None:
        task = asyncio.ensure_future(asyncio.sleep(0))
        task.cancel()
        await task

    assert await told(function) == [Failed("CancelledError")]


async def test_an_expressions_generator_is_a_list() -> None:
    def squares(n: int) -> Any:
        return (i * i for i in range(n))

    assert await told(squares, {"n": 3}) == [Finished([0, 1, 4])]


@pytest.mark.parametrize(("count", "text"), [(1, "ValueError: mine"), (2, "ExceptionGroup: ")])
async def test_an_exception_group_of_the_tools_is_a_failure(count: int, text: str) -> None:
    async def fail() -> None:
        raise ValueError("mine")

    async def function() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(fail)

    (report,) = await told(function)
    assert isinstance(report, Failed)
    assert report.error_text.startswith(text)


@pytest.mark.parametrize("output", [object(), {"x": object()}, b"\xff"])
async def test_an_output_that_is_no_json(output: Any, caplog: pytest.LogCaptureFixture) -> None:
    (report,) = await told(bare(lambda: output))
    assert isinstance(report, Failed)
    assert report.error_text.startswith("The tool's output cannot be written as JSON: ")
    assert len(records(caplog)) == 1


async def test_a_preliminary_output_that_is_no_json_ends_the_tool() -> None:
    closed = threading.Event()

    def generator() -> Iterator[Any]:
        try:
            yield object()
        finally:
            closed.set()

    async def generator_async() -> AsyncIterator[Any]:
        try:
            yield object()
        finally:
            await anyio.lowlevel.checkpoint()
            closed.set()

    for function in (generator, generator_async):
        (report,) = await told(function)
        assert isinstance(report, Failed)
        assert await anyio.to_thread.run_sync(closed.wait, 10)
        closed.clear()


async def test_input_that_does_not_fit_is_told_and_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await told(add, {"a": "x"}, needs_approval=True) == [
        Failed(
            "Invalid input for add:\na: Input should be a valid integer, unable to parse string "
            'as an integer (it is "x")'
        )
    ]
    assert records(caplog) == []


async def test_a_type_that_raises_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    def broken(value: Any) -> int:
        raise LookupError("mine")

    def function(a: Annotated[int, BeforeValidator(broken)]) -> None: ...

    assert await told(function, {"a": 1}) == [Failed("LookupError: mine")]
    assert len(records(caplog)) == 1


JSON_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.builds(object),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abcx"), inner),
)


@settings(max_examples=30, deadline=None)
@given(JSON_JUNK)
def test_junk_gives_one_report(input: Any) -> None:
    async def echo(a: Any = None, b: int = 0) -> Any:
        return a

    for backend in ("asyncio", "trio"):
        (report,) = anyio.run(told, echo, input, backend=backend)
        assert isinstance(report, (Finished, Failed))


# -------------------------------------------------------------------------- approval


def yes(arguments: dict[str, Any]) -> bool:
    return bool(arguments["b"] == 1)


async def yes_async(arguments: dict[str, Any]) -> bool:
    await anyio.lowlevel.checkpoint()
    return yes(arguments)


@pytest.mark.parametrize("asked", [True, yes, yes_async, lambda arguments: yes_async(arguments)])
async def test_a_call_waits_for_approval(asked: Any) -> None:
    call = Call(add, {"a": 1}, needs_approval=asked)
    assert await call.run() == [NeedsApproval()]
    assert not call.stopped
    call = Call(add, {"a": 1}, needs_approval=asked)
    call.approved = True
    assert await call.run() == [Finished(2)]


@pytest.mark.parametrize("asked", [False, yes, yes_async])
async def test_a_call_that_needs_none(asked: Any) -> None:
    assert await told(add, {"a": 1, "b": 5}, needs_approval=asked) == [Finished(6)]


async def test_the_approval_is_asked_for_the_validated_arguments_in_a_thread() -> None:
    seen: list[Any] = []

    def ask(arguments: dict[str, Any]) -> bool:
        seen.append((arguments, threading.current_thread()))
        return True

    def function(day: date, ctx: ToolContext, count: int = 3, **rest: int) -> None: ...

    input = {"day": "2026-01-02", "x": "7"}
    assert await told(function, input, needs_approval=ask) == [NeedsApproval()]
    ((arguments, thread),) = seen
    assert arguments == {"day": date(2026, 1, 2), "count": 3, "x": 7}
    assert thread is not threading.current_thread()


async def test_a_question_for_approval_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    def ask(arguments: dict[str, Any]) -> bool:
        raise LookupError("mine")

    async def ask_async(arguments: dict[str, Any]) -> bool:
        raise SystemExit

    assert await told(add, {"a": 1}, needs_approval=ask) == [Failed("LookupError: mine")]
    assert await told(add, {"a": 1}, needs_approval=ask_async) == [Failed("SystemExit")]
    assert len(records(caplog)) == 2


# ------------------------------------------------------------------------------ time


class Endless:
    """Tools that wait for ever, in all kinds; what they did is seen."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.closed = threading.Event()

    def function(self) -> None:
        self.begun.set()
        self.go.wait()

    def generator(self) -> Iterator[int]:
        yield 1
        self.begun.set()
        self.go.wait()

    async def function_async(self) -> None:
        try:
            self.begun.set()
            await anyio.sleep_forever()
        finally:
            self.closed.set()

    async def generator_async(self) -> AsyncIterator[int]:
        try:
            yield 1
            self.begun.set()
            await anyio.sleep_forever()
        finally:
            self.closed.set()

    async def thread(self, ctx: ToolContext) -> None:
        """Cannot be cancelled: it has to be told."""
        self.begun.set()
        await anyio.to_thread.run_sync(ctx.stopped.wait)
        self.closed.set()

    async def stubborn(self) -> str:
        try:
            await self.function_async()
        except anyio.get_cancelled_exc_class():
            return "late"
        return "never"

    async def raising(self) -> None:
        try:
            await self.function_async()
        finally:
            raise ValueError("in the end")


KINDS = ["function", "generator", "function_async", "generator_async", "thread", "stubborn"]
KINDS += ["raising"]


@pytest.fixture
def endless() -> Iterator[Endless]:
    made = Endless()
    yield made
    made.go.set()
    for thread in threading.enumerate():
        if thread.name == "usechat-worker":
            thread.join(10)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tool_that_takes_too_long(kind: str, endless: Endless) -> None:
    call = Call(getattr(endless, kind), timeout=0.05)
    reports = await call.run()
    late = Failed("The tool did not answer within 0.05 seconds.")
    assert reports == ([Preliminary(1)] if "generator" in kind else []) + [late]
    assert call.stopped
    assert endless.closed.is_set() == (kind not in ("function", "generator"))


async def test_the_text_has_seconds_as_they_were_given(endless: Endless) -> None:
    for timeout, said in [(0.01, "0.01 seconds"), (0.02, "0.02 seconds")]:
        (report,) = await told(endless.function_async, timeout=timeout)
        assert report == Failed(f"The tool did not answer within {said}.")


async def test_approval_and_reports_take_no_time_of_the_tools() -> None:
    async def ask(arguments: dict[str, Any]) -> bool:
        with anyio.move_on_after(0.25):
            await anyio.sleep_forever()
        return False

    class Slow(Call):
        async def report(self, report: ToolReport) -> None:
            with anyio.move_on_after(0.12):
                await anyio.sleep_forever()
            self.reports.append(report)

    call = Slow(steps_async, timeout=0.2, needs_approval=ask)
    assert await call.run() == [Preliminary(1), Preliminary(2), Finished(2)]
    assert not call.stopped


# ---------------------------------------------------------------------- cancellation


async def stop_when(begun: Callable[[], object], run: Callable[[], Awaitable[Any]]) -> None:
    """Run it, and cancel it when it has begun."""
    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await anyio.to_thread.run_sync(begun)
        group.cancel_scope.cancel()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_is_stopped(kind: str, endless: Endless) -> None:
    call = Call(getattr(endless, kind))
    await stop_when(partial(endless.begun.wait, 10), call.run)
    assert call.reports == ([Preliminary(1)] if "generator" in kind else [])
    assert call.stopped
    assert endless.closed.is_set() == (kind not in ("function", "generator"))


async def test_the_cancellation_arrives_as_it_is(endless: Endless) -> None:
    for kind in KINDS:
        caught: list[BaseException] = []

        async def run(kind: str = kind, caught: list[BaseException] = caught) -> None:
            try:
                await Call(getattr(endless, kind)).run()
            except BaseException as error:
                caught.append(error)
                raise

        endless.begun.clear()
        await stop_when(partial(endless.begun.wait, 10), run)
        assert type(caught[0]) is anyio.get_cancelled_exc_class(), kind
        caught.clear()


# Python 3.10 cannot tell this from a task that the tool awaits; a round's tasks have scopes.
if sys.version_info >= (3, 11):

    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_a_task_that_is_cancelled_without_anyio(endless: Endless) -> None:
        for kind in ("function", "generator", "function_async", "generator_async", "raising"):
            call = Call(getattr(endless, kind))
            endless.begun.clear()
            task = asyncio.ensure_future(call.run())
            await asyncio.to_thread(endless.begun.wait, 10)
            task.cancel()
            await asyncio.wait([task])
            assert call.stopped or kind == "raising"
            assert task.cancelled() or kind == "raising"


async def test_a_call_that_is_stopped_while_approval_is_decided(endless: Endless) -> None:
    for asked in (lambda _: endless.function(), lambda _: endless.function_async()):
        call = Call(add, {"a": 1}, needs_approval=asked)
        endless.begun.clear()
        await stop_when(partial(endless.begun.wait, 10), call.run)
        assert call.reports == []
        assert call.stopped


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_generator_that_is_stopped_at_a_report_is_closed(is_async: bool) -> None:
    begun, closed = threading.Event(), threading.Event()

    def generator() -> Iterator[int]:
        try:
            yield 1
        finally:
            closed.set()

    async def generator_async() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.set()

    class Waiting(Call):
        async def report(self, report: ToolReport) -> None:
            begun.set()
            await anyio.sleep_forever()

    call = Waiting(generator_async if is_async else generator)
    await stop_when(partial(begun.wait, 10), call.run)
    assert call.stopped
    assert await anyio.to_thread.run_sync(closed.wait, 10)


@pytest.mark.parametrize("function", [steps, steps_async, add_async])
async def test_what_the_report_raises_is_raised(
    function: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Call):
        async def report(self, report: ToolReport) -> None:
            self.reports.append(report)
            raise LookupError("the session's")

    call = Broken(function, {"a": 1} if function is add_async else {})
    with pytest.raises(LookupError, match="the session's"):
        await call.run()
    assert len(call.reports) == 1
    assert call.stopped
    assert records(caplog) == []


async def test_a_generator_may_yield_inside_its_own_scope() -> None:
    async def function() -> AsyncIterator[int]:
        with anyio.fail_after(60):
            yield 1
        async with anyio.create_task_group():
            yield 2

    assert await told(function, timeout=60) == [Preliminary(1), Preliminary(2), Finished(2)]


async def test_what_a_thread_that_was_left_would_have_awaited_is_closed(endless: Endless) -> None:
    def function() -> Awaitable[int]:
        endless.function()
        return add_async(1)

    call = Call(function)
    await stop_when(partial(endless.begun.wait, 10), call.run)
    assert call.stopped
    endless.go.set()
    for thread in threading.enumerate():
        if thread.name == "usechat-worker":
            await anyio.to_thread.run_sync(thread.join, 10)
