"""Which toolkit may be meant where nobody has said."""

from __future__ import annotations

import logging
import sys
import warnings

logger = logging.getLogger("usechat")

_RECIPES = {
    "tkinter": "dispatch=usechat.hosts.tk.dispatcher(root)",
    "PySide6": "dispatch= a function that emits a signal with a queued connection",
    "PyQt6": "dispatch= a function that emits a signal with a queued connection",
    "kivy": "dispatch=lambda fn: Clock.schedule_once(lambda dt: fn())",
    "wx": "dispatch=wx.CallAfter",
    "textual": "AsyncChatSession",
}

_warned: list[str] = []


def warn_without_dispatch() -> None:
    """Warn, once a process, if a toolkit is there whose widgets belong to another thread."""
    if _warned:
        return
    found = next((name for name in _RECIPES if name in sys.modules), None)
    if found is not None:
        _warned.append(found)
        said = (
            f"{found} is imported, and this ChatSession has no dispatch=: its observers run on a "
            f"thread of their own, where widgets must not be touched. Use {_RECIPES[found]}."
        )
        try:
            warnings.warn(said, RuntimeWarning, stacklevel=2)
        except RuntimeWarning:  # raised here it would be nobody's, and end a delivery
            logger.error(said)
