"""What a signature becomes for the model, and what cannot be a tool."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field
from typing_extensions import NotRequired, TypedDict

from usechat import InvalidArgumentError
from usechat.model.tools import ToolDefinition
from usechat.tools.context import ToolContext
from usechat.tools.tool import Tool, as_tool

if TYPE_CHECKING:
    from nowhere import Missing

SENTINEL: Any = object()
STRING = {"type": "string"}
INTEGER = {"type": "integer"}


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict):
    title: str
    wide: NotRequired[bool]


class Tree(BaseModel):
    """A tree."""

    title: str = Field(title="Of the tree")
    trees: list[Tree] = []


def nothing(): ...  # type: ignore[no-untyped-def]
def unannotated(a, b=1): ...  # type: ignore[no-untyped-def]
def plain_types(a: str, b: int, c: float, d: bool, e: None) -> None: ...
def containers(a: list[int], b: dict[str, int], c: tuple[int, str], d: set[str]) -> None: ...
def optional(a: int | None, b: Optional[str] = None) -> None: ...  # noqa: UP045
def defaults(a: int = 3, b: str = "x", c: Any = SENTINEL, d: Any = ..., e: float = 1.5) -> None: ...
def literal(a: Literal["x", "y"], b: Color = Color.RED) -> None: ...
def classes(a: Point, b: Options, c: Tree) -> None: ...
def dates(a: date, b: bytes) -> None: ...
def constrained(a: Annotated[int, Field(ge=1, description="from one")]) -> None: ...
def noted(
    a: Annotated[str, "the text"], b: Annotated[str, "the text", Field(min_length=2)]
) -> None: ...
def field_default(a: int = Field(ge=1, description="one"), b: int = Field(default=2)) -> None: ...
def more(a: int, **rest: Any) -> None: ...
def typed_more(a: int, **rest: Color) -> None: ...
def only(a: int, /, b: int, *, c: int) -> None: ...
def odd(schema: int, copy: int, json: int, model_config: int, _x: int, self_: int) -> None: ...
def titled(title: str, properties: str = "title") -> None: ...
def with_context(a: str, ctx: ToolContext) -> None: ...
def maybe_context(a: str, ctx: ToolContext | None = None) -> None: ...
def infinite(a: float = math.inf) -> None: ...


def shape(required: list[str] = [], /, **properties: Any) -> dict[str, Any]:  # noqa: B006
    made = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**made, "required": required} if required else made


def described(schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {**schema, "description": text}


INTEGERS = {"items": INTEGER, "type": "array"}

SCHEMAS: dict[Callable[..., Any], dict[str, Any]] = {
    nothing: shape(),
    unannotated: shape(["a"], a={}, b={"default": 1}),
    plain_types: shape(
        ["a", "b", "c", "d", "e"],
        a=STRING,
        b=INTEGER,
        c={"type": "number"},
        d={"type": "boolean"},
        e={"type": "null"},
    ),
    containers: shape(
        ["a", "b", "c", "d"],
        a=INTEGERS,
        b={"type": "object", "additionalProperties": INTEGER},
        c={"type": "array", "prefixItems": [INTEGER, STRING], "minItems": 2, "maxItems": 2},
        d={"type": "array", "items": STRING, "uniqueItems": True},
    ),
    optional: shape(
        ["a"],
        a={"anyOf": [INTEGER, {"type": "null"}]},
        b={"anyOf": [STRING, {"type": "null"}], "default": None},
    ),
    defaults: shape(
        a={**INTEGER, "default": 3},
        b={**STRING, "default": "x"},
        c={},
        d={},
        e={"type": "number", "default": 1.5},
    ),
    dates: shape(["a", "b"], a={**STRING, "format": "date"}, b={**STRING, "format": "binary"}),
    constrained: shape(["a"], a={**INTEGER, "minimum": 1, "description": "from one"}),
    noted: shape(
        ["a", "b"],
        a=described(STRING, "the text"),
        b=described({**STRING, "minLength": 2}, "the text"),
    ),
    field_default: shape(
        ["a"], a={**INTEGER, "minimum": 1, "description": "one"}, b={**INTEGER, "default": 2}
    ),
    more: {**shape(["a"], a=INTEGER), "additionalProperties": True},
    only: shape(["a", "b", "c"], a=INTEGER, b=INTEGER, c=INTEGER),
    odd: shape(
        ["schema", "copy", "json", "model_config", "_x", "self_"],
        **dict.fromkeys(["schema", "copy", "json", "model_config", "_x", "self_"], INTEGER),
    ),
    titled: shape(["title"], title=STRING, properties={**STRING, "default": "title"}),
    with_context: shape(["a"], a=STRING),
    maybe_context: shape(["a"], a=STRING),
    infinite: shape(a={"type": "number", "default": None}),
    partial(plain_types, "x", d=True, e=None): shape(["b", "c"], b=INTEGER, c={"type": "number"}),
    literal: {
        **shape(
            ["a"],
            a={"enum": ["x", "y"], **STRING},
            b={"$ref": "#/$defs/Color", "default": "red"},
        ),
        "$defs": {"Color": {"enum": ["red", "blue"], **STRING}},
    },
    typed_more: {
        **shape(["a"], a=INTEGER),
        "additionalProperties": {"$ref": "#/$defs/Color"},
        "$defs": {"Color": {"enum": ["red", "blue"], **STRING}},
    },
    classes: {
        **shape(
            ["a", "b", "c"],
            a={"$ref": "#/$defs/Point"},
            b={"$ref": "#/$defs/Options"},
            c={"$ref": "#/$defs/Tree"},
        ),
        "$defs": {
            "Point": shape(["x"], x=INTEGER, y={**INTEGER, "default": 0}),
            "Options": shape(["title"], title=STRING, wide={"type": "boolean"}),
            "Tree": {
                "description": "A tree.",
                "type": "object",
                "properties": {
                    "title": {**STRING, "title": "Of the tree"},
                    "trees": {"type": "array", "items": {"$ref": "#/$defs/Tree"}, "default": []},
                },
                "required": ["title"],
            },
        },
    },
}


@pytest.mark.parametrize("function", SCHEMAS, ids=lambda f: getattr(f, "__name__", "partial"))
def test_signatures(function: Callable[..., Any]) -> None:
    assert Tool(function).input_schema == SCHEMAS[function]


def test_the_docstring_describes_the_tool_and_its_parameters() -> None:
    def weather(city: str, days: Annotated[int, "how many"] = 1) -> str:
        """The weather.

        Args:
            city: where
            days: not this
        """
        return f"{city} {days}"

    tool = Tool(weather)
    assert tool.definition == ToolDefinition(
        "weather",
        "The weather.",
        shape(
            ["city"],
            city=described(STRING, "where"),
            days={**INTEGER, "default": 1, "description": "how many"},
        ),
    )
    assert tool("Rome", days=2) == "Rome 2"
    assert repr(tool) == "Tool(weather)"
    assert as_tool(tool) is tool


def test_the_options_go_before_what_the_function_says() -> None:
    def ask(arguments: dict[str, Any]) -> bool:
        return True

    tool = Tool(titled, name="my-tool", description="Mine.", timeout=2, needs_approval=ask)
    assert (tool.name, tool.description, tool.timeout) == ("my-tool", "Mine.", 2)
    assert tool.needs_approval is ask
    with pytest.raises(InvalidArgumentError, match="my-tool is a tool already"):
        Tool(tool, timeout=3)


def test_a_default_of_none_may_be_given() -> None:
    def search(
        query: str,
        unit: str = None,  # type: ignore[assignment]  # noqa: RUF013
        limit: Annotated[int, Field(ge=1, description="how many")] = None,  # type: ignore[assignment]  # noqa: RUF013
    ) -> None: ...

    tool = Tool(search)
    unit, limit = (tool.input_schema["properties"][name] for name in ("unit", "limit"))
    assert unit == {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    assert limit["description"] == "how many"
    assert tool.arguments_of({"query": "x", "unit": None, "limit": None}).arguments == {
        "query": "x",
        "unit": None,
        "limit": None,
    }


class Joining(type):
    def __or__(cls, other: Any) -> Any:
        return bytes


class Word(str, metaclass=Joining):
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return handler(str)


def test_a_class_with_an_or_of_its_own_may_have_a_default_of_none() -> None:
    def say(word: Word = None) -> None: ...  # type: ignore[assignment]

    word = Tool(say).input_schema["properties"]["word"]
    assert word == {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}


class City(BaseModel):
    name: str


def test_a_local_type_hides_one_of_the_module() -> None:
    class City(BaseModel):
        zip: int

    def visit(city: City) -> None: ...

    assert list(Tool(visit).input_schema["$defs"]["City"]["properties"]) == ["zip"]


def test_a_method_without_its_object_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="greet is a method"):
        Tool(Greeter.greet)
    assert Tool(Greeter().greet).input_schema["required"] == ["name"]
    assert Tool(Greeter.shout).input_schema["required"] == ["name"]


class Greeter:
    """Greets."""

    def greet(self, name: str) -> str:
        return f"Hello {name}"

    @staticmethod
    def shout(name: str) -> str:
        return f"HELLO {name}"

    def __call__(self, name: str) -> str:
        return f"Hello {name}"

    def method(self, name: str) -> str:
        """By a method."""
        return name

    @classmethod
    def by_class(cls, name: str) -> str:
        return name

    @staticmethod
    def static(name: str) -> str:
        return name


def test_callables_of_other_kinds() -> None:
    for made, name, text in [
        (Greeter(), "Greeter", "Greets."),
        (Greeter().method, "method", "By a method."),
        (Greeter.by_class, "by_class", ""),
        (Greeter.static, "static", ""),
        (partial(Greeter().method), "method", "By a method."),
        (partial(Greeter()), "Greeter", "Greets."),
    ]:
        tool = as_tool(made)
        assert (tool.name, tool.description) == (name, text)
        assert tool.input_schema == shape(["name"], name=STRING)
    assert Tool(math.floor).input_schema == shape(["x"], x={})
    assert Tool(lambda x: x, name="same").input_schema == shape(["x"], x={})


def test_a_decorated_function_is_what_it_decorates() -> None:
    @wraps(with_context)
    def wrapper(*args: Any, **kwargs: Any) -> Any: ...

    tool = Tool(wrapper)
    assert (tool.name, tool.input_schema) == ("with_context", SCHEMAS[with_context])


def test_types_that_are_local_are_found() -> None:
    class Local(BaseModel):
        x: int

    def function(a: Local, b: list[Local]) -> Missing: ...

    schema = Tool(function).input_schema
    assert schema["properties"]["a"] == {"$ref": "#/$defs/Local"}
    assert Tool(function).arguments_of({"a": {"x": 1}, "b": []}).args == (Local(x=1), [])


def made(function: Callable[..., Any]) -> Tool:
    return Tool(function)


def test_types_that_are_local_to_where_the_function_was_made_are_found() -> None:
    class Local(BaseModel):
        x: int

    def function(a: Local) -> None: ...

    assert made(function).input_schema["properties"] == {"a": {"$ref": "#/$defs/Local"}}


def test_the_context_need_not_be_imported_when_the_program_runs() -> None:
    names: dict[str, Any] = {}
    exec("def function(a: int, ctx: 'ToolContext') -> 'Nowhere': ...", names)
    assert Tool(names["function"]).input_schema == shape(["a"], a=INTEGER)


def unknown(a: Missing) -> None: ...
def unknown_inside(a: int, b: list[Missing]) -> None: ...
def no_schema(a: int, b: threading.Lock) -> None: ...
def no_schema_more(a: int, **b: threading.Event) -> None: ...
def no_json(a: Callable[[], int]) -> None: ...
def starred(*args: int) -> None: ...
def contexts(a: list[ToolContext]) -> None: ...


async def asynchronous() -> None: ...


async def asynchronous_generator() -> AsyncIterator[int]:
    yield 1


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "unknown": (lambda: Tool(unknown), "annotation of a in the tool unknown, Missing, cannot"),
    "inside": (lambda: Tool(unknown_inside), r"b in the tool unknown_inside, list\[Missing\]"),
    "no schema": (lambda: Tool(no_schema), "of b in the tool no_schema, .*makes no JSON schema"),
    "more": (lambda: Tool(no_schema_more), "of b in the tool no_schema_more"),
    "no JSON": (lambda: Tool(no_json), "of a in the tool no_json"),
    "*args": (lambda: Tool(starred), r"starred takes \*args"),
    "contexts": (lambda: Tool(contexts), "of a in the tool contexts"),
    "lambda": (lambda: Tool(lambda: 1), "'<lambda>' cannot be a tool's name"),
    "name": (lambda: Tool(nothing, name="my tool"), "'my tool' cannot"),
    "newline": (lambda: Tool(nothing, name="my\n"), "cannot be a tool's name"),
    "long name": (lambda: Tool(nothing, name="a" * 65), "1 to 64"),
    "empty name": (lambda: Tool(nothing, name=""), "1 to 64"),
    "no name": (lambda: Tool(nothing, name=5), "5 cannot"),  # type: ignore[arg-type]
    "description": (lambda: Tool(nothing, description=5), "is a text, not int"),  # type: ignore[arg-type]
    "class": (lambda: as_tool(Point), "Point is a class"),
    "coroutine": (lambda: as_tool(asynchronous()), "without parentheses"),
    "generator": (lambda: as_tool(x for x in "a"), "without parentheses"),
    "async generator": (lambda: as_tool(asynchronous_generator()), "without parentheses"),
    "text": (lambda: as_tool("nothing"), "a function or a Tool, not str"),
    "None": (lambda: as_tool(None), "not NoneType"),
    "no signature": (lambda: as_tool(dict.update), "no signature that can be read"),
    "timeout 0": (lambda: Tool(nothing, timeout=0), "above 0"),
    "timeout nan": (lambda: Tool(nothing, timeout=math.nan), "above 0"),
    "timeout inf": (lambda: Tool(nothing, timeout=math.inf), "above 0"),
    "timeout True": (lambda: Tool(nothing, timeout=True), "above 0"),
    "timeout text": (lambda: Tool(nothing, timeout="5"), "above 0"),  # type: ignore[arg-type]
    "approval": (lambda: Tool(nothing, needs_approval=1), "True, False, or a function"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_a_tool(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said) as caught:
        make()
    assert "pydantic.dev" not in str(caught.value)


FUTURE_FREE = """
from usechat.tools.context import ToolContext
from usechat.tools.tool import Tool

def plain(a: int, b: "list[int]", ctx: "ToolContext | None" = None) -> None: ...

print(sorted(Tool(plain).input_schema["properties"]))
"""


def test_a_module_without_the_future_import() -> None:
    made = subprocess.run(
        [sys.executable, "-W", "error", "-c", FUTURE_FREE],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout == "['a', 'b']\n"
