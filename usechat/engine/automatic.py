"""When a conversation goes on by itself, and when it waits for the user.

Source: ai 7.0.173, src/ui/last-assistant-message-is-complete-with-*.ts and chat.ts.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from usechat.model.messages import UIMessage
from usechat.model.parts import AnyToolPart, StepStartPart, TextPart, ToolCallPart


def calls_of_last_step(message: UIMessage) -> list[tuple[int, AnyToolPart]]:
    """The tool calls of the last step of a message, with their places among its parts.

    Args:
        message: an assistant's message.
    """
    parts = message.parts
    starts = [i for i, part in enumerate(parts) if isinstance(part, StepStartPart)]
    first = starts[-1] + 1 if starts else 0
    return [
        (index, part)
        for index, part in enumerate(parts)
        if index >= first and isinstance(part, AnyToolPart)
    ]


def _last_calls(messages: Sequence[UIMessage]) -> list[tuple[int, AnyToolPart]]:
    """The tool calls of the last step of the last message, if that is an assistant's."""
    if not messages or messages[-1].role != "assistant":
        return []
    return calls_of_last_step(messages[-1])


def _has_output(part: ToolCallPart) -> bool:
    return part.state == "output-error" or (
        part.state == "output-available" and part.preliminary is not True
    )


def _is_settled(messages: Sequence[UIMessage], own: Container[str]) -> bool:
    """Whether an approval of the last step was answered, and none of its tool calls waits."""
    calls = [part for _, part in _last_calls(messages)]
    answers = [
        part.state == ("output-denied" if part.tool_name in own else "approval-responded")
        for part in calls
    ]
    return any(answers) and all(
        answered or _has_output(part) or part.state == "output-denied"
        for part, answered in zip(calls, answers, strict=True)
    )


def last_assistant_message_is_complete_with_tool_calls(messages: Sequence[UIMessage]) -> bool:
    """Whether every tool call of the last step that runs here has its output.

    For ``send_automatically_when``.

    Args:
        messages: the chat's messages.
    """
    calls = [(index, part) for index, part in _last_calls(messages) if not part.provider_executed]
    if not calls:
        return False
    after = messages[-1].parts[calls[-1][0] + 1 :]
    if any(isinstance(part, TextPart) and part.state != "done" for part in after):
        return False
    return all(_has_output(part) for _, part in calls)


def last_assistant_message_is_complete_with_approval_responses(
    messages: Sequence[UIMessage],
) -> bool:
    """Whether an approval of the last step was answered, and none of its tool calls waits.

    For ``send_automatically_when``.

    Args:
        messages: the chat's messages.
    """
    return _is_settled(messages, own=())


def is_answered(messages: Sequence[UIMessage], own: Container[str]) -> bool:
    """Whether nothing of the last step waits any more, and something of it did.

    Either standard predicate, where some tools run on this side: an approval of theirs is no
    answer yet, and a call of theirs that was denied needs no server to say so.

    Args:
        messages: the chat's messages.
        own: the names of the tools that run on this side.
    """
    complete = last_assistant_message_is_complete_with_tool_calls(messages)
    return complete or _is_settled(messages, own)


def _waits_for_output(part: ToolCallPart) -> bool:
    return not part.provider_executed and part.state in ("input-streaming", "input-available")


def waiting_calls(message: UIMessage | None) -> frozenset[str]:
    """The ids of tool calls that have no output, or an approval that was not sent yet.

    Args:
        message: the last message.
    """
    if message is None or message.role != "assistant":
        return frozenset()
    return frozenset(
        part.tool_call_id
        for part in message.tool_parts
        if part.state in ("approval-requested", "approval-responded") or _waits_for_output(part)
    )


def has_unsent_approval(message: UIMessage | None) -> bool:
    """Whether a message has an answered approval and nothing else that waits.

    Args:
        message: the last message.
    """
    if message is None or message.role != "assistant":
        return False
    calls = message.tool_parts
    return any(part.state == "approval-responded" for part in calls) and not any(
        part.state == "approval-requested" or _waits_for_output(part) for part in calls
    )
