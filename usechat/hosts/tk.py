"""Tk: where a chat's callbacks run, and a text box with its Send button.

All of this is called on the thread that runs Tk, which alone touches widgets.
"""

from __future__ import annotations

import threading
import time
import tkinter
import weakref
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from usechat.engine.events import InputChanged, StatusChanged
from usechat.errors import DispatchError
from usechat.hosts.tk_widgets import Bindings, Button, ChatButton, TextBox, text_box
from usechat.session.observers import Subscription
from usechat.session.threaded import ChatSession

__all__ = ["bind_input", "dispatcher"]

# What is dispatched may take so many seconds in a row, then Tk draws and reads the keyboard.
_BUDGET = 0.015


def dispatcher(
    root: tkinter.Misc, interval: float = 0.025
) -> Callable[[Callable[[], object]], None]:
    """Make the ``dispatch`` of a chat whose callbacks run on Tk's thread.

    A queue that Tk empties by itself: any thread may call what is returned, at any time, whether
    or not ``mainloop`` runs, and never waits. What a function raises goes the way of all errors in
    Tk, to ``report_callback_exception``. When the window is destroyed, what waits is thrown away
    and a turn that runs ends with ``DispatchError``, within a second.

    Args:
        root: a window or widget that lives as long as the chat is shown.
        interval: seconds between two looks into the queue.
    """
    return _Pump(root, interval)


def bind_input(
    chat: ChatSession,
    entry: tkinter.Entry | tkinter.Text,
    button: Button | None = None,
    *,
    labels: tuple[str, str] = ("Send", "Stop"),
) -> Subscription:
    """Tie a text box, and the button beside it, to a chat's ``input``.

    What is typed is in ``chat.input``, and what is put there is shown. Return sends and empties the
    box, in a ``Text`` too, where Shift-Return begins a line; what cannot be sent now stays in it.
    The button sends, and stops while a reply is awaited or coming.

    Args:
        chat: the chat; its ``dispatch`` is a ``dispatcher``.
        entry: the text box, of tkinter, ttk or scrolledtext.
        button: the button; a double click counts as one.
        labels: what the button says while it sends, and while it stops.

    Returns:
        Unties it all when it is called. Destroyed widgets are untied by themselves.

    Raises:
        InvalidArgumentError: that is no text box.
    """
    tie = _Tie(chat, text_box(entry), labels)
    if button is not None:
        tie.add_button(button)
    return Subscription(tie.untie)


class _Interpreters(threading.local):
    """The Tcl interpreters of a thread's windows.

    One that is freed on another thread than its own aborts the process. The collector frees a
    window, and what holds it, on whichever thread it happens to run, the network's included. Held
    here, an interpreter is freed when the next window finds it of no use, or with its thread: what
    helps the main thread, and no window that outlives a thread of its own.
    """

    def __init__(self) -> None:
        self._held: list[tuple[weakref.ref[Any], object]] = []

    def hold(self, widget: tkinter.Misc) -> None:
        """Hold a widget's interpreter.

        Args:
            widget: any widget of this thread.
        """
        window = widget.nametowidget(".")
        self._held = [(ref, tk) for ref, tk in self._held if ref() not in (None, window)]
        self._held.append((weakref.ref(window), window.tk))


_interpreters = _Interpreters()


class _Pump:
    """Runs on Tk's thread what others give it.

    Args:
        root: the window.
        interval: seconds.

    Attributes:
        host_thread: the thread that runs Tk.
    """

    def __init__(self, root: tkinter.Misc, interval: float) -> None:
        self._root: tkinter.Misc | None = root
        self._queue: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self.host_thread = threading.get_ident()
        self._pause = max(1, round(interval * 1000))
        self._timer: str | None = None
        _interpreters.hold(root)
        self._bindings = Bindings(root, first=True)
        self._bindings.add("<Destroy>", self._close)
        self._schedule()

    def __call__(self, fn: Callable[[], object]) -> None:
        """Run a function on Tk's thread, after those that wait already.

        Args:
            fn: the function.

        Raises:
            DispatchError: the window has been destroyed.
        """
        # No lock: this may be called in a finalizer, in the middle of itself.
        self._queue.put(fn)
        if self._root is None:  # now, or a moment ago when the queue was emptied
            self._throw_away()
            raise DispatchError(
                "The Tk window of this chat has been destroyed: nothing can be shown in it any "
                "more. Close the chat with its window, or make the dispatcher with a window that "
                "stays."
            )

    def _schedule(self) -> None:
        if self._root is not None:
            if self._timer is not None:
                self._root.after_cancel(self._timer)
            self._timer = self._root.after(self._pause, self._run)

    def _run(self) -> None:
        self._timer = None
        due = self._queue.qsize()
        if due:
            self._schedule()  # a function may open a dialog, in which the others go on
        try:
            self._drain(due)
        finally:
            # Counted from now on, so that Tk, which draws when it is idle, gets to be idle.
            self._schedule()

    def _drain(self, count: int) -> None:
        end = time.perf_counter() + _BUDGET
        for _ in range(count):
            try:
                fn = self._queue.get_nowait()
            except Empty:
                return
            fn()  # what it raises Tk reports, and the rest has its turn at the next look
            if time.perf_counter() >= end:
                return

    def _close(self, _: object) -> None:
        root, self._root = self._root, None
        if root is not None and self._timer is not None:
            root.after_cancel(self._timer)
        self._bindings.end()
        self._throw_away()

    def _throw_away(self) -> None:
        with suppress(Empty):
            while True:
                self._queue.get_nowait()


class _Tie:
    """A chat, its text box and its button."""

    def __init__(self, chat: ChatSession, box: TextBox, labels: tuple[str, str]) -> None:
        self._chat = chat
        self._box = box
        self._labels = labels
        self._button: ChatButton | None = None
        self._subscriptions = [
            chat.on(InputChanged, lambda _: self._show_input()),
            chat.on(StatusChanged, lambda _: self._show_status()),
        ]
        box.changed = self._typed
        box.bindings.add("<Return>", self._send, final=True)
        box.bindings.add("<KP_Enter>", self._send, final=True)
        box.bindings.add("<Destroy>", lambda _: self.untie())
        if chat.input:
            self._show_input()
        else:
            self._typed(box.text)

    def add_button(self, button: Button) -> None:
        """Tie the button.

        Args:
            button: the button.
        """
        self._button = ChatButton(button, self._press, self._forget_button)
        self._show_status()

    def untie(self) -> None:
        """Let go of all."""
        for end in self._subscriptions:
            end()
        self._box.changed = lambda text: None
        self._box.end()
        if self._button is not None:
            self._button.end()
            self._button = None

    def _forget_button(self, _: object) -> None:
        if self._button is not None:
            self._button.end()
            self._button = None

    def _typed(self, text: str) -> None:
        self._chat.input = text

    def _show_input(self) -> None:
        # Not the text of the event: who types is ahead of it.
        self._box.show(self._chat.input)

    def _show_status(self) -> None:
        if self._button is not None:
            stops = self._chat.is_loading
            self._button.show(self._labels[1 if stops else 0], stops)

    def _send(self, _: object = None) -> None:
        self._chat.input = self._box.text
        try:
            self._chat.submit()
        finally:
            # At once: a second Return, or a quick reader's look, comes before any observer.
            self._show_input()
            self._show_status()

    def _press(self) -> None:
        assert self._button is not None
        if not self._button.stops:
            self._send()
            return
        try:
            self._chat.stop()
        finally:
            self._show_status()
