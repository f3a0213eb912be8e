"""JSON, read and written in one place.

JavaScript servers send strings with one half of a surrogate pair: JSON allows the escape
``\\ud83d`` alone (RFC 8259, section 8.2), UTF-8 cannot carry it. So a text that the fast
reader refuses is read by the standard library's, and a value that UTF-8 cannot carry is
written in escaped ASCII.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, from_json, to_json, to_jsonable_python

from usechat.errors import InvalidArgumentError


def loads(text: str) -> Any:
    """Read a JSON text.

    Args:
        text: one JSON value; its strings may hold lone surrogates, escaped.

    Raises:
        ValueError: the text is no JSON, or beyond what is read: more than 200 levels deep, an
            integer of more than 4,300 digits.
    """
    try:
        return from_json(text, allow_inf_nan=False)
    except TypeError:
        pass  # a text that itself holds half a character
    except ValueError:
        # The one thing that the standard library reads and the fast reader does not.
        if "\\ud" not in text and "\\uD" not in text:
            raise
    # With other characters for the halves, it says whether the rest is JSON within the bounds.
    whole = text.replace("\\ud", "\\u0").replace("\\uD", "\\u0").encode("utf-8", "replace")
    from_json(whole, allow_inf_nan=False)
    return json.loads(text)


def dumps(value: Any) -> bytes:
    """Write a value as JSON: what json.dumps takes, and pydantic models, dates and the like.

    Args:
        value: numbers that JSON lacks (NaN, Infinity) become null, as in JavaScript.

    Raises:
        InvalidArgumentError: the value holds something that JSON cannot say.
    """
    try:
        return to_json(value, inf_nan_mode="null", fallback=_listed)
    except (PydanticSerializationError, UnicodeEncodeError, ValueError) as error:
        try:
            return _dumps_ascii(value)
        except (PydanticSerializationError, TypeError, ValueError, RecursionError):
            raise InvalidArgumentError(
                f"This cannot be written as JSON: {error}. "
                "Give values of str, int, float, bool, None, lists, dicts or pydantic models."
            ) from error


def canonical(value: Any) -> bytes:
    """The same bytes for equal JSON values, however their fields are ordered.

    Args:
        value: a JSON value.
    """
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode("ascii")


def dumps_whole(value: Any) -> bytes:
    """Write a value as JSON that pydantic reads: halves of surrogate pairs become ``?``.

    Args:
        value: as for ``dumps``.

    Raises:
        InvalidArgumentError: as for ``dumps``.
    """
    encoded = dumps(value)
    if b"\\ud" not in encoded:  # nothing else is written so
        return encoded
    text = json.dumps(json.loads(encoded), separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "replace")


def _dumps_ascii(value: Any) -> bytes:
    text = json.dumps(
        _finite(value), separators=(",", ":"), ensure_ascii=True, allow_nan=False, default=_plain
    )
    return text.encode("ascii")


def _plain(value: Any) -> Any:
    # In its JSON mode pydantic refuses half a character even where nothing is encoded.
    if isinstance(value, BaseModel):
        return _finite(value.model_dump())
    return _finite(to_jsonable_python(value, fallback=_listed))


def _listed(value: Any) -> Any:
    """The numbers of NumPy, and of what is made of its arrays."""
    listed = getattr(value, "tolist", None)
    if listed is None or isinstance(value, type):
        raise TypeError(f"Unable to serialize unknown type: {type(value)}")
    return listed()


def _finite(value: Any) -> Any:
    """The value with null for numbers that JSON lacks."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
