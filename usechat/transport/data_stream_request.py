"""The requests that servers of the AI SDK 4 read.

Source: @ai-sdk/react 1.2.12 and @ai-sdk/ui-utils 1.2.11 (of ai 4.3.19), src/use-chat.ts,
src/call-chat-api.ts; ai 4.3.19, core/prompt/convert-to-core-messages.ts, which reads the messages.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from usechat.model.json import dumps
from usechat.model.messages import UIMessage
from usechat.model.parts import (
    DataPart,
    DynamicToolPart,
    FilePart,
    Part,
    ReasoningPart,
    SourceDocumentPart,
    SourceUrlPart,
    StepStartPart,
    TextPart,
    ToolPart,
)
from usechat.transport.options import SendRequest
from usechat.wire.data_stream_encoder import denied, failed, source_of

_STATES = {
    "input-streaming": "partial-call",
    "output-available": "result",
    "output-error": "result",
    "output-denied": "result",
}
"""A tool call's state in version 4, where it is not just a call."""


def v4_body(asked: SendRequest) -> bytes:
    """The body of a request with messages: the fields given for it come last and win.

    Args:
        asked: what is sent.

    Raises:
        InvalidArgumentError: it holds something that JSON cannot say.
    """
    messages = [v4_message(message) for message in asked.messages]
    return dumps({"id": asked.chat_id, "messages": messages, **asked.body})


def v4_message(message: UIMessage) -> dict[str, Any]:
    """A message in the form of version 4.

    Metadata, data parts but annotations, and files by URL in an assistant's message have no place
    there.

    Args:
        message: the message.
    """
    writer = _PartWriter(is_user=message.role == "user")
    for part in message.parts:
        writer.add(part)
    texts = (part.text for part in message.parts if isinstance(part, TextPart))
    return {
        "id": message.id,
        "role": message.role,
        "content": "".join(texts),
        "parts": writer.parts,
        **{name: values for name, values in writer.beside.items() if values},
    }


class _PartWriter:
    """Makes the parts of a message, and what stands beside them."""

    def __init__(self, is_user: bool) -> None:
        self.parts: list[dict[str, Any]] = []
        self.beside: dict[str, list[Any]] = {
            "toolInvocations": [],
            "annotations": [],
            "experimental_attachments": [],
        }
        self._is_user = is_user
        self._step = 0
        self._has_content = False  # in this step

    def add(self, part: Part) -> None:
        """Write a part; nothing comes of some."""
        if isinstance(part, StepStartPart):
            self.parts.append({"type": "step-start"})
            # An empty step has no number: the server would make an empty message of it.
            self._step += self._has_content
            self._has_content = False
        elif isinstance(part, (SourceUrlPart, SourceDocumentPart)):
            self.parts.append({"type": "source", "source": source_of(part.model_dump())})
        elif isinstance(part, FilePart) and self._is_user:
            self.beside["experimental_attachments"].append(_attachment(part))
        elif isinstance(part, DataPart) and part.name == "annotation":
            self.beside["annotations"].append(part.data)
        else:
            self._add_content(part)

    def _add_content(self, part: Part) -> None:
        """What the model is told of."""
        written: dict[str, Any] | None = None
        if isinstance(part, TextPart):
            written = {"type": "text", "text": part.text}
        elif isinstance(part, ReasoningPart):
            self._add_reasoning(part)
        elif isinstance(part, (ToolPart, DynamicToolPart)):
            call = _invocation(part, self._step)
            written = {"type": "tool-invocation", "toolInvocation": call}
            self.beside["toolInvocations"].append(call)
        elif isinstance(part, FilePart):
            written = _file(part)
        if written is not None:
            self.parts.append(written)
            self._has_content = True

    def _add_reasoning(self, part: ReasoningPart) -> None:
        """Reasoning that follows reasoning is one part with several details."""
        if not (self.parts and self.parts[-1]["type"] == "reasoning"):
            self.parts.append({"type": "reasoning", "reasoning": "", "details": []})
        self.parts[-1]["reasoning"] += part.text
        self.parts[-1]["details"].append(_detail(part))
        self._has_content = True


def _detail(part: ReasoningPart) -> dict[str, Any]:
    own = (part.provider_metadata or {}).get("ai4")
    own = own if isinstance(own, Mapping) else {}
    if "redactedData" in own:
        return {"type": "redacted", "data": own["redactedData"]}
    signed = {"signature": own["signature"]} if "signature" in own else {}
    return {"type": "text", "text": part.text, **signed}


def _invocation(part: ToolPart | DynamicToolPart, step: int) -> dict[str, Any]:
    """A tool call; one that failed or was denied has a result that says so."""
    refused = part.approval is not None and part.approval.approved is False
    call: dict[str, Any] = {
        "state": "result" if refused else _STATES.get(part.state, "call"),
        "step": step,
        "toolCallId": part.tool_call_id,
        "toolName": part.tool_name,
        "args": {} if part.input is None else part.input,
    }
    if part.state == "output-available":
        call["result"] = part.output
    elif part.state == "output-error":
        call["result"] = failed(part.error_text)
    elif call["state"] == "result":
        call["result"] = denied(None if part.approval is None else part.approval.reason)
    return call


def _attachment(part: FilePart) -> dict[str, Any]:
    name = {} if part.filename is None else {"name": part.filename}
    return {**name, "contentType": part.media_type, "url": part.url}


def _file(part: FilePart) -> dict[str, Any] | None:
    """A file of the assistant's; None where the message does not hold its bytes."""
    head, comma, data = part.url.partition(",")
    if not (comma and head[:5].lower() == "data:"):
        return None
    if not head.lower().endswith(";base64"):
        data = base64.b64encode(unquote_to_bytes(data.encode("utf-8", "replace"))).decode()
    return {"type": "file", "mimeType": part.media_type, "data": data}
