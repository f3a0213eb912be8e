"""The words that scripts of replies are written in."""

from __future__ import annotations

import enum
import re

from usechat.model.chunks import UIMessageChunk
from usechat.model.ids import generate_id


class Marker(enum.Enum):
    """What a reply can do instead of going on."""

    HANG = "silence until somebody stops it"
    CUT = "the connection ends before the reply does"
    RESET = "the connection breaks (TCP reset)"


HANG = Marker.HANG
"""Silence until the reply is stopped. Alone, in place of a reply: before its headers."""

CUT = Marker.CUT
"""The server closes the connection in mid-reply, as one that crashes. For ``FakeServer``."""

RESET = Marker.RESET
"""The connection is reset. What the client has not read yet may be lost. For ``FakeServer``."""


def text_reply(
    text: str, *, message_id: str | None = None, finish_reason: str = "stop"
) -> list[UIMessageChunk]:
    """A whole reply that says a text, a chunk for each word.

    >>> [chunk["type"] for chunk in text_reply("Hello there")]  # doctest: +NORMALIZE_WHITESPACE
    ['start', 'start-step', 'text-start', 'text-delta', 'text-delta', 'text-end', 'finish-step',
     'finish']

    Args:
        text: what it says.
        message_id: the id of its message; made if None.
        finish_reason: why it ends.
    """
    words: list[str] = re.findall(r"\S+\s*|\s+", text)
    return [
        {"type": "start", "messageId": message_id or generate_id()},
        {"type": "start-step"},
        {"type": "text-start", "id": "text-1"},
        *({"type": "text-delta", "id": "text-1", "delta": word} for word in words),
        {"type": "text-end", "id": "text-1"},
        {"type": "finish-step"},
        {"type": "finish", "finishReason": finish_reason},
    ]
