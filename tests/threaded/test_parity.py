"""The two sessions are one interface: what one has the other has, and says the same of it."""

from __future__ import annotations

import inspect
import re
import typing
from typing import Any

import pytest

from usechat import AsyncChatSession, AsyncTurn, ChatSession, Turn

# What differs by nature: how they are closed and entered, and what a loop has to do with it.
ONLY_SYNC = {"close", "__enter__", "__exit__"}
ONLY_ASYNC = {"aclose", "__aenter__", "__aexit__"}
TURN_ONLY_SYNC = {"__iter__"}
TURN_ONLY_ASYNC = {"__aiter__", "__await__", "__del__"}


def members(cls: type) -> dict[str, Any]:
    """What users see of a class, and the special methods that it defines itself."""
    own = {
        name
        for base in cls.__mro__
        if base.__module__.startswith("usechat")
        for name in vars(base)
        if name.startswith("__") and callable(vars(base)[name])
    }
    hidden = {"__init__", "__class_getitem__", "__init_subclass__"}
    public = {name for name in dir(cls) if not name.startswith("_")}
    return {name: inspect.getattr_static(cls, name) for name in (public | own) - hidden}


def parameters(function: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def args_of(docstring: str | None) -> dict[str, str]:
    """The Args section: each name with what is said of it."""
    assert docstring is not None
    section = re.search(r"Args:\n(.*?)(?:\n\n|\Z)", inspect.cleandoc(docstring), re.DOTALL)
    assert section is not None
    entries = re.split(r"\n(?=    \S)", section[1])
    return {name.strip(): said for name, _, said in (e.partition(":") for e in entries)}


def test_the_constructors_take_the_same() -> None:
    sync, asynchronous = parameters(ChatSession), parameters(AsyncChatSession)
    extra = [p for p in sync if p.name == "dispatch"]
    assert [(p.kind, p.default) for p in extra] == [(inspect.Parameter.KEYWORD_ONLY, None)]
    assert [p for p in sync if p.name != "dispatch"] == asynchronous  # annotations too


def test_the_constructors_annotations_mean_the_same() -> None:
    sync = typing.get_type_hints(ChatSession.__init__)
    sync.pop("dispatch")
    assert sync == typing.get_type_hints(AsyncChatSession.__init__)


def test_the_constructors_say_the_same() -> None:
    sync, asynchronous = args_of(ChatSession.__doc__), args_of(AsyncChatSession.__doc__)
    assert sync.pop("dispatch")
    assert sync == asynchronous
    assert list(sync) == list(asynchronous)
    assert set(asynchronous) == {p.name for p in parameters(AsyncChatSession)}
    for cls in (ChatSession, AsyncChatSession):
        assert inspect.cleandoc(cls.__doc__ or "").endswith(
            "Raises:\n    InvalidArgumentError: an argument cannot be used."
        )


def test_both_have_the_same_state_and_actions() -> None:
    sync, asynchronous = members(ChatSession), members(AsyncChatSession)
    assert sync.keys() - asynchronous.keys() == ONLY_SYNC
    assert asynchronous.keys() - sync.keys() == ONLY_ASYNC


SHARED = sorted(members(ChatSession).keys() & members(AsyncChatSession).keys() - {"stream"})


@pytest.mark.parametrize("name", SHARED)
def test_a_member_is_the_same(name: str) -> None:
    sync, asynchronous = members(ChatSession)[name], members(AsyncChatSession)[name]
    assert type(sync) is type(asynchronous)
    assert inspect.getdoc(sync) == inspect.getdoc(asynchronous)
    if isinstance(sync, property):
        assert (sync.fset is None) == (asynchronous.fset is None)
        sync, asynchronous = sync.fget, asynchronous.fget
    if isinstance(sync, classmethod):
        sync, asynchronous = sync.__func__, asynchronous.__func__
    assert inspect.signature(sync) == inspect.signature(asynchronous)
    assert not inspect.iscoroutinefunction(asynchronous)  # every action is a plain function
    assert inspect.isgeneratorfunction(sync) == inspect.isgeneratorfunction(asynchronous)


def test_both_stream_in_a_block() -> None:
    assert parameters(ChatSession.stream) == parameters(AsyncChatSession.stream)
    assert inspect.getdoc(ChatSession.stream) == inspect.getdoc(AsyncChatSession.stream)


def test_both_close_the_same_way() -> None:
    assert parameters(ChatSession.close) == parameters(AsyncChatSession.aclose)
    first = (inspect.getdoc(ChatSession.close) or "").split("\n")[0]
    assert first == (inspect.getdoc(AsyncChatSession.aclose) or "").split("\n")[0]


def test_their_turns_have_the_same() -> None:
    sync, asynchronous = members(Turn), members(AsyncTurn)
    assert sync.keys() - asynchronous.keys() == TURN_ONLY_SYNC
    assert asynchronous.keys() - sync.keys() == TURN_ONLY_ASYNC


TURN_SHARED = sorted(members(Turn).keys() & members(AsyncTurn).keys() - {"wait", "result"})


@pytest.mark.parametrize("name", TURN_SHARED)
def test_a_member_of_a_turn_is_the_same(name: str) -> None:
    sync, asynchronous = members(Turn)[name], members(AsyncTurn)[name]
    assert type(sync) is type(asynchronous)
    first = (inspect.getdoc(sync) or "").split("\n")[0]
    assert first == (inspect.getdoc(asynchronous) or "").split("\n")[0]
    if not isinstance(sync, property):
        assert parameters(sync) == parameters(asynchronous)


@pytest.mark.parametrize("name", ["wait", "result"])
def test_a_timeout_is_the_only_extra_of_a_turn(name: str) -> None:
    sync, asynchronous = getattr(Turn, name), getattr(AsyncTurn, name)
    extra = [p for p in parameters(sync) if p.name == "timeout"]
    assert [p.default for p in extra] == [None]
    assert [p for p in parameters(sync) if p.name != "timeout"] == parameters(asynchronous)
    assert inspect.iscoroutinefunction(asynchronous)
    assert not inspect.iscoroutinefunction(sync)
    first = (inspect.getdoc(sync) or "").split("\n")[0]
    assert first == (inspect.getdoc(asynchronous) or "").split("\n")[0]


def test_turns_iterate_over_text_and_events() -> None:
    hints = typing.get_type_hints
    pieces = hints(Turn.__iter__)["return"], hints(AsyncTurn.__aiter__)["return"]
    assert [typing.get_args(hint) for hint in pieces] == [(str,), (str,)]
    events = hints(Turn.events)["return"], hints(AsyncTurn.events)["return"]
    assert typing.get_args(events[0])[0] == typing.get_args(events[1])[0]
