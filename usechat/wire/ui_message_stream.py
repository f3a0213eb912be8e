"""The UI message stream of the AI SDK 5 to 7: JSON chunks as server-sent events.

Source: ai 7.0.173, src/ui-message-stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usechat.model.json import dumps

HEADERS = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "x-vercel-ai-ui-message-stream": "v1",
    "x-accel-buffering": "no",
}
"""The headers of a reply in this protocol, as the SDK's server sends them."""

DONE = b"data: [DONE]\n\n"
"""The last event of a reply."""


def encode_chunk(chunk: Mapping[str, Any]) -> bytes:
    """Write one chunk as an event.

    Args:
        chunk: the chunk in wire form, ``{"type": "text-delta", "id": …, "delta": …}``.

    Raises:
        InvalidArgumentError: the chunk holds something that JSON cannot say.
    """
    return b"data: " + dumps(chunk) + b"\n\n"
