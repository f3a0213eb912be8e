"""usechat: the client half of a chat, the useChat hook of the Vercel AI SDK as an object."""

from usechat.engine.automatic import (
    last_assistant_message_is_complete_with_approval_responses,
    last_assistant_message_is_complete_with_tool_calls,
)
from usechat.engine.core import WhenBusy
from usechat.engine.events import (
    DataReceived,
    ErrorChanged,
    Event,
    InputChanged,
    MessageAdded,
    MessagesReplaced,
    MetadataChanged,
    PartAdded,
    PartDone,
    PartUpdated,
    QueueChanged,
    ReasoningDelta,
    StatusChanged,
    TextDelta,
    ToolCalled,
    ToolInputDelta,
    TurnFinished,
)
from usechat.engine.exchange import (
    ChatRequest,
    Finish,
    Outcome,
    RequestOptions,
    Response,
    Trigger,
)
from usechat.engine.status import ChatStatus
from usechat.errors import (
    CallbackError,
    ChatBusyError,
    ChatClosedError,
    ChatTimeoutError,
    ConnectionBrokenError,
    DispatchError,
    HTTPStatusError,
    IncompleteReplyError,
    InvalidArgumentError,
    PendingToolError,
    QueuePausedError,
    ServerError,
    StreamProtocolError,
    TransportError,
    UseChatError,
)
from usechat.model.chunks import DataChunk, ToolCall, UIMessageChunk
from usechat.model.ids import generate_id
from usechat.model.messages import Role, UIMessage
from usechat.model.parts import (
    CustomPart,
    DataPart,
    DynamicToolPart,
    FilePart,
    Part,
    ReasoningFilePart,
    ReasoningPart,
    SourceDocumentPart,
    SourceUrlPart,
    SteeringMessagePart,
    StepStartPart,
    TextPart,
    ToolApproval,
    ToolPart,
    ToolState,
    UnknownPart,
)
from usechat.model.tools import ToolDefinition
from usechat.model.usage import Usage
from usechat.session.actions import MessageInput, RequestArguments, SendArguments, ToolOptions
from usechat.session.aio import AsyncChatSession
from usechat.session.async_turn import AsyncTurn
from usechat.session.courier import Dispatch
from usechat.session.files import FileInput
from usechat.session.observers import Subscription
from usechat.session.sync_turn import Turn
from usechat.session.threaded import ChatSession
from usechat.tools.context import ToolContext
from usechat.tools.tool import Tool
from usechat.transport.asgi import ASGITransport
from usechat.transport.base import ChatTransport
from usechat.transport.direct import DirectReply, DirectTransport
from usechat.transport.http import HttpTransport
from usechat.transport.openai import OpenAIOptions, OpenAITransport
from usechat.transport.options import (
    HttpOptions,
    PreparedRequest,
    PrepareHook,
    Reconnect,
    SendRequest,
)
from usechat.transport.stream_chat import stream_chat

__version__ = "0.1.0"

__all__ = [
    "ASGITransport",
    "AsyncChatSession",
    "AsyncTurn",
    "CallbackError",
    "ChatBusyError",
    "ChatClosedError",
    "ChatRequest",
    "ChatSession",
    "ChatStatus",
    "ChatTimeoutError",
    "ChatTransport",
    "ConnectionBrokenError",
    "CustomPart",
    "DataChunk",
    "DataPart",
    "DataReceived",
    "DirectReply",
    "DirectTransport",
    "Dispatch",
    "DispatchError",
    "DynamicToolPart",
    "ErrorChanged",
    "Event",
    "FileInput",
    "FilePart",
    "Finish",
    "HTTPStatusError",
    "HttpOptions",
    "HttpTransport",
    "IncompleteReplyError",
    "InputChanged",
    "InvalidArgumentError",
    "MessageAdded",
    "MessageInput",
    "MessagesReplaced",
    "MetadataChanged",
    "OpenAIOptions",
    "OpenAITransport",
    "Outcome",
    "Part",
    "PartAdded",
    "PartDone",
    "PartUpdated",
    "PendingToolError",
    "PrepareHook",
    "PreparedRequest",
    "QueueChanged",
    "QueuePausedError",
    "ReasoningDelta",
    "ReasoningFilePart",
    "ReasoningPart",
    "Reconnect",
    "RequestArguments",
    "RequestOptions",
    "Response",
    "Role",
    "SendArguments",
    "SendRequest",
    "ServerError",
    "SourceDocumentPart",
    "SourceUrlPart",
    "StatusChanged",
    "SteeringMessagePart",
    "StepStartPart",
    "StreamProtocolError",
    "Subscription",
    "TextDelta",
    "TextPart",
    "Tool",
    "ToolApproval",
    "ToolCall",
    "ToolCalled",
    "ToolContext",
    "ToolDefinition",
    "ToolInputDelta",
    "ToolOptions",
    "ToolPart",
    "ToolState",
    "TransportError",
    "Trigger",
    "Turn",
    "TurnFinished",
    "UIMessage",
    "UIMessageChunk",
    "UnknownPart",
    "Usage",
    "UseChatError",
    "WhenBusy",
    "__version__",
    "generate_id",
    "last_assistant_message_is_complete_with_approval_responses",
    "last_assistant_message_is_complete_with_tool_calls",
    "stream_chat",
]
