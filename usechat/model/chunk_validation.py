"""Whether what was read from JSON is a chunk."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import SchemaValidator
from pydantic_core.core_schema import list_schema

from usechat.model.chunks import DataPartChunk, KnownChunk, UIMessageChunk


# Built by the first reply, not by an import. Two threads at once build them twice: no harm in that.
@cache
def _validators() -> tuple[Any, Any, Any]:
    """Those of a chunk of a known type, of many such, and of a data part's chunk."""
    known = TypeAdapter[Any](KnownChunk)
    # An adapter of the list would look at every field again.
    many = SchemaValidator(list_schema(known.core_schema))
    return known.validator, many, TypeAdapter(DataPartChunk).validator


def validate_chunks(values: list[Any]) -> list[UIMessageChunk]:
    """Validate many chunks of known types at once, data parts not among them.

    Args:
        values: what was read from JSON.

    Raises:
        ValidationError: one of them is something else; which one is not worth knowing,
            ``validate_chunk`` tells it apart.
    """
    for value in values:
        # Text and nothing more, as most chunks are, needs no more than this.
        if not (type(value) is dict and len(value) == 3 and value.get("type") == "text-delta"):
            break
        if not (type(value.get("id")) is type(value.get("delta")) is str):
            break
    else:
        return values
    checked: list[UIMessageChunk] = _validators()[1].validate_python(values)
    return checked


def validate_chunk(value: Any) -> UIMessageChunk:
    """Validate one chunk of any type.

    Args:
        value: what was read from JSON.

    Raises:
        ValidationError: it is no chunk.
    """
    known, _, data = _validators()
    is_data = isinstance(value, dict) and str(value.get("type")).startswith("data-")
    checked: UIMessageChunk = (data if is_data else known).validate_python(value)
    return checked
