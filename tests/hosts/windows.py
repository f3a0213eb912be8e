"""Tk windows that tests drive."""

from __future__ import annotations

import time
import tkinter
from collections.abc import Callable

LIMIT = 20.0


class App(tkinter.Tk):
    """The one main window of the tests; it is not seen.

    One, because Tk 8.6 mixes up the keyboard focus of several in a process: where the widget that
    has it is destroyed before its main window, the next main window's ``focus`` may crash.
    """

    def __init__(self) -> None:
        super().__init__()
        self.withdraw()
        self.errors: list[BaseException] = []
        # What Tcl itself has to complain about, such as an invalid command name.
        self.tk.createcommand("tkerror", lambda text: self.errors.append(AssertionError(text)))

    def report_callback_exception(self, exc: object, val: BaseException, tb: object) -> None:
        self.errors.append(val)


class Window(tkinter.Toplevel):
    """A window that runs until something has happened, and knows what went wrong in it."""

    def __init__(self, app: App) -> None:
        super().__init__(app)
        self.app = app
        self.errors = app.errors

    def until(self, reached: Callable[[], object], limit: float = LIMIT) -> None:
        """Run the window until something is true; fail where it never is."""
        app = self.app
        end = time.monotonic() + limit

        def look() -> None:
            if reached() or time.monotonic() > end:
                app.quit()
            else:
                app.after(2, look)

        app.after(0, look)
        app.mainloop()
        assert reached(), f"not within {limit} s"

    def for_a_while(self, milliseconds: int = 120) -> None:
        """Run the window, to see that something does not happen."""
        self.app.after(milliseconds, self.app.quit)
        self.app.mainloop()
