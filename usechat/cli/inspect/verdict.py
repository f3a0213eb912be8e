"""What is to be said of an inspected reply: what a strict client rejects, and what to know of it.

Source: ai 7.0.173, DefaultChatTransport, TextStreamChatTransport and AbstractChat: what they do
with each of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from usechat.cli.inspect.inspection import Inspection
from usechat.cli.once import COMPLETED, FAILED, INTERRUPTED, UNFINISHED
from usechat.cli.parts import one_line
from usechat.errors import ServerError, StreamProtocolError

_FEW = 4
"""So many deltas may come at once without anything being behind it."""

_AT_ONCE = 0.01
"""Seconds in which it takes one piece to come."""

_LONG = 0.5
"""Seconds after the headers from which on it is odd that a whole reply comes at once."""

_NO_END = {
    "ui": "neither finish nor [DONE] ends it: useChat takes it for complete, but nobody can tell "
    "it from one that was cut",
    "json-sse": "no [DONE] ends it: nobody can tell it from one that was cut",
    "openai": "neither a finish reason nor [DONE] ends it: nobody can tell it from one that was "
    "cut",
    "data-stream": "no finish (d:) ends it: nobody can tell it from one that was cut",
}
"""What is wrong with a reply that ends without its end."""

_UI_HEADER = "x-vercel-ai-ui-message-stream"


class Fault(NamedTuple):
    """Something that a strict client rejects.

    Attributes:
        rows: the rows that have it; none where it is the reply's.
        words: what it is.
    """

    rows: tuple[int, ...]
    words: str


def faults_of(seen: Inspection) -> list[Fault]:
    """What a strict client rejects.

    Args:
        seen: a reply that is over.
    """
    of_rows = [Fault(tuple(rows), words) for words, rows in seen.tally.objections.items()]
    return [*of_rows, *(Fault((), words) for words in _faults_of_whole(seen))]


def status_of(seen: Inspection, faults: list[Fault]) -> int:
    """The exit status.

    Args:
        seen: a reply that is over.
        faults: what is wrong with it.
    """
    if seen.interrupted:
        return INTERRUPTED
    if seen.has_no_reply:
        return FAILED
    return UNFINISHED if faults or seen.outcome != "completed" else COMPLETED


def _faults_of_whole(seen: Inspection) -> Iterator[str]:
    yield from _error(seen)
    yield from _unread_protocol(seen)
    content_type = seen.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if seen.read_as == "ui" and seen.tally.rows and media_type != "text/event-stream":
        said = one_line(content_type) if content_type else "missing"
        yield (
            f"its content-type is {said}, not text/event-stream (useChat does not look, "
            "others refuse it)"
        )
    if seen.interrupted or seen.outcome == "error":
        return
    if not seen.tally.rows:
        yield "nothing came: useChat is ready again and shows no message, and no error"
    elif seen.is_cut:
        yield "its last event is not ended by an empty line, so nobody reads it"
    if seen.tally.rows and seen.outcome == "incomplete":
        yield _NO_END[seen.read_as or "ui"]


def _error(seen: Inspection) -> Iterator[str]:
    """What ended the reply, where no row has it."""
    error = seen.turn.error
    in_a_row = isinstance(error, (ServerError, StreamProtocolError)) and seen.tally.rows
    if error is not None and not in_a_row:
        yield str(error)


def _unread_protocol(seen: Inspection) -> Iterator[str]:
    name = seen.read_as
    if name == "data-stream":
        yield (
            "it is a data stream of the AI SDK 4: useChat reads nothing of it since version 5, "
            "and shows no error"
        )
    elif name == "json-sse":
        yield "its events are no chunks (they have no type): useChat fails at the first"
    elif name == "openai":
        yield "it is OpenAI's own stream, not one of chunks: useChat fails at the first event"
    elif name == "text" and seen.protocol != "text":
        yield (
            "it is plain text: useChat reads nothing of it, unless its transport is a "
            "TextStreamChatTransport"
        )


def notes_of(seen: Inspection) -> list[str]:
    """What is worth knowing, and wrong to nobody.

    Args:
        seen: a reply that is over.
    """
    notes = list(_other_protocol(seen))
    if seen.tally.rows:
        of_protocol = _notes_of_ui if seen.read_as == "ui" else _notes_of_text
        notes += [*of_protocol(seen), *_pending(seen), *_buffered(seen)]
    return notes


def _notes_of_ui(seen: Inspection) -> Iterator[str]:
    kinds = seen.tally.kinds
    if _UI_HEADER not in seen.headers:
        yield f"there is no header {_UI_HEADER}: nothing in useChat looks for it"
    if seen.tally.start is None:
        yield "there is no start: useChat needs none"
    elif "messageId" not in seen.tally.start:
        yield (
            "start has no messageId: the client's own id stands (send one if you store messages "
            "or use tools)"
        )
    if seen.outcome != "completed":
        if "abort" in kinds:
            yield "abort says that the server was stopped: useChat takes the reply for complete"
        return
    if "finish" not in kinds:
        yield "there is no finish: onFinish is told no reason"
    if "[DONE]" not in kinds:
        yield "there is no [DONE]: useChat needs none"
    if seen.open_texts and seen.tally.stops_at is None:
        ids = ", ".join(map(one_line, seen.open_texts[:3]))
        yield f"text without its text-end ({ids}): useChat shows it as streaming for ever"


def _notes_of_text(seen: Inspection) -> Iterator[str]:
    if seen.read_as == "text":
        yield "text has no end of its own: nobody can tell it from one that was cut"
        if seen.protocol == "text":
            yield "TextStreamChatTransport reads it, useChat's default transport does not"


def _pending(seen: Inspection) -> Iterator[str]:
    waiting = () if seen.message is None else seen.message.pending
    for part in waiting:
        what = "an approval of" if part.state == "approval-requested" else "the client's output of"
        yield f"the reply waits for {what} {one_line(part.tool_name)}"


def _buffered(seen: Inspection) -> Iterator[str]:
    tally = seen.tally
    if tally.headers is None or tally.first_row is None or tally.last_row is None:
        return
    waited = tally.first_row - tally.headers
    at_once = tally.last_row - tally.first_row < _AT_ONCE
    if at_once and tally.deltas > _FEW and waited >= _LONG:
        coding = seen.headers.get("content-encoding")
        packed = f" (content-encoding: {one_line(coding)})" if coding else ""
        yield (
            f"everything came at once, {waited * 1000:.0f} ms after the headers: something "
            f"buffers it, a proxy or compression{packed}?"
        )


def _other_protocol(seen: Inspection) -> Iterator[str]:
    if seen.protocol != "auto" and seen.looks_like not in (None, seen.protocol):
        yield f"it looks like {seen.looks_like}: see --protocol"
