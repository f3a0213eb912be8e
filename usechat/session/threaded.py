"""The session for hosts that are not async: windows, notebooks, scripts."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic
from typing import Any, TypeVar
from weakref import WeakSet, WeakValueDictionary

from httpx import AsyncClient
from typing_extensions import Self, Unpack

from usechat.engine.core import WhenBusy
from usechat.engine.events import Batch, ChatState
from usechat.engine.exchange import Callout, Finish, Response, Steps, TurnState
from usechat.errors import ChatBusyError, DispatchError, QueuePausedError
from usechat.model.chunks import DataChunk, ToolCall
from usechat.model.ids import generate_id as default_generate_id
from usechat.model.messages import UIMessage
from usechat.session.actions import Actions, MessageInput, SendArguments
from usechat.session.courier import Courier, Dispatch, OwnThread
from usechat.session.guard import Guard, IdsAhead, ReenteredError
from usechat.session.host_flush import FlushHost, HostFlush
from usechat.session.inbox import Inbox
from usechat.session.loop_thread import running_loop_thread
from usechat.session.observers import must_be_plain
from usechat.session.reader import Reader
from usechat.session.sync_turn import Turn
from usechat.session.toolkits import warn_without_dispatch
from usechat.session.waiting import News
from usechat.transport.base import ChatTransport
from usechat.transport.http import HttpTransport
from usechat.transport.options import HttpOptions

T = TypeVar("T")

# How long close() waits for sockets to be closed and observers to be told, in seconds.
_CLOSE_TIMEOUT = 1.0
# To keep the state costs at most this part of the time that flushes take.
_PUBLISH_SHARE = 0.05

_sessions: WeakSet[ChatSession] = WeakSet()


class ChatSession(Actions[Turn]):
    """A chat for windows, notebooks and scripts. No method but those that wait blocks.

    Replies are read on one thread for all sessions of a process. Callbacks and observers run on
    the host's thread: that to which ``dispatch`` brings a function, without ``dispatch`` a thread
    of the session's own. What an action changes has changed when it returns, on whatever thread it
    was called; the observers are told of it there.

    Args:
        api: the endpoint's URL, or a transport.
        dispatch: brings a function to the host's thread and returns at once, from any thread:
            ``hosts.tk.dispatcher(root)``, ``loop.call_soon_threadsafe``. The functions run in
            order, one of a session at a time; one that is thrown away ends the turn.
        id: the chat's id; made when it is first needed, if None.
        messages: the history to begin with.
        input: the text box to begin with.
        generate_id: makes ids of messages and chats.
        send_automatically_when: gets the messages after a reply or an answer to a tool call;
            true sends them again.
        max_steps: how many requests one turn may make; None: any number.
        when_busy: what a message does that is sent while a turn runs: ``reject`` raises
            ``ChatBusyError``, ``queue`` lets it wait, ``interrupt`` stops the turn.
        queue_limit: how many messages may wait.
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
        self._calling = 0
        self._next_publish = 0.0
        self._checkpoint = self._engine.checkpoint()
        # Who may flush before any flush has come to the host.
        self._maker = threading.get_ident() if self._dispatch is not None else None
        self._connect()
        _sessions.add(self)

    def _connect(self) -> None:
        """Make what belongs to this process: locks, threads, what is on its way."""
        self._own_thread: OwnThread | None = None
        dispatch = self._dispatch
        if dispatch is None:
            dispatch = self._own_thread = OwnThread()
        self._turns_lock = threading.RLock()
        self._guard = self._lock = Guard(self._restore, self._ids)
        self._news = News()
        self._inbox = Inbox()
        self._reader = Reader(self._engine, self._transport, self._inbox, self._came)
        self._flush = HostFlush(
            self._engine,
            self._lock,
            self._inbox,
            FlushHost(
                drive=self._drive,
                tell=self._tell,
                took=self._reader.make_room,
                publish=self._publish_cheaply,
                due=lambda: self._courier.due_in() <= 0,
                telling=lambda: self._courier.delivered(),
            ),
        )
        self._courier = Courier(
            dispatch,
            self._throttle,
            self._flush_now,
            self._left,
            self._host_gone,
        )
        weakref.finalize(self, _let_go, self._own_thread).atexit = False
        if self._owns_transport:
            self._transport.made_client = _close_when_collected  # type: ignore[attr-defined]

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
        except ReenteredError:  # in a signal handler, which came in the middle of a change
            self._flush.outgoing.append(super().stop)
            self._courier.want(True)

    def close(self) -> None:
        """Stop, close what the session has opened; nothing can be sent any more."""
        self._run(self._engine.close())
        if self._flush.needed:
            self._courier.want(True)
        thread = running_loop_thread()
        if thread is not None and not thread.is_current:
            wait({self._reader.close(self._owns_transport)}, _CLOSE_TIMEOUT)
        if self._own_thread is not None:
            self._own_thread.end()
            self._own_thread.join(_CLOSE_TIMEOUT)

    # ----------------------------------------------------------------- state

    @property
    def _state(self) -> ChatState:
        shown = self._shown()
        if shown is not None:
            return shown
        with suppress(ReenteredError):
            if not self._lock.fresh:
                self._publish()
        return self._checkpoint.state

    def _shown(self) -> ChatState | None:
        return self._view if self._flush.is_here else None

    def _publish(self) -> None:
        """Keep the state as it is now, for whoever looks and for after an interrupt."""
        with self._lock:
            self._checkpoint = self._engine.checkpoint()
            self._lock.fresh = True

    def _publish_cheaply(self) -> None:
        """Keep the state after a flush, unless its size makes that a great part of the work."""
        began = monotonic()
        if began >= self._next_publish:
            self._publish()
            self._next_publish = began + (monotonic() - began) / _PUBLISH_SHARE

    def _restore(self) -> None:
        self._engine.restore(self._checkpoint)

    # --------------------------------------------------------------- actions

    def _turn(self, state: TurnState) -> Turn:
        with self._turns_lock:
            turn = self._turns.get(id(state))
            if turn is None:
                turn = self._turns[id(state)] = Turn(state, self)
        return turn

    def _turn_over(self, state: TurnState) -> Turn:
        self._flush.ended.add(state)
        return self._turn(state)

    def _run(self, steps: Steps[T]) -> T:
        try:
            return super()._run(steps)
        finally:
            self._publish()

    def _call(self, call: Callout) -> Any:
        if call.name == "send_automatically_when":  # its answer is needed here and now
            return super()._call(call)
        if self._flush.is_here:
            self._calling += 1
            try:
                return super()._call(call)
            finally:
                self._calling -= 1
        with self._guard:
            self._flush.collect()
            self._flush.outgoing.append(partial(super()._call, call))
        return None

    def _drive(self, steps: Steps[Any]) -> Any:
        """Drive an operation of the engine in a flush."""
        try:
            return self._call_all(steps)
        finally:
            self._progressed()

    def _progressed(self) -> None:
        try:
            self._reader.follow()
        except DispatchError as error:
            self._host_gone(error)
        self._news.tell()

    # ------------------------------------------------------------- observers

    def _came(self, urgent: bool) -> None:
        """Something was read. On the loop's thread."""
        self._news.tell()
        self._courier.want(urgent)

    def _deliver(self) -> None:
        if self._flush.is_here:
            self._flush.tell()
        elif self._flush.needed:
            self._courier.want(self._engine.outbox.urgent or bool(self._flush.outgoing))

    def _flush_now(self) -> None:
        """What ``dispatch`` brings to the host's thread."""
        try:
            self._flush.run(throttled=False)
        finally:
            self._news.tell()

    def _left(self) -> bool | None:
        return self._flush.cut_short if self._flush.needed else None

    def _tell(self, batch: Batch) -> None:
        if self._own_thread is not None and self._observers:
            warn_without_dispatch()
        super()._tell(batch)

    def _host_gone(self, error: Exception | None) -> None:
        """Nobody will run the flushes: the turn ends, and nobody is told."""
        failure = DispatchError(
            "The host of the chat is gone: dispatch "
            + (f"raised {type(error).__name__}: {error}" if error else "threw the function away.")
        )
        failure.__cause__ = error
        exchange = self._engine.exchange
        if exchange is not None:
            with self._guard:
                steps = self._engine.fail(exchange, failure)
                with suppress(StopIteration):
                    while True:
                        steps.send(None)
        self._flush.forget()
        self._publish()
        with suppress(DispatchError):
            self._reader.follow()
        self._news.tell()

    # --------------------------------------------------------------- waiting

    def _wait(self, turn: TurnState, ready: Callable[[], bool], timeout: float | None) -> None:
        """Wait until a turn is over and told of, or something is ready."""
        try:
            self._wait_until(turn, ready, None if timeout is None else monotonic() + timeout)
        except Exception:
            raise
        except BaseException:  # Ctrl-C
            self._run(self._engine.stop_turn(turn))
            raise

    def _wait_until(self, turn: TurnState, ready: Callable[[], bool], until: float | None) -> None:
        while True:
            seen = self._news.count
            if ready() or self._is_settled(turn):
                return
            self._check_may_wait(turn)
            left = None if until is None else until - monotonic()
            if left is not None and left <= 0:
                raise TimeoutError("The turn is not over yet. It goes on.")
            if self._is_host():
                self._work_or_wait(seen, left)
            else:
                self._news.wait(seen, left)

    def _is_settled(self, turn: TurnState) -> bool:
        """Whether a turn is over and the observers know; those who are being told wait not."""
        with self._guard:
            return turn.over and (self._flush.is_here or turn not in self._flush.ended)

    def _is_host(self) -> bool:
        return threading.get_ident() == (self._flush.thread or self._maker)

    def _work_or_wait(self, seen: int, left: float | None) -> None:
        """On the host's thread: do what its loop would be asked to do, or wait for that."""
        if self._flush.is_here:  # in an observer, which is being told of something
            if not self._flush.apply():
                self._news.wait(seen, left)
            return
        self._courier.hold()
        try:
            if not self._flush.run(throttled=True):
                self._news.wait(seen, left)
            elif self._news.count == seen and not self._flush.cut_short:
                if self._flush.needed:
                    due = max(0.0, self._courier.due_in())
                    left = due if left is None else min(due, left)
                self._news.wait(seen, left)
        finally:
            self._courier.release()

    def _check_may_wait(self, turn: TurnState) -> None:
        thread = running_loop_thread()
        inside = self._flush.is_here and (self._calling or self._flush.driving)
        if inside or (thread is not None and thread.is_current):
            raise ChatBusyError(
                "This is called by what moves the chat on (a callback), and would wait for itself. "
                "Wait on another thread, or let an observer of TurnFinished go on."
            )
        with self._guard:
            if turn.queued and self._engine.exchange is None and self._engine.queue.paused:
                raise QueuePausedError(
                    "This message waits in a queue that a stop or an error has paused. "
                    "Send something, or send_queued_message_now()."
                )

    # ------------------------------------------------------------------ fork

    def _forked(self) -> None:
        """In a child process: the parent's threads are not here, and its sockets not to be used."""
        torn = self._lock.torn
        checkpoint = self._checkpoint if torn else self._engine.checkpoint()
        self._checkpoint = checkpoint
        self._engine.restore(checkpoint)
        self._observers.forked()
        self._connect()


def _let_go(own_thread: OwnThread | None) -> None:
    """What is left of a session that was collected."""
    if own_thread is not None:
        own_thread.end()


def _close_when_collected(transport: HttpTransport, client: AsyncClient) -> None:
    """Close a transport's client where the transport, with its session, is just dropped."""
    weakref.finalize(transport, _close_client, client).atexit = False


def _close_client(client: AsyncClient) -> None:
    thread = running_loop_thread()
    if thread is not None and thread.is_alive:
        thread.call(lambda: thread.start(client.aclose()))


def _after_fork() -> None:
    for session in list(_sessions):
        session._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
