"""The demo assistant: rules, no model."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

import anyio

from usechat.server.script import SILENCE, Chunk, Message, Pen
from usechat.server.topics import TOPICS, call_again, find, settle

KEYWORDS = tuple(topic.name for topic in TOPICS)
"""The words that the demo listens to."""

_PACED = ("text-delta", "reasoning-delta", "tool-input-delta", "tool-output-available")


def new_id() -> str:
    """A new id: 16 characters."""
    return uuid.uuid4().hex[:16]


async def reply(
    messages: Sequence[Message],
    *,
    delay: float = 0.03,
    generate_id: Callable[[], str] = new_id,
) -> AsyncGenerator[Chunk, None]:
    """Stream the demo's reply to a conversation, as chunks of the UI message stream.

    Args:
        messages: the history, one message or more, as UI messages in wire form. The words of the
            last one decide, or the answered tools where it is the assistant's.
        delay: seconds before a word.
        generate_id: gives the ids of the message, the tool calls and the approvals.
    """
    for chunk in write(messages, generate_id):
        if chunk is SILENCE:
            await anyio.sleep_forever()
        if chunk["type"] in _PACED or chunk["type"].startswith("data-"):
            await anyio.sleep(delay)
        yield chunk


def write(messages: Sequence[Message], generate_id: Callable[[], str]) -> Iterator[Chunk]:
    """Write the whole reply at once; ``SILENCE`` stands where it falls silent.

    Args:
        messages: as in :func:`reply`.
        generate_id: as in :func:`reply`.
    """
    pen = Pen(messages, generate_id)
    last = messages[-1]
    goes_on = last.get("role") == "assistant"
    # The SDK's server does the same: without the same id the client would begin a new message.
    yield {"type": "start", "messageId": (goes_on and last.get("id")) or f"msg-{generate_id()}"}
    if goes_on:
        results, words = settle(pen)
        yield from results
        yield {"type": "start-step"}
        yield from pen.text(words)
        reason = yield from call_again(pen)
    else:
        yield {"type": "start-step"}
        reason = yield from find(pen.asked)(pen)
    yield {"type": "finish-step"}
    yield {"type": "finish", "finishReason": reason, "messageMetadata": {"usage": pen.usage()}}
