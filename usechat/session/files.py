"""Files to send: parts, paths, bytes and URLs as parts of a message."""

from __future__ import annotations

import base64
import mimetypes
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from pydantic import ValidationError

from usechat.errors import InvalidArgumentError
from usechat.model.messages import where_wrong
from usechat.model.parts import FilePart

FileInput: TypeAlias = (
    "FilePart | Mapping[str, object] | str | os.PathLike[str] | bytes | bytearray | memoryview"
)
"""A part, its wire form, a path or a URL, or bytes."""

_ANY_TYPE = "application/octet-stream"
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"PK\x03\x04", "application/zip"),
)


def file_parts(files: Iterable[FileInput] | FileInput) -> list[FilePart]:
    """The parts for some files.

    Args:
        files: one file or several: a part or its wire form; a path, whose file is read now; bytes;
            a URL (``https:``, ``http:`` or ``data:``).

    Raises:
        InvalidArgumentError: a file cannot be read, or is none.
    """
    if isinstance(files, (FilePart, Mapping, str, os.PathLike, bytes, bytearray, memoryview)):
        files = [files]
    if not isinstance(files, Iterable):
        raise InvalidArgumentError(f"files: expected files, got {type(files).__name__}.")
    return [_file_part(file) for file in files]


def _file_part(file: object) -> FilePart:
    if isinstance(file, FilePart):
        return file
    if isinstance(file, Mapping):
        try:
            return FilePart.model_validate(file)
        except ValidationError as error:
            raise InvalidArgumentError(f"This is no file part: {where_wrong(error)}.") from error
    if isinstance(file, (bytes, bytearray, memoryview)):
        content = bytes(file)
        return FilePart(url=data_url(content, _sniffed(content)), media_type=_sniffed(content))
    if isinstance(file, str) and file.startswith(("http://", "https://", "data:")):
        return FilePart(url=file, media_type=_type_of_url(file))
    if isinstance(file, (str, os.PathLike)):
        return _from_path(Path(file))
    raise InvalidArgumentError(
        f"A file is a part, a path, a URL or bytes; this is {type(file).__name__}."
    )


def _from_path(path: Path) -> FilePart:
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise InvalidArgumentError(f"The file {path} cannot be read: {said}.") from error
    guessed = mimetypes.guess_type(path.name)[0] or _sniffed(content)
    return FilePart(url=data_url(content, guessed), media_type=guessed, filename=path.name)


def _type_of_url(url: str) -> str:
    if url.startswith("data:"):
        return url[5:].partition(",")[0].partition(";")[0] or "text/plain"
    return mimetypes.guess_type(url.partition("?")[0])[0] or _ANY_TYPE


def _sniffed(content: bytes) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    known = (kind for start, kind in _SIGNATURES if content.startswith(start))
    return next(known, _ANY_TYPE)


def data_url(content: bytes, media_type: str) -> str:
    """The bytes as a URL (RFC 2397).

    Args:
        content: the bytes.
        media_type: what they are.
    """
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
