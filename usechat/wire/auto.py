"""Reads a reply in whichever of our protocols it comes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from usechat.errors import StreamProtocolError
from usechat.model.chunks import STREAM_DONE, UIMessageChunk
from usechat.wire.data_stream import DataStreamDecoder
from usechat.wire.decoder import Decoder
from usechat.wire.detect import (
    ENOUGH,
    Framing,
    Label,
    begins_like,
    dialect_of,
    framing_of,
    is_heartbeat,
    sort_of,
)
from usechat.wire.event_stream import shown
from usechat.wire.json_sse import JSONSSEDecoder
from usechat.wire.sse import DEFAULT_MAX_EVENT_SIZE, SSEDecoder
from usechat.wire.text_stream import TextStreamDecoder
from usechat.wire.ui_message_stream import UIMessageStreamDecoder

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Detection(NamedTuple):
    """What a reply was found to be in.

    Attributes:
        protocol: its name, as ``protocol=`` has it.
        reason: what told so, in words.
    """

    protocol: str
    reason: str


class AutoDecoder:
    """Decodes a reply once it is known what it is in.

    Until then its bytes are held back: to the end of a line, 512 bytes of one or the end of the
    body. Blank lines, comments and empty events (heartbeats) tell nothing.

    Args:
        status: of the response, for messages.
        headers: of the response, names in lower case.
        strict: as for ``UIMessageStreamDecoder``.
        continues: as for ``DataStreamDecoder``.
        max_event_size: the most characters that one event or line may hold.

    Attributes:
        detection: what the reply was found to be in; None where that is not known.
    """

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        *,
        strict: bool = False,
        continues: bool = False,
        max_event_size: int = DEFAULT_MAX_EVENT_SIZE,
    ) -> None:
        self.detection: Detection | None = None
        self._status = status
        self._label = Label.of(headers)
        self._strict = strict
        self._continues = continues
        self._max_event_size = max_event_size
        self._failure: StreamProtocolError | None = None
        self._held = bytearray()  # until the framing is known
        self._at = 0  # where in it the line begins that has to tell
        self._scanned = 0  # up to where in it no line ends
        self._is_first = True  # that is the body's first line
        self._framing_reason = ""
        self._events: SSEDecoder | None = None  # until the dialect is known
        self._decoder: Decoder | None = None

    @property
    def error(self) -> StreamProtocolError | None:
        """What ended the reply."""
        return self._failure if self._decoder is None else self._decoder.error

    @property
    def protocol(self) -> str | None:
        """The protocol's name; None where that is not known yet."""
        return None if self._decoder is None else self._decoder.protocol

    @property
    def last_event_id(self) -> str | None:
        """The id of the last whole event, where the server gives ids."""
        return None if self._decoder is None else self._decoder.last_event_id

    @property
    def first_event_id(self) -> str | None:
        """The id of the first event of this connection that had one."""
        return None if self._decoder is None else self._decoder.first_event_id

    def open(self) -> list[UIMessageChunk]:
        """Nothing is known before the first byte."""
        return []

    def feed(self, piece: bytes) -> list[UIMessageChunk]:
        """Take a piece of the body; return the chunks that it completed.

        Args:
            piece: bytes as they came, of any length.
        """
        if self._decoder is not None:
            return self._decoder.feed(piece)
        if self._failure is not None:
            return []
        if self._events is not None:
            return self._find_dialect(self._events, piece)
        self._held += piece
        return self._find_framing()

    def close(self) -> list[UIMessageChunk]:
        """The body ended cleanly; return the chunks that this completes."""
        chunks: list[UIMessageChunk] = []
        if self._decoder is None and self._failure is None:
            chunks = self._end_undecided()
        return chunks if self._decoder is None else chunks + self._decoder.close()

    def reconnected(self) -> None:
        """The connection broke, and another goes on where the last whole chunk ended."""
        self._held.clear()
        self._at = self._scanned = 0
        self._is_first = True
        for undecided in (self._events, self._decoder):
            if undecided is not None:
                undecided.reconnected()

    # ---------------------------------------------------------------- framing

    def _find_framing(self) -> list[UIMessageChunk]:
        while True:
            end = _LINE_END.search(self._held, self._scanned)
            whole = end is not None
            line = self._line(self._at + ENOUGH if end is None else end.start())
            is_cut_bom = not whole and _BOM.startswith(line)
            sort = None if is_cut_bom else sort_of(line, whole)
            framing = None if sort is None else framing_of(sort, line, whole, self._label)
            if framing is not None:
                return self._frame(framing, line, whole)
            if end is None:
                return self._wait_for_more(line)
            self._pass_over(end.end())
            if self._at > self._max_event_size:
                return self._frame(self._label.framing, line, True)

    def _pass_over(self, end: int) -> None:
        """A line told nothing; only in plain text it is something all the same."""
        self._is_first = False
        if self._label.framing == "text":
            self._at = self._scanned = end
        else:
            del self._held[:end]
            self._scanned = 0

    def _line(self, end: int) -> bytes:
        """The line that has to tell."""
        line = bytes(self._held[self._at : end])
        return line.removeprefix(_BOM) if self._is_first else line

    def _wait_for_more(self, line: bytes) -> list[UIMessageChunk]:
        """The line has not ended and does not tell yet."""
        self._scanned = len(self._held)
        most = self._max_event_size if line.startswith(b":") else ENOUGH
        if self._scanned - self._at < most:
            return []
        return self._frame(begins_like(line) or self._label.framing, line, True)

    def _end_undecided(self) -> list[UIMessageChunk]:
        """The body ended before anything told what it is."""
        if self._events is not None:
            return []
        line = self._line(len(self._held))
        framing = begins_like(line)
        if framing is not None:
            return self._frame(framing, line, True)
        if not self._held or (self._label.framing != "text" and not self._held.strip()):
            return []  # a reply of nothing
        chunks = self._frame(self._label.framing, line, True)
        self.detection = None  # it is merely read as its label says
        return chunks

    def _frame(self, framing: Framing, line: bytes, whole: bool) -> list[UIMessageChunk]:
        """The framing is known."""
        held = bytes(self._held)
        told = framing != self._label.framing or framing == "none"
        seen = f"the first line is {shown(line.decode('utf-8', 'replace'))!r}"
        self._framing_reason = seen if told else self._label.said
        if framing == "none":
            if whole or len(line) >= ENOUGH:
                self._refuse(held.decode("utf-8", "replace"))
            return []
        self._held.clear()
        if framing == "events":
            self._events = SSEDecoder(self._max_event_size)
            return self._find_dialect(self._events, held)
        self.detection = Detection(framing, self._framing_reason)
        if framing == "text":
            return self._start(TextStreamDecoder(), held)
        return self._start(DataStreamDecoder(self._max_event_size, self._continues), held)

    def _start(self, decoder: Decoder, held: bytes) -> list[UIMessageChunk]:
        self._decoder = decoder
        return [*decoder.open(), *decoder.feed(held)]

    # ---------------------------------------------------------------- dialect

    def _find_dialect(self, events: SSEDecoder, piece: bytes) -> list[UIMessageChunk]:
        failure: StreamProtocolError | None = None
        try:
            came = events.feed(piece)
        except StreamProtocolError as error:
            came, failure = events.completed, error
        chunks: list[UIMessageChunk] = []
        for index, data in enumerate(came):
            if data == "[DONE]":
                chunks.append(STREAM_DONE)
                continue
            decoder = self._decoder_for(data, events)
            if decoder is not None:
                chunks += decoder.take(came[index:])
                decoder.error = decoder.error or failure
                self._decoder = decoder
                break
            if self._failure is not None:
                break
        self._failure = self._failure or failure
        return chunks

    def _decoder_for(
        self, data: str, events: SSEDecoder
    ) -> UIMessageStreamDecoder | JSONSSEDecoder | None:
        """What reads events like this one; None: it does not tell, or nothing does."""
        dialect = dialect_of(data)
        reason = f"{self._framing_reason}; the first value is {shown(data)}"
        if dialect is None and self._label.is_ui:
            dialect, reason = "ui", self._label.said
        elif dialect is None and not is_heartbeat(data):
            self._refuse(data)
        if dialect is None:
            return None
        self.detection = Detection(dialect, reason)
        if dialect == "ui":
            return UIMessageStreamDecoder(self._strict, self._max_event_size, events)
        return JSONSSEDecoder(self._max_event_size, events)

    def _refuse(self, came: str) -> None:
        hint = "Is this the URL of a chat endpoint? For plain text say protocol='text'."
        if '"choices"' in came:
            hint = (
                "This looks like the chat completions API of OpenAI. If it is an endpoint's stream "
                "say protocol='openai'; to chat with a model itself use OpenAITransport."
            )
        self._failure = StreamProtocolError(
            f"The endpoint answered {self._status} ({self._label.said}) with what is in no "
            f"protocol known here: {shown(came)!r}. {hint}",
            chunk=shown(came),
        )
