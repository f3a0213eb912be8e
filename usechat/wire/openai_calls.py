"""The tool calls of a chat completion, put together from their pieces.

Servers differ in what tells one call from another: its index, its id, or nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from usechat.errors import StreamProtocolError
from usechat.model.chunks import UIMessageChunk
from usechat.model.json import dumps, loads
from usechat.wire.event_stream import shown

_Chunks = list[UIMessageChunk]

# Each look reads all that came of a call. A server that needs more than one is odd already.
_MOST_LOOKS = 100


class UnfitError(Exception):
    """Something in an event is of a type that it may not have; says what."""


class _Call:
    """A tool call that comes in pieces.

    Args:
        wire_id: its id, as it came; empty: none.

    Attributes:
        id: the one that it has here; it has none until its name has come.
        name: the tool.
        pieces: what came of the arguments.
        extra: what the server wants back with the call; None: nothing.
    """

    def __init__(self, wire_id: str) -> None:
        self.wire_id = wire_id
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []
        self.extra: Mapping[str, Any] | None = None
        self._looks = 0

    def arguments(self) -> str:
        """What came of the arguments, as one text."""
        return "".join(self.pieces)

    def is_whole(self) -> bool:
        """Whether the arguments that came are an object; after many looks it is not asked."""
        self._looks += 1
        return self._looks <= _MOST_LOOKS and _is_object(self.arguments())


class ToolCalls:
    """The tool calls of a reply.

    Args:
        used_ids: ids that none of them may have.
        offered: the names of the tools that there are; empty: nobody knows.
    """

    def __init__(self, used_ids: frozenset[str], offered: Collection[str] = ()) -> None:
        self._used = set(used_ids)
        self._offered = offered
        self._made = 0
        self._all: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}

    def take(self, piece: Any) -> _Chunks:
        """A piece of one call; it may be all of it.

        Args:
            piece: an item of ``tool_calls``.

        Raises:
            UnfitError: it is no such item.
        """
        if not isinstance(piece, dict):
            raise UnfitError("a tool call is no object")
        function = piece.get("function")
        if function is None:
            function = {}
        if not isinstance(function, dict):
            raise UnfitError("a tool call's function is no object")
        arguments = _arguments(function.get("arguments"))
        name = text_in(function, "name")
        call = self._call_of(piece, name, arguments)
        if isinstance(piece.get("extra_content"), dict):  # Gemini's signature of its thoughts
            call.extra = piece["extra_content"]
        chunks: _Chunks = []
        if name and not call.name:
            call.name = name
            call.id = self._id(call.wire_id)
            chunks.append({"type": "tool-input-start", "toolCallId": call.id, "toolName": name})
            chunks += [_delta(call, earlier) for earlier in call.pieces]
        if arguments:
            call.pieces.append(arguments)
            if call.name:
                chunks.append(_delta(call, arguments))
        return chunks

    def end(self, is_cut: bool) -> _Chunks:
        """The inputs of all calls.

        Args:
            is_cut: whether the reply ended before the model did.

        Raises:
            StreamProtocolError: a call says no tool.
        """
        chunks: _Chunks = []
        for call in self._all:
            if call.name:
                chunks.append(_input(call, is_cut, self._offered))
            elif call.pieces:
                said = shown(call.arguments())
                raise StreamProtocolError(
                    f"The server sent a tool call without the tool's name: {said}", chunk=said
                )
        return chunks

    def _call_of(self, piece: Mapping[str, Any], name: str, arguments: str) -> _Call:
        """The call that a piece belongs to; a new one where it begins one."""
        index, wire_id = piece.get("index"), _id_in(piece)
        has_index = isinstance(index, int) and not isinstance(index, bool)
        if has_index:
            call = self._by_index.get(index)  # type: ignore[arg-type]
        elif wire_id:
            call = self._by_id.get(wire_id)
        else:  # one without a name goes on with the last
            call = self._all[-1] if self._all and not name else None
        if call is None or self._begins_another(call, wire_id, name, arguments):
            call = _Call(wire_id)
            self._all.append(call)
        call.wire_id = call.wire_id or wire_id
        if has_index:
            self._by_index[index] = call  # type: ignore[index]
        if wire_id:
            self._by_id[wire_id] = call
        return call

    @staticmethod
    def _begins_another(call: _Call, wire_id: str, name: str, arguments: str) -> bool:
        """Whether a piece is of another call than its index or id says.

        Ollama gave the index 0 to all (ollama/ollama#15457). Servers that repeat the name with
        each piece are told from those that repeat an id by what the arguments are.
        """
        if wire_id and call.wire_id and wire_id != call.wire_id:
            return True
        if name and call.name and name != call.name and not wire_id:
            return True
        return bool(name) and _is_object(arguments) and call.is_whole()

    def _id(self, wire_id: str) -> str:
        """The id of a new call: its own, or one that is nobody's.

        It is the same however often the reply is read, and of the form that Mistral insists on.
        """
        call_id = wire_id
        while not call_id or call_id in self._used:
            self._made += 1
            call_id = f"call{self._made:05}"
        self._used.add(call_id)
        return call_id


def text_in(value: Mapping[str, Any], name: str) -> str:
    """A field that is text, or not there.

    Args:
        value: an object of an event.
        name: the field.

    Raises:
        UnfitError: it is something else.
    """
    text = value.get(name)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise UnfitError(f"its {name} is no text")
    return text


def _id_in(piece: Mapping[str, Any]) -> str:
    """The id of a call; some servers count."""
    given = piece.get("id")
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    return given if isinstance(given, str) else ""


def _arguments(value: Any) -> str:
    """A piece of arguments as text; some servers send the value itself."""
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(value).decode()


def _is_object(text: str) -> bool:
    try:
        return text.lstrip().startswith("{") and isinstance(loads(text), dict)
    except ValueError:
        return False


def _delta(call: _Call, text: str) -> UIMessageChunk:
    return {"type": "tool-input-delta", "toolCallId": call.id, "inputTextDelta": text}


def _input(call: _Call, is_cut: bool, offered: Collection[str]) -> UIMessageChunk:
    """The input of a call, or what is wrong with it."""
    chunk: UIMessageChunk = {"toolCallId": call.id, "toolName": call.name}
    if call.extra is not None:
        chunk["providerMetadata"] = {"openai": {"extraContent": call.extra}}
    text = call.arguments()
    if offered and call.name not in offered:
        said = f"There is no tool {call.name!r}. There are: {', '.join(offered)}."
        return {"type": "tool-input-error", **chunk, "input": text, "errorText": said}
    try:
        value = loads(text) if text.strip() or is_cut else {}
        if value is None:  # what some models write for no arguments
            value = {}
        if not isinstance(value, dict):
            raise ValueError("another value")
    except ValueError as error:
        cut = "; the reply was cut off" if is_cut else ""
        said = f"The input is no JSON object ({error}){cut}."
        return {"type": "tool-input-error", **chunk, "input": text, "errorText": said}
    return {"type": "tool-input-available", **chunk, "input": value}
