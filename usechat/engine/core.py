"""What a chat is at one moment, and what every layer of the engine does with it.

The engine is a class in layers, a module each, and each knows only those below it:

    ChatEngine    engine.py      what users can do
    Restoring     restoring.py   back to an earlier state, out of any torn one
    Queueing      queueing.py    messages that wait
    Repairing     repairing.py   tool calls that nobody answers any more
    ToolRounds    tool_rounds.py tool calls that run on this side
    Endings       endings.py     how an exchange ends, and whether the turn goes on
    Exchanges     exchanges.py   an exchange begins, opens and receives
    ChatCore      core.py        the state
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from usechat.engine.automatic import has_unsent_approval, waiting_calls
from usechat.engine.draft import Draft
from usechat.engine.events import ChatState, ErrorChanged, Outbox, StatusChanged, TurnFinished
from usechat.engine.exchange import Callbacks, Callout, Exchange, Outcome, Steps, TurnState
from usechat.engine.history import History
from usechat.engine.queue import SendQueue
from usechat.engine.status import TRANSITIONS, ChatStatus, StatusEvent
from usechat.engine.tool_round import ToolRound
from usechat.engine.typed import ReplyTypes
from usechat.errors import CallbackError
from usechat.model.messages import UIMessage
from usechat.model.tools import ToolDefinition

WhenBusy = Literal["reject", "queue", "interrupt"]
"""What a message does that is sent while a turn runs."""

_STEPS_WITH_TOOLS = 20
"""How many requests one turn may make where tools run on this side and nobody says."""


class ChatCore:
    """The state of a chat. There is one exchange at a time.

    Args:
        chat_id: the chat's id; made when it is first needed, if None.
        messages: the history.
        generate_id: makes ids of messages and chats.
        callbacks: functions of the user's that take part.
        when_busy: what a message does that is sent while a turn runs.
        queue_limit: how many messages may wait.
        max_steps: how many requests one turn may make; None: see ``step_limit``.
        repair: whether tool calls that nobody answered get an end before the user goes on.
        types: what metadata and data parts of replies have to fit.

    Attributes:
        history: the messages.
        outbox: events on their way to the observers.
        queue: messages that wait.
        status: where the chat is.
        error: what went wrong last.
        exchange: the one that runs.
        round: the tool calls that run, where no exchange does.
        tools: the tools that run on this side, by name.
        closed: whether nothing can be sent any more.
        strict: whether replies are read as the SDK reads them.
        require_finish: whether a reply without the protocol's own end is incomplete.
        replays: whether a resumed reply comes from its begin.
        records: whether every change is delivered by itself, with its state.
        view_of: what a turn is to observers.
    """

    def __init__(
        self,
        *,
        chat_id: str | None,
        messages: Iterable[UIMessage],
        generate_id: Callable[[], str],
        callbacks: Callbacks,
        when_busy: WhenBusy,
        queue_limit: int,
        max_steps: int | None,
        repair: bool = False,
        types: ReplyTypes | None = None,
    ) -> None:
        self.outbox = Outbox()
        self.history = History(messages, self.outbox)
        self.queue = SendQueue(self.outbox, queue_limit)
        self.callbacks = callbacks
        self.when_busy = when_busy
        self.max_steps = max_steps
        self.repair = repair
        self.types = types
        self.closed = False
        self.status: ChatStatus = "ready"
        self.error: Exception | None = None
        self.exchange: Exchange | None = None
        self.round: ToolRound | None = None
        self.tools: dict[str, ToolDefinition] = {}
        self.strict = False
        self.require_finish = True
        self.replays = True
        self.records = False
        self.view_of: Callable[[TurnState], Any] = lambda turn: turn
        self._make_id = generate_id
        self._chat_id = chat_id
        self._finishing = False
        self._stops = 0
        self._interrupted: frozenset[str] = frozenset()
        self._resumable: Draft | None = None
        self._pending_approval: str | None = None
        # All turns whose end has not been told; ordered, unlike a set.
        self._open_turns: dict[TurnState, None] = {}
        # Tool calls that nobody is about to answer: with ``repair`` no message waits for them.
        self._given_up: frozenset[str] = waiting_calls(self.history.last())

    def _pause(self) -> None:
        """Let messages wait until the user sends again, and for no call that is open now."""
        self.queue.paused = True
        self._given_up = waiting_calls(self.history.last())

    def _waits_for_user(self) -> bool:
        """Whether the last message has tool calls that the user is about to answer, or has."""
        last = self.history.last()
        waiting = waiting_calls(last)
        if self.repair and not has_unsent_approval(last):
            waiting -= self._given_up
        return bool(waiting)

    def _generate_id(self) -> str:
        try:
            made = self._make_id()
        except Exception as error:
            raise CallbackError(f"generate_id raised {type(error).__name__}: {error}") from error
        if not isinstance(made, str):
            raise CallbackError(f"generate_id returned {type(made).__name__}, an id is text.")
        return made

    @property
    def chat_id(self) -> str:
        """The chat's id, made when it is first asked for."""
        if self._chat_id is None:
            self._chat_id = self._generate_id()
        return self._chat_id

    @property
    def work(self) -> Exchange | ToolRound | None:
        """What there is to be done now, for whoever drives the chat."""
        return self.round if self.exchange is None else self.exchange

    def _is_working(self, turn: TurnState) -> bool:
        """Whether what there is to be done now is this turn's."""
        return self.work is not None and self.work.turn is turn

    @property
    def step_limit(self) -> int | None:
        """How many requests one turn may make; None: any number."""
        if self.max_steps is None and self.tools:
            return _STEPS_WITH_TOOLS
        return self.max_steps

    def state(self) -> ChatState:
        """What the chat shows now."""
        return ChatState(self.history.snapshot(), self.status, self.error, self.queue.messages)

    def _end(self, exchange: Exchange) -> None:
        """From here on nothing more of this exchange is heard."""
        turn = exchange.turn
        exchange.over = True
        self.exchange = None
        self.history.release()
        turn.finish_reason = exchange.draft.finish_reason
        if exchange.message_index is not None:
            turn.message = self.history.at(exchange.message_index)

    def _close_turn(
        self, turn: TurnState, outcome: Outcome, error: Exception | None = None
    ) -> None:
        if turn.over:
            return
        turn.error = error
        turn.queued = False
        turn.outcome = outcome  # last, since whoever waits looks at the others then
        self.outbox.add(TurnFinished(self.view_of(turn)))
        self._open_turns.pop(turn, None)
        self._changed()

    # ---------------------------------------------------------------- helpers

    def _call(self, name: str, *arguments: Any, published: bool = True) -> Steps[Any]:
        function = getattr(self.callbacks, name)
        if function is None:
            return None
        try:
            return (yield Callout(name, function, arguments, published))
        except GeneratorExit:
            # It was left by more than an error (an interrupt): nobody goes on from here.
            self._pause()
            raise

    def _set_status(self, event: StatusEvent, error: Exception | None) -> None:
        status = TRANSITIONS[self.status][event]
        changed = False
        if status != self.status:
            self.status = status
            self.outbox.add(StatusChanged(status))
            changed = True
        if error is not self.error:
            self.error = error
            self.outbox.add(ErrorChanged(error))
            changed = True
        if changed:
            self._changed()

    def _changed(self) -> None:
        self.outbox.changed = True
        if self.records:
            self.outbox.close_batch(self.state())
