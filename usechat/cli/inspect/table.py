"""An inspected reply for people to read: a table, and what it comes to."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from usechat.cli.inspect.inspection import Inspection, Row
from usechat.cli.inspect.verdict import Fault, faults_of, notes_of
from usechat.cli.output import Output, Style, harmless
from usechat.cli.parts import one_line
from usechat.model.json import dumps
from usechat.transport.failures import place

HIDDEN = "(not shown)"

_COLUMNS = 100  # where it is no terminal
_NARROW = 80  # columns; below there is no room for the gaps
_GAP = 0.1  # seconds that a person feels
_KIND = 22  # characters of the longest type that servers send often
_ROWS_NAMED = 5
_WORDS = 1000  # characters of what is not cut at the end of a line
_SECRET_HEADERS = ("set-cookie", "set-cookie2")
# These come first and without their names: the types say what they are.
_PLAIN = ("messageId", "id", "toolCallId", "approvalId", "sourceId", "toolName")
_MAIN = ("delta", "inputTextDelta", "errorText", "input", "output", "data", "url", "kind")


def shown_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of a response without what is secret in them.

    Args:
        headers: names in lower case.
    """
    shown = dict(headers)
    for name in shown:
        if name in _SECRET_HEADERS:
            shown[name] = HIDDEN
        elif name == "location":
            shown[name] = place(shown[name])
    return shown


class Table:
    """Writes a reply as it comes.

    Args:
        out: where to.
    """

    def __init__(self, out: Output) -> None:
        self._out = out
        self._begun = False
        columns = shutil.get_terminal_size().columns or _NARROW  # some terminals do not know theirs
        # In its last column a terminal may break the line.
        self._columns = max(columns - 1, 20) if out.is_terminal else _COLUMNS
        self._is_narrow = self._columns < _NARROW - 1

    def asked(self, url: str, headers: Mapping[str, str]) -> None:
        """The request is made.

        Args:
            url: where to.
            headers: those that the command line gives; their values are not shown.
        """
        named = f" ({', '.join(map(str.lower, headers))})" if headers else ""
        self._line(f"POST {place(url)}{named}")

    def answered(self, seen: Inspection) -> None:
        """The head of the response is there.

        Args:
            seen: what is known.
        """
        phrase = HTTPStatus(seen.status).phrase if seen.status in set(HTTPStatus) else ""
        said = f"{seen.status} {phrase}".rstrip()
        self._line(f"{said}, after {_ms(seen.tally.headers)} ms")
        for name, value in shown_headers(seen.headers).items():
            self._line(f"  {name}: {one_line(value)}", "dim")

    def rows(self, seen: Inspection, rows: list[Row]) -> None:
        """Chunks have come.

        Args:
            seen: what is known.
            rows: the chunks.
        """
        if rows and not self._begun:
            self._begun = True
            self._line(f"protocol: {seen.read_as} ({seen.reason})")
            self._out.line("")
            self._line(self._laid_out(" ", "#", "ms", "gap", "chunk", "what is in it"), "dim")
        for row in rows:
            self._row(row)

    def _row(self, row: Row) -> None:
        kind, value, objections, counts = row.found
        mark = "!" if objections else " "
        came = "" if row.gap is None else _ms(row.seconds)
        is_long = row.gap is not None and row.gap >= _GAP and row.number > 1
        gap = f"+{_ms(row.gap)}" if is_long else ""
        style: Style | None = "error" if objections else None if counts else "dim"
        what = content_of(value)
        self._line(self._laid_out(mark, str(row.number), came, gap, one_line(kind), what), style)

    def _laid_out(self, mark: str, number: str, came: str, gap: str, kind: str, what: str) -> str:
        if self._is_narrow:
            return f"{mark}{number:>4} {came:>6} {kind} {what}"
        return f"{mark}{number:>4} {came:>6} {gap:>6}  {kind:<{_KIND}}  {what}"

    def ended(self, seen: Inspection) -> None:
        """It is over.

        Args:
            seen: all that is known.
        """
        if not self._begun and seen.read_as is not None:
            self._line(f"protocol: {seen.read_as} ({seen.reason})")
        self._out.line("")
        for name, value in _summary(seen):
            is_bad = name == "outcome" and seen.outcome in ("error", "incomplete")
            self._wrapped(f"{name:<9}", value, "error" if is_bad else None)
        if seen.tally.headers is not None and not seen.has_no_reply:
            self._out.line("")
            self._verdict(seen)

    def _verdict(self, seen: Inspection) -> None:
        faults, notes = faults_of(seen), notes_of(seen)
        so_far = " so far" if seen.interrupted else ""
        if faults:
            self._wrapped("A strict client", "(useChat of ai 7) objects:")
        else:
            self._wrapped("A strict client", f"(useChat of ai 7) has no objection{so_far}.")
        for fault in faults:
            self._wrapped(f"! {_where(fault)}:", fault.words, "error")
        if seen.tally.stops_at is not None and seen.read_as == "ui":
            self._out.line(f"  useChat ends with an error at row {seen.tally.stops_at}.")
        if notes:
            self._out.line("Worth knowing:")
        for note in notes:
            self._wrapped("-", note)

    def _wrapped(self, line: str, text: str, style: Style | None = None) -> None:
        """Words that are not cut; on more lines where one does not hold them."""
        words = harmless(one_line(text, _WORDS)).split(" ")
        line = f"{line} {words[0]}"
        for word in words[1:]:
            if width(f"{line} {word}") > self._columns:
                self._out.line(line, style)
                line = f"    {word}"
            else:
                line += f" {word}"
        self._out.line(line, style)

    def _line(self, text: str, style: Style | None = None) -> None:
        self._out.line(fit(harmless(text.rstrip()), self._columns), style)


def _summary(seen: Inspection) -> Iterator[tuple[str, str]]:
    tally, turn = seen.tally, seen.turn
    yield "outcome", _outcome(seen)
    if tally.headers is None:
        return
    beats = f", {_count(seen.heartbeats, 'heartbeat')}" if seen.heartbeats else ""
    pieces = f" in {_count(tally.pieces, 'piece')}" if tally.rows else ""
    yield "chunks", f"{tally.rows}{pieces}{beats}"
    yield (
        "ms",
        ", ".join(
            f"{name} {_ms(at)}"
            for name, at in (
                ("headers", tally.headers),
                ("first chunk", tally.first_row),
                ("first text", tally.first_text),
                ("total", tally.total),
            )
            if at is not None
        ),
    )
    if turn.message is not None:
        yield "text", _count(len(turn.message.text), "character")
    usage = usage_of(seen)
    if usage is not None:
        yield "usage", dumps(usage).decode()


def _outcome(seen: Inspection) -> str:
    said = str(seen.outcome)
    if seen.interrupted:
        return f"{said} (Ctrl-C)"
    if seen.turn.error is not None:
        return f"{said}: {seen.turn.error}"
    if seen.outcome == "stopped":
        return f"{said} (by the server)"
    reason = seen.turn.finish_reason
    return f"{said}, finish reason {one_line(reason)}" if reason is not None else said


def usage_of(seen: Inspection) -> Any:
    """The tokens used, where the metadata say so.

    Args:
        seen: a reply that is over.
    """
    metadata = None if seen.message is None else seen.message.metadata
    return metadata.get("usage") if isinstance(metadata, dict) else None


def content_of(value: Any) -> str:
    """What is in a chunk, in a line.

    Args:
        value: the chunk; text where it is none.
    """
    if not isinstance(value, dict):
        return "" if value is None else one_line(str(value), _WORDS)
    first = [_plain(value[name]) for name in _PLAIN if name in value]
    main = [dumps(value[name]).decode() for name in _MAIN if name in value]
    others = [
        f"{one_line(str(name))}={_plain(value[name])}"
        for name in value
        if name not in (*_PLAIN, *_MAIN, "type")
    ]
    return " ".join([*first, *main, *others])


def _plain(value: Any) -> str:
    is_word = isinstance(value, str) and value.isprintable() and value and " " not in value
    return str(value) if is_word else dumps(value).decode()


def _where(fault: Fault) -> str:
    if not fault.rows:
        return "the reply"
    named = ", ".join(map(str, fault.rows[:_ROWS_NAMED]))
    more = len(fault.rows) - _ROWS_NAMED
    return f"row {named}{f' and {more} more' if more > 0 else ''}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.0f}"


def width(text: str) -> int:
    """How many columns of a terminal a text takes.

    Args:
        text: any text.
    """
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def fit(text: str, columns: int) -> str:
    """The start of a text that so many columns of a terminal hold.

    Args:
        text: a line.
        columns: how many.
    """
    if len(text) * 2 <= columns or width(text) <= columns:
        return text
    taken, left = [], columns - 3
    for character in text:
        left -= _columns_of(character)
        if left < 0:
            break
        taken.append(character)
    return "".join(taken) + "..."


def _columns_of(character: str) -> int:
    if unicodedata.combining(character) or character in "\u200d\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
