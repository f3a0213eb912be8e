"""Events as JSON, one a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic.alias_generators import to_camel

from usechat.engine.events import (
    Event,
    MessageAdded,
    MetadataChanged,
    PartAdded,
    PartDone,
    PartUpdated,
    TurnFinished,
)
from usechat.model.json import dumps
from usechat.model.messages import UIMessage
from usechat.session.turn import TurnBase

_POINTERS = (MessageAdded, MetadataChanged, PartAdded, PartUpdated, PartDone)


def event_line(event: Event, messages: Callable[[], tuple[UIMessage, ...]]) -> str:
    """An event as a line of JSON, without the line's end.

    Args:
        event: the event.
        messages: gives the chat's, where the event points to a part of one.
    """
    line = {"event": type(event).__name__}
    if isinstance(event, TurnFinished):
        return _json({**line, "outcome": event.turn.outcome})
    fields = {to_camel(name): _plain(value) for name, value in event._asdict().items()}
    return _json({**line, **fields, **_told(event, messages)})


def end_line(turn: TurnBase) -> str:
    """The last line: how the turn ended, and its message.

    Args:
        turn: a turn that is over.
    """
    return _json(
        {
            "event": "end",
            "outcome": turn.outcome,
            "finishReason": turn.finish_reason,
            "error": _plain(turn.error),
            "message": turn.message,
        }
    )


def _told(event: Event, messages: Callable[[], tuple[UIMessage, ...]]) -> dict[str, Any]:
    """What an event that only points somewhere points to."""
    if not isinstance(event, _POINTERS):
        return {}
    message = next((m for m in reversed(messages()) if m.id == event.message_id), None)
    if message is None:
        return {}
    if isinstance(event, MessageAdded):
        return {"role": message.role}
    if isinstance(event, MetadataChanged):
        return {"metadata": message.metadata}
    if event.part_index >= len(message.parts):
        return {}  # what came after it has taken the part away
    return {"part": message.parts[event.part_index]}


def _plain(value: Any) -> Any:
    if isinstance(value, Exception):
        return {"type": type(value).__name__, "message": str(value)}
    return value


def _json(value: dict[str, Any]) -> str:
    return dumps(value).decode()
