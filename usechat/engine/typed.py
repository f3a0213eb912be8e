"""The types that an application has for metadata and data parts.

Source: ai 7.0.173, src/ui/process-ui-message-stream.ts, messageMetadataSchema and dataPartSchemas:
what comes is checked, and kept as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_origin

from pydantic import TypeAdapter, ValidationError

from usechat.errors import InvalidArgumentError, StreamProtocolError
from usechat.model.json import dumps, dumps_whole
from usechat.model.messages import where_wrong

_LENGTH = 200
"""How many characters of something that came are shown."""


class ReplyTypes:
    """What the metadata and the data parts of a reply have to fit.

    Args:
        metadata: the type of a message's metadata; None: any.
        data: the types of data parts, by their names without ``data-``.

    A type may be a ``TypeAdapter`` too.

    Raises:
        InvalidArgumentError: one of them is no type for pydantic, or a name is none.
    """

    def __init__(self, metadata: Any = None, data: Mapping[str, Any] | None = None) -> None:
        self._metadata = None if metadata is None else _Type(metadata, "message_metadata_type")
        self._data = {name: _Type(kind, _option(name)) for name, kind in _pairs(data)}

    @classmethod
    def of(cls, metadata: Any, data: Mapping[str, Any] | None) -> ReplyTypes | None:
        """The types, or None where there is nothing to check.

        Args:
            metadata: as for the class.
            data: as for the class.
        """
        made = cls(metadata, data)
        return made if made._metadata or made._data else None

    def check_metadata(self, metadata: Any, chunk: Any, position: int) -> None:
        """Refuse a message's metadata that does not fit.

        Args:
            metadata: all of it, the chunk's merged in.
            chunk: what brought it.
            position: how many chunks came before.

        Raises:
            StreamProtocolError: it does not fit.
        """
        if self._metadata is not None:
            self._metadata.check(metadata, "The message's metadata", chunk, position)

    def check_data(self, chunk: Any, position: int) -> None:
        """Refuse a data chunk whose data does not fit.

        Args:
            chunk: the chunk, transient or not.
            position: how many chunks came before.

        Raises:
            StreamProtocolError: it does not fit.
        """
        kind = self._data.get(chunk["type"][5:])
        if kind is not None:
            kind.check(chunk.get("data"), f"The data of a {chunk['type']} chunk", chunk, position)


class _Type:
    """One type of the application's.

    Args:
        kind: whatever pydantic has a validator for.
        option: where it was given.
    """

    def __init__(self, kind: Any, option: str) -> None:
        self._name = f"{_name_of(kind)} ({option})"
        if isinstance(kind, str):
            raise InvalidArgumentError(f"{option}={kind!r}: expected a type, not the name of one.")
        try:
            given = isinstance(kind, TypeAdapter)
            self._adapter: TypeAdapter[Any] = kind if given else TypeAdapter(kind)
            self._adapter.rebuild(raise_errors=True)  # else a name it lacks is found by a reply
        except Exception as error:
            raise InvalidArgumentError(
                f"{option}: pydantic cannot use {_name_of(kind)} ({_first_line(error)}). "
                "Where a type is made in a function, give a TypeAdapter made there."
            ) from error

    def check(self, value: Any, what: str, chunk: Any, position: int) -> None:
        try:
            # As JSON: that is what it was, and a validator that changes its input changes a copy.
            self._adapter.validate_json(dumps_whole(value))
        except Exception as error:
            raise StreamProtocolError(
                f"{what} does not fit {self._name}: {_cut(_fault(error))}.",
                chunk=_start_of(chunk),
                position=position,
            ) from error


def _pairs(data: Any) -> list[tuple[str, Any]]:
    if data is None:
        return []
    if not isinstance(data, Mapping):
        raise InvalidArgumentError(
            f"data_part_types: expected a mapping of names to types, got {type(data).__name__}."
        )
    for name in data:
        if not isinstance(name, str) or name.startswith("data-"):
            raise InvalidArgumentError(
                f"{_option(name)}: expected the name of a data part without 'data-'."
            )
    return list(data.items())


def _option(name: Any) -> str:
    return f"data_part_types[{name!r}]"


def _name_of(kind: Any) -> str:
    is_class = isinstance(kind, type) and get_origin(kind) is None
    return _cut(kind.__name__ if is_class else repr(kind))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _fault(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return where_wrong(error)
    return f"its validator raised {type(error).__name__}"


def _start_of(chunk: Any) -> str | None:
    try:
        return _cut(dumps(chunk).decode())
    except InvalidArgumentError:  # a transport's own chunks may hold anything
        return None


def _cut(text: str) -> str:
    return text if len(text) <= _LENGTH else text[:_LENGTH] + "…"
