"""Which handler reads which chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from usechat.engine.exchange import Effect, Exchange
from usechat.engine.reducer import message, parts, text, tools
from usechat.engine.reducer.lenient import skip_once

Handler: TypeAlias = Callable[[Exchange, Any], Effect | None]
"""Changes the draft of an exchange by a chunk and says what it did."""

HANDLERS: dict[str, Handler] = {
    "start": message.start,
    "text-start": text.TEXT.start,
    "text-delta": text.TEXT.delta,
    "text-end": text.TEXT.end,
    "reasoning-start": text.REASONING.start,
    "reasoning-delta": text.REASONING.delta,
    "reasoning-end": text.REASONING.end,
    "tool-input-start": tools.input_start,
    "tool-input-delta": tools.input_delta,
    "tool-input-available": tools.input_available,
    "tool-input-error": tools.input_error,
    "tool-approval-request": tools.approval_request,
    "tool-approval-response": tools.approval_response,
    "tool-output-available": tools.output_available,
    "tool-output-error": tools.output_error,
    "tool-output-denied": tools.output_denied,
    "custom": parts.whole_part,
    "file": parts.whole_part,
    "reasoning-file": parts.whole_part,
    "source-url": parts.whole_part,
    "source-document": parts.whole_part,
    "steering-message": parts.whole_part,
    "start-step": parts.start_step,
    "finish-step": parts.finish_step,
    "reset-step": parts.reset_step,
    "message-metadata": message.metadata,
    "finish": message.finish,
    "abort": message.abort,
    "error": message.error,
    "[DONE]": message.done,
}
"""All but data parts, whose types are the application's."""


def handler_of(kind: str) -> Handler:
    """The handler of a chunk type.

    Args:
        kind: the type.
    """
    return HANDLERS.get(kind) or (parts.data_part if kind.startswith("data-") else _unknown)


def _unknown(exchange: Exchange, chunk: Any) -> None:
    skip_once(exchange, str(chunk.get("type")), "this version does not know the type")
