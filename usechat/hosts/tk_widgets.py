"""Tk: widgets that are tied to a chat, in front of all that a program may do with them itself."""

from __future__ import annotations

import itertools
import tkinter
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from tkinter import ttk
from typing import Any, TypeAlias

from usechat.errors import InvalidArgumentError

Button: TypeAlias = tkinter.Button | ttk.Button

_numbers = itertools.count(1)


class Bindings:
    """Bindings of our own on a widget, under a tag of their own.

    ``widget.bind`` of the program would replace ours, and ``unbind`` of ours all of the program's.

    Args:
        widget: the widget.
        first: they come before those of the program; else between those and the widget's class.
    """

    def __init__(self, widget: tkinter.Misc, *, first: bool = False) -> None:
        self._widget: tkinter.Misc | None = widget
        self._tag = f"UseChat{next(_numbers)}"
        self._made: list[tuple[str, str]] = []
        tags = widget.bindtags()
        at = 0 if first else 1
        widget.bindtags((*tags[:at], self._tag, *tags[at:]))

    def add(self, sequence: str, fn: Callable[[Any], object], *, final: bool = False) -> None:
        """Bind a function.

        Args:
            sequence: the events.
            fn: the function.
            final: nobody after us gets them, even if the function raises.
        """
        assert self._widget is not None
        self._made.append((sequence, self._widget.bind_class(self._tag, sequence, fn)))
        if final:
            self._widget.bind_class(self._tag, sequence, "+break")

    def end(self) -> None:
        """Remove them; the widget may be gone, and its application too."""
        widget, self._widget = self._widget, None
        if widget is None:
            return
        with suppress(tkinter.TclError):
            widget.bindtags(tuple(tag for tag in widget.bindtags() if tag != self._tag))
        root = widget.nametowidget(".")
        for sequence, command in self._made:
            with suppress(tkinter.TclError):
                root.unbind_class(self._tag, sequence)
            with suppress(tkinter.TclError):
                root.deletecommand(command)


class TextBox(ABC):
    """A text box.

    Attributes:
        bindings: on its widget.
        changed: called with the text when somebody else has changed it.
    """

    def __init__(self, widget: tkinter.Entry | tkinter.Text) -> None:
        self.bindings = Bindings(widget)
        self.changed: Callable[[str], None] = lambda text: None
        self._known = ""

    @property
    @abstractmethod
    def text(self) -> str:
        """What it shows."""

    def show(self, text: str) -> None:
        """Put another text in. The cursor stays, or stays at the end.

        Args:
            text: the text.
        """
        if text != self.text:
            self._known = text
            self._put(text)

    @abstractmethod
    def _put(self, text: str) -> None: ...

    def _is_now(self, text: str) -> None:
        if text != self._known:
            self._known = text
            self.changed(text)

    def end(self) -> None:
        """Let go of the widget, which may be gone."""
        self.bindings.end()


class OneLine(TextBox):
    """A text box of one line. Its variable tells of all changes, whoever makes them."""

    def __init__(self, entry: tkinter.Entry) -> None:
        super().__init__(entry)
        self._entry = entry
        self._tk: Any = entry.tk
        self._known = entry.get()
        given = str(entry.cget("textvariable"))
        self._is_given = bool(given)
        self._variable = given or f"usechat_input_{next(_numbers)}"
        if not given:
            # No StringVar: one that the collector finds on another thread calls Tk from there.
            self._set(self._known)
            entry["textvariable"] = self._variable
        self._command = entry.register(self._on_write)
        self._tk.call("trace", "add", "variable", self._variable, "write", self._command)

    @property
    def text(self) -> str:
        """What it shows."""
        return self._entry.get()

    def _set(self, text: str) -> None:
        self._tk.globalsetvar(self._variable, text)

    def _on_write(self, *_: str) -> None:
        self._is_now(str(self._tk.globalgetvar(self._variable)))

    def _put(self, text: str) -> None:
        entry = self._entry
        was_at_end = entry.index("insert") == entry.index("end")
        self._set(text)
        if was_at_end:
            entry.icursor("end")
            entry.xview_moveto(1.0)

    def end(self) -> None:
        """Let go of the widget, which may be gone."""
        super().end()
        with suppress(tkinter.TclError):
            self._tk.call("trace", "remove", "variable", self._variable, "write", self._command)
        if not self._is_given:
            with suppress(tkinter.TclError):
                self._entry["textvariable"] = ""
            with suppress(tkinter.TclError):
                self._tk.globalunsetvar(self._variable)
        with suppress(tkinter.TclError):
            self._entry.deletecommand(self._command)


class Lines(TextBox):
    """A text box of several lines."""

    def __init__(self, widget: tkinter.Text) -> None:
        super().__init__(widget)
        self._widget = widget
        self._known = self.text
        widget.edit_modified(False)  # else the next change is no news to Tk
        self.bindings.add("<<Modified>>", self._on_modified)
        self.bindings.add("<Shift-Return>", lambda _: None)  # not Return: the class adds the line

    @property
    def text(self) -> str:
        """What it shows."""
        return self._widget.get("1.0", "end-1c")

    def _on_modified(self, _: object) -> None:
        if self._widget.edit_modified():
            self._widget.edit_modified(False)
            self._is_now(self.text)

    def _put(self, text: str) -> None:
        widget = self._widget
        was_at_end = widget.compare("insert", "==", "end-1c")
        cursor = "end-1c" if was_at_end else widget.index("insert")
        widget.delete("1.0", "end")
        widget.insert("1.0", text)
        widget.mark_set("insert", cursor)
        widget.see("insert")


def text_box(widget: object) -> TextBox:
    """What can be tied of a widget.

    Args:
        widget: the widget.

    Raises:
        InvalidArgumentError: it is no text box.
    """
    if isinstance(widget, tkinter.Text):
        return Lines(widget)
    if isinstance(widget, tkinter.Entry):
        return OneLine(widget)
    raise InvalidArgumentError(
        f"bind_input: expected an Entry or a Text of tkinter, got {type(widget).__name__}."
    )


class ChatButton:
    """A button that does what it says.

    Args:
        button: the widget.
        press: called when it is pressed.
        destroyed: called when it is gone.
    """

    def __init__(
        self,
        button: Button,
        press: Callable[[], None],
        destroyed: Callable[[Any], None],
    ) -> None:
        self.stops = False
        self._button = button
        self._before = {name: str(button.cget(name)) for name in ("text", "command")}
        self._command = button.register(press)
        button.configure(command=self._command)
        self._bindings = Bindings(button)
        # The second half of a double click on Send would stop what the first has sent.
        self._bindings.add("<Double-Button-1>", lambda _: None, final=True)
        self._bindings.add("<Destroy>", destroyed)

    def show(self, text: str, stops: bool) -> None:
        """Say another thing.

        Args:
            text: what it says.
            stops: whether a press stops.
        """
        if stops != self.stops or str(self._button.cget("text")) != text:
            self.stops = stops
            self._button.configure(text=text)

    def end(self) -> None:
        """Leave the button as it was; it may be gone."""
        self._bindings.end()
        with suppress(tkinter.TclError):
            self._button.configure(**self._before)
        with suppress(tkinter.TclError):
            self._button.deletecommand(self._command)
