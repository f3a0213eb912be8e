"""The parts of a message, in the SDK's words.

Source: ai 7.0.173, src/ui/ui-messages.ts. What came in goes out as the same JSON value: an unset
field is absent, null is null, unknown fields and parts are kept.
"""

# Annotations are no texts here: pydantic would take long to evaluate them.
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)
from pydantic.alias_generators import to_camel

from usechat.model.json import dumps

JSONObject = dict[str, Any]
"""A JSON object: its values are plain JSON values."""

ToolState = Literal[
    "input-streaming",
    "input-available",
    "approval-requested",
    "approval-responded",
    "output-available",
    "output-error",
    "output-denied",
]
"""How far a tool call has come."""


class WireModel(BaseModel):
    """The base of messages and parts: frozen, tolerant of fields it does not know.

    Python names are snake_case, the JSON form is the SDK's camelCase; either is accepted.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    @model_serializer(mode="wrap")
    def _leave_out_unset(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        by_alias = info.by_alias is not False
        for name, field in type(self).model_fields.items():
            if name not in self.model_fields_set and name != "type":
                fields.pop((field.alias if by_alias else None) or name, None)
        if info.exclude_unset and "type" in type(self).model_fields:
            # Without it nobody could tell what it is.
            fields = {"type": getattr(self, "type"), **fields}  # noqa: B009
        return fields

    def model_dump_json(self, **options: Any) -> str:
        """The JSON text, as pydantic gives it; escaped ASCII where UTF-8 cannot carry it.

        Args:
            options: those of ``BaseModel.model_dump_json``.
        """
        try:
            return super().model_dump_json(**options)
        except ValueError:
            # A half of a surrogate pair. Its escapes have no indent or filters.
            return dumps(self).decode()


class TextPart(WireModel):
    """Text. ``state`` is ``streaming`` until the server has ended the part."""

    type: Literal["text"] = "text"
    text: str
    state: Literal["streaming", "done"] | None = None
    citations: list[Any] | None = None
    provider_metadata: JSONObject | None = None


class ReasoningPart(WireModel):
    """What the model thought before it answered."""

    type: Literal["reasoning"] = "reasoning"
    text: str
    id: str | None = None
    state: Literal["streaming", "done"] | None = None
    provider_metadata: JSONObject | None = None


class FilePart(WireModel):
    """A file: a URL (a data URL for bytes) and its media type."""

    type: Literal["file"] = "file"
    url: str
    media_type: str
    filename: str | None = None
    provider_reference: JSONObject | None = None
    provider_metadata: JSONObject | None = None


class ReasoningFilePart(WireModel):
    """A file that belongs to the reasoning."""

    type: Literal["reasoning-file"] = "reasoning-file"
    url: str
    media_type: str
    provider_metadata: JSONObject | None = None


class SourceUrlPart(WireModel):
    """A source that the answer rests on, by its URL."""

    type: Literal["source-url"] = "source-url"
    source_id: str
    url: str
    title: str | None = None
    provider_metadata: JSONObject | None = None


class SourceDocumentPart(WireModel):
    """A source that the answer rests on, a document."""

    type: Literal["source-document"] = "source-document"
    source_id: str
    media_type: str
    title: str
    filename: str | None = None
    provider_metadata: JSONObject | None = None


class StepStartPart(WireModel):
    """The begin of a step: one call of the model."""

    type: Literal["step-start"] = "step-start"


class CustomPart(WireModel):
    """Content of a kind that one provider knows, ``provider.type``."""

    type: Literal["custom"] = "custom"
    kind: str
    provider_metadata: JSONObject | None = None


class SteeringMessagePart(WireModel):
    """A user's message that was added to a running reply."""

    type: Literal["steering-message"] = "steering-message"
    id: str
    parts: list[JSONObject]


class DataPart(WireModel):
    """Data of the application's own; ``type`` is ``data-`` and a name."""

    type: str
    id: str | None = None
    data: Any = None

    @property
    def name(self) -> str:
        """The type without ``data-``."""
        return self.type[5:]


class ToolApproval(WireModel):
    """The approval of a tool call: asked for, and once answered ``approved``."""

    id: str
    approved: bool | None = None
    reason: str | None = None
    request_reason: str | None = None
    descriptor: Any = None
    is_automatic: bool | None = None
    signature: str | None = None
    input_schema_input: Any = None


class ToolCallPart(WireModel):
    """What static and dynamic tool calls have in common."""

    type: str
    tool_call_id: str
    state: ToolState
    title: str | None = None
    input: Any = None
    raw_input: Any = None
    input_encoding: str | None = None
    output: Any = None
    error_text: str | None = None
    preliminary: bool | None = None
    provider_executed: bool | None = None
    approval: ToolApproval | None = None
    tool_metadata: JSONObject | None = None
    call_provider_metadata: JSONObject | None = None
    result_provider_metadata: JSONObject | None = None

    @property
    def waits(self) -> bool:
        """Whether the call waits for somebody here: for an output, or for an approval."""
        if self.state == "approval-requested":
            return True
        return self.state == "input-available" and not self.provider_executed


class ToolPart(ToolCallPart):
    """A call of a tool that the server declared; ``type`` is ``tool-`` and its name."""

    @property
    def tool_name(self) -> str:
        """The name of the tool."""
        return self.type[5:]


class DynamicToolPart(ToolCallPart):
    """A call of a tool that is known at run time only."""

    type: Literal["dynamic-tool"] = "dynamic-tool"
    tool_name: str


AnyToolPart = ToolPart | DynamicToolPart
"""A tool call of either kind."""


class UnknownPart(WireModel):
    """A part of a type that this version does not know, kept as it came."""

    type: str


_TAGS = {
    "text",
    "reasoning",
    "file",
    "reasoning-file",
    "source-url",
    "source-document",
    "step-start",
    "custom",
    "steering-message",
    "dynamic-tool",
}


def tag_of_part(value: Any) -> str:
    """Which kind of part a value is: a known type, ``tool``, ``data`` or ``unknown``.

    Args:
        value: a part, or the mapping of one.
    """
    kind = value.get("type") if isinstance(value, Mapping) else getattr(value, "type", None)
    if not isinstance(kind, str):
        return "unknown"
    if kind in _TAGS:
        return kind
    if kind.startswith("tool-"):
        return "tool"
    return "data" if kind.startswith("data-") else "unknown"


Part = Annotated[
    Annotated[TextPart, Tag("text")]
    | Annotated[ReasoningPart, Tag("reasoning")]
    | Annotated[ToolPart, Tag("tool")]
    | Annotated[DynamicToolPart, Tag("dynamic-tool")]
    | Annotated[FilePart, Tag("file")]
    | Annotated[ReasoningFilePart, Tag("reasoning-file")]
    | Annotated[SourceUrlPart, Tag("source-url")]
    | Annotated[SourceDocumentPart, Tag("source-document")]
    | Annotated[DataPart, Tag("data")]
    | Annotated[StepStartPart, Tag("step-start")]
    | Annotated[CustomPart, Tag("custom")]
    | Annotated[SteeringMessagePart, Tag("steering-message")]
    | Annotated[UnknownPart, Tag("unknown")],
    Discriminator(tag_of_part),
]
"""Any part of a message."""
