"""Server-sent events: bytes to the data of events, by the rules of the HTML standard.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import codecs

from usechat.errors import StreamProtocolError

DEFAULT_MAX_EVENT_SIZE = 16 * 1024 * 1024


class SSEDecoder:
    """Decodes a stream of server-sent events, whatever the split of its bytes.

    Only CR, LF and CRLF end a line; U+2028, U+0085 and the like are text. One byte order mark is
    stripped, broken UTF-8 becomes U+FFFD, an event without its blank line is dropped. A CR at the
    end of a piece waits for the next one, which may begin with its LF (as eventsource-parser 3,
    the SDK's parser, does).

    Args:
        max_event_size: the most characters that one event may have, its unfinished line with it.
    """

    def __init__(self, max_event_size: int = DEFAULT_MAX_EVENT_SIZE) -> None:
        self._max_event_size = max_event_size
        self.completed: list[str] = []
        """The events that the last piece completed, also where it raised."""
        self.last_event_id: str | None = None
        """The id of the last event that had one: where a new connection is to go on."""
        self.reconnected()

    def reconnected(self) -> None:
        """Another connection goes on with the stream: what one has begun the other does not end."""
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._is_whole = False  # past the begin, and in the middle of no character
        self._line: list[str] = []  # pieces of a line that has not ended
        self._line_size = 0
        self._data: list[str] = []  # data lines of an event that has not ended
        self._data_size = 0
        self._cr = ""
        self._id: str | None = None  # of the event that has not ended
        self.first_event_id: str | None = None
        """The id of the first event of this connection that had one."""

    def feed(self, piece: bytes) -> list[str]:
        """Take a piece of the stream; return the data of each event that it completed.

        Args:
            piece: bytes as they came, of any length.

        Raises:
            StreamProtocolError: an event is larger than ``max_event_size``.
        """
        done: list[str] = []
        self.completed = done
        if self._is_whole and piece.isascii():  # most pieces, at a quarter of the cost
            text = piece.decode("ascii")
        else:
            text = self._utf8.decode(piece)
            self._is_whole = self._utf8.getstate() == (b"", 0)
        if self._cr or "\r" in text:
            text = self._with_line_feeds(text)
        if "\n" not in text:
            self._begin(text)
            return done
        if self._line:
            text = "".join([*self._line, text])
            self._line.clear()
            self._line_size = 0
        self._split(text, done)
        return done

    def _with_line_feeds(self, text: str) -> str:
        text = self._cr + text
        self._cr = "\r" if text.endswith("\r") else ""
        return text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n")

    def _split(self, text: str, done: list[str]) -> None:
        """Take whole lines and the begin of the next one."""
        blocks = text.split("\n\n") if not self._data else [text]
        rest = blocks.pop()
        for block in blocks:
            if (
                block.startswith("data: ")
                and "\n" not in block
                and len(block) <= self._max_event_size
            ):
                done.append(block[6:])
            else:
                self._lines(block.split("\n"), done)
                self._dispatch(done)
        if "\n" in rest:
            *lines, rest = rest.split("\n")
            self._lines(lines, done)
        self._begin(rest)

    def _begin(self, text: str) -> None:
        """Keep what came of a line that has not ended."""
        if text:
            self._line.append(text)
            self._line_size += len(text)
            self._check(self._line_size)

    def _lines(self, lines: list[str], done: list[str]) -> None:
        for line in lines:
            if not line:
                self._dispatch(done)
                continue
            self._check(len(line))
            if line.startswith("data:"):
                self._hold(line[6 if line.startswith("data: ") else 5 :])
            elif line == "data":
                self._hold("")
            elif line.startswith("id:") and "\0" not in line:
                self._id = line[4 if line.startswith("id: ") else 3 :]

    def _dispatch(self, done: list[str]) -> None:
        if self._id is not None:
            self.last_event_id, self._id = self._id, None
            if self.first_event_id is None:
                self.first_event_id = self.last_event_id
        if self._data:
            done.append("\n".join(self._data))
            self._data.clear()
            self._data_size = 0

    def _hold(self, data: str) -> None:
        self._data.append(data)
        self._data_size += len(data) + 1  # an empty line is one character too

    def _check(self, line_size: int) -> None:
        if self._data_size + line_size > self._max_event_size:
            raise StreamProtocolError(
                f"The server sent an event of more than {self._max_event_size:,} characters. "
                "Raise max_event_size if such events are expected."
            )
