"""What a model may give a function: the schema of its signature, and a check of what comes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from inspect import BoundArguments, Parameter, Signature
from typing import Annotated, Any, Optional, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from usechat.errors import InvalidArgumentError
from usechat.model.json import dumps, dumps_whole, loads
from usechat.model.parts import JSONObject
from usechat.tools.faults import ToolInputError, kind_of, said_of
from usechat.tools.hints import hidden_names, is_context, resolved

Model = type[BaseModel]


class Parameters:
    """What a function takes.

    Args:
        function: the function.
        signature: its signature.
        owner: the tool, for messages.
        said: what its docstring says of its parameters.

    Attributes:
        schema: the JSON schema of an object of them.

    Raises:
        InvalidArgumentError: it has ``*args``, or an annotation that makes no schema.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        signature: Signature,
        owner: str,
        said: Mapping[str, str],
    ) -> None:
        self._signature = signature
        self._owner = owner
        self._contexts: list[str] = []
        self._hidden = hidden_names(function)
        self._extra: Parameter | None = None
        self._taken: list[Parameter] = []
        for parameter in resolved(function, signature, owner):
            self._sort(parameter)
        self._model, self.schema = self._checked(said)

    def _sort(self, parameter: Parameter) -> None:
        if parameter.kind is Parameter.VAR_POSITIONAL:
            raise InvalidArgumentError(
                f"The tool {self._owner} takes *{parameter.name}, and what a model gives has "
                "names. Take a list instead."
            )
        if is_context(parameter.annotation):
            self._contexts.append(parameter.name)
        elif parameter.kind is Parameter.VAR_KEYWORD:
            self._extra = parameter
        elif parameter.name not in self._hidden:
            self._taken.append(parameter)

    def _checked(self, said: Mapping[str, str]) -> tuple[Model, JSONObject]:
        try:
            return _made(self._taken, self._extra, said)
        except Exception as error:
            self._blame(said)
            raise InvalidArgumentError(
                f"The parameters of the tool {self._owner} make no JSON schema: {_start(error)}"
            ) from error

    def _blame(self, said: Mapping[str, str]) -> None:
        """Raise for the first parameter that makes no schema alone."""
        for parameter in [*self._taken, *filter(None, [self._extra])]:
            is_extra = parameter is self._extra
            try:
                _made([] if is_extra else [parameter], parameter if is_extra else None, said)
            except Exception as error:
                shown = inspect.formatannotation(parameter.annotation)
                raise InvalidArgumentError(
                    f"The annotation of {parameter.name} in the tool {self._owner}, {shown}, makes "
                    f"no JSON schema: {_start(error)}"
                ) from error

    def bound(self, input: Any) -> BoundArguments:
        """What a model gave, as the function's arguments; all but those for the context.

        Args:
            input: a JSON value; None and ``""``: an empty object.

        Raises:
            ToolInputError: it does not fit.
        """
        given = {} if input is None or input == "" else input
        if not isinstance(given, dict):
            raise ToolInputError(
                f"Invalid input for {self._owner}: it must be an object, not {kind_of(given)}."
            )
        arguments = self._arguments(given, self._validated(given))
        bound = BoundArguments(self._signature, arguments)
        bound.apply_defaults()
        for name in self._contexts:
            bound.arguments.pop(name, None)
        return bound

    def with_context(self, bound: BoundArguments, context: object) -> BoundArguments:
        """The arguments with the context where the function wants it.

        Args:
            bound: the arguments.
            context: the context.
        """
        arguments = {**bound.arguments, **dict.fromkeys(self._contexts, context)}
        return BoundArguments(self._signature, arguments)

    def named(self, bound: BoundArguments) -> dict[str, Any]:
        """The arguments by their names, ``**kwargs`` among them.

        Args:
            bound: the arguments.
        """
        named = {k: v for k, v in bound.arguments.items() if k not in self._hidden}
        if self._extra is not None:
            named.update(named.pop(self._extra.name, {}))
        return named

    def _validated(self, given: dict[str, Any]) -> BaseModel:
        try:
            # As JSON: what it lacks (dates, sets, bytes) is taken from what it has, in strict
            # types too.
            return self._model.model_validate_json(dumps_whole(given))
        except ValidationError as error:
            raise ToolInputError(f"Invalid input for {self._owner}:\n{said_of(error)}") from None
        except InvalidArgumentError:
            raise ToolInputError(f"Invalid input for {self._owner}: it is no JSON.") from None

    def _arguments(self, given: dict[str, Any], model: BaseModel) -> dict[str, Any]:
        arguments = {
            parameter.name: model.__dict__[field]
            for field, parameter in _fields(self._taken)
            if parameter.name in given or not _has_default(parameter)
        }
        if self._extra is not None:
            extra = dict(model.__pydantic_extra__ or {})
            for name in [*self._hidden, *self._contexts]:
                if name in extra:
                    raise ToolInputError(f"Invalid input for {self._owner}:\n{name}: Not permitted")
            arguments[self._extra.name] = extra
        return arguments


class _Schema(GenerateJsonSchema):
    ignored_warning_kinds = GenerateJsonSchema.ignored_warning_kinds | {"non-serializable-default"}

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _made(
    parameters: Iterable[Parameter], extra: Parameter | None, said: Mapping[str, str]
) -> tuple[Model, JSONObject]:
    """A model with the parameters as fields, and its JSON schema."""
    fields: dict[str, Any] = {
        field: _field(parameter, said.get(parameter.name))
        for field, parameter in _fields(parameters)
    }
    model: Model = create_model("Arguments", __base__=_base(extra), **fields)
    model.model_rebuild(raise_errors=True)
    schema = model.model_json_schema(schema_generator=_Schema)
    for definition in [schema, *schema.get("$defs", {}).values()]:
        definition.pop("title", None)  # a class's name
    schema.setdefault("additionalProperties", extra is not None)
    return model, loads(dumps({"type": "object", "properties": {}, **schema}).decode())


def _base(extra: Parameter | None) -> Model:
    config = ConfigDict(extra="forbid" if extra is None else "allow", protected_namespaces=())
    members: dict[str, Any] = {"__module__": __name__, "model_config": config}
    if extra is not None and extra.annotation is not Parameter.empty:
        values: Any = dict[str, extra.annotation]  # type: ignore[name-defined]
        members["__annotations__"] = {"__pydantic_extra__": values}
    return type("Base", (BaseModel,), members)


def _fields(parameters: Iterable[Parameter]) -> Iterable[tuple[str, Parameter]]:
    """Names of our own: a parameter's may be one that no field can have."""
    return ((f"p{index}", parameter) for index, parameter in enumerate(parameters))


def _has_default(parameter: Parameter) -> bool:
    return not (parameter.default is Parameter.empty or isinstance(parameter.default, FieldInfo))


def _field(parameter: Parameter, said: str | None) -> tuple[Any, FieldInfo]:
    annotation = Any if parameter.annotation is Parameter.empty else parameter.annotation
    if isinstance(parameter.default, FieldInfo):
        annotation = Annotated[annotation, parameter.default]
    options: dict[str, Any] = dict.fromkeys(
        ["alias", "validation_alias", "serialization_alias"], parameter.name
    )
    if (text := _description(annotation, said)) is not None:
        options["description"] = text
    if parameter.default is None:  # what the model sees as the default, it may give
        annotation = Optional[annotation]  # noqa: UP045 (a class may have its own |)
    if parameter.default is ...:  # pydantic's sign for: required
        options["default_factory"] = lambda: ...
    elif _has_default(parameter):
        options["default"] = parameter.default
    return annotation, Field(**options)


def _description(annotation: Any, said: str | None) -> str | None:
    """The parameter's description: its annotation's, or else the docstring's."""
    notes = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    for note in notes:
        if isinstance(note, FieldInfo) and note.description is not None:
            return note.description
    return next((note for note in notes if isinstance(note, str)), said)


def _start(error: Exception) -> str:
    """What an exception says, without pydantic's advice."""
    return str(error).partition("\n")[0]
