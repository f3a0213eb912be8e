"""Writes the data stream of the AI SDK 4; its decoder is in ``data_stream``.

Source: ai 4.3.19, core/generate-text/stream-text.ts, the lines of its data stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from usechat.model.ids import generate_id
from usechat.model.json import dumps

_USAGE = {"promptTokens": "inputTokens", "completionTokens": "outputTokens"}
_SOURCE_FIELDS = ("url", "mediaType", "title", "filename", "providerMetadata")


class DataStreamEncoder:
    """Writes the chunks of one reply as lines of the data stream.

    What version 4 has no word for is said in the words it has: a tool that failed has a result
    that says so, data parts beside ``data-data`` and ``data-annotation`` are data with their type,
    metadata of the message is an annotation. What it cannot say at all is left out: approvals,
    preliminary outputs, where one text part ends and another begins in the same step.

    Args:
        message_id: the message's id where no ``start`` chunk gives one; by default a new one.
    """

    def __init__(self, message_id: str | None = None) -> None:
        self._message_id = message_id or f"msg-{generate_id()}"
        self._in_step = False
        self._has_calls = False

    def encode(self, chunk: Mapping[str, Any]) -> bytes:
        """Write one chunk; nothing comes of some.

        Args:
            chunk: the chunk in wire form, ``{"type": "text-delta", "id": …, "delta": …}``.

        Raises:
            InvalidArgumentError: the chunk holds something that JSON cannot say.
        """
        kind = chunk["type"]
        if kind.startswith("data-"):
            return _data(chunk)
        write = _WRITERS.get(kind)
        return b"" if write is None else write(self, chunk)

    def _start(self, chunk: Mapping[str, Any]) -> bytes:
        self._message_id = chunk.get("messageId") or self._message_id
        return self._metadata(chunk)

    def _metadata(self, chunk: Mapping[str, Any]) -> bytes:
        metadata = chunk.get("messageMetadata")
        return b"" if metadata is None else _line("8", [metadata])

    def _start_step(self, chunk: Mapping[str, Any]) -> bytes:
        self._in_step, self._has_calls = True, False
        return _line("f", {"messageId": self._message_id})

    def _finish_step(self, chunk: Mapping[str, Any]) -> bytes:
        self._in_step = False
        reason = "tool-calls" if self._has_calls else "stop"
        return _line("e", {"finishReason": reason, "isContinued": False})

    def _text(self, chunk: Mapping[str, Any]) -> bytes:
        return _line("0", chunk["delta"])

    def _reasoning(self, chunk: Mapping[str, Any]) -> bytes:
        return _line("g", chunk["delta"])

    def _reasoning_end(self, chunk: Mapping[str, Any]) -> bytes:
        ours = chunk.get("providerMetadata", {}).get("ai4", {})
        lines = [("j", "signature", "signature"), ("i", "redactedData", "data")]
        return b"".join(_line(code, {to: ours[of]}) for code, of, to in lines if of in ours)

    def _call_start(self, chunk: Mapping[str, Any]) -> bytes:
        call = {"toolCallId": chunk["toolCallId"], "toolName": chunk["toolName"]}
        return _line("b", call)

    def _call_delta(self, chunk: Mapping[str, Any]) -> bytes:
        call_id, delta = chunk["toolCallId"], chunk["inputTextDelta"]
        return _line("c", {"toolCallId": call_id, "argsTextDelta": delta})

    def _call(self, chunk: Mapping[str, Any]) -> bytes:
        self._has_calls = True
        call = {"toolCallId": chunk["toolCallId"], "toolName": chunk["toolName"]}
        given = chunk["input"]
        # Its client takes nothing but an object.
        args = given if isinstance(given, (dict, list)) else {"input": given}
        return _line("9", {**call, "args": args})

    def _bad_call(self, chunk: Mapping[str, Any]) -> bytes:
        return self._call(chunk) + self._output_error(chunk)

    def _output(self, chunk: Mapping[str, Any]) -> bytes:
        return b"" if chunk.get("preliminary") else _result(chunk, chunk["output"])

    def _output_error(self, chunk: Mapping[str, Any]) -> bytes:
        return _result(chunk, failed(chunk["errorText"]))

    def _output_denied(self, chunk: Mapping[str, Any]) -> bytes:
        return _result(chunk, denied(None))

    def _source(self, chunk: Mapping[str, Any]) -> bytes:
        return _line("h", source_of(chunk))

    def _file(self, chunk: Mapping[str, Any]) -> bytes:
        head, _, data = chunk["url"].partition(";base64,")
        if not head.startswith("data:") or not data:
            return b""
        return _line("k", {"mimeType": chunk["mediaType"], "data": data})

    def _error(self, chunk: Mapping[str, Any]) -> bytes:
        return _line("3", chunk["errorText"])

    def _finish(self, chunk: Mapping[str, Any]) -> bytes:
        value = {"finishReason": chunk.get("finishReason") or "unknown"}
        metadata = chunk.get("messageMetadata")
        usage = metadata.get("usage") if isinstance(metadata, Mapping) else None
        if isinstance(usage, Mapping):
            value["usage"] = {old: usage.get(old, usage.get(new)) for old, new in _USAGE.items()}
        return _line("d", value)

    def _abort(self, chunk: Mapping[str, Any]) -> bytes:
        """As a server of version 4 that is stopped: its last step and its message end."""
        step = b""
        if self._in_step:
            self._in_step = False
            step = _line("e", {"finishReason": "unknown", "isContinued": False})
        return step + _line("d", {"finishReason": "unknown"})


_WRITERS: dict[str, Callable[[DataStreamEncoder, Mapping[str, Any]], bytes]] = {
    "start": DataStreamEncoder._start,
    "message-metadata": DataStreamEncoder._metadata,
    "start-step": DataStreamEncoder._start_step,
    "finish-step": DataStreamEncoder._finish_step,
    "text-delta": DataStreamEncoder._text,
    "reasoning-delta": DataStreamEncoder._reasoning,
    "reasoning-end": DataStreamEncoder._reasoning_end,
    "tool-input-start": DataStreamEncoder._call_start,
    "tool-input-delta": DataStreamEncoder._call_delta,
    "tool-input-available": DataStreamEncoder._call,
    "tool-input-error": DataStreamEncoder._bad_call,
    "tool-output-available": DataStreamEncoder._output,
    "tool-output-error": DataStreamEncoder._output_error,
    "tool-output-denied": DataStreamEncoder._output_denied,
    "source-url": DataStreamEncoder._source,
    "source-document": DataStreamEncoder._source,
    "file": DataStreamEncoder._file,
    "finish": DataStreamEncoder._finish,
    "abort": DataStreamEncoder._abort,
    "error": DataStreamEncoder._error,
}


def _line(code: str, value: Any) -> bytes:
    return code.encode() + b":" + dumps(value) + b"\n"


def _data(chunk: Mapping[str, Any]) -> bytes:
    if chunk["type"] == "data-annotation":
        return _line("8", [chunk["data"]])
    if chunk["type"] == "data-data":
        return _line("2", [chunk["data"]])
    return _line("2", [{name: value for name, value in chunk.items() if name != "transient"}])


def _result(chunk: Mapping[str, Any], result: Any) -> bytes:
    return _line("a", {"toolCallId": chunk["toolCallId"], "result": result})


def source_of(part: Mapping[str, Any]) -> dict[str, Any]:
    """A source in the form of version 4, which knows URLs only; documents have our form there.

    Args:
        part: a source part or chunk in wire form.
    """
    source = {"sourceType": part["type"].removeprefix("source-"), "id": part["sourceId"]}
    return {**source, **{name: part[name] for name in _SOURCE_FIELDS if name in part}}


def failed(error_text: str | None) -> str:
    """The result of a tool that failed, in words: version 4 has no other.

    Args:
        error_text: what went wrong.
    """
    return f"The tool failed: {error_text}" if error_text else "The tool failed."


def denied(reason: str | None) -> str:
    """The result of a tool call that was not approved, in words.

    Args:
        reason: why.
    """
    return f"The call was denied: {reason}" if reason else "The call was denied."
