"""One reply, inspected: its rows as it comes, and in the end what is to be said of the whole.

It is told the time of everything, and does no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from usechat.cli.inspect.clients import Client, SessionClient, StrictClient
from usechat.cli.inspect.rows import Found, RowReader
from usechat.engine.exchange import ChatRequest, Outcome, TurnState
from usechat.model.messages import UIMessage
from usechat.transport.options import Protocol

_DELTAS = ("text-delta", "reasoning-delta", "tool-input-delta")


class Row(NamedTuple):
    """A chunk of the reply, where it stands in it.

    Attributes:
        number: which one, from 1.
        seconds: when it came, since the request was made.
        gap: how long before it none came; None: it came together with the row before.
        found: the chunk.
    """

    number: int
    seconds: float
    gap: float | None
    found: Found


@dataclass
class Tally:
    """What is counted and timed while a reply comes.

    Attributes:
        rows: how many there are.
        pieces: in how many pieces they came; what came at one time is one.
        deltas: how many of them are more of something.
        headers: when the head of the response was there; None: it never was. All times are in
            seconds since the request was made.
        first_row: when the first chunk came.
        first_text: when the first text came.
        last_row: when the last chunk came.
        total: when it was over.
        kinds: how many there are of each type.
        start: the first ``start``.
        objections: the rows that a strict client objects to, by what it says.
        stops_at: the first of them.
    """

    rows: int = 0
    pieces: int = 0
    deltas: int = 0
    headers: float | None = None
    first_row: float | None = None
    first_text: float | None = None
    last_row: float | None = None
    total: float = 0.0
    kinds: dict[str, int] = field(default_factory=dict)
    start: Mapping[str, Any] | None = None
    objections: dict[str, list[int]] = field(default_factory=dict)
    stops_at: int | None = None

    def add(self, row: Row) -> None:
        """Count a row.

        Args:
            row: the next one.
        """
        kind, value, objections, _ = row.found
        self.rows += 1
        self.pieces += row.gap is not None
        self.deltas += kind in _DELTAS
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        self.last_row = row.seconds
        if self.first_row is None:
            self.first_row = row.seconds
        if self.first_text is None and kind == "text-delta":
            self.first_text = row.seconds
        if self.start is None and kind == "start":
            self.start = value
        for objection in objections:
            self.objections.setdefault(objection, []).append(row.number)
            self.stops_at = self.stops_at or row.number


class Inspection:
    """A reply that is inspected.

    Args:
        text: the message that is sent.
        protocol: how the reply is to be read.

    Attributes:
        protocol: how it is to be read.
        status: of the response; 0 before it.
        headers: of the response, names in lower case.
        tally: what has been counted.
        interrupted: whether this side did not want more.
    """

    def __init__(self, text: str, protocol: Protocol) -> None:
        self.protocol = protocol
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.tally = Tally()
        self.interrupted = False
        self._text = text
        self._asking = Client(text)
        self._session: SessionClient | None = None
        self._reader: RowReader | None = None
        self._strict = StrictClient(text)
        self._held: list[tuple[bytes, float]] = []  # until the protocol is known

    @property
    def request(self) -> ChatRequest:
        """What is to be sent."""
        return self._asking.request

    @property
    def turn(self) -> TurnState:
        """What a session makes of it."""
        return (self._session or self._asking).exchange.turn

    @property
    def outcome(self) -> Outcome | None:
        """How a session's turn ends with this reply; None while it runs."""
        return self.turn.outcome

    @property
    def has_no_reply(self) -> bool:
        """Whether what came, if anything came, is none."""
        return self.outcome == "error" and not self.tally.rows

    @property
    def message(self) -> UIMessage | None:
        """The assistant's message; None where nothing came."""
        return self.turn.message

    @property
    def read_as(self) -> str | None:
        """The protocol that the reply is read in; None where that is not known."""
        return None if self._session is None else self._session.protocol

    @property
    def reason(self) -> str:
        """What tells the protocol, in words."""
        detection = None if self._session is None else self._session.detection
        if self.protocol == "auto":
            return "nothing tells it" if detection is None else detection.reason
        if detection is None or detection.protocol == self.protocol:
            return "as the command line says"
        return f"as the command line says, but it looks like {detection.protocol}"

    @property
    def looks_like(self) -> str | None:
        """What it was found to be in."""
        detection = None if self._session is None else self._session.detection
        return None if detection is None else detection.protocol

    @property
    def heartbeats(self) -> int:
        """How many have come."""
        return 0 if self._reader is None else self._reader.pulse.heartbeats

    @property
    def is_cut(self) -> bool:
        """Whether the body ends in the middle of an event."""
        return self._reader is not None and self._reader.pulse.is_cut

    @property
    def open_texts(self) -> list[str]:
        """The ids of text that has begun and not ended."""
        return list(self._strict.exchange.draft.open_text)

    def answered(
        self, status: int, headers: Mapping[str, str], at: float, is_reply: bool = True
    ) -> None:
        """The head of the response is there.

        Args:
            status: its status.
            headers: its headers, names in lower case.
            at: when, in seconds since the request was made.
            is_reply: whether a body follows that is to be read.
        """
        self.status, self.headers, self.tally.headers = status, headers, at
        if is_reply:
            self._session = SessionClient(self._text, self.protocol, status, headers)

    def take(self, piece: bytes, at: float) -> list[Row]:
        """Take a piece of the body; return the rows that it completed.

        Args:
            piece: bytes as they came.
            at: when; the same for pieces that came together.
        """
        assert self._session is not None
        self._session.feed(piece)
        self.tally.total = at
        if self._reader is None:
            self._held.append((piece, at))
            if self._session.protocol is None:
                return []
            self._reader = RowReader(self._session.protocol, self._strict)
            held, self._held = self._held, []
            return [row for then in held for row in self._read(*then)]
        return self._read(piece, at)

    def ended(self, at: float) -> list[Row]:
        """The body ended cleanly; return the rows that this completes.

        Args:
            at: when.
        """
        assert self._session is not None
        self._session.close()
        rows: list[Row] = []
        if self._reader is None and self._session.protocol is not None:
            self._reader = RowReader(self._session.protocol, self._strict)
            rows = [row for then in self._held for row in self._read(*then)]
        self.tally.total = at
        return rows if self._reader is None else rows + self._rows(self._reader.close(), at)

    def failed(self, error: Exception, at: float) -> None:
        """There is no reply, or no more of it.

        Args:
            error: one of ours.
            at: when.
        """
        if self._session is None:
            self._session = SessionClient(self._text, self.protocol, self.status, self.headers)
        self._session.fail(error)
        self.tally.total = at

    def interrupt(self, at: float) -> None:
        """This side does not want more.

        Args:
            at: when.
        """
        self.interrupted = True
        if self._session is None:
            self._session = SessionClient(self._text, self.protocol, self.status, self.headers)
        self._session.stop()
        self.tally.total = at

    def _read(self, piece: bytes, at: float) -> list[Row]:
        assert self._reader is not None
        return self._rows(self._reader.feed(piece), at)

    def _rows(self, found: Iterable[Found], at: float) -> list[Row]:
        rows: list[Row] = []
        for each in found:
            before = self.tally.last_row
            gap = at if before is None else at - before
            row = Row(self.tally.rows + 1, at, None if before == at else gap, each)
            self.tally.add(row)
            rows.append(row)
        return rows
