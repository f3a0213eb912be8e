"""The messages of version 4, read by the demo as its own; pure."""

from __future__ import annotations

from typing import Any

from usechat.server.script import Message, parts_of

_STATES = {"partial-call": "input-streaming", "call": "input-available"}


def ui_message(message: Message) -> dict[str, Any]:
    """A message with its tool calls and files in our form; what is in ours already stays.

    Args:
        message: of either form.
    """
    if "parts" not in message:
        return dict(message)  # its content says all
    parts = [_ui_part(part) for part in parts_of(message)]
    files = message.get("experimental_attachments")
    for file in files if isinstance(files, list) else []:
        if isinstance(file, dict):
            url, media_type = file.get("url"), file.get("contentType")
            parts.append({"type": "file", "url": url, "mediaType": media_type})
    return {**message, "parts": parts}


def _ui_part(part: Message) -> Message:
    call: Any = part.get("toolInvocation")
    if part.get("type") != "tool-invocation" or not isinstance(call, dict):
        return part
    made = {
        "type": f"tool-{call.get('toolName')}",
        "toolCallId": call.get("toolCallId"),
        "state": _STATES.get(str(call.get("state")), "output-available"),
        "input": call.get("args"),
    }
    return {**made, "output": call["result"]} if "result" in call else made
