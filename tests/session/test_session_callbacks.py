"""The callbacks of useChat: when they run, what they may do, and what happens where one raises."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from servers import BEGUN, GREETING, PATIENCE, Exchange, assert_usable, chatting, handlers

from usechat import (
    AsyncChatSession,
    CallbackError,
    ChatBusyError,
    DataChunk,
    Finish,
    HTTPStatusError,
    InvalidArgumentError,
    PartUpdated,
    Response,
    SendRequest,
    StatusChanged,
    ToolCall,
    last_assistant_message_is_complete_with_tool_calls,
)
from usechat.testing import ScriptedTransport, text_reply

pytestmark = pytest.mark.anyio

CALL = {"type": "tool-input-available", "toolCallId": "c1", "toolName": "look", "input": {"at": 1}}
DATA = {"type": "data-x", "id": "d1", "data": 1}
END: list[dict[str, Any]] = [{"type": "finish-step"}, {"type": "finish", "finishReason": "stop"}]
WITH_ALL = [*GREETING[:-2], CALL, DATA, *END]


def fail(*_: Any) -> Any:
    raise RuntimeError("oh dear")


async def all_kinds(exchange: Exchange) -> None:
    await exchange.reply(WITH_ALL)


async def error_chunk(exchange: Exchange) -> None:
    await exchange.reply([*BEGUN, {"type": "error", "errorText": "No credit."}])


RAISING = {
    "on_response": "",
    "on_tool_call": "Hello there",
    "on_data": "Hello there",
    "on_finish": "Hello there",
    "send_automatically_when": "Hello there",
    "headers": "",
    "body": "",
    "prepare_send_request": "",
}


@pytest.mark.parametrize("name", RAISING)
async def test_a_callback_that_raises_ends_the_reply(name: str) -> None:
    raising = [True]
    told: list[Exception] = []

    def callback(*arguments: Any) -> Any:
        return fail() if raising else None

    options = {name: callback, "on_error": told.append}
    async with chatting(handlers(all_kinds), **options) as (chat, server):
        turn = await chat.send_message("Hi")
        assert (turn.outcome, turn.text) == ("error", RAISING[name])
        error = turn.error
        assert isinstance(error, CallbackError)
        assert str(error) == f"{name} raised RuntimeError: oh dear"
        assert isinstance(error.__cause__, RuntimeError)
        assert told == [error]
        assert (chat.status, chat.error) == ("error", error)
        with pytest.raises(CallbackError):
            await turn.result()
        raising.clear()
        if name == "send_automatically_when":
            chat.set_messages([])
        await assert_usable(chat)
        assert len(server.exchanges) == (1 if not RAISING[name] and name != "on_response" else 2)


async def test_on_error_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with chatting(handlers(error_chunk), on_error=fail) as (chat, _):
        with caplog.at_level(logging.ERROR, "usechat"):
            turn = await chat.send_message("Hi")
        assert (turn.outcome, turn.text, str(turn.error)) == ("error", "Hello ", "No credit.")
        assert [r.getMessage() for r in caplog.records] == ["on_error raised"]
        assert "oh dear" in caplog.text
        await assert_usable(chat)


async def test_prepare_reconnect_request_that_raises() -> None:
    async with chatting(handlers(), prepare_reconnect_request=fail) as (chat, server):
        turn = await chat.resume_stream()
        assert isinstance(turn.error, CallbackError)
        assert server.exchanges == []
        await assert_usable(chat)


async def test_the_callbacks_run_in_order_with_the_state_as_it_is_then() -> None:
    seen: list[Any] = []
    chat: AsyncChatSession

    def note(name: str) -> Callable[[Any], None]:
        def callback(_: Any) -> None:
            parts = len(chat.messages[-1].parts) if len(chat.messages) > 1 else 0
            seen.append((name, chat.status, parts))

        return callback

    names = ("on_response", "on_data", "on_tool_call", "on_finish", "on_error")
    options = {name: note(name) for name in names}
    async with chatting(handlers(all_kinds, error_chunk), **options) as (chat, _):
        await chat.send_message("Hi")
        assert seen == [
            ("on_response", "submitted", 0),
            ("on_tool_call", "streaming", 3),  # after its part is there
            ("on_data", "streaming", 3),  # before
            ("on_finish", "ready", 4),
        ]
        seen.clear()
        chat.set_messages([])
        await chat.send_message("Hi")
        assert seen == [
            ("on_response", "submitted", 0),
            ("on_error", "streaming", 2),
            ("on_finish", "error", 2),
        ]


async def test_what_the_callbacks_get() -> None:
    got: list[Any] = []
    options = dict.fromkeys(("on_response", "on_data", "on_tool_call", "on_finish"), got.append)
    async with chatting(handlers(all_kinds), **options) as (chat, _):
        turn = await chat.send_message("Hi")
        response, call, data, finish = got
        assert isinstance(response, Response)
        assert response.status_code == 200
        assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert isinstance(call, ToolCall)
        assert (call.tool_name, call.tool_call_id, call.input) == ("look", "c1", {"at": 1})
        assert isinstance(data, DataChunk)
        assert (data.name, data.id, data.data) == ("x", "d1", 1)
        assert finish == Finish(turn.message, chat.messages, False, False, False, "stop")


async def test_on_finish_of_ends_that_are_none() -> None:
    got: list[Finish] = []

    async def broken(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*BEGUN)
        await exchange.close()

    async def hang(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*BEGUN)
        await exchange.left()

    async with chatting(handlers(broken, error_chunk, hang), on_finish=got.append) as (chat, _):
        await chat.send_message("Hi")
        await chat.send_message("Hi")
        async with chat.stream("Hi") as turn:
            async for _ in turn:
                break
        flags = [(f.is_abort, f.is_disconnect, f.is_error, f.finish_reason) for f in got]
        assert flags == [
            (False, True, True, None),
            (False, False, True, None),
            (True, False, False, None),
        ]
        assert [f.message.text for f in got] == ["Hello "] * 3


async def test_on_response_is_told_of_errors_too() -> None:
    got: list[Response] = []

    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(503, b"busy", retry_after="3")

    async with chatting(handlers(refuse), on_response=got.append) as (chat, _):
        turn = await chat.send_message("Hi")
        assert isinstance(turn.error, HTTPStatusError)
        assert [(r.status_code, r.headers.get("retry-after")) for r in got] == [(503, "3")]
        await assert_usable(chat)
        assert [r.status_code for r in got] == [503, 200]


async def test_on_response_that_raises_on_an_error_status() -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(503, b"busy")

    async with chatting(handlers(refuse), on_response=fail) as (chat, _):
        turn = await chat.send_message("Hi")
        assert isinstance(turn.error, CallbackError)


async def test_headers_body_and_hooks_may_be_async() -> None:
    async def headers() -> dict[str, str | None]:
        await anyio.lowlevel.checkpoint()
        return {"X-Token": "t1", "x-none": None}

    async def body() -> dict[str, Any]:
        await anyio.lowlevel.checkpoint()
        return {"model": "m", "kept": 1}

    asked: list[SendRequest] = []

    async def prepare(request: SendRequest) -> Any:
        asked.append(request)
        await anyio.lowlevel.checkpoint()
        return {"api": request.api + "?v=2"}

    options = {"headers": headers, "body": body, "prepare_send_request": prepare}
    async with chatting(handlers(), **options) as (chat, server):
        turn = await chat.send_message(
            "Hi", headers={"x-TOKEN": "t2"}, body={"model": "n"}, request_metadata={"who": "me"}
        )
        assert turn.outcome == "completed"
        (request,) = asked
        assert request.headers == {"x-token": "t2"}
        assert request.body == {"model": "n", "kept": 1}
        assert request.request_metadata == {"who": "me"}
        assert (request.trigger, request.chat_id) == ("submit-message", chat.id)
        assert request.messages == chat.messages[:1]
        (exchange,) = server.exchanges
        assert exchange.path == "/api/chat?v=2"
        assert exchange.headers["x-token"] == "t2"
        assert "x-none" not in exchange.headers
        assert (exchange.json["model"], exchange.json["kept"]) == ("n", 1)
        assert b"who" not in exchange.body


async def test_a_prepared_request_is_sent_as_it_is() -> None:
    def prepare(request: SendRequest) -> Any:
        last = request.messages[-1]
        return {"headers": {"x": "y"}, "body": {"only": last.text, "id": request.chat_id}}

    def reconnect(request: SendRequest) -> Any:
        return {"api": f"{request.api}/running/{request.chat_id}", "headers": {"x": "z"}}

    async def nothing(exchange: Exchange) -> None:
        if exchange.method == "GET":
            await exchange.raw(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            await exchange.reply()

    options: dict[str, Any] = {
        "prepare_send_request": prepare,
        "prepare_reconnect_request": reconnect,
        "headers": {"gone": "1"},
    }
    async with chatting(nothing, id="c-1", **options) as (chat, server):
        await chat.send_message("Hi")
        turn = await chat.resume_stream()
        assert (turn.outcome, turn.message) == ("completed", None)
        post, get = server.exchanges
        assert post.json == {"only": "Hi", "id": "c-1"}
        assert post.headers["x"] == "y"
        assert "gone" not in post.headers
        assert (get.method, get.path, get.headers["x"]) == ("GET", "/api/chat/running/c-1", "z")


async def test_a_turn_awaited_by_what_it_waits_for_raises() -> None:
    raised: list[Exception] = []

    async def headers() -> dict[str, str]:
        for wait in (turn.wait, turn.result, aiter(turn).__anext__, turn.events().__anext__):
            with pytest.raises(ChatBusyError, match="would wait for itself") as caught:
                await wait()
            raised.append(caught.value)
        return {}

    async with chatting(handlers(), headers=headers) as (chat, _):
        turn = chat.send_message("Hi")
        with anyio.fail_after(PATIENCE):
            await turn
        assert turn.outcome == "completed"
        assert len(raised) == 4


async def test_a_session_closed_by_what_its_turn_waits_for() -> None:
    async def headers() -> dict[str, str]:
        await chat.aclose()
        return {}

    async with chatting(handlers(), headers=headers) as (chat, server):
        with anyio.fail_after(PATIENCE):
            turn = await chat.send_message("Hi")
        assert turn.outcome == "stopped"
        assert server.exchanges == []


async def test_a_tool_answered_in_its_callback_goes_on_by_itself() -> None:
    replies = [[*GREETING[:2], CALL, *END], text_reply("It is a fish.", message_id="m1")]
    transport = ScriptedTransport(replies)
    chat = AsyncChatSession(
        transport,
        send_automatically_when=last_assistant_message_is_complete_with_tool_calls,
        on_tool_call=lambda call: chat.add_tool_output(call.tool_call_id, {"seen": "fish"}),
    )
    async with chat:
        turn = await chat.send_message("Look", headers={"x": "1"}, body={"y": 2})
        assert (turn.outcome, turn.text) == ("completed", "It is a fish.")
        assert chat.messages[-1].tool_parts[0].output == {"seen": "fish"}
        assert [r.options.headers for r in transport.requests] == [{"x": "1"}] * 2


@pytest.mark.parametrize("how", ["await", "iterate", "events"])
async def test_a_turn_begun_in_a_callback_is_driven_by_the_driver(how: str) -> None:
    begun: list[Any] = []

    def on_finish(finish: Finish) -> None:
        if len(begun) < 2:
            begun.append(chat.send_message("And?"))

    replies = [text_reply(word, message_id=word) for word in ("one", "two", "three")]
    chat = AsyncChatSession(ScriptedTransport(replies), on_finish=on_finish)
    async with chat:
        turn = chat.send_message("Hi")
        if how == "await":
            await turn
        elif how == "iterate":
            assert [piece async for piece in turn] == ["one"]
        else:
            assert [e async for e in turn.events()]
        assert [t.outcome for t in (turn, *begun)] == ["completed"] * 3
        assert [t.text for t in (turn, *begun)] == ["one", "two", "three"]
        assert chat.status == "ready"


async def test_a_turn_begun_in_an_observer_is_driven_by_the_driver() -> None:
    replies = [text_reply("one", message_id="1"), text_reply("two", message_id="2")]
    async with AsyncChatSession(ScriptedTransport(replies)) as chat:
        begun: list[Any] = []

        def on_status(event: StatusChanged) -> None:
            if event.status == "ready" and not begun:
                begun.append(chat.send_message("And?"))

        chat.on(StatusChanged, on_status)
        await chat.send_message("Hi")
        assert [turn.text for turn in begun] == ["two"]


async def test_stop_in_a_callback_ends_the_turn_there() -> None:
    for name in ("on_response", "on_tool_call", "on_data"):
        options = {name: lambda _: chat.stop()}
        async with chatting(handlers(all_kinds), **options) as (chat, _):
            turn = await chat.send_message("Hi")
            assert (turn.outcome, turn.error, chat.status) == ("stopped", None, "ready")


async def test_an_action_in_a_callback_that_raises_there_is_the_callbacks_error() -> None:
    async with chatting(handlers(all_kinds), on_data=lambda _: chat.regenerate("x")) as (chat, _):
        turn = await chat.send_message("Hi")
        assert isinstance(turn.error, CallbackError)
        assert isinstance(turn.error.__cause__, InvalidArgumentError)


async def test_on_data_sees_a_chunk_before_observers_see_its_part() -> None:
    order: list[str] = []
    twice = [*GREETING[:2], DATA, {**DATA, "data": 2}, *END]
    transport = ScriptedTransport([twice])
    chat = AsyncChatSession(transport, on_data=lambda d: order.append(f"data {d.data}"))
    async with chat:
        chat.on(PartUpdated, lambda _: order.append("part"))
        await chat.send_message("Hi")
        assert order == ["data 1", "data 2", "part"]
