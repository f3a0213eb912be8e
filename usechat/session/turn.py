"""What users get of a turn: all that one action caused."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from usechat.engine.events import EVENT_TYPES, Event, TurnFinished
from usechat.engine.exchange import Outcome, TurnState
from usechat.engine.turn_text import text_of_turn
from usechat.errors import IncompleteReplyError, PendingToolError, UseChatError
from usechat.model.markdown import markdown_of_message, safe_markdown
from usechat.model.messages import UIMessage
from usechat.model.parts import DynamicToolPart, ToolPart
from usechat.model.usage import Usage
from usechat.session.observers import Subscription

if TYPE_CHECKING:
    from usechat.session.base import SessionBase


class EventLog:
    """The events of a chat from now on, until one of its turns is over.

    Args:
        turn: the turn.
        session: the chat.

    Attributes:
        waiting: what nobody has taken yet.
        open: whether more may come.
    """

    def __init__(self, turn: TurnBase, session: SessionBase[Any]) -> None:
        self.waiting: deque[Event] = deque()
        self.open = not turn.over
        self._state = turn._state
        self._subscriptions: list[Subscription] = []
        for kind in EVENT_TYPES if self.open else ():
            self._subscriptions.append(session.on(kind, self._note))

    def _note(self, event: Event) -> None:
        if self.open:
            self.waiting.append(event)
            if isinstance(event, TurnFinished) and event.turn._state is self._state:
                self.end()

    def end(self) -> None:
        """Take no more."""
        self.open = False
        for end in self._subscriptions:
            end()


class TurnBase:
    """A turn: to look at while it runs and when it is over.

    Args:
        state: what the engine keeps of it.
        session: whose it is.
    """

    def __init__(self, state: TurnState, session: SessionBase[Any]) -> None:
        self._state = state
        self._chat = session

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.outcome or ('queued' if self.queued else 'running')}>"

    def _repr_markdown_(self) -> str:
        """What a notebook shows: the message, and how it ended. No HTML comes through."""
        parts = [] if self.message is None else [markdown_of_message(self.message)]
        parts.append(f"*{self.outcome or ('queued' if self.queued else 'running')}*")
        if self.error is not None:
            parts[-1] += f" {safe_markdown(str(self.error))}"
        return "\n\n".join(parts)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._state.over

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, None while it runs.

        ``completed``; ``stopped``, by this side or the server; ``incomplete``: the reply ended
        without its end; ``error``; ``dropped``: it was taken out of the queue.
        """
        return self._state.outcome

    @property
    def error(self) -> Exception | None:
        """What went wrong, if its outcome is ``error``."""
        return self._state.error

    @property
    def queued(self) -> bool:
        """Whether it waits in the queue."""
        return self._state.queued

    @property
    def limit_reached(self) -> bool:
        """Whether ``max_steps`` ended it while the conversation wanted to go on."""
        return self._state.limit_reached

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped, if the server said."""
        exchange = self._state.exchange
        running = exchange.draft.finish_reason if exchange is not None else None
        return self._state.finish_reason if self.over else running

    @property
    def message(self) -> UIMessage | None:
        """The assistant's message; None if nothing came."""
        return self._chat._look(self._message)

    def _message(self) -> UIMessage | None:
        exchange = self._state.exchange
        if self.over or exchange is None or exchange.over:
            return self._state.message
        return None if exchange.message_index is None else exchange.draft.published()

    @property
    def text(self) -> str:
        """The text that came in this turn, a blank line between steps."""
        return self._chat._look(lambda: text_of_turn(self._state))

    @property
    def usage(self) -> Usage | None:
        """The tokens used, where the server says them in the message's metadata.

        A turn that goes on with an older message and says none shows what that had.
        """
        message = self.message
        return None if message is None else Usage.in_metadata(message.metadata)

    @property
    def pending(self) -> tuple[ToolPart | DynamicToolPart, ...]:
        """The tool calls that wait for an output or an approval from this side."""
        return () if self.message is None else self.message.pending

    def _result(self) -> UIMessage:
        """The message, or the error that says why there is none to rely on."""
        self._raise_for_outcome()
        if self.message is not None:
            return self.message
        exchange = self._state.exchange
        if exchange is None:
            return UIMessage(id="", role="assistant", parts=())
        return exchange.draft.build()

    def _raise_if_nothing_came(self) -> None:
        exchange = self._state.exchange
        if exchange is None or exchange.received:
            return
        headers = {} if exchange.response is None else exchange.response.headers
        raise IncompleteReplyError(
            f"The answer (content-type: {headers.get('content-type', 'none')}) holds no reply. "
            "Is this the URL of a chat endpoint, and is protocol= the one it speaks?"
        )

    def _raise_for_outcome(self) -> None:
        if self.error is not None:
            raise self.error
        if self.outcome == "incomplete":
            self._raise_if_nothing_came()
            raise IncompleteReplyError(
                "The reply ended without its end: there was no finish and no [DONE]. "
                "What came is in turn.message. If this server never says the end, "
                "use require_finish=False."
            )
        if self.outcome == "dropped":
            raise UseChatError("This message was taken out of the queue before it was sent.")
        if self.limit_reached:
            raise PendingToolError(
                f"The turn ended after {self._state.requests} requests (max_steps) "
                "while the conversation wanted to go on."
            )
