"""Interrupts (Ctrl-C) at any line of the engine: where they may hit, and hitting there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import usechat

Line = tuple[str, int]
"""A file and a line in it."""

_PACKAGE = str(Path(usechat.__file__).parent)
_ENGINE = str(Path(_PACKAGE) / "engine")


@contextmanager
def _traced(tracer: Callable[[FrameType, str, Any], Any]) -> Iterator[None]:
    before = sys.gettrace()  # coverage's, perhaps
    sys.settrace(tracer)
    try:
        yield
    finally:
        sys.settrace(before)


def lines_of(operation: Callable[[], object], under: str = _PACKAGE) -> list[Line]:
    """Run an operation; the lines that it came by, in order.

    Args:
        operation: what to run.
        under: the folder whose lines count.
    """
    lines: list[Line] = []

    def tracer(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(under):
            return None
        if event == "line":
            lines.append((frame.f_code.co_filename, frame.f_lineno))
        return tracer

    with _traced(tracer):
        operation()
    return lines


def interrupted_at(count: int, operation: Callable[[], object], under: str = _PACKAGE) -> bool:
    """Run an operation, interrupted before its n-th line; whether it came so far.

    Args:
        count: which line, from 0.
        operation: what to run.
        under: the folder whose lines count.
    """
    left = count

    def tracer(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(under):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return tracer

    try:
        with _traced(tracer):
            operation()
    except KeyboardInterrupt:
        return True
    return False


def firsts(lines: list[Line]) -> list[int]:
    """Where each line is reached for the first time.

    Args:
        lines: from ``lines_of``.
    """
    first = {line: at for at, line in reversed(list(enumerate(lines)))}
    return sorted(first.values())
