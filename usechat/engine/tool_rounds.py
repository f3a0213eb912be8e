"""Tool calls that run on this side, between two exchanges: the turn goes on when they have ended.

The calls of a reply begin when it is complete: a server that runs a tool of the same name itself,
or wants it approved, has said so by then. An approval is the user's to give, whoever asked for it:
the call runs here then.
"""

from __future__ import annotations

from typing import Any

from usechat.engine.answers import (
    Answer,
    ApprovalRequest,
    ApprovalResponse,
    Denial,
    Noted,
    TooLate,
    ToolOutput,
    answered_at,
)
from usechat.engine.automatic import calls_of_last_step
from usechat.engine.draft import Fields, wire_form
from usechat.engine.endings import Endings, is_cut, outcome_of
from usechat.engine.events import PartUpdated
from usechat.engine.exchange import Exchange, Outcome, RequestOptions, Steps, TurnState
from usechat.engine.tool_round import ToolRound, ToolRun
from usechat.errors import CallbackError
from usechat.model.parts import AnyToolPart

NO_RESULT = "The tool call was interrupted: it has no result."
"""The error of a call that was stopped, for the model: its API refuses a call without an end."""

TOO_LATE = "It was allowed too late: the conversation had gone on. It was not run."
"""The error of a call that was approved when nobody waited for it any more, for the model."""


class ToolRounds(Endings):
    """Rounds of tool calls."""

    def _begin_round(self, exchange: Exchange) -> bool:
        index = exchange.message_index
        complete = outcome_of(exchange, self.require_finish) == "completed" and not is_cut(exchange)
        if not (self.tools and complete) or index != len(self.history) - 1:
            return False
        runs = [
            _run_of(part, index, part_index, approved=part.state == "approval-responded")
            for part_index, part in calls_of_last_step(self.history.at(index))
            if self._runs_here(part) and _is_to_run(part)
        ]
        if runs:
            self.round = ToolRound(exchange.turn, runs)
            self._set_status("run", None)
        return bool(runs)

    def _keep_ends(self, exchange: Exchange) -> None:
        """Give calls that a resumed reply has brought again the end that they have had.

        They are not to run twice: a payment would be made again.
        """
        last = exchange.request.messages[-1:] if exchange.request.trigger == "resume-stream" else ()
        had = {part.tool_call_id: part for message in last for part in message.tool_parts}
        for part in exchange.draft.calls():
            again = part.build()
            before = had.get(again.tool_call_id)
            if before is not None and self._runs_here(again) and _is_repeated(again, before):
                part.replace(_end_of(before))
                exchange.emit(PartUpdated(exchange.draft.id, part.index))
                self.history.written()

    def _end_noted(self, exchange: Exchange) -> None:
        """End calls that were allowed while their reply was coming, and that nothing runs now."""
        # By its id: on_finish may have changed the list.
        index = self.history.find_reply(exchange.draft.id)
        if index is None:
            return
        for at, part in calls_of_last_step(self.history.at(index)):
            if part.state == "approval-responded" and at >= exchange.draft.continued:
                self._end_one(exchange.turn, index, at, part)

    def _end_one(self, turn: TurnState, index: int, at: int, part: AnyToolPart) -> None:
        if self._runs_here(part):
            answer = ToolOutput.error(part.tool_call_id, NO_RESULT)
            turn.message = answered_at(self.history.at(index), at, answer)
            self.history.update(index, turn.message)
            self.outbox.add(PartUpdated(turn.message.id, at))
            self._changed()

    def _runs_here(self, part: AnyToolPart) -> bool:
        return not part.provider_executed and part.tool_name in self.tools

    def tool_progressed(self, round: ToolRound, run: ToolRun, output: Any) -> Steps[None]:
        """A running call has something to show.

        Args:
            round: its round.
            run: the call.
            output: a JSON value.
        """
        if not (round.over or run.over):
            self._put(round, run, ToolOutput.preliminary(run.tool_call_id, output))
        return
        yield

    def tool_ended(self, round: ToolRound, run: ToolRun, answer: ToolOutput) -> Steps[None]:
        """A running call has its output, or has failed.

        Args:
            round: its round.
            run: the call.
            answer: how it ended.
        """
        if not (round.over or run.over):
            self._put(round, run, answer)
            yield from self._end_run(round, run)

    def tool_asks(self, round: ToolRound, run: ToolRun) -> Steps[None]:
        """A call wants the user's approval: it waits for that, and the turn does not.

        Args:
            round: its round.
            run: the call.
        """
        if round.over or run.over:
            return
        try:
            approval_id = self._generate_id()
        except CallbackError as error:
            yield from self._finish_failed(round.turn, error)
            return
        self._put(round, run, ApprovalRequest(run.tool_call_id, approval_id))
        yield from self._end_run(round, run)

    def _put(self, round: ToolRound, run: ToolRun, answer: Answer | ApprovalRequest) -> None:
        new = answered_at(self.history.at(run.message_index), run.part_index, answer)
        self.history.update(run.message_index, new)
        self.outbox.add(PartUpdated(new.id, run.part_index))
        round.turn.message = new
        self._changed()

    def _end_run(self, round: ToolRound, run: ToolRun) -> Steps[None]:
        run.over = True
        if not all(run.over for run in round.runs):
            return
        round.over, self.round = True, None
        turn, stops = round.turn, self._stops
        try:
            yield from self._go_on(turn)
        except CallbackError as error:
            yield from self._finish_failed(turn, error)
            return
        except GeneratorExit:
            # A callback was left by more than an error (an interrupt): nobody goes on from here.
            self._close_turn(turn, "stopped")
            raise
        if self._is_working(turn):
            return
        if self.work is None:
            self._set_status("settle", None)
        self._close_turn(turn, "completed")
        yield from self.settle_queue(stops)

    def _stop_round(self) -> None:
        """End what runs because somebody wants it to stop; what still comes is dropped."""
        if self.round is not None:
            self._set_status("settle", None)
            self._pause()
            self._close_turn(self.round.turn, "stopped")

    def _close_turn(
        self, turn: TurnState, outcome: Outcome, error: Exception | None = None
    ) -> None:
        round = self.round
        if round is not None and round.turn is turn:
            for run in round.runs:
                if not run.over:
                    run.over = True
                    self._put(round, run, ToolOutput.error(run.tool_call_id, NO_RESULT))
            round.over, self.round = True, None
        super()._close_turn(turn, outcome, error)

    def fail_work(self, error: Exception) -> Steps[None]:
        """What runs cannot go on.

        Args:
            error: one of ours.
        """
        if self.exchange is not None:
            yield from self.fail(self.exchange, error)
        elif self.round is not None:
            yield from self._finish_failed(self.round.turn, error)

    def end_cancelled(self, work: Exchange | ToolRound) -> Steps[None]:
        """End what ran because the task that drove it was cancelled.

        Args:
            work: what it was.
        """
        if isinstance(work, Exchange):
            yield from super().end_cancelled(work)
        elif not work.over:
            self._stops += 1
            self._stop_round()

    def _run_for(self, tool_call_id: str) -> ToolRun | None:
        """The call of the round that has this id and has not ended."""
        runs = [] if self.round is None else self.round.runs
        return next((r for r in runs if r.tool_call_id == tool_call_id and not r.over), None)

    # ------------------------------------------------------------- approvals

    def _run_approved(self, answer: ApprovalResponse, options: RequestOptions) -> TurnState | None:
        """Run a call that the user has allowed; None: it is not for this side to run, or too late.

        It joins the calls that run, and goes on with their turn's options, or else is a turn of
        its own.
        """
        own = None if self.exchange is not None else self._call_to_run(answer)
        if own is None:
            return None
        message_index, part_index, part = own
        if self.round is None:
            turn = TurnState(options)
            turn.first_part = len(self.history.at(message_index).parts)
            self._open_turns[turn] = None
            self.round = ToolRound(turn)
            self._set_status("run", None)
        run = _run_of(part, message_index, part_index, approved=True)
        self.round.runs.append(run)
        self._put(self.round, run, answer)
        return self.round.turn

    def _call_to_run(self, answer: ApprovalResponse) -> tuple[int, int, AnyToolPart] | None:
        """The call that an approval lets run on this side, if nothing else runs; as _own_call."""
        own = self._own_call(answer) if answer.approved else None
        return None if own is None or own[0] != len(self.history) - 1 else own

    def _without_server(self, answer: ApprovalResponse) -> Answer:
        """What an answer to an approval comes to where nothing is run of it.

        For a tool of this side's that is its end, whoever has asked: no server runs it.
        """
        own = self._own_call(answer)
        if own is None:
            return answer
        if not answer.approved:
            return Denial(answer)
        # In the reply that is coming it is noted: the call runs when that is complete.
        return Noted(answer) if self._is_coming(*own) else TooLate(answer, TOO_LATE)

    def _is_coming(self, message_index: int, part_index: int, part: AnyToolPart) -> bool:
        """Whether a call is of the reply that is coming now, and of its last step."""
        exchange = self.exchange
        if exchange is None or exchange.message_index != message_index:
            return False
        calls = calls_of_last_step(self.history.at(message_index))
        return part_index >= exchange.draft.continued and (part_index, part) in calls

    def _own_call(self, answer: ApprovalResponse) -> tuple[int, int, AnyToolPart] | None:
        """The call of a tool of this side's that an approval is for, and where it stands."""
        for message_index, message in enumerate(self.history.snapshot()):
            for part_index, part in enumerate(message.parts):
                if isinstance(part, AnyToolPart) and answer.matches(part):
                    return (message_index, part_index, part) if self._runs_here(part) else None
        return None


def _end_of(before: AnyToolPart) -> Fields:
    """A call as it was; one that had begun to run, and has no end, is one that was stopped."""
    fields = wire_form(before)
    if before.state == "approval-responded" or before.preliminary:
        fields.pop("preliminary", None)
        return ToolOutput.error(before.tool_call_id, NO_RESULT).applied(fields)
    return fields


def _is_repeated(part: AnyToolPart, before: AnyToolPart) -> bool:
    """Whether a call that waits is one that did so no longer: models use ids again."""
    had = (before.tool_name, before.input)
    waits = part.state == "input-available" and before.state != "input-streaming"
    return waits and before.state != part.state and had == (part.tool_name, part.input)


def _is_to_run(part: AnyToolPart) -> bool:
    """Whether a call waits for nobody but this side."""
    approved = None if part.approval is None else part.approval.approved
    return part.state == "input-available" or (
        part.state == "approval-responded" and approved is True
    )


def _run_of(part: AnyToolPart, message_index: int, part_index: int, approved: bool) -> ToolRun:
    return ToolRun(
        part.tool_call_id, part.tool_name, part.input, approved, message_index, part_index
    )
