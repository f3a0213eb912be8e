"""One call of a tool, from its input to what the model is told."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from functools import partial
from inspect import (
    BoundArguments,
    isasyncgenfunction,
    isawaitable,
    iscoroutine,
    iscoroutinefunction,
    isroutine,
)
from typing import Any, NamedTuple

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from usechat.errors import cause_of
from usechat.model.json import dumps, loads
from usechat.threads import ThreadIterator, run_in_thread
from usechat.tools.context import ToolContext
from usechat.tools.faults import ToolInputError
from usechat.tools.hints import inner_function
from usechat.tools.tool import Tool

logger = logging.getLogger("usechat")


class Preliminary(NamedTuple):
    """The tool has something to show, and goes on.

    Attributes:
        output: a JSON value.
    """

    output: Any


class Finished(NamedTuple):
    """The tool has its output.

    Attributes:
        output: a JSON value.
    """

    output: Any


class Failed(NamedTuple):
    """The tool has none.

    Attributes:
        error_text: why, for the model.
    """

    error_text: str


class NeedsApproval(NamedTuple):
    """The tool has not begun: the user is to be asked."""


ToolReport = Preliminary | Finished | Failed | NeedsApproval
"""What becomes of a call: any number of Preliminary, then one of the others."""

Report = Callable[[ToolReport], Awaitable[None]]


async def run_tool(
    tool: Tool, input: Any, context: ToolContext, approved: bool, report: Report
) -> None:
    """Run a tool for a call: check its input, ask whether it may, call it.

    Plain functions run in a thread of their own, which is left to itself when the call is no
    longer wanted; async ones run in place, are cancelled then and waited for.

    Args:
        tool: the tool.
        input: what the model gave.
        context: for the tool; its ``stopped`` is set if this is cancelled or too late.
        approved: whether the user has allowed the call.
        report: told what becomes of it; nothing more once this is cancelled.

    Raises:
        Exception: what ``report`` raised.
    """
    try:
        final = await _Call(tool, context, report).outcome(input, approved)
        await checkpoint_if_cancelled()  # a tool may have kept it to itself
        await report(final)
    except BaseException:
        context.stopped.set()
        raise


class _Call:
    """A call that is under way.

    Args:
        tool: the tool.
        context: for the tool.
        report: told what becomes of it.
    """

    def __init__(self, tool: Tool, context: ToolContext, report: Report) -> None:
        self._tool = tool
        self._context = context
        self._report = report
        self._scope = anyio.CancelScope()
        self._report_raised = False
        self._over = False

    async def outcome(self, input: Any, approved: bool) -> ToolReport:
        """What is told in the end.

        Args:
            input: what the model gave.
            approved: whether the user has allowed the call.
        """
        try:
            arguments = self._tool.arguments_of(input)
            if not approved and await self._needs_approval(arguments):
                return NeedsApproval()
        except ToolInputError as error:
            return Failed(str(error))
        except BaseException as error:
            if _passes(error):
                raise
            return self._failed(error)
        return await self._in_time(arguments)

    async def _needs_approval(self, arguments: BoundArguments) -> bool:
        asked = self._tool.needs_approval
        if isinstance(asked, bool):
            return asked
        call = partial(asked, self._tool.named_arguments(arguments))
        made: Any = call() if _is_async(asked) else await run_in_thread(call)
        return bool(await made if isawaitable(made) else made)

    async def _in_time(self, arguments: BoundArguments) -> ToolReport:
        timeout = self._tool.timeout
        with self._scope as scope:
            if timeout is not None:
                scope.deadline = anyio.current_time() + timeout
            final = await self._noticed(arguments)
        if scope.cancel_called and timeout is not None:
            self._context.stopped.set()
            unit = "second" if timeout == 1 else "seconds"
            return Failed(f"The tool did not answer within {timeout:g} {unit}.")
        return final

    async def _noticed(self, arguments: BoundArguments) -> ToolReport:
        """Run the tool, with a task beside it that says at once when it is not wanted.

        A tool that waits for a thread can end only when the thread has been told.
        """
        raised: BaseException | None = None
        final: ToolReport | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._notice)
            try:
                final = Finished(_plain(await self._output(arguments)))
            except BaseException as error:
                if self._report_raised or _passes(error):
                    raised = error  # not through the group, which would wrap it
                else:
                    final = self._failed(error)
            self._over = True
            group.cancel_scope.shield = True
            group.cancel_scope.cancel()
        try:
            if raised is not None:
                raise raised
            assert final is not None
            return final
        finally:
            del raised  # its traceback holds this frame

    async def _notice(self) -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            if not self._over:
                self._context.stopped.set()

    async def _output(self, arguments: BoundArguments) -> Any:
        call = partial(self._call, arguments)
        made = call() if _is_async(self._tool.function) else await self._in_thread(call)
        while True:
            if isawaitable(made):
                made = await made
            elif isinstance(made, AsyncIterator):
                made = await self._shown(made)
            elif isinstance(made, Generator):
                made = await self._in_thread(partial(_itself, made))
            else:
                return made

    def _call(self, arguments: BoundArguments) -> Any:
        if self._context.stopped.is_set():
            raise _NotWantedError  # whoever stops the chat has seen it stop
        return self._tool.call_with(arguments, self._context)

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        return await self._shown(ThreadIterator(partial(_steps, call, self._context.stopped)))

    async def _shown(self, outputs: AsyncIterator[Any]) -> Any:
        """Report what is yielded; return what is returned, or else the last of that."""
        last: Any = None
        try:
            async for output in outputs:
                last = _plain(output)
                await self._show(last)
            returned = getattr(outputs, "returned", None)
            return last if returned is None else returned
        finally:
            await _close(outputs)

    async def _show(self, output: Any) -> None:
        """Report it; the time that takes is not the tool's."""
        left = self._scope.deadline - anyio.current_time()
        self._scope.deadline = math.inf
        try:
            await self._report(Preliminary(output))
        except BaseException:
            self._report_raised = True
            raise
        finally:
            self._scope.deadline = anyio.current_time() + left

    def _failed(self, error: BaseException) -> Failed:
        told = cause_of(_cause(error))
        if isinstance(told, _NotWantedError):
            return Failed("Nobody wants it any more.")
        # What it says may hold what the tool was given, and in a terminal it stands in the chat.
        shown = error if logger.isEnabledFor(logging.DEBUG) else None
        logger.warning(
            "The tool %s raised %s", self._tool.name, type(told).__name__, exc_info=shown
        )
        return Failed(_text(told))


class _NotWantedError(Exception):
    """The call was stopped before its function has begun."""


class _NoJSONError(Exception):
    """A tool's output cannot be written."""


def _plain(value: Any) -> Any:
    """A value as the JSON value that is sent: what the tool does to it later changes nothing."""
    try:
        return loads(dumps(value).decode())
    except ValueError as error:
        raise _NoJSONError(
            f"The tool's output cannot be written as JSON: {error.__cause__ or error}"
        ) from error


def _steps(call: Callable[[], Any], stopped: threading.Event) -> Generator[Any, None, Any]:
    """A call as a generator: of what the function yields, or of nothing."""
    made = call()
    if stopped.is_set() and iscoroutine(made):
        made.close()  # nobody is there to await it
    if _is_expression(made):
        return list(made)
    if isinstance(made, Generator) and not isawaitable(made):
        return (yield from made)
    return made


def _itself(value: Any) -> Any:
    return value


def _is_expression(made: Any) -> bool:
    """Whether this is a generator expression: a value like a list, that shows no progress."""
    return getattr(getattr(made, "gi_code", None), "co_name", "") == "<genexpr>"


async def _close(outputs: Any) -> None:
    close = getattr(outputs, "aclose", None)
    if close is not None:
        await close()


def _is_async(function: Any) -> bool:
    """Whether the function is called in place: all that does is make a coroutine."""
    inner = inner_function(function)
    called = inner if isroutine(inner) else type(inner).__call__
    return iscoroutinefunction(called) or isasyncgenfunction(called)


def _passes(error: BaseException) -> bool:
    """Whether an exception is no affair of the tool's: a cancellation, Ctrl-C in place."""
    if isinstance(error, anyio.get_cancelled_exc_class()):
        return _cancelled(error)
    return isinstance(error, (KeyboardInterrupt, GeneratorExit))


def _cancelled(error: BaseException) -> bool:
    """Whether this task is cancelled, and not only something that the tool waited for."""
    if anyio.current_effective_deadline() == -math.inf:
        return True
    if not isinstance(error, asyncio.CancelledError):
        return False
    # Python 3.10 cannot tell; a round's tasks are cancelled by their scopes, which can.
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return cancelling is not None and cancelling() > 0


def _cause(error: BaseException) -> BaseException:
    """What left a thread: what no task may raise comes as the cause of what one may."""
    cause = error.__cause__
    foreign = cause is not None and not isinstance(cause, Exception)
    return cause if foreign and type(error) is RuntimeError else error  # type: ignore[return-value]


def _text(error: BaseException) -> str:
    if isinstance(error, _NoJSONError):
        return str(error)
    try:
        message = str(error)
    except Exception:
        message = ""
    name = type(error).__name__
    return f"{name}: {message}" if message else name
