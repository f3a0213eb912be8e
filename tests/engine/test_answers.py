"""What an answer does to a tool call."""

from __future__ import annotations

import pytest

from usechat.engine.answers import ApprovalResponse, Denial, ToolOutput, answered
from usechat.model.messages import UIMessage

from .harness import assistant, call


def message(*parts: dict) -> UIMessage:
    return UIMessage.model_validate(assistant(*parts))


def answer(part: dict, what: ToolOutput | ApprovalResponse) -> dict:
    made = answered(message(part), what)
    assert made is not None
    (dumped,) = made.model_dump()["parts"]
    return dumped


@pytest.mark.parametrize("state", ["input-streaming", "input-available", "output-available"])
def test_an_output_ends_a_call_in_any_state(state: str) -> None:
    part = call(state, input={"a": 1}, title="T", output="old")
    assert answer(part, ToolOutput.available("c1", None)) == call(
        "output-available", input={"a": 1}, title="T", output=None
    )


def test_an_error_replaces_an_output_and_an_output_an_error() -> None:
    failed = answer(call("output-available", output=1), ToolOutput.error("c1", "e"))
    assert failed == call("output-error", errorText="e")
    assert answer(failed, ToolOutput.available("c1", 2)) == call("output-available", output=2)


@pytest.mark.parametrize(
    ("approval", "stays"),
    [
        ({"id": "a", "approved": True}, True),
        ({"id": "a", "approved": False}, False),
        ({"id": "a"}, False),
    ],
)
def test_only_an_approval_that_was_granted_stands_beside_an_output(
    approval: dict, stays: bool
) -> None:
    part = answer(call("approval-responded", approval=approval), ToolOutput.available("c1", 1))
    assert part.get("approval") == (approval if stays else None)


def test_approval_null_is_no_approval() -> None:
    part = answer(call("input-available", approval=None), ToolOutput.available("c1", 1))
    assert "approval" not in part


def test_an_approval_is_answered_with_a_reason_or_without() -> None:
    part = call("approval-requested", approval={"id": "ap1", "isAutomatic": True})
    assert answer(part, ApprovalResponse("ap1", True))["approval"] == {
        "id": "ap1",
        "isAutomatic": True,
        "approved": True,
    }
    refused = answer(part, ApprovalResponse("ap1", False, "no"))
    assert (refused["state"], refused["approval"]["reason"]) == ("approval-responded", "no")


@pytest.mark.parametrize(
    "what",
    [ToolOutput.available("c2", 1), ApprovalResponse("ap2", True), ApprovalResponse("c1", True)],
)
def test_an_answer_for_another_call_is_none(what: ToolOutput | ApprovalResponse) -> None:
    part = call("approval-requested", approval={"id": "ap1"})
    assert answered(message(part, {"type": "text", "text": "c2"}), what) is None


def test_an_approval_is_answered_once() -> None:
    part = call("approval-responded", approval={"id": "ap1", "approved": True})
    assert answered(message(part), ApprovalResponse("ap1", False)) is None


def test_all_calls_with_the_id_are_answered_and_other_parts_are_shared() -> None:
    before = message(
        {"type": "text", "text": "x"},
        call("input-available"),
        {"type": "dynamic-tool", "toolName": "d", "toolCallId": "c1", "state": "input-available"},
        call("input-available", "c2"),
    )
    after = answered(before, ToolOutput.available("c1", 1))
    assert after is not None
    assert [part.state for part in after.tool_parts] == [
        "output-available",
        "output-available",
        "input-available",
    ]
    assert after.parts[0] is before.parts[0]
    assert after.parts[3] is before.parts[3]
    assert before.parts[1].state == "input-available"


def test_an_answer_says_what_it_is_for() -> None:
    assert ToolOutput.error("c1", "e").of == "tool call c1"
    assert ApprovalResponse("ap1", True).of == "approval ap1"


def test_a_denial_needs_nobody_else() -> None:
    denial = Denial(ApprovalResponse("ap1", False, "no"))
    assert denial.of == "approval ap1"
    asked = call("approval-requested", approval={"id": "ap1"})
    assert answer(asked, denial) == call(
        "output-denied", approval={"id": "ap1", "approved": False, "reason": "no"}
    )
    assert answered(message(call("approval-responded", approval={"id": "ap1"})), denial) is None
