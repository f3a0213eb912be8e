"""What the user types, or what stands in for it."""

from __future__ import annotations

import importlib
import io
import sys
from contextlib import suppress

from usechat.cli.interrupts import Interrupts
from usechat.cli.output import Output, harmless
from usechat.model.messages import printable


def read_message(message: str) -> str:
    """The message of ``-m``: ``-`` is standard input, UTF-8 in every locale.

    Args:
        message: what the command line says.
    """
    if message != "-":
        return printable(message)  # what was no text in the locale's encoding becomes U+FFFD
    return sys.stdin.buffer.read().decode("utf-8", "replace") if sys.stdin is not None else ""


class Prompt:
    """Asks for a line. It blocks the thread it is called in, also if a loop runs there.

    Args:
        out: where the question goes.
        interrupts: Ctrl-C ends the line.
    """

    def __init__(self, out: Output, interrupts: Interrupts) -> None:
        self._out = out
        self._interrupts = interrupts
        stdin = sys.stdin
        self._typed = stdin is not None and stdin.isatty()
        self._edits = self._typed and out.is_terminal
        if isinstance(stdin, io.TextIOWrapper):
            stdin.reconfigure(errors="replace")
            if not self._typed:
                stdin.reconfigure(encoding="utf-8")
        if self._edits:
            with suppress(ImportError):  # where it is there, input() edits with it
                importlib.import_module("readline")

    def read(self, question: str) -> str:
        """A line, without its end.

        Args:
            question: what stands before it.

        Raises:
            EOFError: no line comes any more.
            KeyboardInterrupt: Ctrl-C; the line that was begun is dropped.
        """
        self._out.fresh_line()
        try:
            with self._interrupts.raised():
                line = self._line(question)
        except (EOFError, KeyboardInterrupt):
            self._out.write("\n")
            raise
        self._out.at_line_start = True
        return line

    def _line(self, question: str) -> str:
        if self._edits:
            return input(harmless(question))
        self._out.write(question)
        line: str = sys.stdin.readline() if sys.stdin is not None else ""
        if not line:
            raise EOFError
        if not self._typed:
            # What comes from a file is not on the screen already.
            self._out.write(line.rstrip("\n") + "\n")
        return line.rstrip("\n")
