"""Any actions from any threads while tools run, which end when the dice say so."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hosting import PATIENCE, everywhere, scripted

from tests.session.tool_replies import answer, call, calls
from usechat import (
    ChatBusyError,
    ChatSession,
    QueuePausedError,
    Tool,
    Turn,
)


class Game:
    """A chat, and tools that end when the dice say so."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.open: list[threading.Event] = []
        self.begun: set[str] = set()
        self.over = threading.Event()
        self.made = 0
        self.turns: list[Turn] = []
        self.chat = ChatSession(
            scripted(*[self.reply] * 400),
            tools=[
                Tool(self.hold, name="hold"),
                Tool(self.show, name="show"),
                Tool(self.hold, name="asks", needs_approval=True),
            ],
            when_busy=self.dice.choice(["interrupt", "queue", "reject"]),
            throttle=self.dice.choice([0, None, 0.001]),
            max_steps=4,
        )

    def hold(self) -> int:
        event = threading.Event()
        self.open.append(event)
        if not self.over.is_set():
            assert event.wait(PATIENCE)
        return 1

    def show(self) -> Iterator[int]:
        yield self.hold()
        yield self.hold()

    def reply(self, request: Any) -> Any:
        if self.dice.random() < 0.3:
            return answer()
        self.made += 3
        names = self.dice.choices(["hold", "show", "asks", "other"], [4, 4, 2, 1], k=2)
        return calls(*(call(name, f"c{self.made + n}") for n, name in enumerate(names)))

    def play(self, _: int) -> None:
        """Many actions."""
        often = [self.send, self.end, self.end, self.end, self.answer, self.answer]
        rare = [self.chat.stop, self.regenerate, self.chat.clear, self.cut]
        for _ in range(60):
            with suppress(ChatBusyError):
                self.dice.choice(rare if self.dice.random() < 0.14 else often)()

    def send(self) -> None:
        self.turns.append(self.chat.send_message("Hi"))

    def end(self) -> None:
        for event in self.open[-3:]:
            event.set()

    def answer(self) -> None:
        for message in self.chat.messages[-1:]:
            for part in message.tool_parts:
                if part.state == "approval-requested" and part.approval is not None:
                    yes = self.dice.random() < 0.7
                    id = part.approval.id
                    self.turns.append(self.chat.add_tool_approval_response(id, yes))
                elif part.state == "input-available":
                    self.turns.append(self.chat.add_tool_output(part.tool_call_id, 1))

    def regenerate(self) -> None:
        if self.chat.messages:
            with suppress(ValueError):  # another thread has cleared it
                self.turns.append(self.chat.regenerate())

    def cut(self) -> None:
        self.chat.set_messages(lambda ms: ms[: self.dice.randint(0, len(ms))])

    def finish(self) -> None:
        """Let all tools go, and no more wait."""
        self.over.set()
        for event in [*self.open]:
            event.set()


@pytest.mark.parametrize("seed", range(6))
def test_any_actions_while_tools_run(seed: int) -> None:
    game = Game(seed)
    chat = game.chat
    try:
        everywhere(3, game.play)
        for message in chat.queued_messages:
            chat.remove_queued_message(message.id)
        chat.stop()
        for turn in game.turns:
            with suppress(QueuePausedError):
                turn.wait(PATIENCE)
        assert [turn for turn in game.turns if not (turn.over or turn.queued)] == []
        assert chat._engine.work is None
        assert chat.status in ("ready", "error")
        before = chat.messages
    finally:
        game.finish()
        chat.close()
    assert chat.messages == before  # what tools give now changes nothing
