"""The callbacks of a chat together with its tools."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import anyio
import pytest

from tests.session.tool_replies import Held, answer, call, calls, outputs, states
from usechat import (
    AsyncChatSession,
    CallbackError,
    ChatBusyError,
    MessageAdded,
    MessagesReplaced,
    MetadataChanged,
    PartAdded,
    PartDone,
    PartUpdated,
    QueuePausedError,
    TextDelta,
    Tool,
    ToolContext,
    UIMessage,
)
from usechat.engine.tool_rounds import NO_RESULT
from usechat.testing import HANG, ScriptedTransport

pytestmark = pytest.mark.anyio


def chatting(*replies: Any, **options: Any) -> AsyncChatSession:
    return AsyncChatSession(ScriptedTransport(replies), **options)


async def weather() -> str:
    return "sun"


async def test_their_order_and_what_they_see() -> None:
    told: list[Any] = []
    chat: AsyncChatSession

    async def look() -> str:
        told.append(("tool", chat.status))
        return "seen"

    def note(name: str) -> Any:
        return lambda *_: told.append((name, chat.status, states(chat.messages[-1])))

    chat = chatting(
        calls(call("look")),
        answer(),
        tools=[look],
        on_tool_call=note("call"),
        on_finish=note("finish"),
        on_error=note("error"),
    )
    async with chat:
        await chat.send_message("Hi")
    assert told == [
        ("call", "streaming", ["input-available"]),
        ("finish", "streaming", ["input-available"]),
        ("tool", "streaming"),
        ("finish", "ready", ["output-available"]),
    ]


async def test_on_tool_call_may_answer_itself() -> None:
    ran: list[int] = []
    transport = ScriptedTransport([calls(call("weather"), call("other", "c2")), answer()])
    chat: AsyncChatSession

    def reply(tool_call: Any) -> None:
        if tool_call.tool_name == "weather":
            chat.add_tool_output(tool_call.tool_call_id, "rain")

    chat = AsyncChatSession(transport, on_tool_call=reply)
    chat.tool(name="weather")(lambda: ran.append(1))
    chat.tool(name="other")(lambda: 2)
    async with chat:
        turn = await chat.send_message("Hi")
        assert (turn.outcome, turn.text) == ("completed", "Done.")
        assert (outputs(turn.message), ran) == (["rain", 2], [])
    assert len(transport.requests) == 2


@pytest.mark.parametrize("name", ["on_tool_call", "on_finish", "send_automatically_when"])
async def test_a_callback_that_raises(name: str) -> None:
    def raises(*_: Any) -> bool:
        raise ValueError("mine")

    errors: list[Any] = []
    options: dict[str, Any] = {name: raises, "on_error": errors.append}
    held = Held()
    held.go.set()
    async with chatting(calls(call("hold")), answer(), tools=[held.hold], **options) as chat:
        turn = await chat.send_message("Hi")
        assert (turn.outcome, chat.status) == ("error", "error")
        assert isinstance(turn.error, CallbackError)
        assert errors == [turn.error]
        ran = name == "send_automatically_when"
        assert bool(held.told) == ran
        if name == "on_finish":
            assert outputs(turn.message) == [NO_RESULT]


@pytest.mark.parametrize("round", [1, 2])
async def test_on_finish_that_stops(round: int) -> None:
    finished: list[Any] = []
    chat: AsyncChatSession

    def stop(*_: Any) -> None:
        finished.append(1)
        if len(finished) == round:
            chat.stop()

    replies = [calls(call("weather")), calls(call("weather", "c2")), answer()]
    chat = chatting(*replies, tools=[weather], on_finish=stop)
    async with chat:
        turn = await chat.send_message("Hi")
        assert (turn.outcome, chat.status) == ("stopped", "ready")
        assert outputs(turn.message) == ["sun"] * (round - 1) + [NO_RESULT]
        assert len(finished) == round


async def test_on_finish_that_sends() -> None:
    chat: AsyncChatSession
    told: list[Any] = []

    def send(*_: Any) -> None:
        if len(told) == 2:
            return
        try:
            told.append(chat.send_message("Now"))
        except ChatBusyError as error:
            told.append(error)  # the tools are about to run

    replies = [calls(call("weather")), answer(), answer("Then.")]
    chat = chatting(*replies, tools=[weather], on_finish=send)
    async with chat:
        turn = await chat.send_message("Hi")
        assert (turn.outcome, turn.text) == ("completed", "Done.")
        assert isinstance(told[0], ChatBusyError)
        assert (await told[1]).text == "Then."


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_predicate_of_the_users_own(goes_on: bool) -> None:
    asked: list[list[str]] = []

    def when(*, messages: Sequence[UIMessage]) -> bool:
        asked.append(states(messages[-1]))
        return goes_on and len(asked) == 1

    transport = ScriptedTransport([calls(call("weather")), answer()])

    async with AsyncChatSession(
        transport, tools=[weather], send_automatically_when=lambda m: when(messages=m)
    ) as chat:
        turn = await chat.send_message("Hi")
        assert turn.outcome == "completed"
        assert asked[0] == ["output-available"]
        assert outputs(turn.message) == ["sun"]
    assert len(transport.requests) == 1 + goes_on


async def test_a_predicate_that_stops() -> None:
    chat: AsyncChatSession

    def when(messages: Sequence[UIMessage]) -> bool:
        chat.stop()
        return True

    chat = chatting(calls(call("weather")), tools=[weather], send_automatically_when=when)
    async with chat:
        turn = await chat.send_message("Hi")
        assert turn.over
        assert chat.status == "ready"


# -------------------------------------------------------------- random runs


class Mirror:
    """The messages as the events tell of them."""

    def __init__(self, chat: AsyncChatSession) -> None:
        self.chat = chat
        self.messages: list[UIMessage] = list(chat.messages)
        for kind in (MessageAdded, PartAdded, PartUpdated, PartDone, TextDelta, MetadataChanged):
            chat.on(kind, self.touch)
        chat.on(MessagesReplaced, self.replace)

    def touch(self, event: Any) -> None:
        """One message has changed, and no other."""
        at = next(i for i, m in enumerate(self.chat.messages) if m.id == event.message_id)
        self.messages[at:] = [self.chat.messages[at]]

    def replace(self, event: MessagesReplaced) -> None:
        """All from one on have."""
        self.messages[event.from_index :] = self.chat.messages[event.from_index :]


class Game:
    """A chat, and tools that end when the dice say so."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.open: list[anyio.Event] = []
        self.begun: set[str] = set()
        self.made = 0
        self.chat = AsyncChatSession(
            ScriptedTransport([self.reply] * 400),
            tools=[self.hold, Tool(self.hold, name="asks", needs_approval=True)],
            when_busy=self.dice.choice(["interrupt", "queue", "reject"]),
            throttle=None,
            max_steps=4,
        )
        self.mirror = Mirror(self.chat)
        self.turns: list[Any] = []

    async def hold(self, ctx: ToolContext) -> int:
        event = anyio.Event()
        self.open.append(event)
        self.begun.add(ctx.tool_call_id)
        try:
            await event.wait()
            if self.dice.random() < 0.2:
                raise ValueError("dice")
            return len(self.open)
        finally:
            self.open.remove(event)

    def reply(self, request: Any) -> Any:
        kind = self.dice.random()
        if kind < 0.3:
            return answer()
        if kind < 0.35:
            return [*calls(call("hold", "x"))[:-1], HANG]
        if kind < 0.4:
            return calls(call("hold", "x"))[:-1]
        self.made += 3
        names = self.dice.choices(["hold", "asks", "other"], [6, 2, 1], k=self.dice.randint(1, 3))
        return calls(*(call(name, f"c{self.made + n}") for n, name in enumerate(names)))

    def act(self) -> None:
        """Do something."""
        often = [self.send, self.end, self.end, self.end, self.approve, self.answer]
        rare = [self.chat.stop, self.regenerate, self.chat.clear, self.cut]
        self.dice.choice(rare if self.dice.random() < 0.14 else often)()

    def send(self) -> None:
        self.turns.append(self.chat.send_message("Hi"))

    def end(self) -> None:
        if self.open:
            self.dice.choice(self.open).set()

    def approve(self) -> None:
        for part in self.calls():
            if part.state == "approval-requested" and part.approval is not None:
                yes = self.dice.random() < 0.7
                self.turns.append(self.chat.add_tool_approval_response(part.approval.id, yes))

    def answer(self) -> None:
        for part in self.calls():
            if part.state == "input-available" and self.chat._engine.exchange is None:
                self.turns.append(self.chat.add_tool_output(part.tool_call_id, 1))

    def calls(self) -> Sequence[Any]:
        return self.chat.messages[-1].tool_parts if self.chat.messages else ()

    def regenerate(self) -> None:
        if self.chat.messages:
            self.turns.append(self.chat.regenerate())

    def cut(self) -> None:
        self.chat.set_messages(lambda ms: ms[: self.dice.randint(0, len(ms))])


@pytest.mark.parametrize("seed", range(15))
async def test_any_actions_while_tools_run(seed: int) -> None:
    game = Game(seed)
    chat = game.chat
    driven = 0

    async def drive(turn: Any) -> None:
        with suppress(QueuePausedError):
            await turn

    async with chat:
        async with anyio.create_task_group() as tasks:
            for _ in range(60):
                try:
                    game.act()
                except ChatBusyError:
                    assert chat.is_loading
                for turn in game.turns[driven:]:
                    tasks.start_soon(drive, turn)
                driven = len(game.turns)
                for _ in range(game.dice.randint(0, 12)):
                    await anyio.lowlevel.checkpoint()
                assert chat.is_loading == (chat._engine.work is not None)
            while any(turn.queued for turn in game.turns):
                chat.remove_queued_message(chat.queued_messages[0].id)
            chat.stop()
        assert game.open == []
        assert [turn for turn in game.turns if not turn.over] == []
        assert chat._engine._open_turns == {}
        assert chat.status in ("ready", "error")
        # Those of a reply that was stopped have never begun.
        left = [p for m in chat.messages for p in m.tool_parts if p.state == "input-available"]
        assert [p for p in left if p.tool_call_id in game.begun] == []
        assert [m.model_dump() for m in game.mirror.messages] == [
            m.model_dump() for m in chat.messages
        ]
