"""Functions of the user's that a request needs: ``headers``, ``body``, the prepare hooks."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from usechat.errors import CallbackError

CALLER: ContextVar[Callable[[Any, Any], Awaitable[Any]] | None] = ContextVar(
    "usechat_caller", default=None
)
"""What calls such a function with its arguments, where that is not to be done in place: on the
thread that reads for many sessions, one that takes its time would stop them all."""


async def resolved(name: str, value: Any, *arguments: Any) -> Any:
    """A value, or what the user's function (also an async one) gives.

    Args:
        name: what it is, for messages.
        value: anything.
        arguments: what a function gets.

    Raises:
        CallbackError: the function raised.
    """
    if not callable(value):
        return value
    call = CALLER.get()
    try:
        made = value(*arguments) if call is None else await call(value, arguments)
        return await made if inspect.isawaitable(made) else made
    except Exception as error:
        raise CallbackError(f"{name} raised {type(error).__name__}: {error}") from error
