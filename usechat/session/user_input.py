"""What users of a session give it, in the forms that useChat takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from usechat.errors import InvalidArgumentError
from usechat.model.json import dumps, loads
from usechat.model.messages import UIMessage
from usechat.session.files import FileInput, file_parts


class UserMessage(NamedTuple):
    """A message to send.

    Attributes:
        fields: its wire form, without an id if it has none yet; None: no message.
        edit: the id of the message that it replaces.
    """

    fields: dict[str, Any] | None
    edit: str | None


def user_message(
    message: str | UIMessage | Mapping[str, Any] | None,
    files: Iterable[FileInput] | FileInput | None,
    metadata: Any,
    message_id: str | None,
) -> UserMessage:
    """The message that the arguments of ``send_message`` say.

    Args:
        message: text; a message; or a mapping of ``sendMessage``'s forms, ``{"text", "files",
            "metadata", "messageId"}`` or ``{"parts", "role", "id", "metadata", "messageId"}``.
        files: files to send with text, or alone.
        metadata: the message's; None: none.
        message_id: the message to replace.

    Raises:
        InvalidArgumentError: it is no message.
    """
    if message is None and files is None:
        if metadata is not None or message_id is not None:
            raise InvalidArgumentError("metadata= and message_id= need a message or files.")
        return UserMessage(None, None)
    fields = _fields(message, files)
    edit = fields.pop("messageId", None) if message_id is None else message_id
    if metadata is not None:
        fields["metadata"] = metadata
    return UserMessage(plain(fields), edit)


def plain(value: Any) -> Any:
    """A value as the JSON value that is sent: what its owner does to it later changes nothing.

    As in JavaScript, NaN and Infinity become null.

    Args:
        value: anything that can be written as JSON.

    Raises:
        InvalidArgumentError: it cannot; it would stay in the history, and no request could be made.
    """
    try:
        return loads(dumps(value).decode())
    except InvalidArgumentError:
        raise
    except ValueError as error:
        raise InvalidArgumentError(f"This is more than JSON here can hold: {error}.") from error


def _fields(
    message: str | UIMessage | Mapping[str, Any] | None,
    files: Iterable[FileInput] | FileInput | None,
) -> dict[str, Any]:
    given = [] if files is None else file_parts(files)
    if message is None or isinstance(message, str):
        return {"parts": [*given, *_text(message)]}
    if isinstance(message, UIMessage):
        fields: dict[str, Any] = {**message.model_dump(), "parts": message.parts}
    elif isinstance(message, Mapping):
        fields = dict(message)
    else:
        raise InvalidArgumentError(
            f"A message is text, a UIMessage, a mapping or None; this is {type(message).__name__}."
        )
    if "text" in fields or "files" in fields:
        own = fields.get("files")
        given = [*(file_parts(own) if own is not None else []), *given]
        kept: dict[str, Any] = {
            name: fields[name] for name in ("metadata", "messageId") if name in fields
        }
        return {**kept, "parts": [*given, *_text(fields.get("text"))]}
    if "parts" not in fields and not given:
        raise InvalidArgumentError("A message has text, files or parts; this has none of them.")
    if given:
        fields["parts"] = [*given, *fields.get("parts", ())]
    return fields


def _text(text: object) -> list[dict[str, Any]]:
    return [] if text is None else [{"type": "text", "text": text}]


def text_of_input(value: Any) -> str:
    """The text of what a text box reports.

    Args:
        value: the text; a Tk variable or widget (``get()``); an event with ``value`` (Textual),
            ``target.value`` (browsers) or ``widget.get()`` (Tk).

    Raises:
        InvalidArgumentError: there is no text in it.
    """
    for found in (value, getattr(value, "widget", None), getattr(value, "target", None)):
        if isinstance(found, Mapping):
            found = found.get("value")
        text = found if isinstance(found, str) else getattr(found, "value", None)
        if text is None and callable(getattr(found, "get", None)):
            text = found.get()  # type: ignore[union-attr]
        if isinstance(text, str):
            return text
    raise InvalidArgumentError(
        f"Expected the text of the input or a text box's event; this is {type(value).__name__}."
    )
