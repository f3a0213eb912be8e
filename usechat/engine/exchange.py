"""What the engine keeps of a turn and of each of its exchanges."""

from __future__ import annotations

import enum
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from usechat.engine.draft import Draft
from usechat.engine.events import (
    DeltaType,
    MetadataChanged,
    Outbox,
    PartAdded,
    PartDone,
    PartUpdated,
)
from usechat.engine.typed import ReplyTypes
from usechat.model.chunks import DataChunk, ToolCall
from usechat.model.json import dumps
from usechat.model.messages import UIMessage
from usechat.model.tools import ToolDefinition

Trigger = Literal["submit-message", "regenerate-message", "resume-stream"]
"""Why a request is made, in the SDK's words."""

Outcome = Literal["completed", "stopped", "incomplete", "error", "dropped"]
"""How a turn ended."""


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What an action adds to its requests.

    Attributes:
        headers: beside the transport's; a name given here wins.
        body: fields of the JSON body, beside the transport's.
        metadata: for the prepare hooks; never sent by itself.
    """

    # They may hold secrets, which no repr shows.
    headers: Mapping[str, str | None] | None = field(default=None, repr=False)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    metadata: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request to make.

    Attributes:
        trigger: why; ``resume-stream`` asks for a running reply.
        chat_id: the chat.
        messages: the history to send.
        message_id: the message that was edited, regenerated or is continued.
        options: what the action added.
        tools: the tools that run on this side.
    """

    trigger: Trigger
    chat_id: str
    messages: tuple[UIMessage, ...]
    message_id: str | None
    options: RequestOptions
    tools: tuple[ToolDefinition, ...] = ()

    def ui_body(self, fields: Mapping[str, Any] | None = None) -> bytes:
        """The request as the JSON body that endpoints of the AI SDK 5 to 7 read.

        The history is put together from what is encoded already.

        Args:
            fields: what stands beside it; None: the fields that the action added.

        Raises:
            InvalidArgumentError: a field holds something that JSON cannot say.
        """
        own: dict[str, Any] = {"id": self.chat_id, "trigger": self.trigger}
        if self.message_id is not None:
            own["messageId"] = self.message_id
        given = self.options.body if fields is None else fields
        kept = {k: v for k, v in (given or {}).items() if k not in ("messages", "messageId")}
        head = dumps({**kept, **own})
        messages = b",".join([message.encoded() for message in self.messages])
        return head[:-1] + b',"messages":[' + messages + b"]}"


class Callout(NamedTuple):
    """A function of the user's that the engine wants called before it goes on.

    Attributes:
        name: what it is, for messages.
        function: the function.
        arguments: what it gets.
        published: whether what has changed is delivered to the observers before the call.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    published: bool = True


T = TypeVar("T")

Steps: TypeAlias = Generator[Callout, Any, T]
"""An operation of the engine: it yields functions of the user's to call, is sent what they
returned, or has a ``CallbackError`` thrown in where one raised, and returns its result."""


class Response(NamedTuple):
    """The head of an HTTP response, as ``on_response`` gets it. Names are in lower case."""

    status_code: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Functions of the user's that take part, in the SDK's words.

    Attributes:
        on_finish: gets a ``Finish`` after each exchange, once the status is final.
        on_error: gets the error before the status becomes ``error``.
        on_data: gets each ``DataChunk`` before what it changes is published.
        on_tool_call: gets each ``ToolCall`` that the provider does not run, after it is published.
        on_response: gets the ``Response`` when its headers are there.
        send_automatically_when: gets the messages; true sends them again.
    """

    on_finish: Callable[[Finish], object] | None = None
    on_error: Callable[[Exception], object] | None = None
    on_data: Callable[[DataChunk], object] | None = None
    on_tool_call: Callable[[ToolCall], object] | None = None
    on_response: Callable[[Response], object] | None = None
    send_automatically_when: Callable[[tuple[UIMessage, ...]], bool] | None = None


class Finish(NamedTuple):
    """What ``on_finish`` is told, once an exchange; ai 7.0.173's fields."""

    message: UIMessage
    messages: tuple[UIMessage, ...]
    is_abort: bool
    is_disconnect: bool
    is_error: bool
    finish_reason: str | None


@dataclass(eq=False, slots=True)
class TurnState:
    """All that one action caused.

    Attributes:
        options: headers, body and metadata for each of its requests.
        outcome: how it ended; None while it runs.
        error: what went wrong.
        message: its assistant message, once it is over.
        finish_reason: why the model stopped, as the server said.
        limit_reached: whether ``max_steps`` ended it.
        queued: whether it waits in the queue.
        abandoned: whether nobody can await it any more, and nobody ever did.
        requests: how many it has made.
        exchange: the running one, or the last.
        first_part: where its own parts begin in its message.
        caller: the tool that has begun it, for the session; None: no tool.
    """

    options: RequestOptions
    outcome: Outcome | None = None
    error: Exception | None = None
    message: UIMessage | None = None
    finish_reason: str | None = None
    limit_reached: bool = False
    queued: bool = False
    abandoned: bool = False
    requests: int = 0
    exchange: Exchange | None = None
    first_part: int = 0
    caller: Any = None

    def wait_again(self) -> None:
        """Be as it was before it began: one that waits in the queue."""
        self.exchange = self.message = self.finish_reason = self.error = None
        self.limit_reached = False
        self.requests = self.first_part = 0
        self.queued = True
        self.outcome = None

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.outcome is not None

    @property
    def exchange_over(self) -> bool:
        """Whether its last exchange has ended."""
        return self.exchange is not None and self.exchange.over


class Effect(enum.Enum):
    """What a chunk did, and so what the engine does next."""

    CONTENT = "the message was written: the reply is streaming"
    START = "the reply began: the message may have another id, or begin anew"
    CALL = "a tool call is complete: the message was written, and it may be answered"
    DATA = "data came for the message: it is written when the data callback has seen it"
    TRANSIENT = "data came that is for the data callback only"


def _nobody_looks() -> None:
    """The draft is in no list yet."""


@dataclass(eq=False, slots=True)
class Exchange:
    """One request and its reply.

    Attributes:
        turn: whose it is.
        request: the request.
        draft: the message that the reply writes.
        outbox: where its events go.
        strict: whether the reply is read as the SDK reads it.
        types: what its metadata and data parts have to fit.
        resets: whether the next ``start`` begins the message anew (the reply is replayed).
        approval: the message whose approval it carries to the server.
        connecting: a resume whose server has not yet said whether there is a reply.
        message_index: where the draft stands in the list; None before its first write.
        ended: whether the protocol's own end has come.
        aborted: whether the server said that it was stopped.
        over: what still comes in is dropped.
        received: how many chunks came.
        response: the head of the response.
        publish: puts the draft in the list and announces its parts.
        skipped: chunk types that the log has been told of.
        replaces: the message that it has thrown away, where the reply came again.
        answered: parts that an answer has changed and that nobody has been told of.
    """

    turn: TurnState
    request: ChatRequest
    draft: Draft
    outbox: Outbox
    strict: bool
    types: ReplyTypes | None = None
    resets: bool = False
    approval: str | None = None
    connecting: bool = False
    message_index: int | None = None
    ended: bool = False
    aborted: bool = False
    over: bool = False
    received: int = 0
    response: Response | None = None
    publish: Callable[[], None] = field(default=_nobody_looks, repr=False)
    skipped: set[str] = field(default_factory=set)
    replaces: UIMessage | None = None
    answered: list[int] = field(default_factory=list)

    def emit(self, event: MetadataChanged | PartUpdated | PartDone) -> None:
        """Tell the observers of a change in what they know already.

        Args:
            event: what happened; it is dropped where the message or the part will be announced
                as a whole.
        """
        known = -1 if self.message_index is None else self.draft.announced
        if getattr(event, "part_index", -1) < known:
            self.outbox.add(event)

    def emit_delta(self, kind: DeltaType, part_index: int, text: str, start: int) -> None:
        """Tell the observers of text that came.

        Args:
            kind: the event type.
            part_index: the part.
            text: what came.
            start: how many characters there were before.
        """
        if text and kind in self.outbox.wanted:
            self.outbox.add_delta(kind, self.draft.id, part_index, text, start)

    def announce(self) -> None:
        """Tell the observers of parts they do not know yet, or not as they are."""
        draft = self.draft
        for index in self.answered:
            self.emit(PartUpdated(draft.id, index))
        self.answered.clear()
        while draft.announced < draft.written:
            self.outbox.add(PartAdded(draft.id, draft.announced))
            draft.announced += 1
