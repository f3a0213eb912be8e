"""What a docstring says of a function and its parameters: Google's, NumPy's and Sphinx's style."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

_GOOGLE = re.compile(r"(?:(?:Keyword|Other) )?(?:Args|Arguments|Parameters|Params):\s*")
_NUMPY = re.compile(r"(?:Other )?Parameters\s*")
_SPHINX = re.compile(r":(?:param|parameter|arg|argument|key|keyword)\s")
_GOOGLE_ITEM = re.compile(r"(\s*)\*{0,2}(\w+)\s*(?:\([^:]*\))?\s*:(?:\s+(.*)|)")
_NUMPY_ITEM = re.compile(r"(\s*)(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")
_SPHINX_ITEM = re.compile(r":\w+\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:(.*)")


class Docstring(NamedTuple):
    """A docstring, read.

    Attributes:
        text: what stands before the parameters.
        parameters: what is said of each of them.
    """

    text: str
    parameters: dict[str, str]


def read_docstring(docstring: str | None, names: Collection[str]) -> Docstring:
    """Read a docstring.

    Args:
        docstring: as it stands in the source.
        names: the parameters; what looks like another is text.
    """
    lines = inspect.cleandoc(docstring or "").split("\n")
    found: dict[str, list[str]] = {}
    end = len(lines)
    for index, line in enumerate(lines):
        items = _items(lines, index, names)
        if items is None:
            continue
        end = min(end, index)
        for name, text in items:
            if name in names:
                found.setdefault(name, []).append(text)
        if _SPHINX.match(line):
            break  # its items go on to the end
    said = {name: " ".join(" ".join(texts).split()) for name, texts in found.items()}
    return Docstring("\n".join(lines[:end]).strip(), {k: v for k, v in said.items() if v})


def _items(
    lines: list[str], index: int, names: Collection[str]
) -> Iterator[tuple[str, str]] | None:
    """The lines of text on parameters in the section that begins here; None: none begins."""
    line = lines[index]
    if _GOOGLE.fullmatch(line):
        return _google(lines[index + 1 :], names, bare=index == 0)
    if _NUMPY.fullmatch(line) and re.fullmatch(r"-{3,}\s*", "".join(lines[index + 1 : index + 2])):
        return _numpy(lines[index + 2 :])
    return _sphinx(lines[index:]) if _SPHINX.match(line) else None


def _google(lines: list[str], names: Collection[str], bare: bool) -> Iterator[tuple[str, str]]:
    """The items of a section; bare: it stood first, so that nothing was left to indent them by."""
    name, level = "", None
    for line in lines:
        item = _GOOGLE_ITEM.fullmatch(line)
        known = item is not None and item[2] in names
        if line.strip() and not line[0].isspace() and not (bare and known):
            return  # the next section
        if item and (level is None or (level == len(item[1]) and known)):
            name, level = item[2], len(item[1])
            yield name, item[3] or ""
        else:
            yield name, line


def _numpy(lines: list[str]) -> Iterator[tuple[str, str]]:
    told: list[str] = []
    for line, after in zip(lines, [*lines, ""][1:], strict=True):
        if re.fullmatch(r"-{3,}\s*", after):
            return  # this line is the next section's name
        item = _NUMPY_ITEM.fullmatch(line)
        if item and not item[1]:
            told = [name.strip(" *") for name in item[2].split(",")]
        elif line[:1].isspace() or not line:
            yield from ((name, line) for name in told)
        else:
            told = []


def _sphinx(lines: list[str]) -> Iterator[tuple[str, str]]:
    name = ""
    for line in lines:
        if _SPHINX.match(line) and (item := _SPHINX_ITEM.fullmatch(line)):
            name = item[1]
            yield name, item[2]
        elif line[:1].isspace():
            yield name, line
        else:
            name = ""
