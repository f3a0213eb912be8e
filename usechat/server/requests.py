"""What a client may ask for: every fault is a 4xx that says what is wrong."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from usechat.model.json import loads

MAX_BODY = 32 * 1024 * 1024  # bytes; files come as data URLs in it


def refuse(error: str, status: int = 400) -> HTTPException:
    """An answer that refuses the request.

    Args:
        error: what is wrong, in words.
        status: the HTTP status.
    """
    return HTTPException(status, error)


async def read_object(request: Request) -> dict[str, Any]:
    """Read the JSON object in a request's body.

    Raises:
        HTTPException: there is none, or it is too large.
    """
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY:
                raise refuse(f"The body is larger than {MAX_BODY:,} bytes.", 413)
    except ClientDisconnect:
        raise refuse("The body did not come whole.") from None
    try:
        value = loads(body.decode())
    except ValueError:
        raise refuse("The body is not JSON.") from None
    if not isinstance(value, dict):
        raise refuse("The body is not a JSON object.")
    return value


def messages_in(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The history in the body of a request for a reply.

    Raises:
        HTTPException: it is missing, empty or malformed.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise refuse('"messages" must be a list of at least one message.')
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise refuse(f'messages[{index}] must be an object with a "role".')
        if not isinstance(message.get("parts", []), list):
            raise refuse(f'messages[{index}]: "parts" must be a list.')
        if not isinstance(message.get("id", ""), str):
            raise refuse(f'messages[{index}]: "id" must be a string.')
    return messages


def text_in(body: dict[str, Any], key: str, default: str | None = None) -> str:
    """A string in the body of a request.

    Args:
        body: the body's JSON object.
        key: the string's name.
        default: what to give where it is missing; None where it must be there.

    Raises:
        HTTPException: it is missing or no string.
    """
    value = body.get(key, default)
    if not isinstance(value, str):
        raise refuse(f'"{key}" must be a string.')
    return value
