"""The message that streams: mutable and private; the published one is made when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticSerializationError

from usechat.engine.partial_json import UNDEFINED, parse_partial_json
from usechat.engine.text import TextBuffer
from usechat.model.messages import UIMessage
from usechat.model.parts import Part, WireModel, tag_of_part

Fields = dict[str, Any]
"""The fields of a part in wire form; what is unset is absent."""


class PartialToolCall:
    """A tool call's input as it streams.

    Args:
        tool_name: as the call began.
        dynamic: whether the tool is a dynamic one.
        encoding: ``text``, or ``json`` (the default).
        title: a title for people.
        tool_metadata: the tool's own.
        raw: the text that has come before.
    """

    __slots__ = (
        "dynamic",
        "encoding",
        "hides_raw",
        "part",
        "raw",
        "title",
        "tool_metadata",
        "tool_name",
    )

    def __init__(
        self,
        tool_name: str,
        dynamic: bool,
        encoding: str | None,
        title: str | None,
        tool_metadata: Any,
        raw: str = "",
    ) -> None:
        self.tool_name = tool_name
        self.dynamic = dynamic
        self.encoding = encoding
        self.title = title
        self.tool_metadata = tool_metadata
        self.raw = TextBuffer(raw)
        self.part: DraftPart | None = None
        """The part that shows this input."""
        self.hides_raw = False
        """Whether ``rawInput`` is not shown yet: the SDK leaves it out of a dynamic part that a
        delta has made, until the next delta."""

    def fields(self) -> Fields:
        """``input`` and ``rawInput`` as they are now."""
        raw = self.raw.text()
        value = raw if self.encoding == "text" else parse_partial_json(raw)
        shown: Fields = {} if self.hides_raw else {"rawInput": raw}
        return shown if value is UNDEFINED else {**shown, "input": value}


class DraftPart:
    """A part that may still change.

    Args:
        fields: its wire form.
        text: where its text grows, for text and reasoning.
    """

    __slots__ = ("_fields", "_model", "index", "partial", "text")

    def __init__(self, fields: Fields | None, text: TextBuffer | None = None) -> None:
        self._fields = fields
        self._model: WireModel | None = None
        self.text = text
        self.partial: PartialToolCall | None = None
        self.index = -1

    @classmethod
    def of(cls, part: WireModel) -> DraftPart:
        """A part that has been published; it is shared until something changes.

        Args:
            part: the published part.
        """
        draft_part = cls(None)
        draft_part._model = part
        return draft_part

    def edit(self) -> Fields:
        """The fields, to be changed by the caller."""
        if self._fields is None:
            assert self._model is not None
            self._fields = wire_form(self._model)
        self._model = None
        return self._fields

    def grow(self) -> None:
        """Say that the text or the partial input has grown."""
        self._model = None

    def replace(self, fields: Fields) -> None:
        """Give the part other fields; its input is no longer what streams.

        Args:
            fields: all of them.
        """
        self._fields, self._model = fields, None
        if self.partial is not None:
            self.partial.part, self.partial = None, None

    def settle_input(self) -> None:
        """Keep the input as it is now; later deltas are another part's."""
        if self.partial is not None:
            self.edit().update(self.partial.fields())
            self.partial = None

    def look(self) -> Mapping[str, Any]:
        """The fields as they are now, not to be changed."""
        if self._fields is None:
            assert self._model is not None
            return wire_form(self._model)
        if self.text is not None:
            return {**self._fields, "text": self.text.text()}
        if self.partial is not None:
            return {**self._fields, **self.partial.fields()}
        return self._fields

    @property
    def kind(self) -> str:
        """The part's type in the wire form."""
        if self._fields is not None:
            return str(self._fields["type"])
        return str(getattr(self._model, "type", ""))

    def build(self) -> Any:
        """The published form; the same object until something changes."""
        if self._model is None:
            self._model = _validator_of_parts().validate_python(self.look())
        return self._model


class Draft:
    """The message that streams.

    Args:
        message_id: its id.
        message: the message that the reply continues, if it continues one.
    """

    def __init__(self, message_id: str, message: UIMessage | None = None) -> None:
        self.fields: Fields = {"id": message_id, "role": "assistant"}
        self.parts: list[DraftPart] = []
        self.open_text: dict[str, DraftPart] = {}
        self.open_reasoning: dict[str, DraftPart] = {}
        self.partial_calls: dict[str, PartialToolCall] = {}
        self.finish_reason: str | None = None
        self.announced = 0
        """How many parts observers know of."""
        self.written = 0
        """How many parts there were at the last write."""
        self.continued = 0
        """How many parts were there before the reply."""
        self._step: dict[tuple[bool, str], DraftPart] = {}
        self._calls: dict[str, list[DraftPart]] = {}
        self._data: dict[tuple[str, str], DraftPart] = {}
        self._step_start = -1
        if message is not None:
            self._continue(message)

    def _continue(self, message: UIMessage) -> None:
        self.fields = {**wire_form(message, exclude={"parts"}), "id": message.id}
        for part in message.parts:
            self.add(DraftPart.of(part))
        self.announced = self.written = self.continued = len(self.parts)
        for call in self._step.values():
            fields = call.look()
            if fields["state"] == "input-streaming":
                self.partial_calls[fields["toolCallId"]] = _partial_of(fields)

    @property
    def id(self) -> str:
        """The message's id."""
        message_id: str = self.fields["id"]
        return message_id

    def add(self, part: DraftPart) -> DraftPart:
        """Put a part at the end.

        Args:
            part: the new part.
        """
        part.index = len(self.parts)
        self.parts.append(part)
        self._remember(part)
        return part

    def _remember(self, part: DraftPart) -> None:
        tag = part.kind
        if tag == "step-start":
            self._step_start = part.index
            self._step = {}
            return
        tag = tag_of_part({"type": tag})
        if tag in ("tool", "dynamic-tool"):
            call_id = part.look()["toolCallId"]
            self._step.setdefault((tag == "dynamic-tool", call_id), part)
            self._calls.setdefault(call_id, []).append(part)
        elif tag == "data":
            data_id = part.look().get("id")
            if data_id is not None:
                self._data.setdefault((part.kind, data_id), part)

    def reset_step(self) -> bool:
        """Take back what the current step has brought; whether there was anything."""
        self.open_text.clear()
        self.open_reasoning.clear()
        self.partial_calls.clear()
        kept = self.parts[: self._step_start + 1]
        if len(kept) == len(self.parts):
            return False
        self.parts, self._step, self._calls, self._data = kept, {}, {}, {}
        for part in kept:
            self._remember(part)
        self.announced = min(self.announced, len(kept))
        self.written = min(self.written, len(kept))
        return True

    def call_in_step(self, dynamic: bool, call_id: str) -> DraftPart | None:
        """The call of this kind in the current step.

        Args:
            dynamic: whether it is a dynamic tool's.
            call_id: the tool call's id.
        """
        return self._step.get((dynamic, call_id))

    def call(self, call_id: str) -> DraftPart | None:
        """The call with this id: the first of the current step, else the last before it.

        Args:
            call_id: the tool call's id.
        """
        calls = self._calls.get(call_id, [])
        in_step = (part for part in calls if part.index > self._step_start)
        return next(in_step, calls[-1] if calls else None)

    def calls(self) -> list[DraftPart]:
        """All tool calls, in order."""
        parts = [part for parts in self._calls.values() for part in parts]
        return sorted(parts, key=lambda part: part.index)

    def data(self, kind: str, data_id: str) -> DraftPart | None:
        """The data part of this type and id.

        Args:
            kind: its type, with ``data-``.
            data_id: its id.
        """
        return self._data.get((kind, data_id))

    def write(self) -> None:
        """Say that all that is there is to be published."""
        self.written = len(self.parts)

    def published(self) -> UIMessage:
        """The message as it was last written: a step that nothing has followed yet is not in it."""
        return self._build(self.written)

    def build(self) -> UIMessage:
        """The message as it is now."""
        return self._build(len(self.parts))

    def _build(self, count: int) -> UIMessage:
        parts = tuple(part.build() for part in self.parts[:count])
        return UIMessage.model_construct(**self.fields, parts=parts)


def wire_form(model: BaseModel, **options: Any) -> Fields:
    """What ``model_dump`` gives.

    Args:
        model: a message or a part.
        options: those of ``model_dump``.

    Raises:
        KeyboardInterrupt: an interrupt hit in it. Pydantic raises an error of its own then, which
            does not always have the interrupt as its cause.
    """
    try:
        return model.model_dump(**options)
    except PydanticSerializationError as error:
        raised = KeyboardInterrupt() if "KeyboardInterrupt" in str(error) else error
        raise raised from error.__cause__


def _partial_of(fields: Mapping[str, Any]) -> PartialToolCall:
    """The input of a call whose message is continued, as far as it had come."""
    dynamic = fields["type"] == "dynamic-tool"
    raw = fields.get("rawInput")
    return PartialToolCall(
        fields["toolName"] if dynamic else fields["type"][5:],
        dynamic,
        fields.get("inputEncoding"),
        fields.get("title"),
        fields.get("toolMetadata"),
        raw if isinstance(raw, str) else "",
    )


@cache
def _validator_of_parts() -> TypeAdapter[Any]:
    # Built by the first part that somebody looks at, not by an import.
    return TypeAdapter(Part)
