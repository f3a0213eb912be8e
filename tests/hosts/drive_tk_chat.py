"""Runs the example of Tk and does in its window what a user would: EXAMPLE URL [PICTURE]."""

from __future__ import annotations

import runpy
import subprocess
import sys
import time
import tkinter
from collections.abc import Callable, Iterator
from typing import Any

run_loop = tkinter.Tk.mainloop


class Driver:
    """Who sits in front of a window."""

    def __init__(self, root: tkinter.Tk) -> None:
        self.root = root
        self.entry = next(w for w in self.widgets() if w.winfo_class() == "TEntry")
        self.log = next(w for w in self.widgets() if w.winfo_class() == "Text")

    def widgets(self, parent: tkinter.Misc | None = None) -> Iterator[Any]:
        for child in (parent or self.root).winfo_children():
            yield child
            yield from self.widgets(child)

    def button(self, text: str) -> Any:
        """The button that says this, if it is to be seen."""
        for widget in self.widgets():
            is_shown = widget.winfo_class() == "TButton" and widget.winfo_ismapped()
            if is_shown and str(widget.cget("text")) == text:
                return widget
        return None

    def until(self, reached: Callable[[], object], what: str) -> None:
        end = time.monotonic() + 20

        def look() -> None:
            if reached() or time.monotonic() > end:
                self.root.quit()
            else:
                self.root.after(2, look)

        self.root.after(0, look)
        run_loop(self.root)
        assert reached(), f"{what}: {self.text!r}"

    def until_button(self, text: str) -> Any:
        self.until(lambda: self.button(text), text)
        return self.button(text)

    @property
    def text(self) -> str:
        return str(self.log.get("1.0", "end-1c"))

    def say(self, text: str) -> None:
        self.entry.focus_force()
        self.until(lambda: self.root.focus_get() is self.entry, "focus")
        self.entry.insert("end", text)
        self.entry.event_generate("<Return>")
        assert self.entry.get() == "", "the text box was not emptied"

    def until_said(self, text: str) -> None:
        self.until(lambda: text in self.text, text)
        self.until_button("Send")


def drive(root: tkinter.Tk) -> None:
    user = Driver(root)
    user.until(root.winfo_viewable, "the window")
    talk(user)
    root.destroy()
    print("closed")


def talk(user: Driver) -> None:
    assert user.button("Retry") is None
    assert user.button("Allow") is None
    user.say("Hello 🌍")
    user.until_said("You said: Hello 🌍")
    assert user.text.startswith(" Hello 🌍 \nYou said: Hello")
    print("echo")
    user.say("error")
    user.until_button("Retry")
    assert user.text.endswith("middle of \nThe demo failed, as you asked.")
    print("error")
    user.button("Retry").invoke()
    user.until(lambda: user.text.count("The demo failed") == 2, "the second try")
    print("retry")
    user.say("Please delete the logs")
    user.until_button("Allow").invoke()
    user.until_said("with your approval: 3 files are gone.")
    user.until(lambda: not user.button("Deny"), "no question any more")
    print("approval")
    user.say("stall")
    user.until(lambda: "until you stop me" in user.text, "a reply that stalls")
    user.button("Stop").invoke()
    assert user.button("Send")
    print("stop")
    user.say("long 5000")
    user.until(lambda: "Once there was" in user.text, "a reply to leave in the middle")


def show(root: tkinter.Tk) -> None:
    """The conversation of the picture in the documentation."""
    user = Driver(root)
    user.until(root.winfo_viewable, "the window")
    user.say("What is the weather in Bergen?")
    user.until_said("with a clear sky.")
    user.say("Please delete the old logs.")
    user.until_button("Allow").invoke()
    user.until_said("3 files are gone.")
    user.say("Tell me a long story.")
    user.until(lambda: len(user.text) > 600, "a long story")
    user.entry.insert(0, "Thank you. And now")
    root.update()
    subprocess.run(["import", "-window", str(root.winfo_id()), sys.argv[2]], check=True)
    root.destroy()


if __name__ == "__main__":
    example, *sys.argv[1:] = sys.argv[1:]
    tkinter.Tk.mainloop = show if len(sys.argv) > 2 else drive  # type: ignore[method-assign]
    runpy.run_path(example, run_name="__main__")
