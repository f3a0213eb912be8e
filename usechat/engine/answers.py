"""What an answer does to a tool call.

Source: ai 7.0.173, src/ui/chat.ts, addToolOutput and addToolApprovalResponse.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from usechat.engine.draft import Fields, wire_form
from usechat.model.messages import UIMessage
from usechat.model.parts import ToolCallPart


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """The end of a tool call, an output or an error.

    Attributes:
        tool_call_id: the call.
        brings: the fields that say how it ended.
    """

    tool_call_id: str
    brings: Fields

    @classmethod
    def available(cls, tool_call_id: str, output: Any) -> ToolOutput:
        """An output.

        Args:
            tool_call_id: the call.
            output: a JSON value.
        """
        return cls(tool_call_id, {"state": "output-available", "output": output})

    @classmethod
    def preliminary(cls, tool_call_id: str, output: Any) -> ToolOutput:
        """An output that another will follow.

        Args:
            tool_call_id: the call.
            output: a JSON value.
        """
        brings = {"state": "output-available", "output": output, "preliminary": True}
        return cls(tool_call_id, brings)

    @classmethod
    def error(cls, tool_call_id: str, error_text: str) -> ToolOutput:
        """An error.

        Args:
            tool_call_id: the call.
            error_text: what went wrong, for the model.
        """
        return cls(tool_call_id, {"state": "output-error", "errorText": error_text})

    @property
    def of(self) -> str:
        """What it answers, for messages."""
        return f"tool call {self.tool_call_id}"

    def matches(self, part: ToolCallPart) -> bool:
        """Whether a part is meant.

        Args:
            part: any tool call.
        """
        return part.tool_call_id == self.tool_call_id

    def applied(self, fields: Mapping[str, Any]) -> Fields:
        """The fields of a part with the answer in it.

        Args:
            fields: the part in wire form.
        """
        kept = {k: v for k, v in fields.items() if k not in ("output", "errorText")}
        # Only an approval that was granted may stand beside an output.
        if (kept.get("approval") or {}).get("approved") is not True:
            kept.pop("approval", None)
        return {**kept, **self.brings}


@dataclass(frozen=True, slots=True)
class ApprovalResponse:
    """The answer to an approval that was asked for.

    Attributes:
        approval_id: which approval.
        approved: yes or no.
        reason: why, for the model.
    """

    approval_id: str
    approved: bool
    reason: str | None = None

    @property
    def of(self) -> str:
        """What it answers, for messages."""
        return f"approval {self.approval_id}"

    def matches(self, part: ToolCallPart) -> bool:
        """Whether a part is meant.

        Args:
            part: any tool call.
        """
        approval = part.approval if part.state == "approval-requested" else None
        return approval is not None and approval.id == self.approval_id

    def applied(self, fields: Mapping[str, Any]) -> Fields:
        """The fields of a part with the answer in it.

        Args:
            fields: the part in wire form.
        """
        approval = {**fields["approval"], "approved": self.approved}
        if self.reason is not None:
            approval["reason"] = self.reason
        return {**fields, "state": "approval-responded", "approval": approval}


@dataclass(frozen=True, slots=True)
class Verdict(ABC):
    """What the answer to an approval comes to where no server has to hear of it.

    Attributes:
        response: the answer.
    """

    response: ApprovalResponse

    @property
    def of(self) -> str:
        """What it answers, for messages."""
        return self.response.of

    def matches(self, part: ToolCallPart) -> bool:
        """Whether a part is meant.

        Args:
            part: any tool call.
        """
        return self.response.matches(part)

    @abstractmethod
    def applied(self, fields: Mapping[str, Any]) -> Fields:
        """The fields of a part with the answer in it.

        Args:
            fields: the part in wire form.
        """


@dataclass(frozen=True, slots=True)
class Denial(Verdict):
    """The end of a call that is not to run."""

    def applied(self, fields: Mapping[str, Any]) -> Fields:
        """As ``Verdict.applied``."""
        return {**self.response.applied(fields), "state": "output-denied"}


@dataclass(frozen=True, slots=True)
class Noted(Verdict):
    """A yes while the reply with the call is still coming: it runs when that is complete."""

    def applied(self, fields: Mapping[str, Any]) -> Fields:
        """As ``Verdict.applied``."""
        return self.response.applied(fields)


@dataclass(frozen=True, slots=True)
class TooLate(Verdict):
    """The end of a call that was approved when nobody waited for it any more.

    Attributes:
        response: the answer.
        error_text: what the model is told.
    """

    error_text: str

    def applied(self, fields: Mapping[str, Any]) -> Fields:
        """As ``Verdict.applied``."""
        return ToolOutput.error(fields["toolCallId"], self.error_text).applied(fields)


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A call that is to run on this side wants the user's approval.

    Attributes:
        tool_call_id: the call.
        approval_id: what the user answers.
    """

    tool_call_id: str
    approval_id: str

    def applied(self, fields: Mapping[str, Any]) -> Fields:
        """The fields of a part that asks.

        Args:
            fields: the part in wire form.
        """
        return {**fields, "state": "approval-requested", "approval": {"id": self.approval_id}}


Answer = ToolOutput | ApprovalResponse | Verdict
"""Something that a tool call waited for."""


def answered_at(message: UIMessage, index: int, answer: Answer | ApprovalRequest) -> UIMessage:
    """The message with an answer in one of its calls.

    Args:
        message: a published message.
        index: where the call is among its parts.
        answer: the answer.
    """
    parts = list(message.parts)
    part: Any = parts[index]
    # What was preliminary is so no longer, unless the answer says it again.
    fields = {k: v for k, v in wire_form(part).items() if k != "preliminary"}
    parts[index] = type(part).model_validate(answer.applied(fields))
    return message.model_copy(update={"parts": tuple(parts)})


def answered(message: UIMessage, answer: Answer) -> UIMessage | None:
    """The message with an answer in it; None if it holds nothing that the answer is for.

    Args:
        message: a published message.
        answer: the answer.
    """
    if not any(answer.matches(part) for part in message.tool_parts):
        return None
    parts = tuple(
        type(part).model_validate(answer.applied(wire_form(part)))
        if isinstance(part, ToolCallPart) and answer.matches(part)
        else part
        for part in message.parts
    )
    return message.model_copy(update={"parts": parts})
