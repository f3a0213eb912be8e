"""What the engine keeps of tool calls that run on this side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from usechat.engine.exchange import TurnState


@dataclass(eq=False, slots=True)
class ToolRun:
    """A tool call that runs on this side.

    Attributes:
        tool_call_id: the call.
        tool_name: the tool.
        input: what the model gave it, a JSON value.
        approved: whether the user has been asked, and has allowed it.
        message_index: where its message stands.
        part_index: where its part stands in that.
        begun: whether somebody has begun to run it.
        over: what still comes of it is dropped.
    """

    tool_call_id: str
    tool_name: str
    input: Any
    approved: bool
    message_index: int
    part_index: int
    begun: bool = False
    over: bool = False


@dataclass(eq=False, slots=True)
class ToolRound:
    """The tool calls that run between two exchanges of a turn, all at once.

    Attributes:
        turn: whose they are.
        runs: the calls; more may come while it is not over.
        over: whether all have ended, or are no longer wanted.
    """

    turn: TurnState
    runs: list[ToolRun] = field(default_factory=list)
    over: bool = False

    @property
    def waiting(self) -> list[ToolRun]:
        """Those that nobody has begun to run."""
        return [] if self.over else [run for run in self.runs if not run.begun]
