"""A reply as rows, a chunk each, with what a strict client has against it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError

from usechat.cli.inspect.clients import StrictClient, decoder_of
from usechat.errors import StreamProtocolError
from usechat.model.chunks import CHUNK_TYPES, UIMessageChunk
from usechat.model.json import loads
from usechat.model.messages import where_wrong
from usechat.wire.decoder import Decoder
from usechat.wire.event_stream import shown
from usechat.wire.json_sse import JSONSSEDecoder
from usechat.wire.sse import SSEDecoder
from usechat.wire.ui_message_stream import UIMessageStreamDecoder

UNREADABLE = "?"
"""The type of what is no chunk."""

_READ_BY_EVENT = (UIMessageStreamDecoder, JSONSSEDecoder)


class Found(NamedTuple):
    """A chunk of a reply, or what stands in the place of one.

    Attributes:
        kind: its type; ``?`` where it has none.
        value: the chunk as it came; text where it is no object.
        objections: what a strict client has against it.
        counts: whether a client reads it: it does not after the server's error.
    """

    kind: str
    value: Any
    objections: tuple[str, ...] = ()
    counts: bool = True


class RowReader:
    """Reads a reply whose protocol is known, on after all that ends it elsewhere.

    Args:
        protocol: its name.
        strict: applies the chunks of UI message streams as ai 7 does.

    Attributes:
        pulse: what comes beside the chunks.
    """

    def __init__(self, protocol: str, strict: StrictClient) -> None:
        self.pulse = Pulse(protocol)
        self._strict = strict
        self._decoder: Decoder = decoder_of(protocol)
        self._events = SSEDecoder()
        self._verbatim = UIMessageStreamDecoder(strict=True)
        self._broken = False
        self._opened = False

    def feed(self, piece: bytes) -> Iterator[Found]:
        """Take a piece of the body; give the chunks that it completed.

        Args:
            piece: bytes as they came.
        """
        self.pulse.feed(piece)
        if not isinstance(self._decoder, _READ_BY_EVENT):
            begin = [] if self._opened else self._decoder.open()
            self._opened = True
            yield from self._of_others([*begin, *self._decoder.feed(piece)])
            return
        if self._broken:
            return
        failure: StreamProtocolError | None = None
        try:
            events = self._events.feed(piece)
        except StreamProtocolError as error:
            events, failure = self._events.completed, error
        for data in events:
            yield from self._event(data)
        if failure is not None:
            self._broken = True
            yield Found(UNREADABLE, "", (str(failure),))

    def close(self) -> Iterator[Found]:
        """The body ended; give the chunks that this completes."""
        if not isinstance(self._decoder, _READ_BY_EVENT):
            yield from self._of_others(self._decoder.close())

    def _of_others(self, chunks: list[UIMessageChunk]) -> Iterator[Found]:
        """What has no chunks of its own: ai 7 does not read it, and objects to none of them."""
        for chunk in chunks:
            yield Found(chunk["type"], chunk)
        if self._decoder.error is not None and not self._broken:
            self._broken = True
            yield Found(UNREADABLE, self._decoder.error.chunk or "", (str(self._decoder.error),))

    def _event(self, data: str) -> Iterator[Found]:
        if data == "[DONE]":
            yield Found(data, None)
        elif isinstance(self._decoder, UIMessageStreamDecoder):
            yield self._ui(self._decoder, data)
        elif isinstance(self._decoder, JSONSSEDecoder):
            yield from self._json_sse(self._decoder, data)

    def _ui(self, decoder: UIMessageStreamDecoder, data: str) -> Found:
        kind, value = _told(data)
        if self._strict.failed:
            return Found(kind, value, counts=False)
        objections: list[str] = []
        try:
            self._verbatim.read_one(data)
        except StreamProtocolError as error:
            objections.append(_objection(error, kind))
        try:
            chunks = decoder.read_one(data)
        except StreamProtocolError:
            chunks = []
        for chunk in chunks:
            objection = self._strict.objection(chunk)
            if objection is not None:
                objections.append(objection)
        return Found(kind, value, tuple(objections))

    def _json_sse(self, decoder: JSONSSEDecoder, data: str) -> Iterator[Found]:
        try:
            chunks = decoder.read_one(data)
        except StreamProtocolError as error:
            yield Found(UNREADABLE, data, (str(error),))
            return
        self.pulse.heartbeats += not chunks
        for chunk in chunks:
            yield Found(chunk["type"], chunk)


def _told(data: str) -> tuple[str, Any]:
    """The type and the value of an event as it came."""
    try:
        value = loads(data)
    except ValueError:
        return UNREADABLE, data
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        return value["type"], value
    return UNREADABLE, data


def _objection(error: StreamProtocolError, kind: str) -> str:
    """Why an event is no chunk to ai 7, without the event, which stands in its row."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return f"this is not JSON ({cause})"
    if kind == UNREADABLE:
        return "this is no object with a type"
    if kind not in CHUNK_TYPES and not kind.startswith("data-"):
        return f'ai 7 knows no chunk type "{shown(kind)}"'
    return where_wrong(cause)


class Pulse:
    """What the lines of a body say beside its chunks: heartbeats, and whether the last one ended.

    Args:
        protocol: the protocol's name.

    Attributes:
        heartbeats: how many comments and empty lines have come.
    """

    def __init__(self, protocol: str) -> None:
        self.heartbeats = 0
        self._has_lines = protocol != "text"
        self._in_events = protocol in ("ui", "json-sse", "openai")
        self._begun = b""  # the first byte of the line that has not ended
        self._held = ""  # what the lines since the last empty one are
        self._cr = False

    @property
    def is_cut(self) -> bool:
        """Whether an event has begun that no empty line has ended."""
        return self._in_events and (self._held == "data" or self._begun not in (b"", b":"))

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body.

        Args:
            piece: bytes as they came.
        """
        if not (piece and self._has_lines):
            return
        if self._cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._cr = piece.endswith(b"\r") or (self._cr and not piece)
        *ended, rest = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in ended:
            self._line(self._begun or line[:1])
            self._begun = b""
        self._begun = self._begun or rest[:1]

    def _line(self, first: bytes) -> None:
        if first == b":":
            self.heartbeats += 1
            self._held = self._held or "comment"
        elif first:
            self._held = "data"
        else:
            self.heartbeats += not self._held
            self._held = ""
