"""An inspected reply for programs to read: an object a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usechat.cli.inspect.inspection import Inspection, Row
from usechat.cli.inspect.table import shown_headers, usage_of
from usechat.cli.inspect.verdict import faults_of, notes_of
from usechat.cli.output import Output
from usechat.model.json import dumps


class Lines:
    """Writes a reply as it comes.

    Args:
        out: where to.
    """

    def __init__(self, out: Output) -> None:
        self._out = out

    def asked(self, url: str, headers: Mapping[str, str]) -> None:
        """The request is made."""

    def answered(self, seen: Inspection) -> None:
        """The head of the response is there; the last line has it."""

    def rows(self, seen: Inspection, rows: list[Row]) -> None:
        """Chunks have come.

        Args:
            seen: what is known.
            rows: the chunks.
        """
        for row in rows:
            self._line(
                {
                    "event": "chunk",
                    "row": row.number,
                    "ms": _ms(row.seconds),
                    "together": row.gap is None,
                    "type": row.found.kind,
                    "chunk": row.found.value,
                    "faults": list(row.found.objections),
                }
            )

    def ended(self, seen: Inspection) -> None:
        """It is over.

        Args:
            seen: all that is known.
        """
        tally, turn = seen.tally, seen.turn
        self._line(
            {
                "event": "end",
                "status": seen.status or None,
                "headers": shown_headers(seen.headers),
                "protocol": seen.read_as,
                "reason": seen.reason,
                "outcome": seen.outcome,
                "finishReason": turn.finish_reason,
                "error": _error(turn.error),
                "chunks": tally.rows,
                "pieces": tally.pieces,
                "heartbeats": seen.heartbeats,
                "ms": {
                    "headers": _ms(tally.headers),
                    "firstChunk": _ms(tally.first_row),
                    "firstText": _ms(tally.first_text),
                    "total": _ms(tally.total),
                },
                "textLength": 0 if seen.message is None else len(seen.message.text),
                "usage": usage_of(seen),
                "faults": [{"rows": list(f.rows), "fault": f.words} for f in faults_of(seen)],
                "notes": notes_of(seen),
            }
        )

    def _line(self, value: dict[str, Any]) -> None:
        self._out.line(dumps(value).decode())


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _error(error: Exception | None) -> dict[str, str] | None:
    return None if error is None else {"type": type(error).__name__, "message": str(error)}
