"""The library's log, a line a record and no traceback."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Notes(logging.Handler):
    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        self._write(record.getMessage())


@contextmanager
def notes_to(write: Callable[[str], None]) -> Iterator[None]:
    """Bring the library's warnings to the user, for the time of the block.

    Args:
        write: writes a line.
    """
    handler = _Notes(write)
    logger = logging.getLogger("usechat")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
