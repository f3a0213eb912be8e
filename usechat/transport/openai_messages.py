"""The history as messages of OpenAI's chat completions API; pure.

Source: the API's reference, as the types of the package openai 3.57 have it.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from usechat.engine.partial_json import parse_partial_json
from usechat.engine.repairing import NO_ANSWER
from usechat.engine.tool_rounds import NO_RESULT
from usechat.errors import InvalidArgumentError
from usechat.model.json import dumps_whole, loads
from usechat.model.messages import UIMessage, printable, text_of_parts
from usechat.model.parts import FilePart, ReasoningPart, StepStartPart, TextPart, ToolCallPart
from usechat.transport.failures import place
from usechat.wire.openai import REASONING_FIELDS

DENIED = "The user did not allow this tool call."
"""The output of a call that was not approved, for the model."""

_DATA_URL = re.compile(r"data:([^,]*),", re.IGNORECASE)
_WEB_URL = re.compile(r"https?://", re.IGNORECASE)

_AUDIO = {
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/vnd.wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}

_TEXT = re.compile(
    r"text/.*|.*\+(json|xml|yaml)|application/(x-)?(json|jsonl|ndjson|json5|xml|xml-dtd|yaml|toml|"
    r"javascript|ecmascript|typescript|sh|csh|perl|python|ruby|httpd-php|sql|graphql|tex|latex)"
)

# UTF-32 before UTF-16, whose mark it begins with.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def chat_messages(messages: Iterable[UIMessage], system: str | None = None) -> list[dict[str, Any]]:
    """The history in the API's form.

    Sources, data and what the provider itself has run are left out; so is reasoning, but where it
    led to tool calls and came under a name of its own: DeepSeek wants it back then. Each tool call
    is followed by its result, whatever became of it.

    Args:
        messages: the history.
        system: what the model is told first.

    Raises:
        InvalidArgumentError: a file cannot be sent; says which and what to do.
    """
    history = list(messages)
    ids = _Ids(history)
    made: list[dict[str, Any]] = []
    if system:
        made.append({"role": "system", "content": printable(system)})
    for message in history:
        if message.role == "assistant":
            made += _assistant(message, ids)
        elif message.role == "user":
            made.append({"role": "user", "content": _user_content(message)})
        else:
            made.append({"role": message.role, "content": text_of_parts(message.parts)})
    return made


def tool_call_ids(messages: Iterable[UIMessage]) -> frozenset[str]:
    """The ids of all tool calls in the history.

    Args:
        messages: the history.
    """
    return frozenset(part.tool_call_id for message in messages for part in message.tool_parts)


# ------------------------------------------------------------------- the assistant's


class _Ids:
    """Gives each call an id of its own: a result belongs to one call only.

    Args:
        messages: the history.
    """

    def __init__(self, messages: Iterable[UIMessage]) -> None:
        self._there = {printable(call_id) for call_id in tool_call_ids(messages)}
        self._given: set[str] = set()
        self._made = 0

    def of(self, part: ToolCallPart) -> str:
        """The id of a call; another where an earlier call has had it.

        Args:
            part: the call.
        """
        call_id = printable(part.tool_call_id)
        if not call_id or call_id in self._given:
            call_id = ""
            while not call_id or call_id in self._there:
                self._made += 1
                call_id = f"call{self._made:05}"
        self._given.add(call_id)
        return call_id


class _Block:
    """One answer of the model: its text, and the tools that it calls after it."""

    def __init__(self) -> None:
        self.text = ""
        self.reasoning: dict[str, str] = {}
        self.calls: list[Any] = []

    def messages(self, ids: _Ids) -> list[dict[str, Any]]:
        """The answer and the results of its calls; nothing where it is empty."""
        if not self.calls:
            return [{"role": "assistant", "content": self.text}] if self.text else []
        named = [(ids.of(part), part) for part in self.calls]
        answer = {
            "role": "assistant",
            "content": self.text or None,
            **self.reasoning,
            "tool_calls": [_call(call_id, part) for call_id, part in named],
        }
        results = [
            {"role": "tool", "tool_call_id": call_id, "content": _result(part)}
            for call_id, part in named
        ]
        return [answer, *results]


def _assistant(message: UIMessage, ids: _Ids) -> list[dict[str, Any]]:
    blocks = [_Block()]
    for part in message.parts:
        if isinstance(part, StepStartPart):
            blocks.append(_Block())
        elif isinstance(part, TextPart) and part.text:
            if blocks[-1].calls:
                blocks.append(_Block())
            blocks[-1].text += printable(part.text)
        elif isinstance(part, ReasoningPart):
            name = _kept(part.provider_metadata).get("field")
            if name in REASONING_FIELDS:
                before = blocks[-1].reasoning.get(name, "")
                blocks[-1].reasoning[name] = before + printable(part.text)
        elif isinstance(part, ToolCallPart) and not part.provider_executed:
            blocks[-1].calls.append(part)
    return [made for block in blocks for made in block.messages(ids)]


def _call(call_id: str, part: Any) -> dict[str, Any]:
    function = {"name": printable(part.tool_name), "arguments": _arguments(part)}
    call = {"id": call_id, "type": "function", "function": function}
    for metadata in (part.call_provider_metadata, part.result_provider_metadata):
        extra = _kept(metadata).get("extraContent")
        if isinstance(extra, dict):  # Gemini refuses a call without it
            call["extra_content"] = loads(dumps_whole(extra).decode())
    return call


def _kept(metadata: Any) -> dict[str, Any]:
    """What the decoder has noted for the way back."""
    kept = (metadata or {}).get("openai")
    return kept if isinstance(kept, dict) else {}


def _arguments(part: ToolCallPart) -> str:
    """The input as JSON text, of an object always: servers read it, and refuse anything else."""
    value = part.raw_input if part.input is None else part.input
    if isinstance(value, str):
        value = parse_partial_json(value)
    return dumps_whole(value if isinstance(value, dict) else {}).decode()


def _result(part: ToolCallPart) -> str:
    """What became of a call, for the model."""
    approval = part.approval
    if part.state == "output-available":
        is_text = isinstance(part.output, str)
        return printable(part.output) if is_text else dumps_whole(part.output).decode()
    if part.state == "output-error":
        return printable(part.error_text or NO_RESULT)
    if part.state == "output-denied" or (approval is not None and approval.approved is False):
        reason = printable(approval.reason or "") if approval is not None else ""
        return f"{DENIED} The reason: {reason}" if reason else DENIED
    return NO_ANSWER if part.state == "approval-requested" else NO_RESULT


# ------------------------------------------------------------------------ the user's


def _user_content(message: UIMessage) -> str | list[dict[str, Any]]:
    if not any(isinstance(part, FilePart) for part in message.parts):
        return text_of_parts(message.parts)
    content = []
    for part in message.parts:
        if isinstance(part, TextPart) and part.text:
            content.append(_text(printable(part.text)))
        elif isinstance(part, FilePart):
            content.append(_file(part))
    return content


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _file(part: FilePart) -> dict[str, Any]:
    media_type = part.media_type.partition(";")[0].strip().lower()
    head = _DATA_URL.match(part.url)
    if media_type.startswith("image/") and (head or _WEB_URL.match(part.url)):
        return {"type": "image_url", "image_url": {"url": printable(part.url)}}
    name = printable(part.filename or "file")
    if head is None:
        raise InvalidArgumentError(
            f"The file {printable(place(part.url))} ({printable(part.media_type)}) cannot be sent: "
            "this API takes URLs of images only. Send the file itself, as a data URL: "
            "files= makes one of a path."
        )
    if media_type in _AUDIO:
        data = base64.b64encode(_content(part, head)).decode()
        return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO[media_type]}}
    if _TEXT.fullmatch(media_type):
        return _text(f"The file {name}:\n\n{_decoded(part, head)}")
    return {"type": "file", "file": {"filename": name, "file_data": printable(part.url)}}


def _content(part: FilePart, head: re.Match[str]) -> bytes:
    """The bytes that a data URL holds (RFC 2397)."""
    data = unquote_to_bytes(printable(part.url[head.end() :]))
    if not head[1].lower().rstrip().endswith(";base64"):
        return data
    try:
        return base64.b64decode(data + b"==")  # the padding may be missing
    except binascii.Error as error:
        raise InvalidArgumentError(
            f"The file {printable(part.filename or 'file')} cannot be sent: "
            f"its data URL is not base64 ({error})."
        ) from error


def _decoded(part: FilePart, head: re.Match[str]) -> str:
    """The text of a file: its mark says the charset, or the media type; else it is UTF-8."""
    data = _content(part, head)
    said = re.search(r"charset=\"?([\w.:+-]+)", f"{part.media_type};{head[1]}", re.IGNORECASE)
    charset = next(
        (name for mark, name in _MARKS.items() if data.startswith(mark)),
        said[1] if said else "UTF-8",
    )
    try:
        try:
            return data.decode(charset)
        except LookupError:  # nobody knows that charset
            return data.decode()
    except ValueError:
        raise InvalidArgumentError(
            f"The file {printable(part.filename or 'file')} cannot be sent: it is no text in "
            f"{charset}. Save it as UTF-8, or name its charset: text/plain;charset=windows-1252."
        ) from None
