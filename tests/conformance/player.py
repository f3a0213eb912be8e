"""Plays one scenario: what is done and what is recorded, whichever session it is."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
from network import Network

from usechat import (
    AsyncChatSession,
    AsyncTurn,
    CallbackError,
    ChatSession,
    ErrorChanged,
    Event,
    Finish,
    HTTPStatusError,
    InvalidArgumentError,
    MessageAdded,
    MessagesReplaced,
    MetadataChanged,
    PartAdded,
    PartDone,
    PartUpdated,
    QueueChanged,
    ReasoningDelta,
    ServerError,
    StatusChanged,
    StreamProtocolError,
    TextDelta,
    ToolInputDelta,
    TransportError,
    Turn,
    UseChatError,
    last_assistant_message_is_complete_with_approval_responses,
    last_assistant_message_is_complete_with_tool_calls,
)
from usechat.model.json import dumps

AnySession = AsyncChatSession | ChatSession
AnyTurn = AsyncTurn | Turn

PREDICATES = {
    "tool-calls": last_assistant_message_is_complete_with_tool_calls,
    "approvals": last_assistant_message_is_complete_with_approval_responses,
}
MESSAGE_EVENTS = (
    MessageAdded,
    MessagesReplaced,
    MetadataChanged,
    PartAdded,
    PartDone,
    PartUpdated,
    ReasoningDelta,
    TextDelta,
    ToolInputDelta,
)


def kind_of(error: BaseException) -> str:
    """The kind of an error, as traces name it."""
    kinds: list[tuple[type[BaseException], str]] = [
        (ServerError, "server"),
        (CallbackError, "server"),
        (HTTPStatusError, "http"),
        (TransportError, "connection"),
        (StreamProtocolError, "protocol"),
        (InvalidArgumentError, "argument"),
    ]
    return next((name for kind, name in kinds if isinstance(error, kind)), type(error).__name__)


def text_of(error: Exception) -> str:
    """What an error says: the server's own words, or those of the callback that raised."""
    if isinstance(error, ServerError):
        return error.error_text
    if isinstance(error, CallbackError) and error.__cause__ is not None:
        return str(error.__cause__)
    return str(error)


def wire(value: Any) -> Any:
    """A message or a list of them as plain JSON values."""
    if isinstance(value, tuple):
        return [wire(item) for item in value]
    return json.loads(dumps(value))


class Player:
    """One chat, played by a scenario.

    Args:
        scenario: the scenario.
        network: what its requests go to.

    Attributes:
        chat: the session, once it is made.
        turns: what the actions returned.
    """

    chat: Any  # an AnySession: their actions and their state are alike

    def __init__(self, scenario: dict[str, Any], network: Network) -> None:
        self.scenario = scenario
        self.network = network
        self.events: list[dict[str, Any]] = []
        self.answers = scenario.get("onToolCall", {})
        self.turns: list[AnyTurn] = []
        self.recording = True
        self.changed = False

    def emit(self, event: dict[str, Any]) -> None:
        if self.recording:
            self.events.append(event)

    def options(self) -> dict[str, Any]:
        """The arguments of the session, as the scenario wants them."""
        init = self.scenario.get("init", {})
        ids = itertools.count()
        options: dict[str, Any] = {
            name: init[key]
            for name, key in (
                ("headers", "headers"),
                ("body", "body"),
                ("resume_stream_is_replay", "resumeStreamIsReplay"),
            )
            if key in init
        }
        return {
            "api": init.get("api", "/api/chat"),
            "base_url": "http://player",
            "client": httpx.AsyncClient(transport=self.network),
            "id": init.get("id"),
            "messages": init.get("messages", []),
            "generate_id": lambda: f"id-{next(ids)}",
            "send_automatically_when": PREDICATES.get(init.get("sendAutomaticallyWhen", "")),
            "when_busy": "queue" if init.get("queue") else "reject",
            "protocol": init.get("protocol", "ui"),
            "strict": True,
            "throttle": None,
            "on_error": lambda error: self.emit({"e": "onError", "v": text_of(error)}),
            "on_finish": self.on_finish,
            "on_data": lambda data: self.emit({"e": "data", "v": wire(data)}),
            "on_tool_call": self.on_tool_call,
            **options,
        }

    def observe(self, chat: AnySession) -> None:
        """Record what a chat tells.

        Args:
            chat: the chat.
        """
        self.shown = chat.messages
        for kind in MESSAGE_EVENTS:
            chat.on(kind, self.on_message_event)
        chat.subscribe(self.on_flush)
        chat.on(StatusChanged, lambda e: self.emit({"e": "status", "v": e.status}))
        chat.on(ErrorChanged, self.on_error_changed)
        chat.on(QueueChanged, lambda e: self.emit({"e": "queue", "v": wire(e.messages)}))

    def on_message_event(self, event: Event) -> None:
        self.changed = True

    def on_flush(self, chat: AnySession) -> None:
        # A delta of half a character changes a message, but there is nothing of it to tell yet.
        if self.changed or chat.messages != self.shown:
            self.changed = False
            self.shown = chat.messages
            self.emit({"e": "messages", "v": wire(chat.messages)})

    def on_error_changed(self, event: ErrorChanged) -> None:
        if event.error is None:
            self.emit({"e": "error", "v": None})
        else:
            said = {"v": text_of(event.error), "name": kind_of(event.error)}
            self.emit({"e": "error", **said})

    def on_finish(self, finish: Finish) -> None:
        event = {
            "e": "finish",
            "message": wire(finish.message),
            "isAbort": finish.is_abort,
            "isDisconnect": finish.is_disconnect,
            "isError": finish.is_error,
        }
        if finish.finish_reason is not None:
            event["finishReason"] = finish.finish_reason
        self.emit(event)

    def on_tool_call(self, call: Any) -> None:
        self.emit({"e": "toolCall", "v": wire(call)})
        if call.tool_name not in self.answers:
            return
        output = self.answers[call.tool_name]
        if isinstance(output, dict) and "$throw" in output:
            raise RuntimeError(output["$throw"])
        if isinstance(output, dict) and "$error" in output:
            error_text = output["$error"]
            self.act(lambda: self.chat.add_tool_output(call.tool_call_id, error_text=error_text))
        else:
            self.act(lambda: self.chat.add_tool_output(call.tool_call_id, output))

    def act(self, action: Callable[[], AnyTurn | None]) -> None:
        """Do something, and keep the turn that comes of it."""
        try:
            turn = action()
        except UseChatError as error:
            self.emit({"e": "throw", "v": {"name": kind_of(error), "message": str(error)}})
            return
        if turn is not None:
            self.turns.append(turn)
            self.begun(turn)

    def begun(self, turn: AnyTurn) -> None:
        """An action has returned a turn."""

    def moves(self) -> Iterator[int | None]:
        """Do the steps; each item is how far the network is to move then: None, to its end."""
        for step in self.scenario.get("steps", []):
            do = step["do"]
            if do in ("deliver", "stopAfter"):
                yield step["n"]
            if do not in ("deliver", "wait"):
                self.act(partial(getattr(self, "do_" + do), step))
            if do != "deliver":
                yield 0 if step.get("nowait") else None
        yield None

    def trace(self) -> dict[str, Any]:
        """All that was observed; nothing more is recorded."""
        if any(not (turn.over or turn.queued) for turn in self.turns):
            self.emit({"e": "timeout"})
        self.recording = False
        error = self.chat.error
        return {
            "name": self.scenario["name"],
            "requests": self.network.requests,
            "events": self.events,
            "final": {
                "messages": wire(self.chat.messages),
                "status": self.chat.status,
                "error": None if error is None else text_of(error),
            },
        }

    # ---------------------------------------------------------------- actions

    def do_sendMessage(self, step: dict[str, Any]) -> AnyTurn:
        return self.chat.send_message(step.get("message"), **options_of(step))

    def do_regenerate(self, step: dict[str, Any]) -> AnyTurn:
        return self.chat.regenerate(step.get("messageId"), **options_of(step))

    def do_resumeStream(self, step: dict[str, Any]) -> AnyTurn:
        return self.chat.resume_stream(**options_of(step))

    def do_stop(self, step: dict[str, Any]) -> None:
        self.chat.stop()

    do_stopAfter = do_stop

    def do_setMessages(self, step: dict[str, Any]) -> None:
        self.chat.set_messages(step["messages"])

    def do_clearError(self, step: dict[str, Any]) -> None:
        self.chat.clear_error()

    def do_addToolOutput(self, step: dict[str, Any]) -> AnyTurn:
        if step.get("state") == "output-error":
            return self.chat.add_tool_output(
                step["toolCallId"], error_text=step["errorText"], **options_of(step)
            )
        return self.chat.add_tool_output(step["toolCallId"], step["output"], **options_of(step))

    def do_addToolApprovalResponse(self, step: dict[str, Any]) -> AnyTurn:
        return self.chat.add_tool_approval_response(
            step["id"], step["approved"], step.get("reason"), **options_of(step)
        )

    def do_removeQueuedMessage(self, step: dict[str, Any]) -> None:
        self.chat.remove_queued_message(step["id"])

    def do_sendQueuedMessageNow(self, step: dict[str, Any]) -> AnyTurn:
        return self.chat.send_queued_message_now(step["id"])


def options_of(step: dict[str, Any]) -> dict[str, Any]:
    """The options of an action, in our names."""
    options = step.get("options") or {}
    names = {"headers": "headers", "body": "body", "metadata": "request_metadata"}
    return {names[key]: value for key, value in options.items()}
