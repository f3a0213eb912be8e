"""The status of a chat, as one table."""

from __future__ import annotations

from typing import Literal

ChatStatus = Literal["ready", "submitted", "streaming", "error"]
"""``submitted``: a request is out; ``streaming``: its reply is coming."""

StatusEvent = Literal["submit", "write", "run", "settle", "fail", "clear"]
"""What changes the status: a request goes out, a reply brings content, tool calls
run on this side, it is over without an error (or there was none to resume), it failed, somebody
clears the error."""

TRANSITIONS: dict[ChatStatus, dict[StatusEvent, ChatStatus]] = {
    "ready": {"submit": "submitted", "run": "streaming", "settle": "ready", "fail": "error"},
    "submitted": {
        "submit": "submitted",
        "run": "streaming",
        "write": "streaming",
        "settle": "ready",
        "fail": "error",
    },
    "streaming": {
        "submit": "submitted",
        "run": "streaming",
        "write": "streaming",
        "settle": "ready",
        "fail": "error",
    },
    "error": {
        "submit": "submitted",
        "run": "streaming",
        "settle": "ready",
        "fail": "error",
        "clear": "ready",
    },
}
"""Source: ai 7.0.173, src/ui/chat.ts. What is not here cannot happen."""
