"""JSON over server-sent events: ``data: {"text": "…"}`` up to ``data: [DONE]``.

The simplest protocol that a hand-written server speaks.
"""

from __future__ import annotations

from usechat.model.json import dumps

HEADERS = {"content-type": "text/event-stream", "cache-control": "no-cache"}
"""The headers of a reply in this protocol."""

DONE = b"data: [DONE]\n\n"
"""The last event of a reply."""


def encode_text(text: str) -> bytes:
    """Write a piece of text as an event.

    Args:
        text: the piece; an empty one is an event too.
    """
    return b"data: " + dumps({"text": text}) + b"\n\n"


def encode_error(error_text: str) -> bytes:
    """Write an error as an event; it ends the reply for the client.

    Args:
        error_text: what went wrong, in words for the user.
    """
    return b"data: " + dumps({"error": error_text}) + b"\n\n"
