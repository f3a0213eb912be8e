"""Back to a state that was whole, wherever an interrupt hits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, model_serializer
from pydantic_core import PydanticSerializationError

from tests.engine.harness import (
    ASKED,
    END_STEP,
    GRANTED,
    RESET,
    STEP,
    Chat,
    assistant,
    call,
    data,
    finish,
    start,
    text,
    text_delta,
    text_end,
    text_start,
    tool,
    user,
)
from tests.engine.interrupts import firsts, interrupted_at, lines_of
from usechat.engine.answers import ToolOutput
from usechat.engine.automatic import (
    last_assistant_message_is_complete_with_approval_responses,
    last_assistant_message_is_complete_with_tool_calls,
)
from usechat.engine.draft import wire_form
from usechat.engine.events import (
    ErrorChanged,
    InputChanged,
    MessagesReplaced,
    QueueChanged,
    StatusChanged,
    TextDelta,
    ToolCalled,
    TurnFinished,
)
from usechat.engine.exchange import TurnState
from usechat.engine.tool_round import ToolRound, ToolRun
from usechat.engine.tool_rounds import NO_RESULT
from usechat.engine.turn_text import TurnText, text_of_turn
from usechat.engine.typed import ReplyTypes
from usechat.errors import ConnectionBrokenError
from usechat.model.tools import ToolDefinition

Operation = Callable[[Chat], object]


class Interruptible(Chat):
    """A chat whose callbacks are counted, and one of them is interrupted."""

    interrupt_at: int | None = None
    """After how many calls from now on."""
    called_since = 0

    def recorded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        inner = super().recorded(name, function)

        def called(argument: Any) -> Any:
            if self.interrupt_at is not None:
                self.called_since += 1
                if self.called_since > self.interrupt_at:
                    self.interrupt_at = None
                    raise KeyboardInterrupt
            return inner(argument)

        return called

    def run(self, steps: Any) -> Any:
        try:
            return super().run(steps)
        finally:
            steps.close()


class Script(NamedTuple):
    """A chat and what is done with it, one operation after the other."""

    chat: Callable[[], Interruptible]
    operations: tuple[Operation, ...]


def on(name: str, *arguments: Any) -> Operation:
    return lambda chat: getattr(chat, name)(*arguments)


def comes(*chunks: Any) -> tuple[Operation, ...]:
    """Each chunk is an operation."""
    return tuple(on("receive", chunk) for chunk in chunks)


def nothing(*_: Any) -> None:
    """A callback."""


REASONING = {"type": "reasoning-start", "id": "r"}
MORE_REASONING = {"type": "reasoning-delta", "id": "r", "delta": "Hm"}
END_REASONING = {"type": "reasoning-end", "id": "r"}
ALL_CALLBACKS = dict.fromkeys(
    ("on_finish", "on_error", "on_data", "on_tool_call", "on_response"), nothing
)

SUN = ToolOutput.available("c1", "sun")


def with_tools(chat: Interruptible) -> Interruptible:
    chat.engine.tools = {"weather": ToolDefinition("weather", "", {"type": "object"})}
    return chat


def running(chat: Chat, index: int) -> tuple[ToolRound, ToolRun]:
    """One of the calls that run."""
    assert chat.engine.round is not None
    return chat.engine.round, [run for run in chat.engine.round.runs if not run.over][index]


SCRIPTS = {
    "text": Script(
        lambda: Interruptible(callbacks=ALL_CALLBACKS),
        (
            on("send"),
            on("open"),
            *comes(
                start("a9", messageMetadata={"n": 1}),
                STEP,
                REASONING,
                MORE_REASONING,
                END_REASONING,
                text_start(),
                text_delta("Hel"),
                text_delta("lo \ud83d"),
                text_delta("\ude00!"),
                text_end(),
                END_STEP,
                data("x", "d1"),
                data("y", "d1"),
                data("z", transient=True),
                finish("stop", messageMetadata={"usage": 3}),
            ),
            on("finish"),
            on("regenerate"),
            on("receive", text("again")),
            on("stop"),
        ),
    ),
    "tools": Script(
        lambda: Interruptible(
            callbacks={
                **ALL_CALLBACKS,
                "send_automatically_when": last_assistant_message_is_complete_with_tool_calls,
            },
            records=True,
        ),
        (
            on("send"),
            *comes(
                STEP,
                text("Let me see."),
                tool("input-start"),
                tool("input-delta", inputTextDelta='{"city": "Ro'),
                tool("input-delta", inputTextDelta='me"}'),
                tool("input-available"),
                finish(),
            ),
            on("output", "rain"),
            on("finish"),
            *comes(STEP, text("It rains."), RESET, text("It pours."), finish()),
            on("finish"),
        ),
    ),
    "approvals and a queue": Script(
        lambda: Interruptible(
            user(),
            when_busy="queue",
            callbacks={
                **ALL_CALLBACKS,
                "send_automatically_when": (
                    last_assistant_message_is_complete_with_approval_responses
                ),
            },
        ),
        (
            on("regenerate"),
            on("send", "waits"),
            on("send", "waits too"),
            *comes(tool("input-available"), tool("approval-request", approvalId="ap1"), finish()),
            on("finish"),
            on("approve"),
            *comes(tool("output-available", output="sun"), finish()),
            on("finish"),
            *comes(text("Yes?"), finish()),
            lambda chat: chat.send_now(chat.engine.queue.messages[0].id),
            on("stop"),
            on("send", "goes on"),
            lambda chat: chat.run(chat.engine.stop_turn(chat.exchange.turn)),
        ),
    ),
    "a paused queue": Script(
        lambda: Interruptible(when_busy="queue", callbacks=ALL_CALLBACKS),
        (
            on("send"),
            on("send", "second"),
            on("send", "third"),
            on("receive", text_start(), text_delta("Half")),
            lambda chat: chat.fail(ConnectionBrokenError("gone")),
            on("resume"),
            on("open"),
            *comes(start("a9"), text("Half and half"), finish()),
            lambda chat: chat.engine.remove_queued_message(chat.engine.queue.messages[1].id),
            on("send", "edited", "id-0"),
            on("set_messages", user("other")),
            on("clear"),
        ),
    ),
    "history": Script(
        lambda: Interruptible(
            user(),
            assistant(call("approval-responded", **GRANTED)),
            callbacks=ALL_CALLBACKS,
            when_busy="interrupt",
        ),
        (
            on("send", None),
            on("receive", tool("output-available", output="sun")),
            on("send", "another"),
            on("receive", text("One")),
            on("regenerate", "u1"),
            on("close"),
        ),
    ),
    "repair": Script(
        lambda: Interruptible(
            user(),
            assistant(call("input-available"), call("approval-requested", "c2", **ASKED)),
            callbacks=ALL_CALLBACKS,
            when_busy="queue",
            repair=True,
            types=ReplyTypes(dict[str, int], {"weather": str}),
        ),
        (
            on("approve"),
            on("send", "loaded"),
            *comes(start(messageMetadata={"n": 1}), data("x", "d1"), tool("input-available")),
            on("send", "waits"),
            on("stop"),
            on("send", "goes on"),
            *comes(tool("input-start"), data(3, "d1")),
            on("regenerate"),
            on("set_messages", user(), assistant(call("input-available"))),
            on("send", "other", "u1"),
        ),
    ),
    "limits": Script(
        lambda: Interruptible(
            max_steps=1,
            callbacks={
                "send_automatically_when": last_assistant_message_is_complete_with_tool_calls
            },
        ),
        (
            on("send"),
            on("receive", tool("input-available"), tool("output-available", output=1), finish()),
            on("finish"),
        ),
    ),
    "tools of this side": Script(
        lambda: with_tools(Interruptible(when_busy="queue", callbacks=ALL_CALLBACKS)),
        (
            on("send"),
            on("receive", tool("input-available"), tool("input-available", "c2"), finish()),
            on("finish"),
            on("send", "waits"),
            lambda chat: chat.run(chat.engine.tool_progressed(*running(chat, 0), "soon")),
            lambda chat: chat.run(chat.engine.tool_asks(*running(chat, 1))),
            lambda chat: chat.approve(id=chat.messages[-1].tool_parts[1].approval.id),
            lambda chat: chat.run(chat.engine.tool_ended(*running(chat, 0), SUN)),
            lambda chat: chat.run(chat.engine.tool_ended(*running(chat, 0), SUN)),
            *comes(STEP, text("Sunny."), tool("input-available", "c3"), finish()),
            on("finish"),
            lambda chat: chat.run(chat.engine.tool_asks(*running(chat, 0))),
            lambda chat: chat.approve(False, chat.messages[-1].tool_parts[2].approval.id),
            on("receive", tool("input-available", "c4"), finish()),
            on("finish"),
            on("stop"),
        ),
    ),
    "errors": Script(
        lambda: Interruptible(
            user(), assistant(call("approval-requested", **ASKED)), callbacks=ALL_CALLBACKS
        ),
        (
            on("approve", False),
            on("send"),
            on("open"),
            on("receive", text_start(), text_delta("Oh")),
            on("receive", {"type": "error", "errorText": "No."}),
            lambda chat: chat.engine.clear_error(),
            on("resume"),
            on("resume"),
            on("nothing_to_resume"),
        ),
    ),
}


# ------------------------------------------------------- before an interrupt


class Before:
    """What is known of a chat before an operation."""

    def __init__(self, chat: Chat) -> None:
        engine = chat.engine
        self.checkpoint = engine.checkpoint()
        self.busy = engine.work is not None
        self.turns = {turn: TurnText(turn) for turn in known_turns(chat)}
        self.pieces = {turn: taker.take() for turn, taker in self.turns.items()}
        self.texts = {turn: text_of_turn(turn) for turn in self.turns}
        self.others = (engine._chat_id, engine._pending_approval, engine._interrupted)


def known_turns(chat: Chat) -> list[TurnState]:
    running = chat.engine.work
    waiting = [entry.turn for entry in chat.engine.queue.entries]
    return waiting if running is None else [running.turn, *waiting]


def replayed(script: Script, count: int) -> Interruptible:
    """A chat with the first operations done and nothing to be told."""
    chat = script.chat()
    for operation in script.operations[:count]:
        operation(chat)
    chat.events()
    return chat


# -------------------------------------------------------- after an interrupt


def assert_restored(chat: Chat, before: Before) -> None:
    """The state is the checkpoint's, nothing runs, and what could know is told."""
    engine, checkpoint = chat.engine, before.checkpoint
    state, was = engine.state(), checkpoint.state
    if checkpoint.calls:
        said = [part.error_text for part in state.messages[-1].tool_parts]
        assert said.count(NO_RESULT) == len(checkpoint.calls)
    else:
        assert state.messages is was.messages
    assert state.queued_messages == was.queued_messages
    assert state.error is was.error
    running = was.status in ("submitted", "streaming")
    assert state.status == ("ready" if running else was.status)
    assert engine.work is None
    assert engine.closed is checkpoint.closed
    assert engine.queue.entries == checkpoint.queue
    assert engine.queue.paused is (checkpoint.paused or before.busy)
    assert engine.queue.deferred is checkpoint.deferred
    assert (engine._chat_id, engine._pending_approval, engine._interrupted) == before.others
    assert not engine.busy
    assert not engine._finishing
    assert engine._resumable is None


def assert_told(chat: Chat, before: Before, turns: list[TurnState]) -> None:
    """All is drawn anew, and of each turn that is over the end is told, once."""
    assert chat.engine.outbox.changed
    assert chat.engine.outbox.urgent
    state = chat.engine.state()
    told = chat.events()
    for event in (
        MessagesReplaced(0),
        StatusChanged(state.status),
        ErrorChanged(state.error),
        QueueChanged(state.queued_messages),
    ):
        assert [type(e) for e in told].count(type(event)) == 1
        assert event in told
    finished = [event.turn for event in told if isinstance(event, TurnFinished)]
    over = [turn for turn in turns if turn.over]
    assert len(finished) == len(set(finished))
    assert set(over) <= set(finished)
    assert all(turn.over for turn in finished)


def assert_turns(chat: Chat, before: Before, turns: list[TurnState]) -> None:
    """No turn is left that runs, and each can be looked at."""
    waiting = [entry.turn for entry in before.checkpoint.queue]
    for turn in turns:
        if turn in waiting:
            assert (turn.queued, turn.over, turn.exchange, turn.requests) == (True, False, None, 0)
            continue
        assert turn.over
        assert not turn.queued
        assert turn.exchange_over is (turn.exchange is not None)
        assert (turn.error is not None) is (turn.outcome == "error")
        assert not (turn.limit_reached and turn.outcome == "stopped")
        if turn in before.turns:
            given = before.pieces[turn] + before.turns[turn].take()
            assert given == text_of_turn(turn)
            if turn.outcome == "stopped":
                assert given == before.texts[turn]
                messages = before.checkpoint.state.messages
                # One that was over already has the end of its calls, which the list has lost.
                ended = bool(chat.engine.tools) and turn.message is not None
                assert turn.message in (None, *messages) or (
                    ended and turn.message.id in [message.id for message in messages]
                )
        if turn.exchange is not None:
            shows = turn.exchange.draft.build()
            ran = bool(chat.engine.tools)  # then it may have outputs that came after
            assert ran or turn.message in (None, shows)
            assert TurnText(turn).take() == text_of_turn(turn)


def assert_usable(chat: Chat, before: Before) -> None:
    """A message is sent, its reply comes, and the queue goes on."""
    if chat.engine.closed:
        return
    waiting = [entry.turn for entry in before.checkpoint.queue]
    turn = chat.send("Go on")
    while chat.engine.exchange is not None or chat.engine.queue:
        if chat.engine.exchange is None:
            chat.send_now(chat.engine.queue.messages[0].id)
        running = chat.exchange.turn
        last = chat.messages[-1]
        answered = [part for part in last.tool_parts if part.state == "approval-responded"]
        outputs = [tool("output-available", part.tool_call_id, output="sun") for part in answered]
        chat.reply(outputs, STEP, text("Gladly."))
        assert running.outcome == "completed"
        assert text_of_turn(running) == "Gladly."
    assert chat.messages[-1].text == "Gladly."
    assert chat.status == "ready"
    assert {turn.outcome, *(turn.outcome for turn in waiting)} == {"completed"}
    assert not chat.engine._open_turns


def turns_left(chat: Chat, before: Before) -> list[TurnState]:
    """All turns that an interrupted operation has left."""
    return list(dict.fromkeys([*before.turns, *chat.engine._open_turns, *known_turns(chat)]))


def assert_goes_back(chat: Chat, before: Before) -> None:
    """An interrupt has hit: go back, and all is as it was."""
    turns = turns_left(chat, before)
    waiting = [entry.turn for entry in before.checkpoint.queue]
    over = {turn: turn.outcome for turn in turns if turn.over and turn not in waiting}
    chat.engine.restore(before.checkpoint)
    assert over == {turn: turn.outcome for turn in over}
    assert_all(chat, before, turns)


def assert_all(chat: Chat, before: Before, turns: list[TurnState]) -> None:
    assert_restored(chat, before)
    assert_turns(chat, before, turns)
    assert_told(chat, before, turns)
    assert_usable(chat, before)


CASES = [
    pytest.param(script, at, id=f"{name}-{at}")
    for name, script in SCRIPTS.items()
    for at in range(len(script.operations))
]


def places(script: Script, at: int) -> list[int]:
    """Where an operation is interrupted."""
    chat = replayed(script, at)
    Before(chat)  # to look at it may make what is remembered then
    return firsts(lines_of(lambda: script.operations[at](chat)))


@pytest.mark.parametrize(("script", "at"), CASES)
def test_an_operation_is_interrupted_at_each_line(script: Script, at: int) -> None:
    for count in places(script, at):
        chat = replayed(script, at)
        before = Before(chat)
        assert interrupted_at(count, lambda chat=chat: script.operations[at](chat))  # type: ignore[misc]
        assert_goes_back(chat, before)


INTERRUPTED_TWICE = [
    ("text", 18, 0.9),
    ("tools", 9, 0.8),
    ("approvals and a queue", 6, 0.9),
    ("a paused queue", 8, 0.9),
    ("a paused queue", 8, 0.3),
    ("history", 5, 0.6),
]


@pytest.mark.parametrize(("name", "at", "how_far"), INTERRUPTED_TWICE)
def test_the_way_back_is_interrupted_at_each_line(name: str, at: int, how_far: float) -> None:
    script = SCRIPTS[name]
    where = places(script, at)
    count = where[int(how_far * len(where))]

    def torn() -> tuple[Chat, Before, list[TurnState]]:
        chat = replayed(script, at)
        before = Before(chat)
        assert interrupted_at(count, lambda: script.operations[at](chat))
        return chat, before, turns_left(chat, before)

    chat, before, _ = torn()
    lines = lines_of(lambda: chat.engine.restore(before.checkpoint))
    for place in firsts(lines):
        chat, before, turns = torn()
        restore = chat.engine.restore
        assert interrupted_at(place, lambda: restore(before.checkpoint))  # noqa: B023
        restore(before.checkpoint)
        assert_all(chat, before, turns)


@pytest.mark.parametrize(("script", "at"), CASES)
def test_a_look_that_is_interrupted_changes_nothing(script: Script, at: int) -> None:
    chat = replayed(script, at)
    lines = lines_of(chat.engine.state)
    shown = [message.model_dump() for message in chat.engine.state().messages]
    for place in firsts(lines):
        chat = replayed(script, at)
        assert interrupted_at(place, chat.engine.state)
        assert chat.dump() == shown


@pytest.mark.parametrize(("script", "at"), CASES)
def test_an_interrupt_in_a_function_of_the_users_leaves_the_chat_whole(
    script: Script, at: int
) -> None:
    """Without going back: what began ends, or runs on until its driver ends it."""
    for count in range(100):
        chat = replayed(script, at)
        chat.interrupt_at = count
        try:
            script.operations[at](chat)
        except KeyboardInterrupt:
            running = chat.engine.exchange
            if running is not None:
                chat.run(chat.engine.end_cancelled(running))
            waiting = [entry.turn for entry in chat.engine.queue.entries]
            assert list(chat.engine._open_turns) == waiting
            assert chat.engine.queue.paused
            assert not chat.engine._finishing
            assert_usable(chat, Before(chat))
        else:
            break
    assert chat.called_since == count


# --------------------------------------------------------------- other ways


def test_going_back_twice_is_going_back() -> None:
    chat = replayed(SCRIPTS["a paused queue"], 4)
    before = Before(chat)
    turns = turns_left(chat, before)
    chat.stop()
    chat.engine.restore(before.checkpoint)
    assert_restored(chat, before)
    chat.engine.restore(before.checkpoint)
    assert_all(chat, before, turns)


def test_the_turn_that_ran_is_stopped_with_what_had_come() -> None:
    chat = Chat()
    turn = chat.send()
    chat.receive(text_start(), text_delta("Hel"))
    checkpoint = chat.engine.checkpoint()
    chat.receive(text_delta("lo"), finish("stop"))
    exchange = chat.exchange
    chat.engine.restore(checkpoint)
    assert (turn.outcome, text_of_turn(turn)) == ("stopped", "Hel")
    assert turn.finish_reason is None
    assert turn.message is chat.messages[-1]
    assert exchange.over
    chat.receive(text_delta("!"), exchange=exchange)
    assert chat.texts() == ["user: Hi", "assistant: Hel"]


def test_the_turn_that_ran_keeps_the_reason_that_had_come() -> None:
    chat = Chat()
    turn = chat.send()
    chat.receive(text("Hello"), finish("length"))
    checkpoint = chat.engine.checkpoint()
    chat.receive(finish("stop"))
    exchange = chat.exchange
    chat.engine.restore(checkpoint)
    assert (turn.finish_reason, exchange.draft.finish_reason) == ("length", "length")


def test_a_turn_that_began_and_ended_since_shows_nothing_of_it() -> None:
    def left(_: Any) -> None:
        raise KeyboardInterrupt

    chat = Chat(callbacks={"on_finish": left})
    checkpoint = chat.engine.checkpoint()
    turn = chat.send()
    exchange = chat.exchange
    steps = chat.engine.finish(exchange)
    chat.receive(text("Hello"), finish())
    next(steps)  # before on_finish: the exchange is over, and the turn is not
    assert (turn.over, exchange.over) == (False, True)
    chat.engine.restore(checkpoint)
    assert (turn.outcome, turn.message, text_of_turn(turn)) == ("stopped", None, "")
    assert TurnText(turn).take() == ""
    assert chat.messages == ()
    steps.close()
    assert chat.engine.state() == checkpoint.state


def test_a_turn_that_was_not_answered_yet_has_no_message() -> None:
    chat = Chat()
    turn = chat.send()
    checkpoint = chat.engine.checkpoint()
    chat.receive(text("Hello"))
    chat.engine.restore(checkpoint)
    assert (turn.outcome, turn.message, text_of_turn(turn)) == ("stopped", None, "")
    assert TurnText(turn).take() == ""
    assert chat.texts() == ["user: Hi"]


def test_a_turn_that_has_gone_on_goes_back_to_the_request_before() -> None:
    chat = Chat(
        callbacks={"send_automatically_when": last_assistant_message_is_complete_with_tool_calls}
    )
    turn = chat.send()
    chat.receive(tool("input-available"), tool("output-available", output="sun"), finish())
    checkpoint, first = chat.engine.checkpoint(), chat.exchange
    chat.finish()
    second = chat.exchange
    assert second is not first
    chat.engine.restore(checkpoint)
    assert (turn.outcome, turn.requests, turn.exchange) == ("stopped", 1, first)
    assert first.over
    assert second.over


def test_a_turn_that_is_over_stays_so() -> None:
    chat = Chat()
    turn = chat.send()
    chat.receive(text_start(), text_delta("Hel"))
    checkpoint = chat.engine.checkpoint()
    chat.receive(text_delta("lo"), finish("stop"))
    chat.finish()
    chat.engine.restore(checkpoint)
    assert (turn.outcome, text_of_turn(turn), turn.finish_reason) == ("completed", "Hello", "stop")
    assert TurnText(turn).take() == "Hello"
    assert chat.texts() == ["user: Hi", "assistant: Hel"]


def test_a_message_that_was_dropped_waits_again() -> None:
    chat = Chat(when_busy="queue")
    chat.send()
    waiting = chat.send("second")
    chat.events()
    checkpoint = chat.engine.checkpoint()
    chat.clear()
    assert waiting.outcome == "dropped"
    chat.engine.restore(checkpoint)
    assert (waiting.outcome, waiting.queued) == (None, True)
    assert waiting not in [event.turn for event in chat.events(TurnFinished)]  # type: ignore[union-attr]
    chat.send_now(chat.engine.queue.messages[0].id)
    chat.reply(text("Yes"))
    assert waiting.outcome == "completed"


def test_an_operation_in_a_callback_is_interrupted() -> None:
    """The turn whose callback it is runs no more, and who else waits need not wait for it."""
    chat = Chat(when_busy="queue", callbacks={"on_finish": lambda _: interrupted()})

    def interrupted() -> None:
        checkpoint = chat.engine.checkpoint()
        chat.send("third")
        chat.engine.restore(checkpoint)
        raise KeyboardInterrupt

    turn, waiting = chat.send(), chat.send("second")
    with pytest.raises(KeyboardInterrupt):
        chat.reply(text("Hello"))
    assert (turn.outcome, waiting.outcome, waiting.queued) == ("stopped", None, True)
    assert chat.queued() == ["second"]
    assert chat.engine.queue.paused
    assert not chat.engine.busy


def test_a_callback_that_keeps_an_interrupt_for_itself_goes_on_with_a_stopped_chat() -> None:
    chat = Chat(
        callbacks={"on_finish": lambda _: interrupted(), "send_automatically_when": lambda _: True}
    )

    def interrupted() -> None:
        checkpoint = chat.engine.checkpoint()
        chat.send("another")
        chat.engine.restore(checkpoint)

    turn = chat.send()
    chat.reply(text("Hello"))
    assert turn.outcome == "stopped"
    assert not chat.engine.busy
    assert chat.texts() == ["user: Hi", "assistant: Hello"]


# -------------------------------------------------------- what is told then


def test_what_had_to_be_told_is_told_and_nothing_that_came_later() -> None:
    chat = Chat(callbacks=ALL_CALLBACKS)
    first = chat.send()
    chat.reply(text("Hello"))
    chat.send()
    chat.receive(text_start(), text_delta("a"))
    checkpoint = chat.engine.checkpoint()
    chat.receive(text_delta("b"), tool("input-available"))
    chat.engine.outbox.add(InputChanged("typed"))
    chat.engine.restore(checkpoint)
    told = chat.events(TextDelta, ToolCalled, TurnFinished, InputChanged)
    assert told == [
        TextDelta("id-1", 0, "Hello", 0),
        TurnFinished(first),
        TextDelta("id-3", 0, "a", 0),
        InputChanged("typed"),
        TurnFinished(chat.opened[-1].turn),
    ]


def test_what_has_been_told_is_not_told_again() -> None:
    chat = Chat()
    chat.send()
    chat.receive(text_start(), text_delta("a"))
    checkpoint = chat.engine.checkpoint()
    assert chat.events(TextDelta) == [TextDelta("id-1", 0, "a", 0)]
    chat.receive(text_delta("b"))
    chat.engine.restore(checkpoint)
    assert chat.events(TextDelta) == []


def test_only_what_somebody_listens_to_is_told() -> None:
    chat = Chat(listens=[MessagesReplaced])
    chat.send()
    checkpoint = chat.engine.checkpoint()
    chat.engine.restore(checkpoint)
    assert chat.events() == [MessagesReplaced(0)]


def test_where_each_change_is_told_by_itself_the_state_is_told_with_it() -> None:
    chat = Chat(records=True)
    chat.send()
    chat.receive(text_start(), text_delta("a"))
    before = len(chat.engine.outbox._closed)
    checkpoint = chat.engine.checkpoint()
    chat.receive(text_delta("b"))
    chat.engine.restore(checkpoint)
    batches = chat.engine.outbox.take()
    assert len(batches) == before + 1
    assert batches[-1].state == chat.engine.state()
    assert batches[-1].state.status == "ready"
    assert MessagesReplaced(0) in batches[-1].events


# ------------------------------------------------------------------- pydantic


class _Odd(BaseModel):
    """A model that cannot be dumped."""

    error: type[BaseException]

    @model_serializer
    def _fail(self) -> dict[str, Any]:
        raise self.error


def test_an_interrupt_in_pydantic_is_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt):
        wire_form(_Odd(error=KeyboardInterrupt))
    with pytest.raises(PydanticSerializationError):
        wire_form(_Odd(error=RuntimeError))
