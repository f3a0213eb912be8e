"""The tools of a session, and how their calls are run."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeAlias

import anyio

from usechat.engine.answers import ToolOutput
from usechat.engine.engine import ChatEngine
from usechat.engine.exchange import Steps
from usechat.engine.tool_round import ToolRound, ToolRun
from usechat.errors import InvalidArgumentError
from usechat.tools.context import ToolContext
from usechat.tools.running import Failed, Finished, Preliminary, ToolReport, run_tool
from usechat.tools.tool import Tool, as_tool


class _Mark:
    """Says of a context that a tool runs in it.

    A loop keeps the last timers that were cancelled, and with them contexts: emptied, this holds
    no session.

    Args:
        round: whose call it is.
        outer: the mark of the tool that waits for this chat, if one does.
    """

    def __init__(self, round: ToolRound, outer: _Mark | None) -> None:
        self.round: ToolRound | None = round
        self.outer = outer


_tool: ContextVar[_Mark | None] = ContextVar("usechat_tool", default=None)


def is_tool_of(work: object) -> bool:
    """Whether this is called by a tool, and what runs is waiting for that.

    Args:
        work: what runs in a chat.
    """
    mark = _tool.get()
    while mark is not None and work is not None:
        if mark.round is work:
            return True
        mark = mark.outer
    return False


def calling_tool() -> Any:
    """The tool that calls this, for ``TurnState.caller``; None: no tool does."""
    return _tool.get()


@contextmanager
def outside_tools() -> Iterator[None]:
    """While a tool's action calls observers and callbacks: they, and their tasks, are no tool."""
    mark = _tool.get()
    if mark is None:
        yield
        return
    _tool.set(mark.outer)
    try:
        yield
    finally:
        _tool.set(mark)


class Toolbox:
    """The tools of a session.

    Args:
        engine: the chat; it is told of each.
        tools: functions, or tools.

    Raises:
        InvalidArgumentError: one of them cannot be a tool.
    """

    def __init__(self, engine: ChatEngine, tools: Iterable[Callable[..., Any]]) -> None:
        if not isinstance(tools, Iterable) or isinstance(tools, str):
            raise InvalidArgumentError(
                f"tools: expected a list of functions, got {type(tools).__name__}."
            )
        self._engine = engine
        self._tools: dict[str, Tool] = {}
        for tool in map(as_tool, tools):
            if tool.name in self._tools:
                raise InvalidArgumentError(f"There are two tools of the name {tool.name!r}.")
            self.add(tool)

    def __iter__(self) -> Iterator[Tool]:
        return iter(tuple(self._tools.values()))

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def add(self, tool: Tool) -> None:
        """Add one, in the place of one that has its name: a notebook's cell may run again.

        Args:
            tool: the tool.
        """
        self._tools[tool.name] = tool
        self._engine.tools[tool.name] = tool.definition


Apply: TypeAlias = Callable[[ToolRound, Callable[[], Steps[None]], ToolReport], Awaitable[None]]
"""Has the engine do something for a round, soon or at once; the last is what came of the tool."""


class ToolRunner:
    """Runs the calls of rounds, on the loop of whoever drives the chat.

    Args:
        engine: the chat.
        tools: its tools.
        chat: what tools get as ``ToolContext.chat``.
        apply: tells the engine.
    """

    def __init__(self, engine: ChatEngine, tools: Toolbox, chat: Any, apply: Apply) -> None:
        self._engine = engine
        self._tools = tools
        self._chat = chat
        self._apply = apply
        self._scopes: dict[ToolRun, anyio.CancelScope] = {}
        self._contexts: dict[ToolRun, ToolContext] = {}
        self._wake = anyio.Event()

    def wake(self) -> None:
        """The round may have changed. Only on the loop."""
        self._wake.set()

    def tell_stopped(self) -> None:
        """Tell the tools whose calls are over that nobody wants them. From any thread."""
        for run, context in self._contexts.copy().items():
            if run.over:
                context.stopped.set()

    async def run(self, round: ToolRound) -> None:
        """Run the calls of a round, all at once, until it is over.

        Args:
            round: the round; what is added meanwhile runs too.

        Raises:
            Whatever an observer raises that is no ``Exception``, by itself and in no group.
        """
        failures: list[BaseException] = []
        async with anyio.create_task_group() as tasks:
            while not (round.over or failures):
                self._wake = anyio.Event()
                for run in round.waiting:
                    run.begun = True
                    tasks.start_soon(self._run_one, round, run, failures)
                for run, scope in self._scopes.items():
                    if run.over:  # somebody else has answered it
                        scope.cancel()
                await self._wake.wait()
            tasks.cancel_scope.cancel()
        if failures:
            raise failures[0]

    async def _run_one(self, round: ToolRound, run: ToolRun, failures: list[BaseException]) -> None:
        # The turn may be driven by somebody else than the tool that has begun it and waits for it.
        mark = _Mark(round, _tool.get() or round.turn.caller)
        _tool.set(mark)
        context = ToolContext(self._chat, run.tool_call_id, threading.Event())
        self._contexts[run] = context
        self.tell_stopped()  # it may be over since before there was a context to tell
        report = partial(self._report, round, run)
        try:
            with anyio.CancelScope() as self._scopes[run]:
                await run_tool(self._tools[run.tool_name], run.input, context, run.approved, report)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as failure:
            failures.append(failure)
        finally:
            mark.round = None
            del self._scopes[run], self._contexts[run]
            self._wake.set()

    async def _report(self, round: ToolRound, run: ToolRun, report: ToolReport) -> None:
        engine, call_id = self._engine, run.tool_call_id
        steps: Callable[[], Steps[None]]
        if isinstance(report, Preliminary):
            steps = partial(engine.tool_progressed, round, run, report.output)
        elif isinstance(report, Finished):
            answer = ToolOutput.available(call_id, report.output)
            steps = partial(engine.tool_ended, round, run, answer)
        elif isinstance(report, Failed):
            answer = ToolOutput.error(call_id, report.error_text)
            steps = partial(engine.tool_ended, round, run, answer)
        else:
            steps = partial(engine.tool_asks, round, run)
        with outside_tools():
            await self._apply(round, steps, report)
