"""A reply of a little more than 4 KB, and servers that can be asked for the rest of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

from usechat import UIMessageChunk
from usechat.testing import FakeReply
from usechat.testing.server import FakeRequest
from usechat.wire.ui_message_stream import DONE, HEADERS, encode_chunk

TEXT = (
    "ha ha ha \U0001f600\u2028line\u0085next\r\n\r\ndata: [DONE]\n\n é 日本語 "
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 ha ha. And so on, and so on, word by word by word."
)
THOUGHT = "Let me think \U0001f914 … hm hm hm"
END = "That was all. all. all."


def block(kind: str, part_id: str, text: str, size: int) -> list[UIMessageChunk]:
    """A part in deltas of so many UTF-16 units: a character may be cut in halves."""
    raw = text.encode("utf-16-le")
    pieces = [raw[at : at + 2 * size] for at in range(0, len(raw), 2 * size)]
    return [
        {"type": f"{kind}-start", "id": part_id},
        *(
            {
                "type": f"{kind}-delta",
                "id": part_id,
                "delta": p.decode("utf-16-le", "surrogatepass"),
            }
            for p in pieces
        ),
        {"type": f"{kind}-end", "id": part_id},
    ]


CHUNKS: list[UIMessageChunk] = [
    {"type": "start", "messageId": "m1", "messageMetadata": {"model": "x"}},
    {"type": "start-step"},
    *block("reasoning", "0", THOUGHT, 2),
    *block("text", "0", TEXT, 4),
    {"type": "tool-input-start", "toolCallId": "c1", "toolName": "weather"},
    {"type": "tool-input-delta", "toolCallId": "c1", "inputTextDelta": '{"city":"Os'},
    {"type": "tool-input-delta", "toolCallId": "c1", "inputTextDelta": 'ló"}'},
    {
        "type": "tool-input-available",
        "toolCallId": "c1",
        "toolName": "weather",
        "input": {"city": "Osló"},
        "providerExecuted": True,
    },
    {"type": "data-progress", "id": "p", "data": 1},
    {"type": "data-progress", "id": "p", "data": 2},
    {"type": "data-note", "data": "same"},
    {"type": "data-note", "data": "same"},
    {"type": "tool-output-available", "toolCallId": "c1", "output": {"degrees": -3.5}},
    {"type": "finish-step"},
    {"type": "start-step"},
    *block("text", "0", END, 2),  # the same id as in the step before
    {"type": "message-metadata", "messageMetadata": {"tokens": 7}},
    {"type": "finish-step"},
    {"type": "finish", "finishReason": "stop"},
]


def merged(chunks: Iterable[UIMessageChunk]) -> list[UIMessageChunk]:
    """The same reply with its deltas cut elsewhere: those that follow each other are one."""
    made: list[UIMessageChunk] = []
    for kind, group in groupby(chunks, key=lambda chunk: chunk["type"]):
        same = list(group)
        field = "inputTextDelta" if kind == "tool-input-delta" else "delta"
        if kind.endswith("-delta"):
            text = "".join(chunk[field] for chunk in same)
            whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
            made.append({**same[0], field: whole})
        else:
            made += same
    return made


def reply(chunks: list[UIMessageChunk]) -> FakeReply:
    """The chunks as the SDK's server sends them."""
    return FakeReply([b"".join(map(encode_chunk, chunks)) + DONE], headers=HEADERS)


def with_ids(chunks: list[UIMessageChunk], after: int) -> FakeReply:
    """The chunks with ids, those after one of them."""
    events = [b"id: %d\n%b" % (i, encode_chunk(c)) for i, c in enumerate(chunks, 1) if i > after]
    return FakeReply([b"".join(events) + DONE], headers=HEADERS)


Server = Callable[[FakeRequest], FakeReply]


def replays(request: FakeRequest) -> FakeReply:
    """A server that sends the running reply again from its begin."""
    return reply(CHUNKS)


def replays_merged(request: FakeRequest) -> FakeReply:
    """A server that keeps the text of a running reply, not its pieces."""
    return reply(CHUNKS if request.method == "POST" else merged(CHUNKS))


def continues(request: FakeRequest) -> FakeReply:
    """A server that gives its events ids, and goes on after the last that came."""
    return with_ids(CHUNKS, int(request.headers.get("last-event-id", 0)))


def replays_with_ids(request: FakeRequest) -> FakeReply:
    """A server that gives its events ids and does not look at the last that came."""
    return with_ids(CHUNKS, 0)
