"""The data stream of the AI SDK 4 (and 3): lines of a code, a colon and a JSON value.

Source: @ai-sdk/ui-utils 1.2.11 (of ai 4.3.19), src/data-stream-parts.ts, assistant-stream-parts.ts,
process-chat-response.ts; for the codes 1 and 7 0.0.50 (of ai 3.4.33).
"""

from __future__ import annotations

import codecs
import logging
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pydantic import ValidationError
from pydantic_core import from_json

from usechat.errors import StreamProtocolError
from usechat.model.chunk_validation import validate_chunk
from usechat.model.chunks import UIMessageChunk
from usechat.model.json import loads
from usechat.model.messages import where_wrong
from usechat.wire.event_stream import shown
from usechat.wire.sse import DEFAULT_MAX_EVENT_SIZE

logger = logging.getLogger("usechat")

HEADERS = {
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-cache",
    "x-vercel-ai-data-stream": "v1",
}
"""The headers of a reply in this protocol; the SDK's server sends them all but cache-control."""

_Chunks: TypeAlias = list[UIMessageChunk]

_TYPES: dict[str, type] = {"0": str, "2": list, "3": str, "8": list, "g": str}
"""What a code's value is, where it is no object."""


def type_of(code: str) -> type | None:
    """What the value of a code is; None: there is no such code.

    Args:
        code: one letter or digit.
    """
    return _TYPES.get(code, dict) if code in _READERS else None


_TEXT_FIELDS = {
    "4": ("id",),
    "5": ("threadId", "messageId"),
    "9": ("toolCallId", "toolName"),
    "a": ("toolCallId",),
    "b": ("toolCallId", "toolName"),
    "c": ("toolCallId", "argsTextDelta"),
    "d": ("finishReason",),
    "e": ("finishReason",),
    "f": ("messageId",),
    "i": ("data",),
    "j": ("signature",),
    "k": ("data", "mimeType"),
}
"""What text an object must have."""

_WORDS: dict[type, str] = {str: "text", list: "list", dict: "object"}
_OBJECTS = (dict, list, type(None))  # of the type "object" in JavaScript
_CODE = re.compile(r"[A-Za-z0-9_-]{1,32}")
_SSE_FIELDS = ("data", "event", "id", "retry")
_URL = ("source-url", ("url", "title", "providerMetadata"))
_DOCUMENT = ("source-document", ("mediaType", "title", "filename", "providerMetadata"))


class DataStreamDecoder:
    """Decodes the data stream to the chunks of a UI message stream.

    As in the SDK the text of a step is one part, whatever comes between, and the last step that
    begins names the message. Only LF and CRLF end a line; blank lines and comments (``: ping``) are
    skipped, and so are lines of unknown codes; the last line may lack its end. One byte order mark
    is stripped, broken UTF-8 becomes U+FFFD.

    Args:
        max_event_size: the most characters that one line may hold.
        continues: whether the reply goes on with a message that is there, which keeps its id.
    """

    protocol = "data-stream"
    first_event_id = last_event_id = None

    def __init__(
        self, max_event_size: int = DEFAULT_MAX_EVENT_SIZE, continues: bool = False
    ) -> None:
        self.error: StreamProtocolError | None = None
        self.position = 0
        self._max_event_size = max_event_size
        self._continues = continues
        self._told: set[str] = set()
        self._message_id: str | None = None
        self._texts = 0
        self._text_id: str | None = None  # of the text part that is open
        self._reasonings = 0
        self._reasoning_id: str | None = None
        self._calls = 0
        self.reconnected()

    def reconnected(self) -> None:
        """Another connection goes on with the reply, at the begin of a line."""
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._line: list[str] = []  # pieces of a line that has not ended
        self._line_size = 0

    def open(self) -> _Chunks:
        """Nothing stands before the first line."""
        return []

    def feed(self, piece: bytes) -> _Chunks:
        """Take a piece of the body; return the chunks that it completed.

        Args:
            piece: bytes as they came, of any length.
        """
        return [] if self.error is not None else self._take(self._utf8.decode(piece))

    def close(self) -> _Chunks:
        """The body ended cleanly; return the chunks of the last line, where it was not ended."""
        if self.error is not None:
            return []
        return self._take(self._utf8.decode(b"", final=True) + "\n")

    # ------------------------------------------------------------------ lines

    def _take(self, text: str) -> _Chunks:
        if "\n" not in text:
            self._begin(text)
            return []
        if self._line:
            text = "".join([*self._line, text])
            self._line.clear()
            self._line_size = 0
        *lines, begun = text.split("\n")
        chunks = self._read(lines)
        self.position += len(chunks)
        if self.error is None:
            self._begin(begun)
        return chunks

    def _begin(self, text: str) -> None:
        """Keep what came of a line that has not ended."""
        if text:
            self._line.append(text)
            self._line_size += len(text)
            if self._line_size > self._max_event_size:
                self.error = self._too_large()

    def _too_large(self) -> StreamProtocolError:
        return StreamProtocolError(
            f"The server sent a line of more than {self._max_event_size:,} characters. "
            "Raise max_event_size if such lines are expected."
        )

    def _read(self, lines: list[str]) -> _Chunks:
        """The chunks of some lines; up to the first bad one, which is kept in ``error``."""
        chunks: _Chunks = []
        for line in lines:
            if len(line) > self._max_event_size:
                self.error = self._too_large()
                break
            try:
                if self._text_id is not None and line.startswith('0:"'):
                    # What there is most of, without what the others need.
                    delta = from_json(line[2:])
                    chunks.append({"type": "text-delta", "id": self._text_id, "delta": delta})
                    continue
            except ValueError:
                pass  # half a character, or no JSON
            try:
                chunks += self._read_one(line)
            except ValueError as error:
                self.error = StreamProtocolError(
                    f"The server sent a line that is not of the data stream ({error}): "
                    f"{shown(line)}",
                    chunk=shown(line),
                    position=self.position + len(chunks),
                )
                break
        return chunks

    def _read_one(self, line: str) -> _Chunks:
        """The chunks of one line.

        Raises:
            ValueError: it is none of this protocol; says why.
        """
        if not line.strip(" \t\r") or line.startswith(":"):
            return []
        code, colon, text = line.partition(":")
        if not colon:
            raise ValueError("it has no colon")
        if code in _SSE_FIELDS or not _CODE.fullmatch(code):
            raise ValueError("it begins with no code")
        value = loads(text)
        if code not in _READERS:
            self._tell(code, "its code is unknown; it is skipped")
            return []
        kind: Any = _TYPES.get(code, dict)
        if not isinstance(value, kind):
            raise ValueError(f"its value is no {_WORDS[kind]}")
        for name in _TEXT_FIELDS.get(code, ()):
            if not isinstance(value.get(name), str):
                raise ValueError(f'its "{name}" is no text')
        return _READERS[code](self, value)

    def _tell(self, code: str, what: str) -> None:
        if code not in self._told:
            self._told.add(code)
            logger.warning("A line of the code %s is not as it should be: %s", code, what)

    # ---------------------------------------------------- the message, its text

    def _start_step(self, value: Any) -> _Chunks:
        return [*self._start(value["messageId"]), {"type": "start-step"}]

    def _start(self, message_id: str) -> _Chunks:
        """What names the message, where that is new."""
        if self._continues or message_id == self._message_id:
            return []
        self._message_id = message_id
        return [{"type": "start", "messageId": message_id}]

    def _text(self, delta: str) -> _Chunks:
        chunks: _Chunks = []
        if self._text_id is None:
            self._texts += 1
            self._text_id = f"text-{self._texts}"
            chunks.append({"type": "text-start", "id": self._text_id})
        return [*chunks, {"type": "text-delta", "id": self._text_id, "delta": delta}]

    def _whole_message(self, value: Any) -> _Chunks:
        """A message of the assistants API: it begins a message, and its text is a part."""
        items = value.get("content")
        texts = [_text_of(item) for item in items] if isinstance(items, list) else [None]
        if None in texts:
            raise ValueError('its "content" is no list of texts')
        text = "".join(map(str, texts))
        chunks = [*self._end_text(), *self._start(value["id"])]
        return [*chunks, *self._text(text), *self._end_text()] if text else chunks

    def _end_text(self) -> _Chunks:
        text_id, self._text_id = self._text_id, None
        return [] if text_id is None else [{"type": "text-end", "id": text_id}]

    def _finish_step(self, value: Any) -> _Chunks:
        text = [] if value.get("isContinued") is True else self._end_text()
        return [*text, *self._end_reasoning(), {"type": "finish-step"}]

    def _finish(self, value: Any) -> _Chunks:
        chunk = {"type": "finish", "finishReason": value["finishReason"]}
        if isinstance(value.get("usage"), dict):
            chunk["messageMetadata"] = {"usage": value["usage"]}
        return [*self._end_text(), *self._end_reasoning(), chunk]

    # -------------------------------------------------------------- reasoning

    def _reasoning(self, delta: str) -> _Chunks:
        chunks = self._open_reasoning() if self._reasoning_id is None else []
        return [*chunks, {"type": "reasoning-delta", "id": self._reasoning_id, "delta": delta}]

    def _open_reasoning(self) -> _Chunks:
        self._reasonings += 1
        self._reasoning_id = f"reasoning-{self._reasonings}"
        return [{"type": "reasoning-start", "id": self._reasoning_id}]

    def _sign(self, value: Any) -> _Chunks:
        """A signature ends its reasoning, as it does for the SDK's server (not for its client)."""
        return self._end_reasoning(signature=value["signature"])

    def _redacted(self, value: Any) -> _Chunks:
        """Reasoning that only the model's provider can read: a part of its own, without text."""
        chunks = [*self._end_reasoning(), *self._open_reasoning()]
        return chunks + self._end_reasoning(redactedData=value["data"])

    def _end_reasoning(self, **metadata: str) -> _Chunks:
        part_id, self._reasoning_id = self._reasoning_id, None
        if part_id is None:
            return []
        more = {"providerMetadata": {"ai4": metadata}} if metadata else {}
        return [{"type": "reasoning-end", "id": part_id, **more}]

    # ------------------------------------------------------------------ tools

    def _tool_call(self, value: Any) -> _Chunks:
        args = self._value(value, "9", "args")
        if not isinstance(args, _OBJECTS):
            raise ValueError('its "args" is no object')
        return [{"type": "tool-input-available", **_call_of(value), "input": args}]

    def _tool_result(self, value: Any) -> _Chunks:
        chunk = {"type": "tool-output-available", "toolCallId": value["toolCallId"]}
        return [{**chunk, "output": self._value(value, "a", "result")}]

    def _value(self, value: Mapping[str, Any], code: str, name: str) -> Any:
        """A field that a JavaScript server leaves out where it is undefined."""
        if name not in value:
            self._tell(code, f"it has no {name}")
        return value.get(name)

    def _function_call(self, value: Any) -> _Chunks:
        return [self._call(value.get("function_call"), None)]

    def _tool_calls(self, value: Any) -> _Chunks:
        calls = value.get("tool_calls")
        if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
            raise ValueError('its "tool_calls" is no list of objects')
        return [self._call(call.get("function"), call.get("id")) for call in calls]

    def _call(self, function: Any, call_id: Any) -> UIMessageChunk:
        """A call as the API of OpenAI has it: the input is JSON text."""
        name = function.get("name") if isinstance(function, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if not isinstance(name, str) or not isinstance(arguments, str):
            raise ValueError("it calls no function")
        if not isinstance(call_id, str):
            # The same when the reply is replayed, another in another reply.
            self._calls += 1
            digest = zlib.crc32(f"{name}:{arguments}".encode("utf-8", "replace"))
            call_id = f"call-{self._calls}-{digest:08x}"
        call = {"toolCallId": call_id, "toolName": name}
        try:
            given = loads(arguments) if arguments.strip() else {}
        except ValueError as error:
            said = f"The input is not JSON ({error})."
            return {"type": "tool-input-error", **call, "input": arguments, "errorText": said}
        return {"type": "tool-input-available", **call, "input": given}

    # ---------------------------------------------------------------- sources

    def _source(self, value: Any) -> _Chunks:
        kind, names = _DOCUMENT if value.get("sourceType") == "document" else _URL
        chunk = {name: value[name] for name in names if value.get(name) is not None}
        source_id = value.get("id")
        chunk["sourceId"] = value.get("url") if source_id is None else source_id
        try:
            return [validate_chunk({"type": kind, **chunk})]
        except ValidationError as error:
            self._tell("h", f"{where_wrong(error)}; it is skipped")
            return []


def _call_of(value: Mapping[str, Any]) -> UIMessageChunk:
    return {"toolCallId": value["toolCallId"], "toolName": value["toolName"]}


def _tool_delta(decoder: DataStreamDecoder, value: Any) -> _Chunks:
    call_id, delta = value["toolCallId"], value["argsTextDelta"]
    return [{"type": "tool-input-delta", "toolCallId": call_id, "inputTextDelta": delta}]


def _data_message(decoder: DataStreamDecoder, value: Any) -> _Chunks:
    chunk = {"type": "data-message", "data": value.get("data")}
    return [{**chunk, "id": value["id"]} if isinstance(value.get("id"), str) else chunk]


def _file(decoder: DataStreamDecoder, value: Any) -> _Chunks:
    url = f"data:{value['mimeType']};base64,{value['data']}"
    return [{"type": "file", "url": url, "mediaType": value["mimeType"]}]


def _text_of(item: Any) -> str | None:
    """The text of an item of a message's content."""
    text = item.get("text") if isinstance(item, dict) and item.get("type") == "text" else None
    value = text.get("value") if isinstance(text, dict) else None
    return value if isinstance(value, str) else None


_READERS: dict[str, Callable[[DataStreamDecoder, Any], _Chunks]] = {
    "0": DataStreamDecoder._text,
    "1": DataStreamDecoder._function_call,
    "2": lambda _, value: [{"type": "data-data", "data": item} for item in value],
    "3": lambda _, value: [{"type": "error", "errorText": value}],
    "4": DataStreamDecoder._whole_message,
    "5": lambda _, value: [{"type": "data-assistant-control", "data": value}],
    "6": _data_message,
    "7": DataStreamDecoder._tool_calls,
    "8": lambda _, value: [{"type": "data-annotation", "data": item} for item in value],
    "9": DataStreamDecoder._tool_call,
    "a": DataStreamDecoder._tool_result,
    "b": lambda _, value: [{"type": "tool-input-start", **_call_of(value)}],
    "c": _tool_delta,
    "d": DataStreamDecoder._finish,
    "e": DataStreamDecoder._finish_step,
    "f": DataStreamDecoder._start_step,
    "g": DataStreamDecoder._reasoning,
    "h": DataStreamDecoder._source,
    "i": DataStreamDecoder._redacted,
    "j": DataStreamDecoder._sign,
    "k": _file,
}
"""What the value of each code means."""
