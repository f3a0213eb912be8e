"""The annotations of a function, whatever kind of callable it is."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from functools import partial
from inspect import Parameter, Signature
from types import CodeType, FrameType, SimpleNamespace, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from usechat.errors import InvalidArgumentError
from usechat.tools.context import ToolContext


def inner_function(function: Any) -> Any:
    """The function in a partial, or the object if it is none.

    Args:
        function: a callable.
    """
    while isinstance(function, partial):
        function = function.func
    return function


def hidden_names(function: Any) -> frozenset[str]:
    """The parameters that partials have given by name: they are nobody else's to give.

    Args:
        function: a callable.
    """
    names: set[str] = set()
    while isinstance(function, partial):
        names |= set(function.keywords)
        function = function.func
    return frozenset(names)


def signature_of(function: Callable[..., Any], owner: str) -> Signature:
    """The signature of a callable.

    Args:
        function: the callable.
        owner: the tool, for messages.

    Raises:
        InvalidArgumentError: it has none that Python knows.
    """
    try:
        return inspect.signature(function)
    except (TypeError, ValueError, NameError) as error:
        raise InvalidArgumentError(
            f"The tool {owner} has no signature that can be read: {error}. "
            "Put a function with annotations around it."
        ) from error


def resolved(function: Callable[..., Any], signature: Signature, owner: str) -> Iterator[Parameter]:
    """The parameters with types for annotations, where they are strings.

    Args:
        function: the callable.
        signature: its signature.
        owner: the tool, for messages.

    Raises:
        InvalidArgumentError: an annotation is not known here.
    """
    origin = _origin(function)
    for parameter in signature.parameters.values():
        if parameter.annotation is Parameter.empty:
            yield parameter
            continue
        try:
            annotation = _evaluated(parameter.annotation, origin)
        except Exception as error:
            shown = parameter.annotation
            raise InvalidArgumentError(
                f"The annotation of {parameter.name} in the tool {owner}, "
                f"{shown if isinstance(shown, str) else inspect.formatannotation(shown)}, cannot "
                f"be resolved: {error}. What it names must be there when the tool is made, not "
                "only for type checkers."
            ) from error
        yield parameter.replace(annotation=annotation)


def is_context(annotation: Any) -> bool:
    """Whether a parameter with this annotation gets the context.

    Args:
        annotation: a type.
    """
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        return any(is_context(choice) for choice in get_args(annotation))
    return annotation is ToolContext


def _evaluated(annotation: Any, origin: Any) -> Any:
    holder: Any = SimpleNamespace(__annotations__={"it": annotation})
    names: dict[str, Any] = getattr(origin, "__globals__", {})
    # Types that were made in the function where the tool was hide those of its module.
    local = _local_names(getattr(origin, "__code__", None))
    try:
        return get_type_hints(holder, names, local, include_extras=True)["it"]
    except NameError:
        # Made where the tool is given; the context's is often imported for type checkers only.
        local = {"ToolContext": ToolContext, **_callers_names(), **local}
        return get_type_hints(holder, names, local, include_extras=True)["it"]


def _origin(function: Any) -> Any:
    """The function where the annotations stand."""
    function = inner_function(function)
    if not inspect.isroutine(function):
        function = type(function).__call__
    return inspect.unwrap(getattr(function, "__func__", function))


def _local_names(code: CodeType | None) -> dict[str, Any]:
    """The local names of the function that has made this one, while it runs."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and code is not None:
        if any(constant is code for constant in frame.f_code.co_consts):
            is_module = frame.f_locals is frame.f_globals
            return {} if is_module else dict(frame.f_locals)
        frame = frame.f_back
    return {}


def _callers_names() -> dict[str, Any]:
    """The local names of whoever called this package."""
    frame = sys._getframe()
    while frame.f_globals.get("__name__", "").split(".")[0] == "usechat" and frame.f_back:
        frame = frame.f_back
    return dict(frame.f_locals)
