"""A chat without a network: chunks are put in by hand, events and callbacks are recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from usechat.engine.answers import ApprovalResponse, ToolOutput
from usechat.engine.engine import ChatEngine
from usechat.engine.events import EVENT_TYPES, Event
from usechat.engine.exchange import Callbacks, Exchange, RequestOptions, Steps, TurnState
from usechat.errors import CallbackError, ServerError, StreamProtocolError
from usechat.model.chunks import STREAM_DONE
from usechat.model.messages import UIMessage, message_from

DONE = STREAM_DONE
NO_OPTIONS = RequestOptions()

Chunk = dict[str, Any]


# ------------------------------------------------------------------ messages


def user(text: str = "Hi", id: str = "u1") -> dict[str, Any]:
    return {"id": id, "role": "user", "parts": [{"type": "text", "text": text}]}


def assistant(*parts: dict[str, Any], id: str = "a1", **fields: Any) -> dict[str, Any]:
    return {"id": id, "role": "assistant", "parts": list(parts), **fields}


def call(state: str, id: str = "c1", **fields: Any) -> dict[str, Any]:
    return {"type": "tool-weather", "toolCallId": id, "state": state, **fields}


ASKED = {"approval": {"id": "ap1"}, "input": {}}
GRANTED = {"approval": {"id": "ap1", "approved": True}, "input": {}}


# -------------------------------------------------------------------- chunks


def start(id: str | None = None, **fields: Any) -> Chunk:
    return {"type": "start", **({} if id is None else {"messageId": id}), **fields}


def text(delta: str, id: str = "t1") -> list[Chunk]:
    """A whole text part."""
    return [text_start(id), text_delta(delta, id), text_end(id)]


def text_start(id: str = "t1", **fields: Any) -> Chunk:
    return {"type": "text-start", "id": id, **fields}


def text_delta(delta: str, id: str = "t1", **fields: Any) -> Chunk:
    return {"type": "text-delta", "id": id, "delta": delta, **fields}


def text_end(id: str = "t1", **fields: Any) -> Chunk:
    return {"type": "text-end", "id": id, **fields}


def finish(reason: str | None = None, **fields: Any) -> Chunk:
    return {"type": "finish", **({} if reason is None else {"finishReason": reason}), **fields}


def tool(kind: str, id: str = "c1", **fields: Any) -> Chunk:
    """``tool("input-start")``: a chunk of a tool call, its tool ``weather`` where it needs one."""
    chunk = {"type": f"tool-{kind}", "toolCallId": id, **fields}
    if kind in ("input-start", "input-available", "input-error"):
        chunk.setdefault("toolName", "weather")
    if kind in ("input-available", "input-error"):
        chunk.setdefault("input", {"city": "Rome"})
    return chunk


def data(value: Any, id: str | None = None, name: str = "weather", **fields: Any) -> Chunk:
    return {"type": f"data-{name}", "data": value, **({} if id is None else {"id": id}), **fields}


STEP = {"type": "start-step"}
END_STEP = {"type": "finish-step"}
RESET = {"type": "reset-step"}


# ---------------------------------------------------------------------- chat


class Told(list[Event]):
    """Events, compared by their types too: as tuples, two of different types may be equal."""

    def __eq__(self, other: object) -> bool:
        return list.__eq__(self, other) and [*map(type, self)] == [*map(type, other)]  # type: ignore[call-overload]

    __hash__ = None  # type: ignore[assignment]


class Chat:
    """A ``ChatEngine`` that is driven by hand, as a session drives it.

    Args:
        messages: the history, in wire form.
        strict, require_finish, replays, records: attributes of the engine.
        listens: the event types that are listened to.
        callbacks: what the user's functions do, by name; each is recorded in ``calls`` as well.
        options: of the engine.
    """

    def __init__(
        self,
        *messages: dict[str, Any],
        strict: bool = False,
        require_finish: bool = True,
        replays: bool = True,
        records: bool = False,
        listens: Iterable[type[Event]] = EVENT_TYPES,
        generate_id: Callable[[], str] | None = None,
        callbacks: dict[str, Callable[..., Any]] | None = None,
        **options: Any,
    ) -> None:
        self.made = 0
        self.calls: list[tuple[str, Any]] = []
        self.opened: list[Exchange] = []
        self.engine = ChatEngine(
            chat_id=options.pop("chat_id", "chat"),
            messages=[message_from(message) for message in messages],
            generate_id=generate_id or self.next_id,
            callbacks=Callbacks(**{k: self.recorded(k, f) for k, f in (callbacks or {}).items()}),
            when_busy=options.pop("when_busy", "reject"),
            queue_limit=options.pop("queue_limit", 100),
            max_steps=options.pop("max_steps", None),
            **options,
        )
        self.engine.strict = strict
        self.engine.require_finish = require_finish
        self.engine.replays = replays
        self.engine.records = records
        self.engine.outbox.wanted = frozenset(listens)

    def next_id(self) -> str:
        self.made += 1
        return f"id-{self.made - 1}"

    def recorded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(argument: Any) -> Any:
            self.calls.append((name, argument))
            return function(argument)

        return called

    def called(self, name: str) -> list[Any]:
        """What a callback got, call by call."""
        return [argument for which, argument in self.calls if which == name]

    # ------------------------------------------------------------------ state

    @property
    def status(self) -> str:
        return self.engine.status

    @property
    def error(self) -> Exception | None:
        return self.engine.error

    @property
    def exchange(self) -> Exchange:
        assert self.engine.exchange is not None
        return self.engine.exchange

    @property
    def messages(self) -> tuple[UIMessage, ...]:
        return self.engine.history.snapshot()

    def dump(self) -> list[dict[str, Any]]:
        """The messages in wire form."""
        return [message.model_dump() for message in self.messages]

    def reply_parts(self) -> list[dict[str, Any]]:
        """The parts of the last message in wire form."""
        parts: list[dict[str, Any]] = self.dump()[-1]["parts"]
        return parts

    def texts(self) -> list[str]:
        """``role: text`` of every message."""
        return [f"{message.role}: {message.text}" for message in self.messages]

    def queued(self) -> list[str]:
        return [message.text for message in self.engine.queue.messages]

    def events(self, *kinds: type[Event]) -> Told:
        """The events since the last call, of these types or of all."""
        happened = [event for batch in self.engine.outbox.take() for event in batch.events]
        return Told(event for event in happened if not kinds or isinstance(event, kinds))

    # ---------------------------------------------------------------- actions

    def run(self, steps: Steps[Any]) -> Any:
        """Drive an operation, calling the user's functions on its way."""
        answer: Any = None
        failure: CallbackError | None = None
        while True:
            try:
                made = steps.send(answer) if failure is None else steps.throw(failure)
            except StopIteration as end:
                return end.value
            answer = failure = None
            try:
                answer = made.function(*made.arguments)
            except Exception as error:
                failure = CallbackError(f"{made.name} raised: {error}")
                failure.__cause__ = error

    def send(
        self,
        content: str | dict[str, Any] | None = "Hi",
        edit: str | None = None,
        options: RequestOptions = NO_OPTIONS,
    ) -> TurnState:
        fields: Any = content
        if isinstance(content, str):
            fields = {"parts": [{"type": "text", "text": content}]}
        turn: TurnState = self.run(self.engine.send_message(fields, edit, options))
        return turn

    def regenerate(self, message_id: str | None = None) -> TurnState:
        turn: TurnState = self.run(self.engine.regenerate(message_id, NO_OPTIONS))
        return turn

    def resume(self) -> TurnState:
        turn: TurnState = self.run(self.engine.resume_stream(NO_OPTIONS))
        return turn

    def output(self, output: Any = "sun", id: str = "c1", error: str | None = None) -> TurnState:
        answer = ToolOutput.available(id, output) if error is None else ToolOutput.error(id, error)
        turn: TurnState = self.run(self.engine.add_answer(answer, NO_OPTIONS))
        return turn

    def approve(
        self, approved: bool = True, id: str = "ap1", reason: str | None = None
    ) -> TurnState:
        answer = ApprovalResponse(id, approved, reason)
        turn: TurnState = self.run(self.engine.add_answer(answer, NO_OPTIONS))
        return turn

    def send_now(self, message_id: str) -> TurnState:
        turn: TurnState = self.run(self.engine.send_queued_message_now(message_id))
        return turn

    def stop(self) -> None:
        self.run(self.engine.stop())

    def clear(self) -> None:
        self.run(self.engine.clear())

    def close(self) -> None:
        self.run(self.engine.close())

    def set_messages(self, *messages: dict[str, Any]) -> None:
        self.run(self.engine.set_messages([message_from(message) for message in messages]))

    # ------------------------------------------------------------ the network

    def open(self, response: Any = None) -> Exchange:
        """Let the running request have its answer."""
        exchange = self.exchange
        self.opened.append(exchange)
        self.run(self.engine.opened(exchange, response))
        return exchange

    def nothing_to_resume(self, exchange: Exchange | None = None) -> None:
        """Let the running resume hear that there is no reply."""
        self.run(self.engine.nothing_to_resume(exchange or self.exchange))

    def receive(self, *chunks: Chunk | list[Chunk], exchange: Exchange | None = None) -> None:
        """Let chunks come in; errors that they are end the exchange, as in the driver."""
        if exchange is None:
            exchange = self.exchange
            if exchange not in self.opened:
                self.open()
        try:
            for chunk in _flat(chunks):
                steps = self.engine.receive(exchange, chunk)
                if steps is not None:
                    self.run(steps)
        except (ServerError, StreamProtocolError) as error:
            self.fail(error, exchange)

    def finish(self, exchange: Exchange | None = None) -> None:
        """Let the running reply end cleanly."""
        self.run(self.engine.finish(exchange or self.exchange))

    def fail(self, error: Exception, exchange: Exchange | None = None) -> None:
        """Let the running request or reply fail."""
        self.run(self.engine.fail(exchange or self.exchange, error))

    def reply(self, *chunks: Chunk | list[Chunk]) -> None:
        """Let the running request have a whole reply, with the protocol's end."""
        exchange = self.exchange
        self.receive(*chunks, finish(), exchange=self.open())
        self.finish(exchange)


def _flat(chunks: Iterable[Chunk | list[Chunk]]) -> Iterable[Chunk]:
    for chunk in chunks:
        if isinstance(chunk, list):
            yield from chunk
        else:
            yield chunk


def replying(*chunks: Chunk | list[Chunk], strict: bool = False) -> Chat:
    """A chat whose reply these chunks are; it still runs."""
    chat = Chat(strict=strict)
    chat.send()
    chat.receive(*chunks)
    return chat


def parts_of(*chunks: Chunk | list[Chunk], strict: bool = True) -> list[dict[str, Any]]:
    """The parts that chunks make; read strictly, without an error."""
    chat = replying(*chunks, strict=strict)
    assert chat.error is None
    return chat.reply_parts()
