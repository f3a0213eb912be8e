"""The text of a turn, piece by piece."""

from __future__ import annotations

from usechat.engine.draft import Draft, DraftPart
from usechat.engine.exchange import TurnState
from usechat.model.messages import printable, text_of_parts


class TurnText:
    """Gives the text of a turn as it comes; the pieces together are the turn's text.

    Text parts that stream at the same time are given one after the other, in the order of the
    message: the text of one waits until the one before is ended, or the exchange. Text that the
    server takes back (``reset-step``, a replay) has been given all the same.

    Args:
        turn: the turn.
    """

    def __init__(self, turn: TurnState) -> None:
        self._turn = turn
        self._draft: Draft | None = None
        self._at = turn.first_part
        self._offset = 0
        self._given = False
        self._new_step = False

    def take(self) -> str:
        """What has come since the last call."""
        exchange = self._turn.exchange
        if exchange is None:
            return ""
        draft = exchange.draft
        if draft is not self._draft:
            first = self._turn.first_part if self._draft is None else draft.continued
            self._go_to(min(self._at, first))
            self._draft = draft
        elif self._at > len(draft.parts):
            self._go_to(len(draft.parts))
        pieces: list[str] = []
        while self._at < len(draft.parts):
            part = draft.parts[self._at]
            complete = self._is_complete(draft, part)
            self._take_part(part, complete, pieces)
            if not complete:
                break
            self._at += 1
            self._offset = 0
        return "".join(pieces)

    def _go_to(self, at: int) -> None:
        if at != self._at:
            self._at, self._offset = at, 0

    def _is_complete(self, draft: Draft, part: DraftPart) -> bool:
        """Whether no more text of a part can come: while it is open, a step may begin after it."""
        streams = part.text is not None and part in draft.open_text.values()
        return not streams or self._turn.exchange_over

    def _take_part(self, part: DraftPart, complete: bool, pieces: list[str]) -> None:
        kind = part.kind
        if kind == "step-start":
            self._new_step = True
        if kind != "text":
            return
        if part.text is not None and not complete:
            text = part.text.since(self._offset)
        else:
            text = printable(part.look()["text"])[self._offset :]
        if not text:
            return
        if self._new_step and self._given:
            pieces.append("\n\n")
        self._new_step, self._given = False, True
        self._offset += len(text)
        pieces.append(text)


def text_of_turn(turn: TurnState) -> str:
    """All of a turn's text, a blank line between steps.

    Args:
        turn: the turn.
    """
    exchange = turn.exchange
    if exchange is None:
        return ""
    message = turn.message if exchange.over else exchange.draft.build()
    return "" if message is None else text_of_parts(message.parts[turn.first_part :])
