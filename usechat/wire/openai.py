"""The stream of OpenAI's chat completions API, which Ollama, vLLM, LM Studio and others speak too.

Source: the API's reference, as the types of the package openai 3.57 have it; what other servers do
in their own way is named where it is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from usechat.errors import StreamProtocolError
from usechat.model.chunks import STREAM_DONE, UIMessageChunk
from usechat.model.json import dumps, loads
from usechat.wire.event_stream import EventStreamDecoder, parse, shown
from usechat.wire.openai_calls import ToolCalls, UnfitError, text_in
from usechat.wire.sse import DEFAULT_MAX_EVENT_SIZE, SSEDecoder

_Chunks = list[UIMessageChunk]

_FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    "model_length": "length",  # Mistral's
    "tool_calls": "tool-calls",
    "function_call": "tool-calls",
    "content_filter": "content-filter",
}
_CUT = ("length", "content-filter")

# DeepSeek and older versions of vLLM; Ollama, OpenRouter and newer ones. Some send both, the same.
REASONING_FIELDS = ("reasoning_content", "reasoning")
"""The names that reasoning has; a part's metadata say which: some servers want it back."""

# The index of a call in the deprecated form, which has none.
_FUNCTION_CALL = -1


class OpenAIDecoder(EventStreamDecoder):
    """Decodes the events of a chat completion to the chunks of a UI message stream.

    Only the first choice is read. Tool calls become available at the end of the reply: until
    then nobody knows whether their arguments are whole. Events without choices are skipped. A
    body that is JSON, and no stream, is read as the whole reply.

    Args:
        max_event_size: the most characters that one event may hold.
        events: as for ``EventStreamDecoder``.
        used_ids: the ids of the tool calls in the history; a call that comes with one of them,
            or with none, gets another.
        offered: the names of the tools that the model may call; empty: nobody knows.
    """

    protocol = "openai"

    def __init__(
        self,
        max_event_size: int = DEFAULT_MAX_EVENT_SIZE,
        events: SSEDecoder | None = None,
        *,
        used_ids: frozenset[str] = frozenset(),
        offered: Collection[str] = (),
    ) -> None:
        super().__init__(max_event_size, events)
        self._max_size = max_event_size
        self._is_stream = False
        self._body: bytearray | None = None  # of what is no stream
        self._begun = False
        self._over = False
        self._open: tuple[str, str] | None = None  # the kind and the id of the part that is open
        self._parts = 0
        self._calls = ToolCalls(used_ids, offered)
        self._finish_reason: str | None = None
        self._usage: Mapping[str, Any] | None = None

    def feed(self, piece: bytes) -> _Chunks:
        """Take a piece of the body; return the chunks that it completed.

        Args:
            piece: bytes as they came, of any length.
        """
        start = piece.lstrip()[:1]
        if start and not self._is_stream and self._body is None:
            self._is_stream = start not in (b"{", b"[", b"<")  # no line of a stream begins so
            self._body = None if self._is_stream else bytearray()
        if self._body is None:
            return super().feed(piece)
        if self.error is None:
            self._body += piece[: self._max_size + 1 - len(self._body)]
            if len(self._body) > self._max_size:
                self.error = _no_stream(f"a body of more than {self._max_size} bytes", self._body)
        return []

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
        except UnfitError as error:
            raise _unreadable(str(error), data) from None

    def close(self) -> _Chunks:
        """The body ended cleanly. Some servers leave out ``[DONE]``."""
        is_end = self._finish_reason is not None or self._body is not None
        if self.error is not None or self._over or not is_end:
            return []
        try:
            chunks = self._end() if self._body is None else self._whole(bytes(self._body))
        except StreamProtocolError as error:
            error.position = self.position
            self.error = error
            return []
        self.position += len(chunks)
        return chunks

    def _whole(self, body: bytes) -> _Chunks:
        """The chunks of a reply that came in one piece."""
        try:
            value = loads(body.decode())
        except ValueError:
            raise _no_stream("no JSON either", body) from None
        said = error_words(value)
        if said is not None:
            raise _no_stream(f"an error: {said.rstrip('. ')}", b"")
        choices = value.get("choices") if isinstance(value, dict) else None
        if not isinstance(choices, list) or not all(isinstance(c, dict) for c in choices):
            raise _no_stream("JSON that is no completion", body)
        whole = [{**choice, "delta": choice.get("message")} for choice in choices]
        try:
            chunks = self._completion({**value, "choices": whole})
        except UnfitError as error:
            raise _no_stream(f"an odd completion: {error}", body) from None
        return chunks if self._over else [*chunks, *self._end(), STREAM_DONE]

    def _completion(self, value: Mapping[str, Any]) -> _Chunks:
        choices = value["choices"]
        if not isinstance(choices, list):
            raise UnfitError("its choices are no list")
        if isinstance(value.get("usage"), dict):
            self._usage = value["usage"]
        chunks: _Chunks = [] if self._begun else [{"type": "start"}, {"type": "start-step"}]
        for choice in choices:
            if not isinstance(choice, dict):
                raise UnfitError("a choice is no object")
            if choice.get("index") in (0, None) and not self._over:
                chunks += self._choice(choice)
        self._begun = True
        return chunks

    def _choice(self, choice: Mapping[str, Any]) -> _Chunks:
        delta = choice.get("delta")
        if delta is None:
            delta = {}
        if not isinstance(delta, dict):
            raise UnfitError("its delta is no object")
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._finish_reason = _FINISH_REASONS.get(reason, "other")
        chunks: _Chunks = []
        for kind, text, said in _texts(delta):
            chunks += self._more(kind, text, said)
        chunks += self._tool_calls(delta)
        wrong = error_words(choice)
        if wrong is None and reason == "error":
            wrong = "The server ended the reply with an error, and does not say which."
        if wrong is not None:
            self._over = True
            chunks.append({"type": "error", "errorText": wrong})
        return chunks

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

    def _more(self, kind: str, text: str, said: Mapping[str, Any] | None) -> _Chunks:
        """More of a part; a part of another kind ends here."""
        chunks: _Chunks = []
        shape = "reasoning" if kind == "reasoning" else "text"
        if self._open is None or self._open[0] != kind:
            chunks = self._end_part()
            self._parts += 1
            self._open = (kind, f"{shape}-{self._parts}")
            metadata = {} if said is None else {"providerMetadata": {"openai": said}}
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
            raise UnfitError("its tool_calls are no list")
        old = delta.get("function_call")
        if old is not None:
            pieces = [*pieces, {"index": _FUNCTION_CALL, "function": old}]
        chunks: _Chunks = []
        for piece in pieces:
            chunks += self._calls.take(piece)
        return [*self._end_part(), *chunks] if chunks else []


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


def _texts(delta: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any] | None]]:
    """The text in a delta: of which kind of part it is, and what the part's metadata say."""
    for name in REASONING_FIELDS:
        if isinstance(delta.get(name), str) and delta[name]:
            yield "reasoning", delta[name], {"field": name}
            break
    content = delta.get("content")
    for item in content if isinstance(content, list) else ():  # Mistral's
        if isinstance(item, dict) and item.get("type") in ("text", "thinking"):
            text = _text_of(item.get(item["type"]))
            if text:
                yield ("text" if item["type"] == "text" else "reasoning"), text, None
    if not isinstance(content, list) and text_in(delta, "content"):
        yield "text", delta["content"], None
    if isinstance(delta.get("refusal"), str) and delta["refusal"]:
        yield "refusal", delta["refusal"], {"refusal": True}


def _text_of(value: Any) -> str:
    """Text, or the text of a list of items."""
    items = [{"text": value}] if isinstance(value, str) else value
    texts = [i.get("text") for i in items if isinstance(i, dict)] if isinstance(items, list) else []
    return "".join(text for text in texts if isinstance(text, str))


def _no_stream(what: str, body: bytes | bytearray) -> StreamProtocolError:
    start = shown(body[:1000].decode("utf-8", "replace"))
    return StreamProtocolError(
        f"The server answered with no event stream, but with {what}. Is the URL right? Mostly "
        f"base_url ends in /v1.{' It begins: ' if start else ''}{start}",
        chunk=start or None,
    )


def _unreadable(why: str, data: str) -> StreamProtocolError:
    return StreamProtocolError(
        f"The server sent an event that is no chunk of a chat completion ({why}): {shown(data)}",
        chunk=shown(data),
    )
