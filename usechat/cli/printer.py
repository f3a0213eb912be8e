"""A reply in plain lines, as it comes."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, TypeAlias

from usechat.cli.output import Output
from usechat.cli.parts import lines_of, one_line, short
from usechat.engine.events import (
    DataReceived,
    Event,
    PartAdded,
    PartUpdated,
    ReasoningDelta,
    TextDelta,
)
from usechat.model.messages import UIMessage
from usechat.model.parts import StepStartPart
from usechat.session.async_turn import AsyncTurn
from usechat.session.turn import TurnBase

_Place: TypeAlias = tuple[str, str, int | str]
"""What is being written: its kind and where it is; the lines are left open for more of it."""

# Before each line of reasoning, for terminals without dim letters and for files.
_THOUGHT = "~ "


async def follow(turn: AsyncTurn, show: Callable[[Event], None]) -> None:
    """Wait for a turn event by event.

    Args:
        turn: the turn.
        show: gets each event; what it raises ends this, not the turn.
    """
    async with aclosing(turn.events()) as events:
        async for event in events:
            show(event)


class Printer:
    """Writes what the events of a reply tell.

    Args:
        out: where to.
        messages: gives the chat's messages as they are now.
    """

    def __init__(self, out: Output, messages: Callable[[], tuple[UIMessage, ...]]) -> None:
        self._out = out
        self._messages = messages
        self._open: _Place | None = None
        self._said: dict[tuple[str, int], list[str]] = {}
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            TextDelta: self._text,
            ReasoningDelta: self._reasoning,
            PartAdded: self._part_added,
            PartUpdated: self._part_updated,
            DataReceived: self._data,
        }

    def show(self, event: Event) -> None:
        """Write what an event tells; most tell nothing that a line could show.

        Args:
            event: any event.
        """
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def end(self, turn: TurnBase) -> None:
        """Write how a turn ended, where that is not as it should be.

        Args:
            turn: a turn that is over.
        """
        self._close()
        if turn.error is not None:
            self._out.line(f"error: {turn.error}", "error")
            self._out.note("/regenerate tries again")
        elif turn.outcome == "stopped":
            self._out.note("stopped")
        elif turn.outcome == "incomplete":
            self._out.note("incomplete: the reply ended without its end; /regenerate tries again")
        elif turn.limit_reached:
            self._out.note("it went on by itself for long enough; say something to go on")
        elif turn.message is None:
            self._out.note("an empty reply")

    def _text(self, event: TextDelta) -> None:
        place = ("text", event.message_id, event.part_index)
        # Providers cut one text in several parts, in mid-sentence: it goes on in its line.
        goes_on = self._open is not None and self._open[0] == "text" and event.start == 0
        if not goes_on:
            self._continue(place)
        self._open = place
        self._out.write(event.text)

    def _reasoning(self, event: ReasoningDelta) -> None:
        self._continue(("reasoning", event.message_id, event.part_index))
        for line in re.findall(r"[^\n]*\n|[^\n]+", event.text):
            self._out.write(_THOUGHT + line if self._out.at_line_start else line, "dim")

    def _continue(self, place: _Place) -> None:
        """Go on with what is being written, or begin something else on a line of its own."""
        if self._open != place:
            self._close()
            self._open = place

    def _close(self) -> None:
        self._out.fresh_line()
        self._open = None

    def _part_added(self, event: PartAdded) -> None:
        # A place that is taken anew: the server has begun the step, or the message, again.
        self._said[event.message_id, event.part_index] = []
        self._part_updated(event)

    def _part_updated(self, event: PartAdded | PartUpdated) -> None:
        part = self._part(event.message_id, event.part_index)
        # Of a step is told with what came first in it, which for data has been written already.
        if isinstance(part, StepStartPart) and self._open is not None and self._open[0] != "data":
            self._close()
        said = self._said.setdefault((event.message_id, event.part_index), [])
        for line in lines_of(part):
            if line not in said:
                said.append(line)
                self._close()
                self._out.line(line, "item")

    def _part(self, message_id: str, index: int) -> Any:
        """A part as it is now; None where later events have taken it away."""
        for message in reversed(self._messages()):
            if message.id == message_id:
                return message.parts[index] if index < len(message.parts) else None
        return None

    def _data(self, event: DataReceived) -> None:
        chunk = event.chunk
        line = f"[data] {one_line(chunk.name)} {short(chunk.data)}"
        if chunk.transient:
            line += " (transient)"
        place = ("data", chunk.type, chunk.id or "")
        if chunk.id is None or not self._out.can_rewrite:
            self._close()
            self._out.line(line, "item")
        else:
            self._continue(place)
            self._out.rewrite(line, "item")
