"""Tool calls that run on this side: they begin, end, ask, and the turn goes on or does not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from usechat.engine.answers import ApprovalResponse, ToolOutput
from usechat.engine.events import MessagesReplaced, PartUpdated, StatusChanged, TurnFinished
from usechat.engine.exchange import RequestOptions, TurnState
from usechat.engine.tool_round import ToolRound, ToolRun
from usechat.engine.tool_rounds import NO_RESULT, TOO_LATE
from usechat.engine.turn_text import TurnText
from usechat.errors import (
    CallbackError,
    ChatBusyError,
    ConnectionBrokenError,
    DispatchError,
)
from usechat.model.tools import ToolDefinition

from .harness import (
    END_STEP,
    STEP,
    Chat,
    assistant,
    call,
    finish,
    start,
    text,
    tool,
    user,
)

GONE = ConnectionBrokenError("gone")
WEATHER = ToolDefinition("weather", "Says what it is like.", {"type": "object"})
CALLED = [STEP, tool("input-available"), END_STEP]
OF_THE_ACTION = RequestOptions({"x-a": "1"}, {"b": 2}, "m")
TWO = [STEP, tool("input-available"), tool("input-available", "c2"), END_STEP]


class ToolChat(Chat):
    """A chat whose tool ``weather`` runs on this side; the test says how its calls end."""

    def __init__(self, *messages: dict[str, Any], **options: Any) -> None:
        super().__init__(*messages, **options)
        self.engine.tools = {"weather": WEATHER}

    @property
    def round(self) -> ToolRound:
        assert self.engine.round is not None
        return self.engine.round

    def running(self, id: str = "c1") -> ToolRun:
        return next(run for run in self.round.runs if run.tool_call_id == id and not run.over)

    def end(self, output: Any = "sun", id: str = "c1", error: str | None = None) -> None:
        answer = ToolOutput.available(id, output) if error is None else ToolOutput.error(id, error)
        self.run(self.engine.tool_ended(self.round, self.running(id), answer))

    def show(self, output: Any, id: str = "c1") -> None:
        self.run(self.engine.tool_progressed(self.round, self.running(id), output))

    def ask(self, id: str = "c1") -> str:
        """Let a call ask for approval; its id."""
        self.run(self.engine.tool_asks(self.round, self.running(id)))
        part = next(p for p in self.messages[-1].tool_parts if p.tool_call_id == id)
        assert part.approval is not None
        return part.approval.id

    def states(self) -> list[str]:
        return [part.state for part in self.messages[-1].tool_parts]


def called(*chunks: Any, **options: Any) -> ToolChat:
    """A chat whose reply, by default one call, has ended."""
    chat = ToolChat(**options)
    chat.send("Hi", options=OF_THE_ACTION)
    chat.reply(start("a1"), *(chunks or CALLED))
    return chat


# ------------------------------------------------------------------ the begin


def test_the_calls_of_a_complete_reply_run_and_the_turn_goes_on() -> None:
    chat = ToolChat()
    turn = chat.send("Hi", options=OF_THE_ACTION)
    assert chat.exchange.request.tools == (WEATHER,)
    chat.receive(start("a1"), CALLED)
    assert chat.engine.round is None  # the reply may say yet that it runs the tool itself
    chat.receive(finish())
    chat.finish()
    run = chat.running()
    assert (run.tool_call_id, run.tool_name, run.input) == ("c1", "weather", {"city": "Rome"})
    assert (chat.status, turn.over, chat.engine.busy, run.approved) == (
        "streaming",
        False,
        True,
        False,
    )
    assert chat.engine.work is chat.round
    assert chat.round.waiting == [run]
    chat.end("sun")
    assert chat.engine.round is None
    assert chat.exchange.request.options is OF_THE_ACTION
    assert chat.exchange.request.message_id == "a1"
    assert chat.exchange.request.messages[-1].parts[1].output == "sun"
    chat.reply(STEP, text("Sunny."))
    assert (turn.outcome, turn.requests, chat.status) == ("completed", 2, "ready")
    assert turn.message is chat.messages[-1]


def test_all_calls_run_at_once_and_the_last_end_goes_on() -> None:
    chat = called(*TWO)
    turn = chat.round.turn
    assert [run.tool_call_id for run in chat.round.waiting] == ["c1", "c2"]
    chat.end("two", "c2")
    assert chat.engine.exchange is None
    assert turn.message is chat.messages[-1]
    chat.end(error="no")
    assert chat.states() == ["output-error", "output-available"]
    assert chat.exchange.turn is turn


@pytest.mark.parametrize(
    "chunks",
    [
        [STEP, tool("input-available", providerExecuted=True)],
        [STEP, tool("input-available", toolName="other")],
        [STEP, tool("input-available"), tool("output-available", output=1)],
        [STEP, tool("input-available"), tool("approval-request", approvalId="ap1")],
        [STEP, tool("input-start")],
        [STEP, tool("input-available"), STEP, *text("On")],
        [],
    ],
    ids=["provider", "other", "server", "asks", "streams", "older step", "nothing"],
)
def test_what_is_not_for_this_side_does_not_run(chunks: list[Any]) -> None:
    chat = called(text("Hm"), chunks, max_steps=1)
    assert chat.engine.round is None
    assert chat.status == "ready"


def test_calls_of_a_reply_that_did_not_end_well_do_not_run() -> None:
    chat = ToolChat()
    turn = chat.send()
    chat.receive(start("a1"), CALLED)
    chat.finish()
    assert (turn.outcome, chat.engine.round) == ("incomplete", None)
    turn = chat.send()
    chat.receive(start("a2"), CALLED, {"type": "abort"})
    chat.finish()
    assert (turn.outcome, chat.engine.round) == ("stopped", None)
    chat.send()
    chat.reply(start("a3"), CALLED, finish("interrupted"))
    assert chat.engine.round is None
    chat.send()
    chat.receive({"type": "finish"})
    chat.finish()  # nothing was written
    assert chat.engine.round is None


@pytest.mark.parametrize("reason", ["length", "content-filter"])
def test_a_reply_that_was_cut_off_runs_nothing_and_is_not_asked_again(reason: str) -> None:
    chat = ToolChat()
    turn = chat.send()
    chat.receive(start("a1"), CALLED, tool("input-error", "c2", errorText="cut"), finish(reason))
    chat.finish()
    assert (turn.outcome, turn.finish_reason, chat.engine.work) == ("completed", reason, None)
    turn = chat.send()
    chat.receive(start("a2"), tool("input-error", "c3", errorText="cut"), finish(reason))
    chat.finish()
    assert (turn.outcome, turn.requests) == ("completed", 1)


def test_a_reply_that_is_not_the_last_message_runs_nothing() -> None:
    chat = ToolChat()
    chat.send()
    chat.receive(start("a1"), CALLED, finish())
    chat.engine.history.push(chat.messages[0].model_copy(update={"id": "u9"}))
    chat.finish()
    assert chat.engine.round is None


def test_a_call_that_on_tool_call_answers_does_not_run() -> None:
    chat = ToolChat(callbacks={"on_tool_call": lambda _: chat.output("mine")})
    chat.send()
    chat.reply(start("a1"), CALLED)
    assert chat.engine.round is None
    assert chat.exchange.turn.requests == 2


def test_on_finish_is_told_while_the_calls_run_and_may_stop_them() -> None:
    seen: list[Any] = []

    def on_finish(_: Any) -> None:
        seen.append((chat.status, chat.engine.round is not None))
        chat.stop()

    chat = ToolChat(callbacks={"on_finish": on_finish})
    chat.send()
    chat.reply(start("a1"), CALLED)
    assert seen == [("streaming", True)]
    assert (chat.engine.work, chat.status) == (None, "ready")
    assert [e.turn.outcome for e in chat.events(TurnFinished)] == ["stopped"]


def test_on_finish_that_raises_ends_the_turn() -> None:
    chat = called(callbacks={"on_finish": lambda _: 1 / 0})
    assert (chat.engine.work, chat.status) == (None, "error")
    assert isinstance(chat.error, CallbackError)


# -------------------------------------------------------------------- the end


def test_events_and_preliminary_outputs() -> None:
    chat = called()
    turn = chat.round.turn
    chat.events()
    chat.show(1)
    assert chat.events() == [PartUpdated("a1", 1)]
    part = chat.messages[-1].tool_parts[0]
    assert (part.state, part.output, part.preliminary) == ("output-available", 1, True)
    assert turn.message is chat.messages[-1]
    chat.show(2)
    chat.end(3)
    part = chat.messages[-1].tool_parts[0]
    assert (part.output, part.preliminary) == (3, None)
    assert "preliminary" not in part.model_dump()
    assert chat.events(PartUpdated, StatusChanged) == [
        PartUpdated("a1", 1),
        PartUpdated("a1", 1),
        StatusChanged("submitted"),
    ]


def test_what_comes_late_is_dropped() -> None:
    chat = called(*TWO)
    round, run = chat.round, chat.running()
    answer = ToolOutput.available("c1", "late")
    chat.end("first")
    before = chat.messages
    for steps in (
        chat.engine.tool_ended(round, run, answer),
        chat.engine.tool_progressed(round, run, "late"),
        chat.engine.tool_asks(round, run),
    ):
        chat.run(steps)
    assert chat.messages is before
    chat.stop()
    assert (round.over, round.waiting) == (True, [])
    for run in round.runs:
        chat.run(chat.engine.tool_ended(round, run, answer))
    assert chat.states() == ["output-available", "output-error"]


def test_a_repeated_id_is_answered_where_its_call_is() -> None:
    chat = called()
    chat.end("first")
    chat.reply(CALLED)
    chat.end("second")
    outputs = [part.output for part in chat.messages[-1].tool_parts]
    assert outputs == ["first", "second"]


def test_the_limit_of_steps_is_twenty_where_nobody_says_and_ends_a_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chat = called()
    turn = chat.round.turn
    with caplog.at_level(logging.WARNING, "usechat"):
        for number in range(20):
            chat.end(number)
            if chat.engine.exchange is not None:
                chat.reply(STEP, tool("input-available", f"n{number}"), END_STEP)
                chat.round.runs[0].tool_call_id = "c1"
    assert (turn.requests, turn.limit_reached, turn.outcome) == (20, True, "completed")
    assert "20 requests" in caplog.text
    assert called(max_steps=3).engine.step_limit == 3
    assert Chat().engine.step_limit is None


def test_a_predicate_of_the_users_decides_instead() -> None:
    asked: list[Any] = []
    chat = called(callbacks={"send_automatically_when": lambda messages: asked.append(messages)})
    turn = chat.round.turn
    chat.end()
    assert (turn.outcome, chat.status, len(asked)) == ("completed", "ready", 1)


def test_a_predicate_that_raises_ends_the_turn() -> None:
    chat = called(callbacks={"send_automatically_when": lambda messages: 1 / 0})
    turn = chat.round.turn
    chat.end()
    assert (turn.outcome, chat.status) == ("error", "error")


def test_an_interrupt_in_the_predicate_stops_the_turn() -> None:
    chat = called(callbacks={"send_automatically_when": lambda messages: True})
    turn = chat.round.turn
    steps = chat.engine.tool_ended(chat.round, chat.running(), ToolOutput.available("c1", 1))
    steps.send(None)
    steps.close()
    assert turn.outcome == "stopped"


def test_a_predicate_that_sends_something_else_ends_the_turn() -> None:
    chat = called(
        callbacks={"send_automatically_when": lambda messages: chat.send("Else") and False}
    )
    turn = chat.round.turn
    chat.end()
    assert (turn.outcome, chat.status) == ("completed", "submitted")


def test_messages_that_wait_go_when_the_turn_is_over() -> None:
    chat = called(when_busy="queue", callbacks={"send_automatically_when": lambda _: False})
    chat.send("Next")
    assert chat.queued() == ["Next"]
    chat.end()
    assert (chat.queued(), chat.status) == ([], "submitted")


def test_somebody_else_may_answer_a_call_that_runs() -> None:
    chat = called(*TWO)
    turn, run = chat.round.turn, chat.running()
    assert chat.output("by hand") is turn
    assert run.over
    assert chat.output("again") is turn  # changes what is there, and the round goes on
    chat.end("two", "c2")
    assert [part.output for part in chat.messages[-1].tool_parts] == ["again", "two"]


# ------------------------------------------------------------------- stopping


def test_stop_ends_a_round() -> None:
    chat = called()
    turn, round = chat.round.turn, chat.round
    chat.stop()
    assert (turn.outcome, round.over, chat.status) == ("stopped", True, "ready")
    assert chat.messages[-1].tool_parts[0].error_text == NO_RESULT
    assert turn.message is chat.messages[-1]
    assert chat.engine.queue.paused


def test_a_turn_can_be_stopped_by_itself() -> None:
    chat = called()
    turn = chat.round.turn
    chat.run(chat.engine.stop_turn(turn))
    assert turn.outcome == "stopped"


def test_who_drives_a_round_may_be_cancelled() -> None:
    chat = called()
    round = chat.round
    chat.run(chat.engine.end_cancelled(round))
    assert (round.turn.outcome, chat.status) == ("stopped", "ready")
    chat.run(chat.engine.end_cancelled(round))  # it is over already
    chat.send()
    exchange = chat.exchange
    chat.run(chat.engine.end_cancelled(exchange))
    assert exchange.turn.outcome == "stopped"


def test_sending_while_calls_run() -> None:
    chat = called()
    with pytest.raises(ChatBusyError):
        chat.send("Now")
    chat = called(when_busy="interrupt")
    turn = chat.round.turn
    chat.send("Now")
    assert (turn.outcome, chat.status, chat.engine.round) == ("stopped", "submitted", None)


def test_a_round_that_nobody_awaits_is_no_hindrance() -> None:
    chat = called(*TWO, when_busy="queue")
    approval = chat.ask()
    chat.end("two", "c2")
    turn = chat.approve(id=approval)
    turn.abandoned = True
    chat.engine.queue.paused = False
    assert not chat.engine.busy
    chat.engine.when_busy = "reject"
    chat.send("On")
    assert turn.outcome == "stopped"
    assert not chat.engine.queue.paused


@pytest.mark.parametrize("action", ["set_messages", "clear", "close", "regenerate"])
def test_what_ends_a_turn_ends_its_round(action: str) -> None:
    chat = called()
    turn = chat.round.turn
    getattr(chat, action)()
    assert (turn.outcome, chat.engine.round) == ("stopped", None)


def test_what_runs_fails() -> None:
    gone = DispatchError("gone")
    chat = called(callbacks={"on_error": lambda error: None})
    turn = chat.round.turn
    chat.run(chat.engine.fail_work(gone))
    assert (turn.outcome, turn.error, chat.status) == ("error", gone, "error")
    assert chat.called("on_error") == [gone]
    turn = chat.send()
    chat.run(chat.engine.fail_work(gone))
    assert turn.outcome == "error"
    chat.run(chat.engine.fail_work(gone))  # nothing runs
    assert chat.status == "error"


def test_back_to_a_whole_state_no_call_runs() -> None:
    chat = called()
    turn, round = chat.round.turn, chat.round
    checkpoint = chat.engine.checkpoint()
    chat.engine.restore(checkpoint)
    assert (turn.outcome, round.over, chat.engine.work, chat.status) == (
        "stopped",
        True,
        None,
        "ready",
    )


# ------------------------------------------------------------------ approvals


def test_a_call_that_asks_waits_and_the_turn_does_not() -> None:
    chat = called(text("Let me see."), CALLED)
    turn = chat.round.turn
    chat.events()
    approval = chat.ask()
    assert (turn.outcome, chat.status) == ("completed", "ready")
    assert chat.states() == ["approval-requested"]
    assert chat.events(PartUpdated, MessagesReplaced) == [PartUpdated("a1", 2)]
    mine = RequestOptions({"x": "y"})
    allowed = chat.run(chat.engine.add_answer(ApprovalResponse(approval, True), mine))
    assert (allowed.over, chat.status, chat.running().approved) == (False, "streaming", True)
    assert chat.states() == ["approval-responded"]
    assert TurnText(allowed).take() == ""  # what stands before the call is the earlier turn's
    chat.end("sun")
    assert chat.exchange.turn is allowed
    assert chat.exchange.request.options is mine
    chat.reply(STEP, text("Sunny."))
    assert allowed.outcome == "completed"
    assert TurnText(allowed).take() == "Sunny."
    assert chat.messages[-1].tool_parts[0].approval.approved is True


def test_an_approval_is_refused() -> None:
    chat = called()
    approval = chat.ask()
    turn = chat.approve(False, approval, "no")
    part = chat.messages[-1].tool_parts[0]
    assert (part.state, part.approval.approved, part.approval.reason) == (
        "output-denied",
        False,
        "no",
    )
    assert chat.exchange.turn is turn
    assert chat.exchange.request.trigger == "submit-message"


def test_approvals_join_the_calls_that_run() -> None:
    chat = called(*TWO, tool("input-available", "c3"))
    turn = chat.round.turn
    first = chat.ask()
    second = chat.ask("c3")
    assert chat.approve(id=first) is turn
    assert chat.approve(False, second) is turn
    assert [run.tool_call_id for run in chat.round.runs if not run.over] == ["c2", "c1"]
    chat.end("two", "c2")
    chat.end("one")
    assert chat.states() == ["output-available", "output-available", "output-denied"]
    assert chat.exchange.turn is turn


def test_one_of_two_approvals_goes_on_with_the_other() -> None:
    chat = called(*TWO)
    first, second = chat.ask(), chat.ask("c2")
    turn = chat.approve(id=first)
    chat.end("one")
    assert (turn.outcome, chat.status) == ("completed", "ready")
    assert turn.message is chat.messages[-1]
    chat.approve(False, second)
    assert chat.status == "submitted"


def test_an_approval_that_comes_too_late() -> None:
    chat = called()
    approval = chat.ask()
    chat.send("Never mind")
    assert chat.approve(id=approval).over
    assert chat.dump()[1]["parts"][1]["errorText"] == TOO_LATE
    chat.reply(start("a2"), text("Right."))
    chat = called()
    approval = chat.ask()
    chat.send(None)
    chat.receive(STEP, text("Hm"))
    chat.approve(id=approval)
    assert chat.reply_parts()[1]["errorText"] == TOO_LATE


def test_an_approval_that_the_server_asked_for_goes_to_the_server() -> None:
    asked = call("approval-requested", input={}, approval={"id": "ap1"})
    theirs = {**asked, "type": "tool-other"}
    chat = ToolChat(user(), assistant(theirs))
    chat.approve()
    assert chat.exchange.approval == "a1"
    chat = ToolChat(user(), assistant(theirs))
    chat.approve(False)
    assert chat.reply_parts()[0]["state"] == "approval-responded"
    unknown = ToolChat(user(), assistant(theirs))
    unknown.approve(id="nobody's")
    assert unknown.reply_parts() == [theirs]


def test_an_approval_of_a_history_that_was_loaded() -> None:
    asked = call("approval-requested", input={"city": "Rome"}, approval={"id": "ap1"})
    chat = ToolChat(user(), assistant(asked))
    turn = chat.approve()
    assert chat.running().input == {"city": "Rome"}
    chat.end()
    assert chat.exchange.turn is turn


def test_an_approval_takes_the_place_of_a_resume_without_an_answer() -> None:
    asked = call("approval-requested", input={}, approval={"id": "ap1"})
    chat = ToolChat(user(), assistant(asked))
    resume = chat.resume()
    turn = chat.approve()
    assert (resume.outcome, turn.over, chat.states()) == ("stopped", False, ["approval-responded"])
    assert chat.running().approved


def test_a_refusal_is_the_end_of_a_call_while_a_resume_has_no_answer() -> None:
    asked = call("approval-requested", input={}, approval={"id": "ap1"})
    chat = ToolChat(user(), assistant(asked))
    resume = chat.resume()
    turn = chat.approve(False)
    assert (resume.outcome, chat.states()) == ("stopped", ["output-denied"])
    assert chat.exchange.turn is turn


# ---------------------------------------------------- callbacks that take part


def test_on_finish_allows_a_call_of_an_earlier_turn() -> None:
    asked = call("approval-requested", input={}, approval={"id": "ap1"})
    turns: list[TurnState] = []
    allow = {"on_finish": lambda _: turns.append(chat.approve()) if not turns else None}
    chat = ToolChat(user(), assistant(asked), callbacks=allow)
    turn = chat.send(None)
    chat.reply(text("Hm"))
    assert (turn.outcome, turns[0].over, chat.engine.busy) == ("completed", False, True)
    assert chat.round.turn is turns[0]
    chat.end()
    chat.reply(STEP, text("Sunny."))
    assert (turns[0].outcome, chat.status) == ("completed", "ready")


def test_on_finish_answers_the_call_that_runs_and_the_turn_goes_on() -> None:
    chat = ToolChat(callbacks={"on_finish": lambda _: chat.output("sun")})
    turn = chat.send()
    chat.reply(start("a1"), CALLED)
    assert chat.exchange.turn is turn
    assert (turn.over, turn.requests, chat.status) == (False, 2, "submitted")
    chat.reply(STEP, text("Sunny."))
    assert (turn.outcome, turn.requests, chat.status) == ("completed", 2, "ready")


def test_on_error_answers_the_call_that_runs_and_the_turn_has_failed() -> None:
    def broken(_: object) -> None:
        raise ValueError("broken")

    calls = {"on_finish": broken, "on_error": lambda _: chat.output("sun")}
    chat = ToolChat(callbacks=calls)
    turn = chat.send()
    chat.reply(start("a1"), CALLED)
    assert (turn.outcome, chat.engine.work, chat.status) == ("error", None, "error")
    assert chat.states() == ["output-available"]


# ------------------------------------------------------------ resumed replies


def ended_call(**fields: Any) -> dict[str, Any]:
    ended = call("output-available", input={"city": "Rome"}, output="sun")
    return assistant({"type": "step-start"}, {**ended, **fields})


def test_a_call_of_a_reply_that_is_sent_again_does_not_run_again() -> None:
    chat = ToolChat(user(), ended_call(), max_steps=1)
    chat.resume()
    chat.receive(start("a1"), CALLED)
    assert chat.states() == ["input-available"]
    chat.events()
    chat.receive(finish())
    chat.finish()
    assert (chat.engine.round, chat.states()) == (None, ["output-available"])
    assert chat.reply_parts()[1]["output"] == "sun"
    assert chat.events(PartUpdated) == [PartUpdated("a1", 1)]


def test_a_call_that_was_stopped_does_not_run_again() -> None:
    chat = called()
    chat.resume()
    assert chat.states() == ["output-error"]
    chat.reply(start("a1"), CALLED)
    assert (chat.engine.round, chat.states()) == (None, ["output-error"])
    assert chat.exchange.request.messages[-1].parts[1].error_text == NO_RESULT


def test_a_call_that_waits_for_the_user_still_does() -> None:
    chat = called()
    approval = chat.ask()
    turn = chat.resume()
    chat.reply(start("a1"), CALLED)
    assert (turn.outcome, chat.engine.round) == ("completed", None)
    assert chat.states() == ["approval-requested"]
    assert not chat.approve(id=approval).over


@pytest.mark.parametrize(
    "before",
    [
        ended_call(toolCallId="c0"),
        ended_call(input={"city": "Oslo"}),
        ended_call(type="tool-other"),
        assistant({"type": "step-start"}, call("input-available", input={"city": "Rome"})),
        assistant({"type": "step-start"}, call("input-streaming", input={"city": "Rome"})),
        user(id="u2"),
    ],
    ids=["another id", "another input", "another tool", "waits", "streams", "no reply"],
)
def test_another_call_of_a_resumed_reply_runs(before: dict[str, Any]) -> None:
    chat = ToolChat(user(), before)
    chat.resume()
    chat.reply(start("a1"), CALLED)
    assert chat.running().input == {"city": "Rome"}


def test_what_a_new_reply_calls_with_an_older_id_runs() -> None:
    chat = ToolChat(user(), ended_call())
    chat.send("Again")
    chat.reply(start("a2"), CALLED)
    assert chat.running().message_index == 3


BREAKS: dict[str, Callable[[Chat], object]] = {
    "broken": lambda chat: chat.fail(GONE),
    "stopped": Chat.stop,
    "superseded": Chat.resume,
    "cancelled": lambda chat: chat.run(chat.engine.end_cancelled(chat.exchange)),
    "incomplete": Chat.finish,
}


@pytest.mark.parametrize("count", range(1, 4))
@pytest.mark.parametrize("end", BREAKS.values(), ids=BREAKS)
def test_a_replay_that_breaks_off_loses_no_end(end: Callable[[Chat], object], count: int) -> None:
    chat = ToolChat(user(), ended_call())
    before = chat.messages[1]
    chat.resume()
    chat.receive([start("a1"), *CALLED][:count])
    chat.events()
    end(chat)
    assert chat.messages[1] == before
    assert MessagesReplaced(1) in chat.events() or chat.states() == ["output-available"]
    chat.resume()
    chat.reply(start("a1"), CALLED)
    assert chat.engine.round is None
    assert chat.messages[1].tool_parts[0].output == "sun"


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "output-available", "output": 1, "preliminary": True},
        {"state": "approval-responded", "approval": {"id": "ap1", "approved": True}},
    ],
)
def test_a_call_that_had_begun_and_has_no_end_was_stopped(fields: dict[str, Any]) -> None:
    run = call(**{"input": {"city": "Rome"}, **fields})
    chat = ToolChat(user(), assistant({"type": "step-start"}, run), max_steps=1)
    chat.resume()
    chat.reply(start("a1"), CALLED)
    part = chat.messages[-1].tool_parts[0]
    assert (chat.engine.round, part.state, part.error_text) == (None, "output-error", NO_RESULT)
    assert part.preliminary is None


# ------------------------------------------- approvals of a reply that is coming


def test_a_yes_while_the_reply_is_coming_runs_the_call_when_it_is_complete() -> None:
    chat = ToolChat()
    turn = chat.send()
    chat.receive(start("a1"), STEP, tool("input-available"))
    chat.receive(tool("approval-request", approvalId="ap1"))
    chat.approve()
    assert (chat.engine.round, chat.states()) == (None, ["approval-responded"])
    chat.receive(text("Thanks."), END_STEP, finish())
    chat.finish()
    assert (chat.round.turn, chat.running().approved) == (turn, True)
    chat.end("sun")
    assert chat.exchange.request.messages[-1].tool_parts[0].output == "sun"
    chat.reply(STEP, text("Sunny."))
    chat.send("Bye")
    chat.reply(start("a2"), text("Bye."))
    chat.send(None)  # no approval waits to be sent
    assert chat.exchange.request.message_id == "a2"


NO_ROUNDS: dict[str, Callable[[Chat], object]] = {
    "cut": lambda chat: (chat.receive(END_STEP, finish("length")), chat.finish()),
    "incomplete": Chat.finish,
    "stopped": Chat.stop,
    "broken": lambda chat: chat.fail(GONE),
}


@pytest.mark.parametrize("end", NO_ROUNDS.values(), ids=NO_ROUNDS)
def test_a_yes_that_nothing_comes_of_is_the_end_of_the_call(end: Callable[[Chat], object]) -> None:
    chat = ToolChat(when_busy="queue")
    turn = chat.send()
    chat.receive(start("a1"), STEP, tool("input-available"))
    chat.receive(tool("approval-request", approvalId="ap1"))
    chat.approve()
    chat.events()
    end(chat)
    part = chat.messages[-1].tool_parts[0]
    assert (part.state, part.error_text, turn.message) == (
        "output-error",
        NO_RESULT,
        chat.messages[-1],
    )
    assert chat.events(PartUpdated) == [PartUpdated("a1", 1)]
    chat.send("On")
    assert chat.exchange.request.messages[-1].text == "On"


def test_an_answer_during_a_replay_that_breaks_off_is_kept() -> None:
    waits = call("input-available", input={}, toolName="x")
    waits = {**waits, "type": "tool-theirs"}
    chat = ToolChat(user(), assistant(waits, {"type": "text", "text": "Hm"}))
    chat.resume()
    chat.receive(start("a1"), tool("input-available", toolName="theirs", input={}))
    chat.output("sun")
    chat.fail(GONE)
    assert chat.messages[-1].tool_parts[0].output == "sun"


def test_a_no_while_the_reply_is_coming_is_its_end() -> None:
    chat = ToolChat()
    chat.send()
    chat.receive(start("a1"), STEP, tool("input-available"))
    chat.receive(tool("approval-request", approvalId="ap1"))
    chat.approve(False)
    chat.receive(END_STEP, finish())
    chat.finish()
    assert (chat.engine.round, chat.states()) == (None, ["output-denied"])


def test_too_late_is_said_where_it_was_asked() -> None:
    asked = call("approval-requested", input={}, approval={"id": "ap1"})
    chat = ToolChat(user(), ended_call(), user(id="u2"), assistant(asked, id="a2"), user(id="u3"))
    chat.approve()
    assert [m.tool_parts[0].state for m in chat.messages if m.tool_parts] == [
        "output-available",
        "output-error",
    ]
    assert chat.messages[3].tool_parts[0].error_text == TOO_LATE


def test_an_id_that_cannot_be_made_ends_the_turn() -> None:
    chat = called()
    turn = chat.round.turn
    chat.engine._make_id = lambda: 3  # type: ignore[assignment, return-value]
    chat.run(chat.engine.tool_asks(chat.round, chat.running()))
    assert (turn.outcome, chat.status) == ("error", "error")
    assert chat.states() == ["output-error"]


def test_what_on_finish_began_while_it_was_stopped_is_withdrawn() -> None:
    asked = call("approval-requested", input={}, approval={"id": "ap1"})
    chat = ToolChat(user(), assistant(asked), callbacks={"on_finish": lambda _: chat.approve()})
    chat.send(None)
    chat.receive(text("Hm"))
    chat.set_messages(user())
    assert (chat.engine.work, chat.status) == (None, "ready")
