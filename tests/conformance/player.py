"""Plays one scenario: its steps, the ticks between them, and what is recorded."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import httpx
from network import Network

from usechat import (
    AsyncChatSession,
    AsyncTurn,
    CallbackError,
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
    QueuePausedError,
    ReasoningDelta,
    ServerError,
    StatusChanged,
    StreamProtocolError,
    TextDelta,
    ToolInputDelta,
    TransportError,
    UseChatError,
    last_assistant_message_is_complete_with_approval_responses,
    last_assistant_message_is_complete_with_tool_calls,
)
from usechat.model.json import dumps

CHECKPOINTS = 12  # after each item: enough for the chat to have nothing more to do
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
    """

    def __init__(self, scenario: dict[str, Any], network: Network) -> None:
        self.scenario = scenario
        self.network = network
        self.events: list[dict[str, Any]] = []
        self.answers = scenario.get("onToolCall", {})
        self.waiting: dict[int, AsyncTurn] = {}
        self.recording = True
        self.changed = False

    def emit(self, event: dict[str, Any]) -> None:
        if self.recording:
            self.events.append(event)

    def session(self) -> AsyncChatSession:
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
        chat = AsyncChatSession(
            init.get("api", "/api/chat"),
            base_url="http://player",
            client=httpx.AsyncClient(transport=self.network),
            id=init.get("id"),
            messages=init.get("messages", []),
            generate_id=lambda: f"id-{next(ids)}",
            send_automatically_when=PREDICATES.get(init.get("sendAutomaticallyWhen", "")),
            when_busy="queue" if init.get("queue") else "reject",
            protocol=init.get("protocol", "ui"),
            strict=True,
            throttle=None,
            on_error=lambda error: self.emit({"e": "onError", "v": text_of(error)}),
            on_finish=self.on_finish,
            on_data=lambda data: self.emit({"e": "data", "v": wire(data)}),
            on_tool_call=self.on_tool_call,
            **options,
        )
        self.shown = chat.messages
        for kind in MESSAGE_EVENTS:
            chat.on(kind, self.on_message_event)
        chat.subscribe(self.on_flush)
        chat.on(StatusChanged, lambda e: self.emit({"e": "status", "v": e.status}))
        chat.on(ErrorChanged, self.on_error_changed)
        chat.on(QueueChanged, lambda e: self.emit({"e": "queue", "v": wire(e.messages)}))
        return chat

    def on_message_event(self, event: Event) -> None:
        self.changed = True

    def on_flush(self, chat: AsyncChatSession) -> None:
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

    def act(self, action: Callable[[], AsyncTurn | None]) -> None:
        """Do something; a turn that comes of it is awaited in a task of its own."""
        try:
            turn = action()
        except UseChatError as error:
            self.emit({"e": "throw", "v": {"name": kind_of(error), "message": str(error)}})
            return
        if turn is not None:
            self.waiting[id(turn)] = turn
            self.tasks.start_soon(self.wait_for, turn)

    async def wait_for(self, turn: AsyncTurn) -> None:
        try:
            await turn
        except QueuePausedError:
            return
        self.waiting.pop(id(turn), None)

    async def settle(self) -> None:
        for _ in range(CHECKPOINTS):
            await anyio.lowlevel.checkpoint()

    async def idle(self) -> None:
        await self.settle()
        while self.network.tick():
            await self.settle()

    async def deliver(self, count: int) -> None:
        await self.settle()
        for _ in range(count):
            if not self.network.tick():
                break
            await self.settle()

    async def step(self, step: dict[str, Any]) -> None:
        do = step["do"]
        if do == "deliver":
            await self.deliver(step["n"])
            return
        if do == "stopAfter":
            await self.deliver(step["n"])
        if do != "wait":
            self.act(lambda: getattr(self, "do_" + do)(step))
        await (self.settle() if step.get("nowait") else self.idle())

    async def play(self) -> dict[str, Any]:
        async with self.session() as self.chat, anyio.create_task_group() as self.tasks:
            for step in self.scenario.get("steps", []):
                await self.step(step)
            await self.idle()
            if any(not (turn.over or turn.queued) for turn in self.waiting.values()):
                self.emit({"e": "timeout"})
            error = self.chat.error
            trace = {
                "name": self.scenario["name"],
                "requests": self.network.requests,
                "events": self.events,
                "final": {
                    "messages": wire(self.chat.messages),
                    "status": self.chat.status,
                    "error": None if error is None else text_of(error),
                },
            }
            self.recording = False
            self.chat.stop()
            self.tasks.cancel_scope.cancel()
        return trace

    # ---------------------------------------------------------------- actions

    def do_sendMessage(self, step: dict[str, Any]) -> AsyncTurn:
        return self.chat.send_message(step.get("message"), **options_of(step))

    def do_regenerate(self, step: dict[str, Any]) -> AsyncTurn:
        return self.chat.regenerate(step.get("messageId"), **options_of(step))

    def do_resumeStream(self, step: dict[str, Any]) -> AsyncTurn:
        return self.chat.resume_stream(**options_of(step))

    def do_stop(self, step: dict[str, Any]) -> None:
        self.chat.stop()

    do_stopAfter = do_stop

    def do_setMessages(self, step: dict[str, Any]) -> None:
        self.chat.set_messages(step["messages"])

    def do_clearError(self, step: dict[str, Any]) -> None:
        self.chat.clear_error()

    def do_addToolOutput(self, step: dict[str, Any]) -> AsyncTurn:
        if step.get("state") == "output-error":
            return self.chat.add_tool_output(
                step["toolCallId"], error_text=step["errorText"], **options_of(step)
            )
        return self.chat.add_tool_output(step["toolCallId"], step["output"], **options_of(step))

    def do_addToolApprovalResponse(self, step: dict[str, Any]) -> AsyncTurn:
        return self.chat.add_tool_approval_response(
            step["id"], step["approved"], step.get("reason"), **options_of(step)
        )

    def do_removeQueuedMessage(self, step: dict[str, Any]) -> None:
        self.chat.remove_queued_message(step["id"])

    def do_sendQueuedMessageNow(self, step: dict[str, Any]) -> AsyncTurn:
        return self.chat.send_queued_message_now(step["id"])


def options_of(step: dict[str, Any]) -> dict[str, Any]:
    """The options of an action, in our names."""
    options = step.get("options") or {}
    names = {"headers": "headers", "body": "body", "metadata": "request_metadata"}
    return {names[key]: value for key, value in options.items()}
