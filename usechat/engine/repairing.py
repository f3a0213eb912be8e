"""Tool calls that nobody answers any more get an end: a model's API refuses a history without it.

The SDK sends such a history as it is.
"""

from __future__ import annotations

from typing import Any

from usechat.engine.answers import ApprovalResponse, Denial, ToolOutput
from usechat.engine.draft import Fields, wire_form
from usechat.engine.tool_rounds import NO_RESULT, ToolRounds
from usechat.model.messages import UIMessage
from usechat.model.parts import ToolCallPart

NO_ANSWER = "The user did not answer the request for approval."
"""Why a call is denied whose approval nobody has answered, for the model."""

_OPEN = ("input-streaming", "input-available", "approval-requested", "approval-responded")


class Repairing(ToolRounds):
    """The history before the user goes on, if ``repair`` says so."""

    def _repair(self) -> None:
        """End all tool calls that are open; no exchange may be running."""
        if not self.repair:
            return
        for index, message in enumerate(self.history.snapshot()):
            if message.role == "assistant" and any(_is_open(p) for p in message.parts):
                self.history.replace(index, repaired(message))
                self._changed()
        # What was answered and not sent has its end too.
        self._pending_approval = self.queue.deferred = None


def repaired(message: UIMessage) -> UIMessage:
    """The message with an end for each of its tool calls.

    Args:
        message: a published message; it does not change.
    """
    parts = tuple(_ended(part) if _is_open(part) else part for part in message.parts)
    return message.model_copy(update={"parts": parts})


def _is_open(part: Any) -> bool:
    return isinstance(part, ToolCallPart) and part.state in _OPEN


def _ended(part: Any) -> Any:
    fields = wire_form(part)
    # Of an input that has not come whole there is what could be read of it.
    for name in ("rawInput", "inputEncoding") if part.state == "input-streaming" else ():
        fields.pop(name, None)
    fields.setdefault("input", {})
    return type(part).model_validate(_end_of(part, fields))


def _end_of(part: ToolCallPart, fields: Fields) -> Fields:
    approval = part.approval
    if part.state == "approval-requested" and approval is not None:
        return Denial(ApprovalResponse(approval.id, False, NO_ANSWER)).applied(fields)
    if part.state == "approval-responded" and approval is not None and approval.approved is False:
        return {**fields, "state": "output-denied"}
    return ToolOutput.error(part.tool_call_id, NO_RESULT).applied(fields)
