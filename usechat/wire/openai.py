"""The stream of OpenAI's chat completions API, which Ollama, vLLM, LM Studio and others speak too.

Source: the API's reference, as the types of the package openai 3.57 have it; what other servers do
in their own way is named where it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usechat.errors import StreamProtocolError
from usechat.model.chunks import STREAM_DONE, UIMessageChunk
from usechat.model.json import dumps, loads
from usechat.wire.event_stream import EventStreamDecoder, parse, shown
from usechat.wire.sse import DEFAULT_MAX_EVENT_SIZE, SSEDecoder

_Chunks = list[UIMessageChunk]

_FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool-calls",
    "function_call": "tool-calls",
    "content_filter": "content-filter",
}
_CUT = ("length", "content-filter")

# DeepSeek and older versions of vLLM; Ollama, OpenRouter and newer ones. Some send both, the same.
_REASONING = ("reasoning_content", "reasoning")

_REFUSAL = {"providerMetadata": {"openai": {"refusal": True}}}

# The index of a call in the deprecated form, which has none.
_FUNCTION_CALL = -1


class OpenAIDecoder(EventStreamDecoder):
    """Decodes the events of a chat completion to the chunks of a UI message stream.

    Only the first choice is read. Tool calls become available at the end of the reply: until
    then nobody knows whether their arguments are whole. Events without choices are skipped.

    Args:
        max_event_size: the most characters that one event may hold.
        events: as for ``EventStreamDecoder``.
        used_ids: the ids of the tool calls in the history; a call that comes with one of them,
            or with none, gets another.
    """

    protocol = "openai"

    def __init__(
        self,
        max_event_size: int = DEFAULT_MAX_EVENT_SIZE,
        events: SSEDecoder | None = None,
        *,
        used_ids: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(max_event_size, events)
        self._begun = False
        self._over = False
        self._open: tuple[str, str] | None = None  # the kind and the id of the part that is open
        self._parts = 0
        self._calls = _Calls(used_ids)
        self._finish_reason: str | None = None
        self._usage: Mapping[str, Any] | None = None

    def read_one(self, data: str) -> _Chunks:
        """The chunks of one event.

        Args:
            data: its data.

        Raises:
            StreamProtocolError: it is no JSON object, or something in it is of a wrong type.
        """
        if self._over:
            return []
        if data.strip() == "[DONE]":
            return [*self._end(), STREAM_DONE]
        value = parse(data)
        if not isinstance(value, dict):
            raise _unreadable("no object", data)
        said = error_words(value)
        if said is not None:
            self._over = True
            return [{"type": "error", "errorText": said}]
        if value.get("choices") is None:
            return []
        try:
            return self._completion(value)
        except _UnfitError as error:
            raise _unreadable(str(error), data) from None

    def close(self) -> _Chunks:
        """The body ended cleanly. Some servers leave out ``[DONE]``."""
        if self.error is not None or self._over or self._finish_reason is None:
            return []
        try:
            chunks = self._end()
        except StreamProtocolError as error:
            error.position = self.position
            self.error = error
            return []
        self.position += len(chunks)
        return chunks

    def _completion(self, value: Mapping[str, Any]) -> _Chunks:
        choices = value["choices"]
        if not isinstance(choices, list):
            raise _UnfitError("its choices are no list")
        if isinstance(value.get("usage"), dict):
            self._usage = value["usage"]
        chunks: _Chunks = [] if self._begun else [{"type": "start"}, {"type": "start-step"}]
        for choice in choices:
            if not isinstance(choice, dict):
                raise _UnfitError("a choice is no object")
            if choice.get("index") in (0, None):
                chunks += self._choice(choice)
        self._begun = True
        return chunks

    def _choice(self, choice: Mapping[str, Any]) -> _Chunks:
        delta = choice.get("delta")
        if delta is None:
            delta = {}
        if not isinstance(delta, dict):
            raise _UnfitError("its delta is no object")
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._finish_reason = _FINISH_REASONS.get(reason, "other")
        thought = next((t for t in (_text(delta, name) for name in _REASONING) if t), "")
        return [
            *self._more("reasoning", thought),
            *self._more("text", _text(delta, "content")),
            *self._more("refusal", _text(delta, "refusal")),
            *self._tool_calls(delta),
        ]

    def _end(self) -> _Chunks:
        """The reply is complete: so are its tool calls."""
        self._over = True
        if not self._begun:
            return []
        finish: UIMessageChunk = {"type": "finish"}
        if self._finish_reason is not None:
            finish["finishReason"] = self._finish_reason
        if self._usage is not None:
            finish["messageMetadata"] = {"usage": self._usage}
        calls = self._calls.end(self._finish_reason in _CUT)
        return [*self._end_part(), *calls, {"type": "finish-step"}, finish]

    # ---------------------------------------------------------------- text

    def _more(self, kind: str, text: str) -> _Chunks:
        """More of a part; a part of another kind ends here."""
        if not text:
            return []
        chunks: _Chunks = []
        shape = "reasoning" if kind == "reasoning" else "text"
        if self._open is None or self._open[0] != kind:
            chunks = self._end_part()
            self._parts += 1
            self._open = (kind, f"{shape}-{self._parts}")
            metadata = _REFUSAL if kind == "refusal" else {}
            chunks.append({"type": f"{shape}-start", "id": self._open[1], **metadata})
        return [*chunks, {"type": f"{shape}-delta", "id": self._open[1], "delta": text}]

    def _end_part(self) -> _Chunks:
        opened, self._open = self._open, None
        if opened is None:
            return []
        kind, part_id = opened
        return [{"type": f"{'reasoning' if kind == 'reasoning' else 'text'}-end", "id": part_id}]

    # --------------------------------------------------------------- tools

    def _tool_calls(self, delta: Mapping[str, Any]) -> _Chunks:
        pieces = delta.get("tool_calls")
        if pieces is None:
            pieces = []
        if not isinstance(pieces, list):
            raise _UnfitError("its tool_calls are no list")
        old = delta.get("function_call")
        if old is not None:
            pieces = [*pieces, {"index": _FUNCTION_CALL, "function": old}]
        chunks: _Chunks = []
        for piece in pieces:
            chunks += self._calls.take(piece)
        return [*self._end_part(), *chunks] if chunks else []


class _UnfitError(Exception):
    """Something in an event is of a type that it may not have; says what."""


class _Call:
    """A tool call that comes in pieces.

    Args:
        wire_id: its id, as it came; empty: none.

    Attributes:
        id: the one that it has here; it has none until its name has come.
        name: the tool.
        pieces: what came of the arguments.
    """

    def __init__(self, wire_id: str) -> None:
        self.wire_id = wire_id
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []

    def arguments(self) -> str:
        """What came of the arguments, as one text."""
        return "".join(self.pieces)


class _Calls:
    """The tool calls of a reply.

    Args:
        used_ids: ids that none of them may have.
    """

    def __init__(self, used_ids: frozenset[str]) -> None:
        self._used = set(used_ids)
        self._made = 0
        self._all: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}

    def take(self, piece: Any) -> _Chunks:
        """A piece of one call; it may be all of it.

        Args:
            piece: an item of ``tool_calls``.

        Raises:
            _UnfitError: it is no such item.
        """
        if not isinstance(piece, dict):
            raise _UnfitError("a tool call is no object")
        function = piece.get("function")
        if function is None:
            function = {}
        if not isinstance(function, dict):
            raise _UnfitError("a tool call's function is no object")
        arguments = _arguments(function.get("arguments"))
        name = _text(function, "name")
        call = self._call_of(piece, name, arguments)
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
                chunks.append(_input(call, is_cut))
            elif call.pieces:
                said = shown(call.arguments())
                raise StreamProtocolError(
                    f"The server sent a tool call without the tool's name: {said}", chunk=said
                )
        return chunks

    def _call_of(self, piece: Mapping[str, Any], name: str, arguments: str) -> _Call:
        """The call that a piece belongs to; a new one where it begins one."""
        index, wire_id = piece.get("index"), _text(piece, "id")
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
        return bool(name) and _is_object(arguments) and _is_object(call.arguments())

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


def error_words(value: Any) -> str | None:
    """What an error says, in the server's words; None: it is none.

    Args:
        value: what was read from JSON: an event of a stream, or the body of an answer.
    """
    if isinstance(value, list) and len(value) == 1:  # Google's
        value = value[0]
    if not isinstance(value, dict):
        return None
    error = value.get("error")
    if not error and value.get("object") == "error":  # vLLM's
        error = value
    if not error:
        return None
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) and message else dumps(error).decode()


def _text(value: Mapping[str, Any], name: str) -> str:
    """A field that is text, or not there."""
    text = value.get(name)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise _UnfitError(f"its {name} is no text")
    return text


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


def _input(call: _Call, is_cut: bool) -> UIMessageChunk:
    """The input of a call, or what is wrong with it."""
    chunk: UIMessageChunk = {"toolCallId": call.id, "toolName": call.name}
    text = call.arguments()
    try:
        value = loads(text) if text.strip() or is_cut else {}
        if not isinstance(value, dict):
            raise ValueError("another value")
    except ValueError as error:
        cut = "; the reply was cut off" if is_cut else ""
        said = f"The input is no JSON object ({error}){cut}."
        return {"type": "tool-input-error", **chunk, "input": text, "errorText": said}
    return {"type": "tool-input-available", **chunk, "input": value}


def _unreadable(why: str, data: str) -> StreamProtocolError:
    return StreamProtocolError(
        f"The server sent an event that is no chunk of a chat completion ({why}): {shown(data)}",
        chunk=shown(data),
    )
