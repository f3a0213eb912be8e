"""A Python function as a tool that a model can call."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from inspect import BoundArguments
from math import isfinite
from typing import Any

from usechat.errors import InvalidArgumentError
from usechat.model.parts import JSONObject
from usechat.model.tools import ToolDefinition
from usechat.tools.context import ToolContext
from usechat.tools.docstring import read_docstring
from usechat.tools.hints import inner_function, signature_of
from usechat.tools.parameters import Parameters

NeedsApprovalFunction = Callable[[dict[str, Any]], "bool | Awaitable[bool]"]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""OpenAI's rule; others allow more."""


class Tool:
    """A function that a model can call.

    Its schema is made from the signature, by pydantic; a parameter with the annotation
    ``ToolContext`` gets the call's context and is no part of it. The function may be async, and a
    generator too: what it yields are preliminary outputs.

    Args:
        fn: the function.
        name: what the model calls it; None: the function's name.
        description: what it does, for the model; None: the docstring before its parameters.
        timeout: how many seconds the function may take; None: any time.
        needs_approval: whether each call waits for the user's approval; or a function, async too,
            that says so for the arguments of a call, by their names.

    Attributes:
        name: what the model calls it.
        description: what it does, for the model.
        input_schema: the JSON schema of its input.
        timeout: how many seconds a call may take, or None.
        needs_approval: as it was given.

    Raises:
        InvalidArgumentError: it cannot be a tool, or an option cannot be used.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float | None = None,
        needs_approval: bool | NeedsApprovalFunction = False,
    ) -> None:
        function = _function(fn)
        self.name = _name(function, name)
        self.timeout = _timeout(timeout)
        self.needs_approval = _needs_approval(needs_approval)
        self._function = function
        signature = signature_of(function, self.name)
        said = read_docstring(_docstring(function), signature.parameters)
        self._parameters = Parameters(function, signature, self.name, said.parameters)
        self.description = said.text if description is None else _description(description)
        self.input_schema: JSONObject = self._parameters.schema

    @property
    def function(self) -> Callable[..., Any]:
        """The function."""
        return self._function

    @property
    def definition(self) -> ToolDefinition:
        """What a model needs to know of it."""
        return ToolDefinition(self.name, self.description, self.input_schema)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, as if it were no tool."""
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Tool({self.name})"

    def arguments_of(self, input: Any) -> BoundArguments:
        """What a model gave, as the function's arguments; all but the context.

        Args:
            input: a JSON value; None and ``""``: an empty object.

        Raises:
            ToolInputError: it does not fit; the text is for the model.
        """
        return self._parameters.bound(input)

    def named_arguments(self, arguments: BoundArguments) -> dict[str, Any]:
        """The arguments by their names.

        Args:
            arguments: what ``arguments_of`` gave.
        """
        return self._parameters.named(arguments)

    def call_with(self, arguments: BoundArguments, context: ToolContext) -> Any:
        """Call the function with a model's arguments.

        Args:
            arguments: what ``arguments_of`` gave.
            context: for the parameters that want it.
        """
        bound = self._parameters.with_context(arguments, context)
        return self._function(*bound.args, **bound.kwargs)


def as_tool(value: Any) -> Tool:
    """A function as a tool, or the tool that it is already.

    Args:
        value: a function or a Tool.

    Raises:
        InvalidArgumentError: it is neither, or the function cannot be a tool.
    """
    return value if isinstance(value, Tool) else Tool(value)


def _function(value: Any) -> Callable[..., Any]:
    if inspect.isclass(value):
        raise InvalidArgumentError(
            f"A tool is a function, and {value.__name__} is a class. "
            "Give a function that makes one."
        )
    if inspect.iscoroutine(value) or inspect.isgenerator(value) or inspect.isasyncgen(value):
        value.close() if not inspect.isasyncgen(value) else None
        raise InvalidArgumentError(
            f"A tool is a function, and this is what a call of {value.__name__} gives. "
            "Give the function itself, without parentheses."
        )
    if isinstance(value, Tool):
        raise InvalidArgumentError(
            f"{value.name} is a tool already. Give its options there, or its .function here."
        )
    if _is_unbound(value):
        raise InvalidArgumentError(
            f"{value.__qualname__} is a method of a class: the model cannot give its self. "
            "Give the method of an object."
        )
    if not callable(value):
        raise InvalidArgumentError(f"A tool is a function or a Tool, not {type(value).__name__}.")
    function: Callable[..., Any] = value
    return function


def _is_unbound(value: Any) -> bool:
    """Whether this is a function out of a class, whose ``self`` nobody has given."""
    if not inspect.isfunction(value):
        return False
    owner = value.__qualname__.rpartition(".")[0]
    first = next(iter(inspect.signature(value).parameters.values()), None)
    given = first is not None and first.name in ("self", "cls")
    return given and bool(owner) and not owner.endswith("<locals>")


def _name(function: Any, given: Any) -> str:
    if given is None:
        inner = inner_function(function)
        given = getattr(inner, "__name__", type(inner).__name__)
    if not isinstance(given, str) or not _NAME.fullmatch(given):
        raise InvalidArgumentError(
            f"{given!r} cannot be a tool's name: 1 to 64 of a-z, A-Z, 0-9, _ and -. Say name=."
        )
    return given


def _docstring(function: Any) -> str | None:
    inner = inner_function(function)
    if inspect.isroutine(inner):
        return inner.__doc__
    return type(inner).__call__.__doc__ or type(inner).__doc__


def _description(given: Any) -> str:
    if not isinstance(given, str):
        raise InvalidArgumentError(f"description= is a text, not {type(given).__name__}.")
    return given


def _timeout(given: Any) -> float | None:
    if given is None:
        return None
    number = isinstance(given, (int, float)) and not isinstance(given, bool)
    if not number or not isfinite(given) or given <= 0:
        raise InvalidArgumentError(
            f"timeout= is a number of seconds above 0, or None; not {given!r}."
        )
    timeout: float = given
    return timeout


def _needs_approval(given: Any) -> bool | NeedsApprovalFunction:
    if isinstance(given, bool):
        return given
    if not callable(given) or inspect.isclass(given):
        raise InvalidArgumentError(
            "needs_approval= is True, False, or a function of the call's arguments that says which."
        )
    function: NeedsApprovalFunction = given
    return function
