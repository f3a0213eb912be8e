"""Plays a scenario through ChatSession."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from player import Player
from threaded_network import ThreadedNetwork

from usechat import ChatSession

LIMIT = 30  # seconds after which nothing will come any more: the session hangs


class ThreadedPlayer(Player):
    """One ChatSession, played by a scenario; its host is the thread that plays.

    Args:
        scenario: the scenario.
        network: what its requests go to.
    """

    network: ThreadedNetwork

    def __init__(self, scenario: dict[str, Any], network: ThreadedNetwork) -> None:
        super().__init__(scenario, network)
        self.calls: deque[Callable[[], object]] = deque()

    def dispatch(self, call: Callable[[], object]) -> None:
        with self.network.changed:
            self.calls.append(call)
            self.network.changed.notify_all()

    def settle(self) -> None:
        """Be the host until the session has nothing more to do."""
        self.flush()
        while self.more_comes():
            self.flush()

    def flush(self) -> None:
        while self.calls:
            self.calls.popleft()()

    def more_comes(self) -> bool:
        """Wait for a call of the session's; False: none comes until somebody does something.

        Which exchange the network must rest for, nothing public tells. Only what this thread does
        gives the session another.
        """
        exchange = self.chat._engine.exchange
        network = self.network
        with network.changed:
            come = network.changed.wait_for(
                lambda: self.calls or network.is_at_rest(exchange), LIMIT
            )
            if not come:
                raise TimeoutError(f"{self.scenario['name']}: {self.chat!r} hangs")
            return bool(self.calls)

    def move(self, count: int | None) -> None:
        """Let the network move.

        Args:
            count: by so many items; None: until nothing is left.
        """
        self.settle()
        while count != 0 and self.network.tick():
            self.settle()
            count = None if count is None else count - 1

    def play(self) -> dict[str, Any]:
        chat = ChatSession(dispatch=self.dispatch, **self.options())
        self.observe(chat)
        with chat as self.chat:
            for count in self.moves():
                self.move(count)
            trace = self.trace()
            for turn in self.turns:
                if turn.over:
                    turn.wait(timeout=0)  # the observers have been told of all of it
        self.settle()
        return trace
