"""What is written to the terminal, a file or a pipe: nothing that comes can break it."""

from __future__ import annotations

import io
import os
import shutil
from contextlib import suppress
from typing import Literal, TextIO

Style = Literal["dim", "item", "error"]

_STYLES: dict[Style, str] = {"dim": "\x1b[2m", "item": "\x1b[36m", "error": "\x1b[31m"}
_PLAIN = "\x1b[0m"

# Control characters, but new line and tab, as pictures of themselves. A carriage return would let
# a line be overwritten, and as a picture it would stand at the end of each line that has one.
_HARMLESS: dict[int, str | None] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    0x7F: "\u2421",
    **dict.fromkeys(range(0x80, 0xA0), "\ufffd"),
    ord("\r"): None,
}
del _HARMLESS[ord("\n")], _HARMLESS[ord("\t")]


class OutputError(Exception):
    """The output cannot be written. It is none of the library's errors: it ends the program."""


class OutputClosed(OutputError):
    """Nobody reads the output any more."""


def harmless(text: str) -> str:
    """A text that moves no cursor and sets no title when a terminal shows it.

    Args:
        text: any text.
    """
    return text.translate(_HARMLESS)


class Output:
    """Writes text, on a terminal with the control characters taken out.

    Args:
        stream: standard output or standard error; None where it is closed. What is not a terminal
            gets UTF-8 in every locale; what an encoding lacks becomes a question mark.

    Attributes:
        is_terminal: whether somebody sees it.
        can_rewrite: whether a line that has begun can be replaced.
        colours: whether styles show.
        at_line_start: whether the next character begins a line.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._failure: Exception | None = None
        self.is_terminal = stream is not None and stream.isatty()
        can_move = self.is_terminal and os.environ.get("TERM") != "dumb"
        self.can_rewrite = can_move
        self.colours = can_move and not os.environ.get("NO_COLOR")
        self.at_line_start = True
        if isinstance(stream, io.TextIOWrapper):
            if self.is_terminal:
                stream.reconfigure(errors="replace")
            else:
                stream.reconfigure(encoding="utf-8", errors="replace", newline="\n")

    def write(self, text: str, style: Style | None = None) -> None:
        """Write a piece of text, at once.

        Args:
            text: the piece.
            style: how it looks, where styles show.

        Raises:
            OutputClosed: nobody reads it.
            OutputError: it cannot be written.
        """
        if not text:
            return
        if self.is_terminal:
            text = harmless(text)
        self.at_line_start = text.endswith("\n") if text else self.at_line_start
        if style is not None and self.colours:
            text = f"{_STYLES[style]}{text}{_PLAIN}"
        self._send(text)

    def line(self, text: str, style: Style | None = None) -> None:
        """Write a line of its own.

        Args:
            text: the line.
            style: how it looks, where styles show.
        """
        self.fresh_line()
        self.write(f"{text}\n", style)

    def note(self, text: str) -> None:
        """Write a line that is not part of what was said.

        Args:
            text: the line, without the brackets that it gets.
        """
        self.line(f"({text})", "dim")

    def fresh_line(self) -> None:
        """End the line, if one has begun."""
        if not self.at_line_start:
            self.write("\n")

    def rewrite(self, text: str, style: Style | None = None) -> None:
        """Put other text in the place of the line that has begun; needs ``can_rewrite``.

        Args:
            text: the line; it is cut to the width of the terminal.
            style: how it looks, where styles show.
        """
        columns = shutil.get_terminal_size().columns or 80  # some terminals do not know theirs
        self._send("\r\x1b[K")
        self.write(text[: columns - 1], style)

    def complain(self, text: str) -> None:
        """Write a line to standard error; if nobody reads that either, nothing can be done.

        Args:
            text: what is wrong.
        """
        with suppress(OutputError):
            self.line(f"usechat: {text}")

    def flush(self) -> None:
        """Write what others have left in the stream's buffer.

        Raises:
            OutputError: it cannot be written.
        """
        self._send("")

    def _send(self, text: str) -> None:
        if self._failure is not None:
            raise self._failure
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError as error:
            self._failure = OutputClosed()
            _abandon(self._stream)
            raise self._failure from error
        except OSError as error:
            self._failure = OutputError(f"The output cannot be written: {error}")
            _abandon(self._stream)
            raise self._failure from error


def _abandon(stream: TextIO) -> None:
    """Let what is left in a stream's buffer go nowhere: Python writes it at its exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
