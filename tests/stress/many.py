"""200 chats at a time."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.stress.hosts import Host
from tests.stress.replies import fault_in
from tests.stress.watch import PATIENCE, Watch
from usechat import ChatSession, DispatchError, Turn, TurnFinished

CHATS = 200
TURNS = 2


class _One:
    """A chat that sends the next message when it is told that a turn is over."""

    def __init__(self, url: str, watch: Watch, number: int, host: Host | None) -> None:
        self._watch = watch
        self._number = number
        self._left = TURNS
        self._prompt = ""
        self.over = threading.Event()
        self.turns: list[tuple[Turn, str]] = []
        dispatch = None if host is None else host.dispatch
        self.chat = ChatSession(url, dispatch=dispatch, timeout=1.0)
        self.chat.on(TurnFinished, lambda event: self._next())

    def start(self) -> None:
        self._next()

    def _next(self) -> None:
        if self._left:
            self._left -= 1
            prompt = f"many{self._number}.{self._left}"
            self.turns.append((self.chat.send_message(prompt), prompt))
        else:
            self.over.set()

    def judge(self) -> None:
        if not self.over.wait(3 * PATIENCE):
            self._watch.fault(f"chat {self._number} hangs: {self.turns}, {self.chat!r}")
        for turn, prompt in self.turns:
            self._watch.count(f"turn {turn.outcome}")
            fault = fault_in(turn.text, prompt) if turn.outcome == "completed" else None
            if fault is not None:
                self._watch.fault(f"one of many: {fault}")
            if isinstance(turn.error, DispatchError):
                self._watch.fault("one of many", turn.error)


def run(url: str, watch: Watch, chance: random.Random) -> None:
    """All of them; half run on one host's thread, half of them are closed, the rest just dropped.

    Args:
        url: the server's.
        watch: gets what goes wrong.
        chance: decides which is which.
    """
    host = Host(watch)
    chats = [_One(url, watch, n, chance.choice((None, host))) for n in range(CHATS)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda one: one.start(), chats))
        watch.look()
        list(pool.map(lambda one: one.judge(), chats))
        watch.look()
        list(pool.map(lambda one: one.chat.close(), chats[::2]))
    chats.clear()
    host.end()
