"""The replies that are measured: what a request asks for, what the server sends, what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from usechat.wire.ui_message_stream import DONE, encode_chunk

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
WORDS = ("the ", "quick ", "brown ", "føx ", "jumps ", "over ", "it, ", "and ", "so ", "on. ")
Chunk = dict[str, Any]


class Reply(NamedTuple):
    """A reply to ask for; it travels as the query of the request.

    Attributes:
        deltas: how many deltas it has.
        piece: how many bytes a network piece has: each is a chunk of HTTP's chunked coding, and
            HTTP clients hand those over one by one.
        kind: ``text``; ``ascii``, text without a letter beyond ASCII; ``tool``, a tool's input.
        parts: how many short parts come before the text.
        together: how many requests are awaited before any of them is answered.
    """

    deltas: int
    piece: int = 300
    kind: str = "text"
    parts: int = 0
    together: int = 1

    @classmethod
    def of_query(cls, query: str) -> Reply:
        """Read what a request asks for."""
        asked = dict(parse_qsl(query))
        kind = asked.pop("kind", "text")
        return cls(**{name: int(value) for name, value in asked.items()}, kind=kind)

    @property
    def query(self) -> str:
        """It as the query of a URL."""
        return urlencode(self._asdict())


def delta(number: int, plain: bool = False) -> str:
    """The text of a delta: words of several lengths, some beyond ASCII, now and then a new line."""
    if number % 100 == 99:
        return "\n\n"
    word = WORDS[number % len(WORDS)]
    return word.replace("ø", "o") if plain else word


def text(deltas: int) -> str:
    """What a reply of text says in all."""
    return "".join(map(delta, range(deltas)))


def tool_input(deltas: int) -> list[str]:
    """The input of a tool as it comes: edits of a file, sixteen characters at a time."""
    edit = {"line": 12, "old": 'She said "so".\n', "new": "The quick føx jumps over it.\n"}
    one = json.dumps(edit)
    length = 16 * deltas
    head, tail = '{"path": "notes.md", "edits": [', '], "note": ""}'
    count = (length - len(head) - len(tail)) // (len(one) + 2)
    document = head + ", ".join([one] * count) + tail
    document = document[:-2] + "x" * (length - len(document)) + document[-2:]
    return [document[at : at + 16] for at in range(0, length, 16)]


@lru_cache(maxsize=4)
def said(reply: Reply) -> str:
    """The deltas of a reply, joined."""
    if reply.kind == "tool":
        return "".join(tool_input(reply.deltas))
    plain = reply.kind == "ascii"
    before = "".join(delta(number, plain) for number in range(reply.parts))
    return before + "".join(delta(number, plain) for number in range(reply.deltas))


def _text_part(name: str, texts: Iterator[str]) -> Iterator[Chunk]:
    yield {"type": "text-start", "id": name}
    for piece in texts:
        yield {"type": "text-delta", "id": name, "delta": piece}
    yield {"type": "text-end", "id": name}


def _tool_part(texts: list[str]) -> Iterator[Chunk]:
    call = {"toolCallId": "call", "toolName": "write"}
    yield {"type": "tool-input-start", **call}
    for piece in texts:
        yield {"type": "tool-input-delta", "toolCallId": "call", "inputTextDelta": piece}
    yield {"type": "tool-input-available", **call, "input": json.loads("".join(texts))}


def chunks(reply: Reply) -> Iterator[Chunk]:
    """The chunks of a reply."""
    plain = reply.kind == "ascii"
    yield from ({"type": "start"}, {"type": "start-step"})
    for number in range(reply.parts):
        yield from _text_part(f"p{number}", iter([delta(number, plain)]))
    if reply.kind == "tool":
        yield from _tool_part(tool_input(reply.deltas))
    else:
        yield from _text_part("t", (delta(number, plain) for number in range(reply.deltas)))
    yield from ({"type": "finish-step"}, {"type": "finish"})


@lru_cache(maxsize=16)
def encoded(reply: Reply) -> bytes:
    """A whole reply as it goes over the wire, in HTTP's chunked coding."""
    body = b"".join([*map(encode_chunk, chunks(reply)), DONE])
    pieces = [body[at : at + reply.piece] for at in range(0, len(body), reply.piece)]
    coded = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    return HEAD + b"".join(coded) + b"0\r\n\r\n"
