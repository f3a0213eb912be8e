"""Messages.

Source: ai 7.0.173, src/ui/ui-messages.ts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import (
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from usechat.errors import InvalidArgumentError
from usechat.model.json import dumps
from usechat.model.markdown import markdown_of_message
from usechat.model.parts import (
    DynamicToolPart,
    Part,
    ReasoningPart,
    StepStartPart,
    TextPart,
    ToolPart,
    WireModel,
)

_LONGEST_PLACE = 200

Role = Literal["system", "user", "assistant"]
"""Who speaks."""


class UIMessage(WireModel):
    """One message of a chat. It never changes; a new state is a new message.

    ``model_dump()`` is its wire form, and ``UIMessage(**message.model_dump()) == message``.
    Frozen is shallow: ``metadata`` and what tools and data parts hold are plain JSON values.
    """

    # Where the encoded form is kept; a slot is in no dump, comparison or pickle.
    __slots__ = ("_encoded",)

    id: str
    role: Role
    parts: tuple[Part, ...] = ()
    metadata: Any = None

    @model_serializer(mode="wrap")
    def _leave_out_unset(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        if "parts" in fields:
            fields["parts"] = list(fields["parts"])
        elif not (info.include or info.exclude):
            fields["parts"] = []
        if "metadata" not in self.model_fields_set:
            fields.pop("metadata", None)
        return fields

    @property
    def text(self) -> str:
        """The text parts as one text, a blank line between steps; half characters are U+FFFD."""
        return text_of_parts(self.parts)

    @property
    def reasoning(self) -> str:
        """The reasoning parts as one text, a blank line between them."""
        return "\n\n".join(
            printable(part.text) for part in self.parts if isinstance(part, ReasoningPart)
        )

    @property
    def tool_parts(self) -> tuple[ToolPart | DynamicToolPart, ...]:
        """The tool calls, in order."""
        return tuple(p for p in self.parts if isinstance(p, (ToolPart, DynamicToolPart)))

    @property
    def pending(self) -> tuple[ToolPart | DynamicToolPart, ...]:
        """The tool calls that wait for an output or an approval from this side."""
        return tuple(part for part in self.tool_parts if part.waits)

    def _repr_markdown_(self) -> str:
        """What a notebook shows of it; see ``usechat.model.markdown``."""
        return markdown_of_message(self)

    def encoded(self) -> bytes:
        """The message as JSON for a request; made once and kept."""
        try:
            # Not self._encoded: where the slot is empty, pydantic finds a field of that name.
            encoded: bytes = object.__getattribute__(self, "_encoded")
        except AttributeError:
            encoded = dumps(self)
            object.__setattr__(self, "_encoded", encoded)
        return encoded


def text_of_parts(parts: Iterable[Any]) -> str:
    """The text parts as one text, a blank line between steps that have text.

    Args:
        parts: parts of a message.
    """
    steps: list[str] = []
    fresh = True
    for part in parts:
        if isinstance(part, StepStartPart):
            fresh = True
        elif isinstance(part, TextPart) and part.text:
            if fresh or not steps:
                steps.append("")
                fresh = False
            steps[-1] += printable(part.text)
    return "\n\n".join(steps)


def printable(text: str) -> str:
    """The text with lone halves of surrogate pairs as U+FFFD, so that it can be printed.

    Args:
        text: any text.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def message_from(value: Any) -> UIMessage:
    """A message from a message or from its wire form.

    Args:
        value: a UIMessage, or a mapping with ``id``, ``role`` and ``parts``.

    Raises:
        InvalidArgumentError: it is no message; says where it is wrong.
    """
    if isinstance(value, UIMessage):
        return value
    try:
        return UIMessage.model_validate(value)
    except ValidationError as error:
        raise InvalidArgumentError(f"This is no message: {where_wrong(error)}.") from error


def where_wrong(error: ValidationError) -> str:
    """The first fault that pydantic found, in one line and without the value.

    Args:
        error: what pydantic raised.
    """
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    named = ".".join(map(str, first["loc"]))[:_LONGEST_PLACE] or "the value"
    where = "".join(c if c.isprintable() else "\ufffd" for c in named)
    return f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}"
