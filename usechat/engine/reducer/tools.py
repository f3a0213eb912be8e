"""Tool calls.

A static and a dynamic part with one id are two parts. Updates look in the current step first;
outputs then go back through all steps.
"""

from __future__ import annotations

from typing import Any

from usechat.engine.draft import DraftPart, Fields, PartialToolCall
from usechat.engine.events import PartUpdated, ToolInputDelta
from usechat.engine.exchange import Effect, Exchange
from usechat.engine.reducer.lenient import missing
from usechat.model.chunks import (
    ToolApprovalRequestChunk,
    ToolApprovalResponseChunk,
    ToolInputAvailableChunk,
    ToolInputDeltaChunk,
    ToolInputErrorChunk,
    ToolInputStartChunk,
    ToolOutputAvailableChunk,
    ToolOutputDeniedChunk,
    ToolOutputErrorChunk,
)

_OUTPUT_STATES = ("output-available", "output-error")
# What an update sets or, where it does not bring it, removes.
_REPLACED = ("input", "output", "errorText", "rawInput", "inputEncoding", "preliminary")


def input_start(exchange: Exchange, chunk: ToolInputStartChunk) -> Effect:
    """A tool call begins."""
    partial = PartialToolCall(
        chunk["toolName"],
        chunk.get("dynamic", False),
        chunk.get("inputEncoding"),
        chunk.get("title"),
        chunk.get("toolMetadata"),
    )
    exchange.draft.partial_calls[chunk["toolCallId"]] = partial
    _update(exchange, _part_in_step(exchange, chunk), "input-streaming", chunk, ("inputEncoding",))
    return Effect.CONTENT


def input_delta(exchange: Exchange, chunk: ToolInputDeltaChunk) -> Effect | None:
    """More of the input, as text; it is parsed when somebody looks."""
    call_id = chunk["toolCallId"]
    partial = exchange.draft.partial_calls.get(call_id)
    if partial is None:
        missing(exchange, "tool-input-delta", call_id, "tool-input-start")
        return None
    part = exchange.draft.call_in_step(partial.dynamic, call_id)
    if part is None or part.partial is not partial:
        part = _show_partial(exchange, call_id, partial, is_new=part is None)
        exchange.publish()
    else:
        partial.hides_raw = False
    start = partial.raw.shown
    text = partial.raw.append(chunk["inputTextDelta"])
    part.grow()
    exchange.emit_delta(ToolInputDelta, part.index, text, start)
    return Effect.CONTENT


def is_shown(exchange: Exchange, call_id: str) -> bool:
    """Whether the part of a streaming input is there: more of it only makes it grow.

    Args:
        exchange: whose reply it comes in.
        call_id: the tool call's id.
    """
    partial = exchange.draft.partial_calls.get(call_id)
    if partial is None:
        return False
    part = exchange.draft.call_in_step(partial.dynamic, call_id)
    return part is not None and part.partial is partial


def _show_partial(
    exchange: Exchange, call_id: str, partial: PartialToolCall, is_new: bool
) -> DraftPart:
    """Make the part in the current step the one that shows this input."""
    if partial.part is not None:
        partial.part.settle_input()
    partial.hides_raw = is_new and partial.dynamic
    chunk: dict[str, Any] = {"toolCallId": call_id, "toolName": partial.tool_name}
    for name, value in (
        ("dynamic", partial.dynamic or None),
        ("inputEncoding", partial.encoding),
        ("title", partial.title),
        ("toolMetadata", partial.tool_metadata),
    ):
        if value is not None:
            chunk[name] = value
    part = _part_in_step(exchange, chunk)
    _update(exchange, part, "input-streaming", chunk, ("inputEncoding",))
    part.partial, partial.part = partial, part
    return part


def input_available(exchange: Exchange, chunk: ToolInputAvailableChunk) -> Effect:
    """The input is complete."""
    _update(exchange, _part_in_step(exchange, chunk), "input-available", chunk, ("input",))
    return Effect.CONTENT if chunk.get("providerExecuted") else Effect.CALL


def input_error(exchange: Exchange, chunk: ToolInputErrorChunk) -> Effect:
    """The input cannot be used. A part that is there keeps its kind."""
    draft, call_id = exchange.draft, chunk["toolCallId"]
    there = [draft.call_in_step(dynamic, call_id) for dynamic in (False, True)]
    known = [part for part in there if part is not None]
    part = min(known, key=lambda p: p.index) if known else _part_in_step(exchange, chunk)
    # The SDK keeps no title here.
    chunk = {**chunk}
    chunk.pop("title", None)
    _update(exchange, part, "output-error", chunk, ("input", "errorText"))
    return Effect.CONTENT


def approval_request(exchange: Exchange, chunk: ToolApprovalRequestChunk) -> Effect | None:
    """The call wants to be approved."""
    part = _call(exchange, "tool-approval-request", chunk["toolCallId"])
    if part is None:
        return None
    approval: Fields = {"id": chunk["approvalId"]}
    if chunk.get("approvalDescriptor") is not None:
        approval["descriptor"] = chunk["approvalDescriptor"]
    if "inputSchemaInput" in chunk:
        approval["inputSchemaInput"] = chunk["inputSchemaInput"]
    if "reason" in chunk:
        approval["requestReason"] = chunk["reason"]
    if chunk.get("isAutomatic"):
        approval["isAutomatic"] = True
    if "signature" in chunk:
        approval["signature"] = chunk["signature"]
    part.settle_input()
    part.edit().update(state="approval-requested", approval=approval)
    exchange.emit(PartUpdated(exchange.draft.id, part.index))
    return Effect.CONTENT


def approval_response(exchange: Exchange, chunk: ToolApprovalResponseChunk) -> Effect | None:
    """The approval was answered on the server's side."""
    approval_id = chunk["approvalId"]
    for part in exchange.draft.calls():
        approval = part.look().get("approval")
        if isinstance(approval, dict) and approval.get("id") == approval_id:
            break
    else:
        missing(exchange, "tool-approval-response", approval_id, "tool-approval-request")
        return None
    answer: Fields = {"approved": chunk["approved"]}
    if "reason" in chunk:
        answer["reason"] = chunk["reason"]
    part.settle_input()
    fields = part.edit()
    fields.update(state="approval-responded", approval={**approval, **answer})
    if "providerExecuted" in chunk:
        fields["providerExecuted"] = chunk["providerExecuted"]
    if "providerMetadata" in chunk:
        fields["callProviderMetadata"] = chunk["providerMetadata"]
    exchange.emit(PartUpdated(exchange.draft.id, part.index))
    return Effect.CONTENT


def output_available(exchange: Exchange, chunk: ToolOutputAvailableChunk) -> Effect | None:
    """The tool's output, perhaps a preliminary one."""
    part = _call(exchange, "tool-output-available", chunk["toolCallId"])
    if part is not None:
        _output(exchange, part, "output-available", chunk, ("output", "preliminary"))
    return None if part is None else Effect.CONTENT


def output_error(exchange: Exchange, chunk: ToolOutputErrorChunk) -> Effect | None:
    """The tool failed."""
    part = _call(exchange, "tool-output-error", chunk["toolCallId"])
    if part is not None:
        _output(exchange, part, "output-error", chunk, ("errorText",))
    return None if part is None else Effect.CONTENT


def output_denied(exchange: Exchange, chunk: ToolOutputDeniedChunk) -> Effect | None:
    """The call was not approved."""
    part = _call(exchange, "tool-output-denied", chunk["toolCallId"])
    if part is None:
        return None
    part.settle_input()
    part.edit()["state"] = "output-denied"
    exchange.emit(PartUpdated(exchange.draft.id, part.index))
    return Effect.CONTENT


def _output(
    exchange: Exchange, part: DraftPart, state: str, chunk: Any, brings: tuple[str, ...]
) -> None:
    """Give a call its output; its name, title and input stay."""
    before = part.look()
    update = {**chunk, "toolName": None}
    if "input" in before:
        update["input"] = before["input"]
    brings = ("input", *brings)
    # Only a static part keeps what came of the input before it failed.
    if state == "output-error" and part.kind != "dynamic-tool" and "rawInput" in before:
        update["rawInput"] = before["rawInput"]
        brings = ("rawInput", *brings)
    _update(exchange, part, state, update, brings)


def _call(exchange: Exchange, kind: str, call_id: str) -> DraftPart | None:
    part = exchange.draft.call(call_id)
    if part is None:
        missing(exchange, kind, call_id, "tool-input-start or tool-input-available")
    return part


def _part_in_step(exchange: Exchange, chunk: Any) -> DraftPart:
    """The call's part in the current step; a new one at the end where there is none."""
    dynamic = bool(chunk.get("dynamic"))
    part = exchange.draft.call_in_step(dynamic, chunk["toolCallId"])
    if part is None:
        name = chunk["toolName"]
        fields: Fields = (
            {"type": "dynamic-tool", "toolName": name} if dynamic else {"type": f"tool-{name}"}
        )
        part = exchange.draft.add(
            DraftPart({**fields, "toolCallId": chunk["toolCallId"], "state": ""})
        )
    return part


def _update(
    exchange: Exchange, part: DraftPart, state: str, chunk: Any, brings: tuple[str, ...]
) -> None:
    """Bring a call to a state: what the chunk brings is set, what it could bring is removed."""
    fields = part.edit()
    if part.partial is not None:
        part.partial.part, part.partial = None, None
    fields["state"] = state
    name = chunk["toolName"]
    if name is not None and fields["type"] == "dynamic-tool":
        fields["toolName"] = name
    elif name is not None:
        fields["type"] = f"tool-{name}"
    for field in _REPLACED:
        fields.pop(field, None)
    fields.update({field: chunk[field] for field in brings if field in chunk})
    # Once set these stay until a chunk says otherwise.
    for field in ("title", "toolMetadata", "providerExecuted"):
        if field in chunk:
            fields[field] = chunk[field]
    if "providerMetadata" in chunk:
        which = "resultProviderMetadata" if state in _OUTPUT_STATES else "callProviderMetadata"
        fields[which] = chunk["providerMetadata"]
    exchange.emit(PartUpdated(exchange.draft.id, part.index))
