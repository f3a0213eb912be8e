"""What users get wrong: an error that says what to do, before anything has changed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from servers import Exchange, assert_usable, chatting, handlers, scripted

from usechat import (
    AsyncChatSession,
    AsyncTurn,
    CallbackError,
    ChatBusyError,
    HttpTransport,
    InvalidArgumentError,
    TextDelta,
    UIMessage,
)
from usechat.testing import ScriptedTransport, text_reply

pytestmark = pytest.mark.anyio

OBJECT: Any = object()
DEEP: list[Any] = []
for _ in range(10_000):
    DEEP = [DEEP]
ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


Act = Callable[[AsyncChatSession], object]

REFUSED: dict[str, tuple[Act, str]] = {
    "no message": (lambda chat: chat.send_message(5), "text, a UIMessage, a mapping"),  # type: ignore[arg-type]
    "no role": (lambda chat: chat.send_message({"parts": [], "role": "robot"}), "role"),
    "metadata alone": (lambda chat: chat.send_message(metadata={"x": 1}), "need a message"),
    "unserialisable metadata": (
        lambda chat: chat.send_message("x", metadata=OBJECT),
        "Give values of str, int",
    ),
    "deep metadata": (lambda chat: chat.send_message("x", metadata=DEEP), "Give values of str"),
    "endless metadata": (lambda chat: chat.send_message("x", metadata=ENDLESS), "Give values of"),
    "an unserialisable part": (
        lambda chat: chat.send_message({"parts": [{"type": "data-x", "data": OBJECT}]}),
        "Give values of str, int",
    ),
    "an unserialisable message": (
        lambda chat: chat.send_message(UIMessage(id="x", role="user", metadata=OBJECT)),
        "Give values of str, int",
    ),
    "no such file": (lambda chat: chat.send_message("x", files="/no/such"), "cannot be read"),
    "no file": (lambda chat: chat.send_message("x", files=[5]), "path, a URL or bytes"),  # type: ignore[list-item]
    "no file part": (lambda chat: chat.send_message(files={"type": "text"}), "no file part"),
    "an unknown message to edit": (
        lambda chat: chat.send_message("x", message_id="nobody"),
        'no message "nobody"',
    ),
    "a reply to edit": (lambda chat: chat.send_message("x", message_id="a1"), "not the user's"),
    "an unknown message to regenerate": (
        lambda chat: chat.regenerate("nobody"),
        'no message "nobody"',
    ),
    "no output": (lambda chat: chat.add_tool_output("c1"), "either the output"),
    "output and error": (
        lambda chat: chat.add_tool_output("c1", 1, error_text="x"),
        "either the output",
    ),
    "an unserialisable output": (
        lambda chat: chat.add_tool_output("c1", {"x": OBJECT}),
        "Give values of str, int",
    ),
    "no messages": (lambda chat: chat.set_messages([{"role": "user"}]), "id"),
    "no text": (lambda chat: chat.handle_input_change(5), "text of the input"),
    "no event type": (lambda chat: chat.on(str, print), "no event type"),  # type: ignore[type-var]
    "no observer": (lambda chat: chat.subscribe(5), "expected a function"),  # type: ignore[arg-type]
}

HISTORY = [
    {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Look"}]},
    {
        "id": "a1",
        "role": "assistant",
        "parts": [
            {"type": "tool-look", "toolCallId": "c1", "state": "input-available", "input": {}}
        ],
    },
]


@pytest.mark.parametrize("name", REFUSED)
async def test_misuse_is_refused_before_any_change(name: str) -> None:
    act, says = REFUSED[name]
    async with scripted(text_reply("Hello there"), messages=HISTORY, input="typed") as chat:
        before = (chat.messages, chat.status, chat.error, chat.input)
        with pytest.raises(InvalidArgumentError, match=says):
            act(chat)
        assert (chat.messages, chat.status, chat.error, chat.input) == before
        await assert_usable(chat)


async def test_an_argument_that_is_none_is_a_type_error() -> None:
    async with scripted() as chat:
        with pytest.raises(TypeError, match="unexpected keyword argument: heders"):
            chat.send_message("x", heders={})  # type: ignore[call-arg]
        chat.input = "typed"
        with pytest.raises(TypeError, match="heders"):
            chat.submit(heders={})  # type: ignore[call-arg]
        assert chat.input == "typed"
        assert chat.messages == ()


NOTHING: dict[str, Callable[[AsyncChatSession], AsyncTurn | None]] = {
    "an unknown call": lambda chat: chat.add_tool_output("nobody", 1),
    "an unknown approval": lambda chat: chat.add_tool_approval_response("nobody", True),
    "an unknown queued message": lambda chat: chat.send_queued_message_now("nobody"),
    "an unknown queued message to drop": lambda chat: chat.remove_queued_message("nobody"),  # type: ignore[func-returns-value]
}


@pytest.mark.parametrize("name", NOTHING)
async def test_an_unknown_id_changes_nothing(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async with scripted(text_reply("Hello there"), messages=HISTORY) as chat:
        before = chat.messages
        with caplog.at_level(logging.WARNING, "usechat"):
            turn = NOTHING[name](chat)
        if turn is not None:
            assert turn.over
            assert (await turn).outcome == "completed"
        assert len(caplog.records) == (1 if "queued" not in name else 0)
        assert chat.messages == before
        await assert_usable(chat)


REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "an unserialisable body": ({"body": {"x": OBJECT}}, "Give values of str, int"),
    "a deep body": ({"body": {"x": DEEP}}, "Give values of str"),
    "no body": ({"body": [("x", 1)]}, "body: expected a mapping"),
    "a header of half a character": ({"headers": {"x": "\ud83d"}}, "request cannot be made"),
    "a header of two lines": ({"headers": {"x": "a\r\nb: c"}}, "cannot be sent"),
    "a header's name": ({"headers": {"a b": "c"}}, "cannot be sent"),
    "a number as a header": ({"headers": {"x": 1}}, "request cannot be made"),
    "no headers": ({"headers": [("x", "y")]}, "headers: expected a mapping"),
    "no names": ({"headers": {1: "y"}}, "names that are text"),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_that_cannot_be_made_ends_its_turn(name: str) -> None:
    arguments, says = REQUESTS[name]
    async with chatting(handlers()) as (chat, server):
        turn = await chat.send_message("Hi", **arguments)
        assert turn.outcome == "error"
        with pytest.raises(InvalidArgumentError, match=says):
            await turn.result()
        assert server.exchanges == []
        await assert_usable(chat)
        assert [m.text for m in chat.messages] == ["Hi", "Again", "Hello there"]


PREPARED: dict[str, tuple[Any, str]] = {
    "a relative URL": ({"api": "/x"}, "not a whole URL"),
    "no URL": ({"api": "http://[::1"}, "is no URL"),
    "another scheme": ({"api": "ftp://x/y"}, "begins with http"),
    "an unserialisable body": ({"body": OBJECT}, "Give values of str, int"),
    "no mapping": (["api"], "prepare_send_request: expected a mapping"),
}


@pytest.mark.parametrize("name", PREPARED)
async def test_a_prepared_request_that_cannot_be_made(name: str) -> None:
    prepared: list[Any] = [PREPARED[name][0]]
    hook: Any = lambda request: prepared.pop() if prepared else None  # noqa: E731
    async with chatting(handlers(), prepare_send_request=hook) as (chat, server):
        turn = await chat.send_message("Hi")
        with pytest.raises(InvalidArgumentError, match=PREPARED[name][1]):
            await turn.result()
        assert server.exchanges == []
        await assert_usable(chat)


async def test_half_characters_are_sent_as_javascript_sends_them() -> None:
    half = "a\ud83db"
    async with chatting(handlers()) as (chat, server):
        turn = await chat.send_message(half, metadata={half: half}, body={"x": half})
        assert turn.outcome == "completed"
        body = server.exchanges[0].body
        assert b"a\\ud83db" in body
        sent = json.loads(body)
        assert sent["messages"][0]["parts"] == [{"type": "text", "text": half}]
        assert sent["messages"][0]["metadata"] == {half: half}
        assert sent["x"] == half
        assert chat.messages[0].text == "a\ufffdb"
        await assert_usable(chat)


async def test_numbers_that_json_lacks_are_null() -> None:
    async with chatting(handlers()) as (chat, server):
        await chat.send_message("Hi", body={"x": float("nan"), "y": float("inf")})
        assert server.exchanges[0].json["x"] is server.exchanges[0].json["y"] is None


def test_constructor_arguments_are_checked() -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"api": "chat"}, "not a whole URL"),
        ({"api": "/api/chat"}, "or base_url="),
        ({"api": "ftp://x/api"}, "begins with http"),
        ({"api": "http://[::1"}, "is no URL"),
        ({"api": 5}, "got int"),
        ({"api": "http://x", "when_busy": "wait"}, "expected 'reject', 'queue' or 'interrupt'"),
        ({"api": "http://x", "protocol": "xml"}, "expected 'auto', 'ui', 'data-stream', 'text'"),
        ({"api": "http://x", "request_format": "v4"}, "expected 'ui' or 'data-stream'"),
        ({"api": "http://x", "history": "first"}, "history='first': expected 'all' or 'last'"),
        ({"api": "http://x", "reconnect": 3}, "reconnect=3: expected a bool or a Reconnect"),
        ({"api": "http://x", "colour": "red"}, "no option colour"),
        ({"api": ScriptedTransport(), "headers": {}}, "say this to the transport"),
        ({"api": "http://x", "messages": [{"id": 5}]}, "no message"),
        ({"api": "http://x", "on_finish": 5}, "on_finish: expected a function"),
        ({"api": HttpTransport}, "got the class HttpTransport"),
        ({"api": "http://x", "generate_id": 5}, "generate_id: expected a function"),
        ({"api": "http://x", "throttle": -1}, "throttle=-1: expected seconds"),
        ({"api": "http://x", "throttle": float("nan")}, "throttle=nan: expected seconds"),
        ({"api": "http://x", "id": 5}, "id=5: expected text"),
        ({"api": "http://x", "input": None}, "input=None: expected text"),
        ({"api": "http://x", "max_steps": 0}, "max_steps=0: expected a number"),
        ({"api": "http://x", "queue_limit": True}, "queue_limit=True: expected a number"),
        ({"api": "http://x", "messages": None}, "Expected a list of messages"),
        ({"api": "http://x", "timeout": "x"}, "timeout='x': expected seconds"),
        ({"api": "http://x", "timeout": -1}, "timeout=-1: expected more than 0"),
        ({"api": "http://x", "max_event_size": "a"}, "max_event_size='a'"),
        ({"api": "http://x", "client": httpx.Client}, "client: expected an httpx.AsyncClient"),
        ({"api": "http://x", "headers": ["a"]}, "headers: expected a mapping"),
        ({"api": "http://x", "prepare_send_request": 5}, "expected a function, got int"),
    ]
    for arguments, says in wrong:
        with pytest.raises(InvalidArgumentError, match=says):
            AsyncChatSession(**arguments)


async def test_an_async_callback_is_refused() -> None:
    async def later(_: Any) -> None: ...

    class Later:
        async def __call__(self, _: Any) -> None: ...

    for name in ("on_finish", "on_error", "on_data", "on_tool_call", "on_response"):
        for function in (later, Later()):
            with pytest.raises(InvalidArgumentError, match=f"{name} is called by the chat"):
                AsyncChatSession("http://x", **{name: function})
    async with scripted(text_reply("Hello there")) as chat:
        with pytest.raises(InvalidArgumentError, match="give a plain function"):
            chat.subscribe(later)
        with pytest.raises(InvalidArgumentError, match="An observer of TextDelta"):
            chat.on(TextDelta, later)
    # One that hides its coroutine is found when it is called.
    async with scripted(text_reply("x"), on_finish=lambda finish: later(finish)) as chat:
        turn = await chat.send_message("Hi")
        assert isinstance(turn.error, CallbackError)
        assert "on_finish is async: give a plain function" in str(turn.error)


async def test_a_busy_chat_refuses_and_goes_on() -> None:
    async with scripted(text_reply("Hello there")) as chat:
        turn = chat.send_message("Hi")
        with pytest.raises(ChatBusyError, match="Wait for it, stop it, or say when_busy="):
            chat.send_message("Again")
        with pytest.raises(ChatBusyError, match="wait for the turn, or stop it first"):
            chat.send_message(None)
        chat.input = "typed"
        assert chat.submit() is None
        assert chat.input == "typed"
        assert (await turn).text == "Hello there"


async def test_a_closed_client_is_told() -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError("closed")

    client = httpx.AsyncClient(transport=httpx.MockTransport(never))
    await client.aclose()
    async with AsyncChatSession("http://x/api", client=client) as chat:
        turn = await chat.send_message("Hi")
        assert isinstance(turn.error, InvalidArgumentError)
        assert "has been closed" in str(turn.error)


async def test_no_secret_is_in_a_repr_a_log_or_a_message(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(500)

    secret = "s3cr3t"
    async with chatting(handlers(refuse)) as (chat, server):
        url = server.url.replace("http://", f"http://ann:{secret}@") + f"?key={secret}"
        own = AsyncChatSession(url, headers={"x-token": secret}, body={"key": secret})
        async with own:
            with caplog.at_level(logging.DEBUG, "usechat"):
                turn = await own.send_message("Hi", headers={"x-key": secret})
            shown = [repr(own), repr(HttpTransport(url)), repr(turn), str(turn.error)]
            assert secret not in " ".join([*shown, repr(turn.error), caplog.text])
            assert turn.outcome == "error"
        assert chat.messages == ()
        assert server.exchanges[0].headers["x-token"] == secret
