"""Where the running reply of a chat is to be had."""

from __future__ import annotations

from urllib.parse import quote

from usechat.errors import InvalidArgumentError

# What encodeURIComponent leaves as it is, beside letters and digits (ECMA-262).
_URI_COMPONENT = "-_.!~*'()"


def stream_url(api: str, chat_id: str) -> str:
    """``<api>/<chat id>/stream``, as the AI SDK 5 to 7 ask for it.

    Args:
        api: the endpoint's URL; it keeps its query.
        chat_id: the chat.

    Raises:
        InvalidArgumentError: the id is ``.`` or ``..``, or holds half a character.
    """
    if chat_id in (".", ".."):
        raise InvalidArgumentError(
            f'The chat id "{chat_id}" cannot stand in a URL. '
            "Use another, or say the URL in prepare_reconnect_request."
        )
    at = min((i for i in (api.find("?"), api.find("#")) if i >= 0), default=len(api))
    return f"{api[:at].removesuffix('/')}/{_quoted(chat_id)}/stream{api[at:]}"


def v4_stream_url(api: str, chat_id: str) -> str:
    """``<api>?chatId=<chat id>``, as the AI SDK 4 asks for it.

    Args:
        api: the endpoint's URL; it keeps its query.
        chat_id: the chat.

    Raises:
        InvalidArgumentError: the id holds half a character.
    """
    url, mark, fragment = api.partition("#")
    path, _, query = url.partition("?")
    return f"{path}?{f'{query}&' if query else ''}chatId={_quoted(chat_id)}{mark}{fragment}"


def _quoted(chat_id: str) -> str:
    try:
        return quote(chat_id, safe=_URI_COMPONENT)
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"The chat id cannot stand in a URL: {error}.") from error
