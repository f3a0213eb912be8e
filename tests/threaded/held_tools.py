"""Tools of a ``ChatSession`` that run until they are let go."""

from __future__ import annotations

import threading

import anyio
from hosting import PATIENCE, told

from tests.session.tool_replies import HeldThread, call, calls
from usechat import ChatSession
from usechat.session.loop_thread import running_loop_thread

HELD = calls(call("hold"))


class HeldOnLoop:
    """An async tool of a ``ChatSession`` that waits until it is let go."""

    def __init__(self) -> None:
        self.began, self.ended = threading.Event(), threading.Event()
        self.cleaned_up = False
        self._go: anyio.Event | None = None

    async def hold(self) -> str:
        self._go = anyio.Event()
        self.began.set()
        try:
            await self._go.wait()
            return "ok"
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            self.cleaned_up = True
            self.ended.set()

    def let_go(self) -> None:
        """From any thread."""
        thread = running_loop_thread()
        assert thread is not None
        assert self._go is not None
        thread.call(self._go.set)


Held = HeldOnLoop | HeldThread


def released(held: Held) -> None:
    """Let it go."""
    if isinstance(held, HeldThread):
        held.go.set()
    else:
        held.let_go()


def stopped(held: Held) -> None:
    """An async one has been cancelled, and has cleaned up."""
    if isinstance(held, HeldOnLoop):
        told(held.ended, "the end of the tool")
        assert held.cleaned_up


def usable(chat: ChatSession) -> None:
    """It serves a good reply."""
    turn = chat.send_message("Again").wait(PATIENCE)
    assert (turn.outcome, turn.text, chat.status) == ("completed", "Done.", "ready")
