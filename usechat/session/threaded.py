"""The session for hosts that are not async: windows, notebooks, scripts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar
from weakref import WeakSet, WeakValueDictionary

from typing_extensions import Self, Unpack

from usechat.engine.core import WhenBusy
from usechat.engine.events import Batch, ChatState
from usechat.engine.exchange import Callout, Finish, Response, Steps, TurnState
from usechat.model.chunks import DataChunk, ToolCall
from usechat.model.ids import generate_id as default_generate_id
from usechat.model.messages import UIMessage
from usechat.session.actions import Actions, MessageInput, SendArguments
from usechat.session.courier import Dispatch
from usechat.session.guard import IdsAhead, ReenteredError
from usechat.session.hosting import Hosting
from usechat.session.observers import must_be_plain
from usechat.session.sync_turn import Turn
from usechat.session.toolkits import warn_without_dispatch
from usechat.transport.base import ChatTransport
from usechat.transport.options import HttpOptions

T = TypeVar("T")


_sessions: WeakSet[ChatSession] = WeakSet()


class ChatSession(Actions[Turn]):
    """A chat for windows, notebooks and scripts. No method but those that wait blocks.

    Replies are read on one thread for all sessions of a process. Callbacks and observers run on
    the host's thread: that to which ``dispatch`` brings a function, without ``dispatch`` a thread
    of the session's own. Only ``send_automatically_when`` and ``generate_id`` may run on the thread
    of whoever calls an action. An action has changed the state when it returns, on whatever thread
    it was called; the observers are told of that on the host's.

    Args:
        api: the endpoint's URL, or a transport.
        dispatch: brings a function to the host's thread and returns at once, from any thread:
            ``hosts.tk.dispatcher(root)``, ``loop.call_soon_threadsafe``. The functions run in
            order, one of a session at a time; one that is thrown away ends the turn. Make the
            session on that thread: until the first one has run, its maker counts as the host.
        id: the chat's id; made when it is first needed, if None.
        messages: the history to begin with.
        input: the text box to begin with.
        generate_id: makes ids of messages and chats.
        send_automatically_when: gets the messages after a reply or an answer to a tool call;
            true sends them again. None: with ``tools`` they are sent when every call of the last
            step is answered, without never.
        max_steps: how many requests one turn may make; None: 20 with ``tools``, else any number.
        when_busy: what a message does that is sent while a turn runs: ``reject`` raises
            ``ChatBusyError``, ``queue`` lets it wait, ``interrupt`` stops the turn.
        queue_limit: how many messages may wait.
        tools: functions, or ``Tool``s, that the model may call: their calls are answered here, all
            of a reply at once when it is complete, and the conversation goes on. Plain functions
            run in threads, async ones on the loop that reads.
        repair: before a message of the user's or a regenerate goes out, end the tool calls that
            nobody has answered (``output-error``; an approval: ``output-denied``), so that the
            model's API does not refuse the history. With ``when_busy="queue"`` messages still
            wait for an answer; one that goes out all the same ends the calls: after ``stop()``,
            by ``send_queued_message_now`` or as the first after such a history was loaded.
        resume: ask at once for the reply that is running for the chat with this ``id``;
            ``resumed`` is its turn.
        message_metadata_type: what a reply's metadata has to fit once merged, as a type for
            pydantic; what does not ends the reply with ``StreamProtocolError``. The message
            keeps the JSON value. Validators must be quick and not use the chat: it is locked.
        data_part_types: the same for the data of data parts, transient ones too: types by the
            names of the parts, without ``data-``.
        throttle: seconds between two deliveries to observers; 0: one for each network read;
            None: one for each change.
        on_finish: gets a ``Finish`` after each exchange.
        on_error: gets the error before the status becomes ``error``.
        on_data: gets each data part as it comes.
        on_tool_call: gets each tool call whose input is complete, those of the server's own tools
            too (look at ``tool_name``), but not those that the model's provider runs.
        on_response: gets the head of each response.
        on_observer_error: gets what an observer raised; without it the log does.
        http: options of the transport, if ``api`` is a URL; see ``HttpOptions``.

    Raises:
        InvalidArgumentError: an argument cannot be used.
    """

    def __init__(
        self,
        api: str | ChatTransport = "/api/chat",
        *,
        dispatch: Dispatch | None = None,
        id: str | None = None,
        messages: Iterable[UIMessage | Mapping[str, Any]] = (),
        input: str = "",
        generate_id: Callable[[], str] = default_generate_id,
        send_automatically_when: Callable[[tuple[UIMessage, ...]], bool] | None = None,
        max_steps: int | None = None,
        when_busy: WhenBusy = "reject",
        queue_limit: int = 100,
        tools: Iterable[Callable[..., Any]] = (),
        repair: bool = False,
        resume: bool = False,
        message_metadata_type: Any = None,
        data_part_types: Mapping[str, Any] | None = None,
        throttle: float | None = 0.03,
        on_finish: Callable[[Finish], object] | None = None,
        on_error: Callable[[Exception], object] | None = None,
        on_data: Callable[[DataChunk], object] | None = None,
        on_tool_call: Callable[[ToolCall], object] | None = None,
        on_response: Callable[[Response], object] | None = None,
        on_observer_error: Callable[[Exception], object] | None = None,
        **http: Unpack[HttpOptions],
    ) -> None:
        if dispatch is not None:
            must_be_plain(dispatch, "dispatch")
        must_be_plain(generate_id, "generate_id")
        self._dispatch = dispatch
        self._ids = IdsAhead(generate_id)
        super().__init__(
            api,
            id=id,
            messages=messages,
            input=input,
            generate_id=self._ids,
            send_automatically_when=send_automatically_when,
            max_steps=max_steps,
            when_busy=when_busy,
            queue_limit=queue_limit,
            tools=tools,
            repair=repair,
            resume=resume,
            message_metadata_type=message_metadata_type,
            data_part_types=data_part_types,
            throttle=throttle,
            on_finish=on_finish,
            on_error=on_error,
            on_data=on_data,
            on_tool_call=on_tool_call,
            on_response=on_response,
            on_observer_error=on_observer_error,
            **http,
        )

    def _prepare(self) -> None:
        # A turn has one face, whoever gets it; it holds its state, so that the id stays its own.
        self._turns: WeakValueDictionary[int, Turn] = WeakValueDictionary()
        self._engine.view_of = self._turn_over
        self._hosting = Hosting(
            self._engine,
            self._transport,
            self._toolbox,
            self,
            self._owns_transport,
            self._dispatch,
            self._throttle,
            self._ids,
            self._call_all,
            self._tell,
            self.stop,
        )
        _sessions.add(self)

    def _look(self, function: Callable[[], T]) -> T:
        return self._hosting.guard.look(function)

    def _alone(self, function: Callable[[], T]) -> T:
        return self._hosting.guard.change(function)

    # -------------------------------------------------------------- lifetime

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def stream(
        self, message: MessageInput = None, **arguments: Unpack[SendArguments]
    ) -> Iterator[Turn]:
        """Send a message, and stop its turn when the block is left.

        Args:
            message: as for ``send_message``.
            arguments: as for ``send_message``.
        """
        turn = self.send_message(message, **arguments)
        try:
            yield turn
        finally:
            self._run(self._engine.stop_turn(turn._state))

    def stop(self) -> None:
        """End the running turn. What came stays."""
        try:
            super().stop()
        except ReenteredError:  # in a signal handler
            self._hosting.guard.later(super().stop)

    def close(self) -> None:
        """Stop, close what the session has opened; nothing can be sent any more.

        It waits for that, but never for longer than 2 s.
        """
        self._run(self._engine.close())
        self._hosting.close()

    # ------------------------------------------------------------- machinery

    @property
    def _state(self) -> ChatState:
        shown = self._shown()
        return self._hosting.state if shown is None else shown

    def _show_newest(self) -> None:
        if self._hosting.flush.is_here:
            super()._show_newest()

    def _shown(self) -> ChatState | None:
        return self._view if self._hosting.flush.is_here else None

    def _turn(self, state: TurnState) -> Turn:
        turn = self._turns.get(id(state))
        if turn is None:
            turn = self._turns[id(state)] = Turn(state, self)
        return turn

    def _turn_over(self, state: TurnState) -> Turn:
        self._hosting.flush.ended.add(state)
        return self._turn(state)

    def _run(self, steps: Steps[T]) -> T:
        try:
            return super()._run(steps)
        finally:
            self._hosting.publish()

    def _call(self, call: Callout) -> Any:
        if call.name == "send_automatically_when":  # its answer is needed here and now
            return super()._call(call)
        if not self._hosting.flush.is_here:
            return self._hosting.call_later(partial(super()._call, call))
        with self._hosting.flush.calling():
            return super()._call(call)

    def _progressed(self) -> None:
        self._hosting.progressed()

    def _deliver(self) -> None:
        self._hosting.deliver()

    def _tell(self, batch: Batch) -> None:
        if self._dispatch is None and self._observers:
            warn_without_dispatch()
        super()._tell(batch)

    def _wait(
        self, turn: TurnState, timeout: float | None, ready: Callable[[], bool] | None = None
    ) -> None:
        """Wait until a turn is over and told of, or something is ready."""
        try:
            if ready is None:
                self._hosting.wait(turn, lambda: False, timeout)
            else:
                self._hosting.wait_for(turn, ready)
        except Exception:
            raise
        except BaseException:  # Ctrl-C
            self._run(self._engine.stop_turn(turn))
            raise

    def _forked(self) -> None:
        """In a child process, which has none of the parent's threads."""
        self._observers.forked()
        self._hosting.forked()


def _after_fork() -> None:
    for session in list(_sessions):
        session._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
