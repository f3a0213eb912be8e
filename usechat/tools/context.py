"""What a tool may know of the call that it answers."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The call, for a function that has a parameter with this annotation.

    Attributes:
        chat: the session. A plain function runs in a thread: there it may use a ``ChatSession``,
            and of an ``AsyncChatSession`` only look at the state.
        tool_call_id: the call.
        stopped: set when the call's result is no longer wanted.
    """

    chat: Any
    tool_call_id: str
    stopped: threading.Event
