"""usechat: the client half of a chat, the useChat hook of the Vercel AI SDK as an object."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
else:  # a program loads what it asks for, with what that needs

    def __getattr__(name):
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_MODULES[name]), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted(__all__)


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

# Where a program finds what type checkers see above.
_MODULES = {
    "ASGITransport": "usechat.transport.asgi",
    "AsyncChatSession": "usechat.session.aio",
    "AsyncTurn": "usechat.session.async_turn",
    "CallbackError": "usechat.errors",
    "ChatBusyError": "usechat.errors",
    "ChatClosedError": "usechat.errors",
    "ChatRequest": "usechat.engine.exchange",
    "ChatSession": "usechat.session.threaded",
    "ChatStatus": "usechat.engine.status",
    "ChatTimeoutError": "usechat.errors",
    "ChatTransport": "usechat.transport.base",
    "ConnectionBrokenError": "usechat.errors",
    "CustomPart": "usechat.model.parts",
    "DataChunk": "usechat.model.chunks",
    "DataPart": "usechat.model.parts",
    "DataReceived": "usechat.engine.events",
    "DirectReply": "usechat.transport.direct",
    "DirectTransport": "usechat.transport.direct",
    "Dispatch": "usechat.session.courier",
    "DispatchError": "usechat.errors",
    "DynamicToolPart": "usechat.model.parts",
    "ErrorChanged": "usechat.engine.events",
    "Event": "usechat.engine.events",
    "FileInput": "usechat.session.files",
    "FilePart": "usechat.model.parts",
    "Finish": "usechat.engine.exchange",
    "HTTPStatusError": "usechat.errors",
    "HttpOptions": "usechat.transport.options",
    "HttpTransport": "usechat.transport.http",
    "IncompleteReplyError": "usechat.errors",
    "InputChanged": "usechat.engine.events",
    "InvalidArgumentError": "usechat.errors",
    "MessageAdded": "usechat.engine.events",
    "MessageInput": "usechat.session.actions",
    "MessagesReplaced": "usechat.engine.events",
    "MetadataChanged": "usechat.engine.events",
    "OpenAIOptions": "usechat.transport.openai",
    "OpenAITransport": "usechat.transport.openai",
    "Outcome": "usechat.engine.exchange",
    "Part": "usechat.model.parts",
    "PartAdded": "usechat.engine.events",
    "PartDone": "usechat.engine.events",
    "PartUpdated": "usechat.engine.events",
    "PendingToolError": "usechat.errors",
    "PrepareHook": "usechat.transport.options",
    "PreparedRequest": "usechat.transport.options",
    "QueueChanged": "usechat.engine.events",
    "QueuePausedError": "usechat.errors",
    "ReasoningDelta": "usechat.engine.events",
    "ReasoningFilePart": "usechat.model.parts",
    "ReasoningPart": "usechat.model.parts",
    "Reconnect": "usechat.transport.options",
    "RequestArguments": "usechat.session.actions",
    "RequestOptions": "usechat.engine.exchange",
    "Response": "usechat.engine.exchange",
    "Role": "usechat.model.messages",
    "SendArguments": "usechat.session.actions",
    "SendRequest": "usechat.transport.options",
    "ServerError": "usechat.errors",
    "SourceDocumentPart": "usechat.model.parts",
    "SourceUrlPart": "usechat.model.parts",
    "StatusChanged": "usechat.engine.events",
    "SteeringMessagePart": "usechat.model.parts",
    "StepStartPart": "usechat.model.parts",
    "StreamProtocolError": "usechat.errors",
    "Subscription": "usechat.session.observers",
    "TextDelta": "usechat.engine.events",
    "TextPart": "usechat.model.parts",
    "Tool": "usechat.tools.tool",
    "ToolApproval": "usechat.model.parts",
    "ToolCall": "usechat.model.chunks",
    "ToolCalled": "usechat.engine.events",
    "ToolContext": "usechat.tools.context",
    "ToolDefinition": "usechat.model.tools",
    "ToolInputDelta": "usechat.engine.events",
    "ToolOptions": "usechat.session.actions",
    "ToolPart": "usechat.model.parts",
    "ToolState": "usechat.model.parts",
    "TransportError": "usechat.errors",
    "Trigger": "usechat.engine.exchange",
    "Turn": "usechat.session.sync_turn",
    "TurnFinished": "usechat.engine.events",
    "UIMessage": "usechat.model.messages",
    "UIMessageChunk": "usechat.model.chunks",
    "UnknownPart": "usechat.model.parts",
    "Usage": "usechat.model.usage",
    "UseChatError": "usechat.errors",
    "WhenBusy": "usechat.engine.core",
    "generate_id": "usechat.model.ids",
    "last_assistant_message_is_complete_with_approval_responses": "usechat.engine.automatic",
    "last_assistant_message_is_complete_with_tool_calls": "usechat.engine.automatic",
    "stream_chat": "usechat.transport.stream_chat",
}
