"""The chunks of the UI message stream, as they come over the wire.

A chunk is a plain dict; its class here says what is in it and validates it. Fields beyond those
named are kept. Source: ai 7.0.173, src/ui-message-stream/ui-message-chunks.ts.
"""

# Annotations are no texts here: pydantic would take long to evaluate 150 of them.
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import Field, with_config
from typing_extensions import NotRequired, TypedDict

from usechat.model.parts import JSONObject, WireModel

UIMessageChunk: TypeAlias = dict[str, Any]
"""A chunk in wire form: ``{"type": "text-delta", "id": "t1", "delta": "Hel"}``."""

ProviderMetadata: TypeAlias = dict[str, JSONObject]
"""Fields of a provider's own, by provider."""

FINISH_REASONS = frozenset(
    {"stop", "length", "content-filter", "tool-calls", "error", "interrupted", "other"}
)
"""Why a reply finishes, in the words of ai 7.0.173; servers may send others."""


@with_config(extra="allow", strict=True)
class _Chunk(TypedDict):
    """What all chunks have in common: unknown fields are kept, nothing is converted."""


class _ProviderChunk(_Chunk):
    providerMetadata: NotRequired[ProviderMetadata]


class StartChunk(_Chunk):
    """The reply begins; its message may have an id and metadata."""

    type: Literal["start"]
    messageId: NotRequired[str]
    messageMetadata: NotRequired[Any]


class StepChunk(_Chunk):
    """A step (one call of the model) begins, ends, or is taken back."""

    type: Literal["start-step", "finish-step", "reset-step"]


class PartStartChunk(_ProviderChunk):
    """A text or a reasoning part begins."""

    type: Literal["text-start", "reasoning-start"]
    id: str


class PartDeltaChunk(_ProviderChunk):
    """More of a text or a reasoning part."""

    type: Literal["text-delta", "reasoning-delta"]
    id: str
    delta: str


class _UrlSource(TypedDict):
    type: Literal["source"]
    sourceType: Literal["url"]
    id: str
    url: str
    title: NotRequired[str]
    providerMetadata: NotRequired[ProviderMetadata]


class _DocumentSource(TypedDict):
    type: Literal["source"]
    sourceType: Literal["document"]
    id: str
    mediaType: str
    title: str
    filename: NotRequired[str]
    providerMetadata: NotRequired[ProviderMetadata]


@with_config(strict=True)
class Citation(TypedDict):
    """What supports a piece of text. Unknown fields are dropped, as by the SDK."""

    source: _UrlSource | _DocumentSource
    startIndex: NotRequired[Annotated[int, Field(ge=0)]]
    endIndex: NotRequired[Annotated[int, Field(ge=0)]]
    citedText: NotRequired[str]


class TextEndChunk(_ProviderChunk):
    """A text part is complete."""

    type: Literal["text-end"]
    id: str
    citations: NotRequired[list[Citation]]


class ReasoningEndChunk(_ProviderChunk):
    """A reasoning part is complete."""

    type: Literal["reasoning-end"]
    id: str


class _ToolChunk(_ProviderChunk):
    toolCallId: str
    providerExecuted: NotRequired[bool]
    toolMetadata: NotRequired[JSONObject]
    dynamic: NotRequired[bool]


class ToolInputStartChunk(_ToolChunk):
    """A tool call begins."""

    type: Literal["tool-input-start"]
    toolName: str
    inputEncoding: NotRequired[Literal["json", "text"]]
    title: NotRequired[str]


class ToolInputDeltaChunk(_Chunk):
    """More of a tool call's input, as text."""

    type: Literal["tool-input-delta"]
    toolCallId: str
    inputTextDelta: str


class ToolInputAvailableChunk(_ToolChunk):
    """A tool call's input is complete."""

    type: Literal["tool-input-available"]
    toolName: str
    input: Any
    title: NotRequired[str]


class ToolInputErrorChunk(_ToolChunk):
    """A tool call's input cannot be used."""

    type: Literal["tool-input-error"]
    toolName: str
    input: Any
    errorText: str
    title: NotRequired[str]


class ToolApprovalRequestChunk(_Chunk):
    """A tool call wants to be approved."""

    type: Literal["tool-approval-request"]
    approvalId: str
    toolCallId: str
    approvalDescriptor: NotRequired[Any]
    inputSchemaInput: NotRequired[Any]
    reason: NotRequired[str]
    isAutomatic: NotRequired[bool]
    signature: NotRequired[str]


class ToolApprovalResponseChunk(_ProviderChunk):
    """An approval was answered on the server's side."""

    type: Literal["tool-approval-response"]
    approvalId: str
    approved: bool
    reason: NotRequired[str]
    providerExecuted: NotRequired[bool]


class ToolOutputAvailableChunk(_ToolChunk):
    """A tool's output; ``preliminary`` where more will come."""

    type: Literal["tool-output-available"]
    output: Any
    preliminary: NotRequired[bool]


class ToolOutputErrorChunk(_ToolChunk):
    """A tool failed."""

    type: Literal["tool-output-error"]
    errorText: str


class ToolOutputDeniedChunk(_Chunk):
    """A tool call was not approved."""

    type: Literal["tool-output-denied"]
    toolCallId: str


class CustomChunk(_ProviderChunk):
    """Content of a kind that one provider knows."""

    type: Literal["custom"]
    kind: str


class SourceUrlChunk(_ProviderChunk):
    """A source: a URL."""

    type: Literal["source-url"]
    sourceId: str
    url: str
    title: NotRequired[str]


class SourceDocumentChunk(_ProviderChunk):
    """A source: a document."""

    type: Literal["source-document"]
    sourceId: str
    mediaType: str
    title: str
    filename: NotRequired[str]


class FileChunk(_ProviderChunk):
    """A file that the model made."""

    type: Literal["file", "reasoning-file"]
    url: str
    mediaType: str


class _SteeringText(_ProviderChunk):
    type: Literal["text"]
    text: str


class _SteeringFile(_ProviderChunk):
    type: Literal["file"]
    mediaType: str
    url: str
    filename: NotRequired[str]
    providerReference: NotRequired[dict[str, str]]


class SteeringMessageChunk(_Chunk):
    """A user's message that was added to the running reply."""

    type: Literal["steering-message"]
    id: str
    parts: list[_SteeringText | _SteeringFile]


class MessageMetadataChunk(_Chunk):
    """Metadata of the message, merged into what is there."""

    type: Literal["message-metadata"]
    messageMetadata: Any


class FinishChunk(_Chunk):
    """The reply is complete."""

    type: Literal["finish"]
    finishReason: NotRequired[str]
    messageMetadata: NotRequired[Any]


class AbortChunk(_Chunk):
    """The server was stopped."""

    type: Literal["abort"]
    reason: NotRequired[str]


class ErrorChunk(_Chunk):
    """The server failed."""

    type: Literal["error"]
    errorText: str


class DataPartChunk(_Chunk):
    """Data of the application's own; ``type`` is ``data-`` and a name."""

    type: str
    data: Any
    id: NotRequired[str]
    transient: NotRequired[bool]


KnownChunk = Annotated[
    StartChunk
    | StepChunk
    | PartStartChunk
    | PartDeltaChunk
    | TextEndChunk
    | ReasoningEndChunk
    | ToolInputStartChunk
    | ToolInputDeltaChunk
    | ToolInputAvailableChunk
    | ToolInputErrorChunk
    | ToolApprovalRequestChunk
    | ToolApprovalResponseChunk
    | ToolOutputAvailableChunk
    | ToolOutputErrorChunk
    | ToolOutputDeniedChunk
    | CustomChunk
    | SourceUrlChunk
    | SourceDocumentChunk
    | FileChunk
    | SteeringMessageChunk
    | MessageMetadataChunk
    | FinishChunk
    | AbortChunk
    | ErrorChunk,
    Field(discriminator="type"),
]
"""Any chunk but those of data parts."""

CHUNK_TYPES = frozenset(
    kind
    for chunk in get_args(get_args(KnownChunk)[0])
    for kind in get_args(chunk.__annotations__["type"])
)
"""Every chunk type but those of data parts."""

STREAM_DONE: UIMessageChunk = {"type": "[DONE]"}
"""What a decoder makes of the event that ends a stream. It has no wire form: a server that sends
such an object has sent an unknown type."""


class ToolCall(WireModel):
    """A tool call whose input is complete, as ``on_tool_call`` gets it."""

    type: Literal["tool-input-available"] = "tool-input-available"
    tool_call_id: str
    tool_name: str
    input: Any = None
    dynamic: bool | None = None
    title: str | None = None
    provider_executed: bool | None = None
    provider_metadata: ProviderMetadata | None = None
    tool_metadata: JSONObject | None = None


class DataChunk(WireModel):
    """A data part as it came, transient or not, as ``on_data`` gets it."""

    type: str
    data: Any = None
    id: str | None = None
    transient: bool | None = None

    @property
    def name(self) -> str:
        """The type without ``data-``."""
        return self.type[5:]
