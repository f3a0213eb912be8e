"""What a reply is in: told from its first line and its first value, with the headers as a hint.

Servers label their replies wrongly, so what can be only one thing is read as that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic_core import from_json

from usechat.model.json import loads
from usechat.wire.data_stream import type_of
from usechat.wire.event_stream import shown

ENOUGH = 512
"""How many bytes of a line tell what it is, if its end does not come."""

Framing = Literal["events", "data-stream", "text", "none"]
"""How the bytes of a reply are cut into chunks; ``none``: in no way that we know."""

Sort = Literal["blank", "comment", "field", "data", "code", "other"]
"""What a line is: of server-sent events a comment, a field or data, a line of the data stream
(which begins with a code), or none of these."""

Dialect = Literal["ui", "json-sse"]

_FIELDS = (b"data", b"event", b"id", b"retry")
_STARTS: dict[type, bytes] = {str: b'"', list: b"[", dict: b"{"}


class Label(NamedTuple):
    """What the head of a response says of its body.

    Attributes:
        framing: how to read a body that does not tell by itself.
        is_ui: whether the head says that it is a UI message stream.
        said: what the head says, for messages.
    """

    framing: Framing
    is_ui: bool
    said: str

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Label:
        """Read the headers.

        Args:
            headers: of the response, names in lower case.
        """
        if "x-vercel-ai-ui-message-stream" in headers:
            return cls("events", True, "the header x-vercel-ai-ui-message-stream")
        if "x-vercel-ai-data-stream" in headers:
            return cls("data-stream", False, "the header x-vercel-ai-data-stream")
        content_type = headers.get("content-type", "")
        media_type = content_type.partition(";")[0].strip().lower()
        framings: dict[str, Framing] = {"text/event-stream": "events", "text/plain": "text"}
        said = f"content-type: {shown(content_type)}" if content_type else "no content-type"
        return cls(framings.get(media_type, "none"), False, said)


def sort_of(line: bytes, whole: bool) -> Sort | None:
    """What a line is; None: more of it has to come.

    Args:
        line: its begin, or all of it without its end.
        whole: whether it is all.
    """
    if not line:
        return "blank" if whole else None
    if line.startswith(b":"):
        return "comment" if whole else None
    name, colon, _ = line.partition(b":")
    if name in _FIELDS and (colon or whole):
        return "data" if name == b"data" else "field"
    if not whole and any(field.startswith(line) for field in _FIELDS):
        return None
    kind = type_of(line[:1].decode("latin-1"))
    if kind is not None and (name == line[:1] if colon else not whole and len(line) == 1):
        return _sort_of_code(kind, line[2:], whole)
    return "other"


def _sort_of_code(kind: type, value: bytes, whole: bool) -> Sort | None:
    """What a line is that begins as those of the data stream do."""
    if not value:
        return "other" if whole else None
    if not value.startswith(_STARTS[kind]):
        return "other"
    if not whole:
        return None
    try:
        fits = isinstance(loads(value.decode("utf-8", "replace")), kind)
    except ValueError:
        fits = False
    return "code" if fits else "other"


def begins_like(line: bytes) -> Framing | None:
    """The framing that the begin of a line speaks for, where its end will not come.

    Args:
        line: what came of it.
    """
    if line.startswith(b"data:"):
        data = line[5:].removeprefix(b" ")
        return "events" if data.startswith(b"{") and _is_begun(data) else None
    kind = type_of(line[:1].decode("latin-1"))
    if kind is None or line[1:2] != b":":
        return None
    begun = line[2:].startswith(_STARTS[kind]) and _is_begun(line[2:])
    return "data-stream" if begun else None


def _is_begun(value: bytes) -> bool:
    """Whether a JSON value may begin so, or is one."""
    try:
        from_json(value.decode("utf-8", "replace"), allow_inf_nan=False)
    except ValueError as error:
        return str(error).startswith("EOF ")  # nothing is wrong with it but that it ends
    return True


def framing_of(sort: Sort, line: bytes, whole: bool, label: Label) -> Framing | None:
    """The framing that a line tells; None: more has to come, of it or after it.

    Args:
        sort: what it is.
        line: its begin, or all of it.
        whole: whether it is all.
        label: what the headers say.
    """
    if sort == "blank":
        return None
    if sort == "code":
        return "data-stream"
    if sort == "other":
        return label.framing
    if sort == "comment" and label.framing == "data-stream":
        return None  # it has heartbeats too
    # A comment, a field or data. Plain text may begin with such words too.
    if label.framing != "text":
        return "events"
    return _framing_of_data(line[5:].removeprefix(b" "), whole) if sort == "data" else None


def _framing_of_data(data: bytes, whole: bool) -> Framing | None:
    """What is labelled plain text and begins with ``data:`` is events if they are ours."""
    if not whole and (data.startswith(b"{") or b"[DONE]".startswith(data)):
        return None
    if data == b"[DONE]" or dialect_of(data.decode("utf-8", "replace")) is not None:
        return "events"
    return "text"


def dialect_of(data: str) -> Dialect | None:
    """Whose value the data of an event are; None: it does not tell.

    Args:
        data: the event's data.
    """
    value = _object(data)
    if isinstance(value.get("type"), str):
        return "ui"
    says = isinstance(value.get("text"), str) or value.get("error") is not None
    return "json-sse" if says and "choices" not in value else None


def is_heartbeat(data: str) -> bool:
    """Whether the data of an event are nothing, or an object that says nothing to us.

    Args:
        data: the event's data.
    """
    value = _object(data)
    return "choices" not in value and (bool(value) or data.strip() in ("", "{}"))


def _object(data: str) -> dict[str, Any]:
    try:
        value = loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
