"""What both sessions are: the same constructor, state and actions over one engine."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar, overload

from typing_extensions import Self, Unpack

from usechat.engine.core import WhenBusy
from usechat.engine.engine import ChatEngine
from usechat.engine.events import Batch, ChatState, Event, InputChanged
from usechat.engine.exchange import (
    Callbacks,
    Callout,
    Finish,
    Response,
    Steps,
    TurnState,
)
from usechat.engine.status import ChatStatus
from usechat.engine.typed import ReplyTypes
from usechat.errors import CallbackError, InvalidArgumentError
from usechat.model.chunks import DataChunk, ToolCall
from usechat.model.ids import generate_id as default_generate_id
from usechat.model.markdown import markdown_of_messages, safe_markdown
from usechat.model.messages import UIMessage
from usechat.session.checks import check, checked_messages
from usechat.session.observers import Observers, Subscription, must_be_plain
from usechat.session.toolbox import Toolbox
from usechat.transport.base import ChatTransport
from usechat.transport.http import HttpTransport
from usechat.transport.openai import BASE_URL, OpenAIOptions, OpenAITransport
from usechat.transport.options import HttpOptions

_OPENAI_OPTIONS = frozenset(OpenAIOptions.__annotations__)

TurnT = TypeVar("TurnT")
T = TypeVar("T")
E = TypeVar("E", bound=Event)


class SessionBase(ABC, Generic[TurnT]):
    """State, observers and machinery of a chat; the arguments are told by each session."""

    def __init__(
        self,
        api: str | ChatTransport = "/api/chat",
        *,
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
        check(
            id=id,
            input=input,
            when_busy=when_busy,
            queue_limit=queue_limit,
            max_steps=max_steps,
            repair=repair,
            resume=resume,
            throttle=throttle,
        )
        must_be_plain(generate_id, "generate_id")
        functions = {
            "on_finish": on_finish,
            "on_error": on_error,
            "on_data": on_data,
            "on_tool_call": on_tool_call,
            "on_response": on_response,
            "send_automatically_when": send_automatically_when,
        }
        for name, function in {**functions, "on_observer_error": on_observer_error}.items():
            if function is not None:
                must_be_plain(function, name)
        types = ReplyTypes.of(message_metadata_type, data_part_types)
        self._transport, self._owns_transport = _transport(api, http)
        self._engine = ChatEngine(
            chat_id=id,
            messages=checked_messages(messages),
            generate_id=generate_id,
            callbacks=Callbacks(**functions),  # type: ignore[arg-type]
            when_busy=when_busy,
            queue_limit=queue_limit,
            max_steps=max_steps,
            repair=repair,
            types=types,
        )
        self._toolbox = Toolbox(self._engine, tools)
        self._engine.strict = getattr(self._transport, "strict", False)
        self._engine.require_finish = getattr(self._transport, "require_finish", True)
        self._engine.replays = getattr(self._transport, "resume_stream_is_replay", True)
        self._engine.view_of = self._turn
        self._throttle = throttle
        self._input = input
        self._view: ChatState | None = None
        self._observers = Observers(self._engine.outbox, self, on_observer_error)
        self._prepare()
        self._begin(resume)

    @classmethod
    def openai(
        cls,
        model: str,
        *,
        base_url: str = BASE_URL,
        api_key: str | None = None,
        system: str | None = None,
        **options: Any,
    ) -> Self:
        """A chat with a model, without a chat endpoint: OpenAI's, Ollama's, vLLM's, LM Studio's.

        Args:
            model: its name, ``gpt-5`` or ``llama3.2``.
            base_url: where the API is: ``http://localhost:11434/v1`` for Ollama.
            api_key: as for ``OpenAITransport``.
            system: what the model is told first.
            options: those of ``OpenAIOptions``, and the arguments of the session.

        Raises:
            InvalidArgumentError: an argument cannot be used.
        """
        http = {name: options.pop(name) for name in _OPENAI_OPTIONS & options.keys()}
        transport = OpenAITransport(
            model, base_url=base_url, api_key=api_key, system=system, **http
        )
        return cls(_Own(transport), **options)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        count = len(self._engine.history)
        return f"<{type(self).__name__} {self.status}, {count} messages, {self._transport!r}>"

    def _repr_markdown_(self) -> str:
        """What a notebook shows: the messages, and what went wrong. No HTML comes through."""
        parts = [markdown_of_messages(self.messages) or f"*{self.status}, no messages*"]
        if self.error is not None:
            parts.append(f"**{type(self.error).__name__}** {safe_markdown(str(self.error))}")
        return "\n\n".join(parts)

    # ------------------------------------------------------------------ state

    @property
    def _state(self) -> ChatState:
        shown = self._shown()
        return self._engine.state() if shown is None else shown

    def _shown(self) -> ChatState | None:
        """The state that the observers are being told of, where it is not the newest."""
        return self._view

    def _show_newest(self) -> None:
        """An observer has changed something: it sees that."""
        self._view = None

    @property
    def id(self) -> str:
        """The chat's id."""
        return self._look(lambda: self._engine.chat_id)

    @property
    def messages(self) -> tuple[UIMessage, ...]:
        """The messages, oldest first. They never change; a change gives another tuple."""
        return self._state.messages

    @property
    def last_message(self) -> UIMessage | None:
        """The newest message."""
        messages = self.messages
        return messages[-1] if messages else None

    @property
    def status(self) -> ChatStatus:
        """``ready``, ``submitted`` (a request is out), ``streaming`` or ``error``."""
        shown = self._shown()
        return self._engine.status if shown is None else shown.status

    @property
    def is_loading(self) -> bool:
        """Whether a reply is awaited or coming."""
        return self.status in ("submitted", "streaming")

    @property
    def error(self) -> Exception | None:
        """What went wrong last; None after the next send."""
        shown = self._shown()
        return self._engine.error if shown is None else shown.error

    @property
    def queued_messages(self) -> tuple[UIMessage, ...]:
        """The messages that wait to be sent, with ``when_busy="queue"``."""
        return self._state.queued_messages

    @property
    def input(self) -> str:
        """The text box."""
        return self._input

    @input.setter
    def input(self, text: str) -> None:
        check(input=text)
        self._alone(lambda: self._put_input(text))
        self._deliver()

    def _put_input(self, text: str) -> None:
        if text != self._input:
            self._input = text
            self._engine.outbox.add(InputChanged(text))
            self._engine.outbox.changed = True

    # -------------------------------------------------------------- observing

    def subscribe(self, fn: Callable[[Any], object]) -> Subscription:
        """Call a function with the session whenever something has changed, once a flush.

        Args:
            fn: a plain function.
        """
        self._engine.records = self._throttle is None
        return self._observers.subscribe(fn)

    @overload
    def on(self, event_type: type[E], fn: Callable[[E], object]) -> Subscription: ...

    @overload
    def on(
        self, event_type: type[E], fn: None = None
    ) -> Callable[[Callable[[E], object]], Callable[[E], object]]: ...

    def on(self, event_type: type[E], fn: Callable[[E], object] | None = None) -> Any:
        """Call a function with each event of a type; without one, a decorator.

        Args:
            event_type: ``TextDelta``, ``StatusChanged``, …
            fn: a plain function.
        """
        if fn is not None:
            self._engine.records = self._throttle is None
            return self._observers.on(event_type, fn)

        def decorate(function: Callable[[E], object]) -> Callable[[E], object]:
            self.on(event_type, function)
            return function

        return decorate

    # ------------------------------------------------------------- machinery

    def _look(self, function: Callable[[], T]) -> T:
        """Call what looks at the engine, and calls nobody else."""
        return function()

    def _alone(self, function: Callable[[], T]) -> T:
        """Call what changes the engine, and calls nobody else."""
        return function()

    @abstractmethod
    def _prepare(self) -> None:
        """Make what this kind of session needs beside the engine."""

    @abstractmethod
    def _begin(self, resume: bool) -> None:
        """Do what the session was made to begin with."""

    @abstractmethod
    def _turn(self, state: TurnState) -> TurnT:
        """What users get of a turn."""

    @abstractmethod
    def _deliver(self) -> None:
        """Tell the observers all that waits."""

    @abstractmethod
    def _progressed(self) -> None:
        """An exchange has begun or ended, or a turn has: wake who waits for that."""

    def _change(self, change: Callable[[], None]) -> None:
        """Make a change of the engine's that calls nobody, and tell of it."""
        self._show_newest()
        self._alone(change)
        self._progressed()
        self._deliver()

    def _run(self, steps: Steps[T]) -> T:
        """Drive an operation of the engine, and tell what it changed."""
        try:
            return self._call_all(steps)
        finally:
            self._progressed()
            self._deliver()

    def _call_all(self, steps: Steps[T]) -> T:
        """Drive an operation of the engine, calling the user's functions on its way."""
        answer: Any = None
        failure: CallbackError | None = None
        try:
            while True:
                call = self._step(steps, answer, failure)
                answer = failure = None
                self._progressed()
                if call.published and (self._throttle is None or self._engine.outbox.urgent):
                    self._deliver()
                try:
                    answer = self._call(call)
                except CallbackError as error:
                    failure = error
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            self._alone(steps.close)  # at once, where an interrupt leaves it in the middle

    def _step(self, steps: Steps[T], answer: Any, failure: CallbackError | None) -> Callout:
        self._show_newest()
        if failure is not None:
            error = failure
            return self._alone(lambda: steps.throw(error))
        return self._alone(lambda: steps.send(answer))

    def _call(self, call: Callout) -> Any:
        """Call a function of the user's.

        Raises:
            CallbackError: it raised.
        """
        try:
            made = call.function(*call.arguments)
        except Exception as error:
            raise CallbackError(f"{call.name} raised {type(error).__name__}: {error}") from error
        if inspect.iscoroutine(made):
            made.close()
            raise CallbackError(f"{call.name} is async: give a plain function.")
        return made

    def _tell(self, batch: Batch) -> None:
        """Deliver one batch, with the state that it shows."""
        self._view = batch.state
        try:
            self._observers.tell(batch)
        finally:
            self._view = None


class _Own(NamedTuple):
    """A transport that is made for one session, which closes it."""

    transport: ChatTransport


def _named(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return type(value).__name__


def _transport(api: str | ChatTransport | _Own, http: HttpOptions) -> tuple[ChatTransport, bool]:
    """The transport, and whether it is the session's own to close."""
    if isinstance(api, str):
        return HttpTransport(api, **http), True
    if isinstance(api, _Own):
        transport, owned = api.transport, True
    else:
        transport, owned = _given(api), False
    if http:
        raise InvalidArgumentError(
            f"{', '.join(sorted(http))}: say this to the transport, not to the session."
        )
    return transport, owned


def _given(api: object) -> ChatTransport:
    if isinstance(api, type) or not isinstance(api, ChatTransport):
        raise InvalidArgumentError(
            "Expected the URL of an endpoint or a transport (an object with send_messages, "
            f"reconnect_to_stream and aclose), got {_named(api)}."
        )
    return api
