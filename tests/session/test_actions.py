"""The actions of useChat, and what they send."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from servers import (
    BEGUN,
    GREETING,
    PATIENCE,
    Exchange,
    assert_usable,
    chatting,
    gathered,
    handlers,
    hang,
    scripted,
)

from usechat import (
    AsyncChatSession,
    ChatBusyError,
    FilePart,
    InvalidArgumentError,
    TextDelta,
    UIMessage,
    last_assistant_message_is_complete_with_approval_responses,
    last_assistant_message_is_complete_with_tool_calls,
)
from usechat.server import running_demo
from usechat.testing import HANG, ScriptedTransport, text_reply

pytestmark = pytest.mark.anyio


def texts(chat: AsyncChatSession) -> list[str]:
    return [f"{message.role[0]}:{message.text}" for message in chat.messages]


# --------------------------------------------------------------------- input


async def test_submit_sends_the_text_box_and_empties_it() -> None:
    async with scripted(text_reply("Hello there"), input="Hi") as chat:
        turn = chat.submit(headers={"x": "y"})
        assert turn is not None
        assert (chat.input, texts(chat)) == ("", ["u:Hi"])
        chat.input = "Next"
        assert chat.submit() is None  # busy: the text stays
        assert chat.input == "Next"
        await turn
        assert texts(chat) == ["u:Hi", "a:Hello there"]


@pytest.mark.parametrize("text", ["", "  \n\t"])
async def test_nothing_to_submit_is_left_alone(text: str) -> None:
    async with scripted(input=text) as chat:
        assert chat.submit() is None
        assert chat.handle_submit("event", 5) is None
        assert (chat.input, chat.messages, chat.status) == (text, (), "ready")


async def test_submitting_to_a_full_queue_keeps_the_text() -> None:
    async with scripted(HANG, when_busy="queue", queue_limit=1) as chat:
        turns = [chat.send_message("1"), chat.send_message("2")]
        chat.input = "3"
        assert chat.submit() is None
        assert (chat.input, len(chat.queued_messages)) == ("3", 1)
        with pytest.raises(ChatBusyError, match="queue_limit"):
            chat.send_message("3")
        chat.remove_queued_message(chat.queued_messages[0].id)
        third = chat.submit()
        assert third is not None
        assert (chat.input, third.queued) == ("", True)
        await chat.aclose()
        assert [turn.outcome for turn in (*turns, third)] == ["stopped", "dropped", "dropped"]


async def test_handle_submit_is_a_callback() -> None:
    async with scripted(text_reply("Hello there"), input="Hi") as chat:
        turn = chat.handle_submit(SimpleNamespace(widget=None))
        assert turn is not None
        assert (await turn).text == "Hello there"


class Variable:
    def get(self) -> str:
        return "typed"


@pytest.mark.parametrize(
    "event",
    [
        "typed",
        SimpleNamespace(value="typed"),
        SimpleNamespace(target=SimpleNamespace(value="typed")),
        SimpleNamespace(target={"value": "typed"}),
        {"value": "typed"},
        Variable(),
        SimpleNamespace(widget=Variable()),
    ],
)
async def test_the_events_of_text_boxes(event: Any) -> None:
    async with scripted() as chat:
        chat.handle_input_change(event)
        assert chat.input == "typed"


# --------------------------------------------------------------------- files


async def test_files_are_parts_before_the_text(tmp_path: Path) -> None:
    png = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
    (tmp_path / "note.txt").write_text("hi", "utf-8")
    (tmp_path / "picture").write_bytes(png)
    files: list[Any] = [
        tmp_path / "note.txt",
        str(tmp_path / "picture"),
        png,
        bytearray(b"%PDF-1.7"),
        b"whatever",
        "data:text/csv;base64,YSxi",
        "data:,plain",
        "https://example.com/a.jpg?x=1",
        FilePart(url="https://example.com/x", media_type="audio/ogg"),
        {"type": "file", "url": "https://example.com/y", "mediaType": "image/gif"},
    ]
    async with chatting(handlers()) as (chat, server):
        await chat.send_message("See", files=files)
        await chat.send_message(files=b"alone")
        parts = server.exchanges[0].json["messages"][0]["parts"]
        assert parts[-1] == {"type": "text", "text": "See"}
        kinds = [(part["mediaType"], part.get("filename")) for part in parts[:-1]]
        assert kinds == [
            ("text/plain", "note.txt"),
            ("image/png", "picture"),
            ("image/png", None),
            ("application/pdf", None),
            ("application/octet-stream", None),
            ("text/csv", None),
            ("text/plain", None),
            ("image/jpeg", None),
            ("audio/ogg", None),
            ("image/gif", None),
        ]
        assert parts[0]["url"] == "data:text/plain;base64," + base64.b64encode(b"hi").decode()
        assert parts[5]["url"] == files[5]
        (alone,) = server.exchanges[1].json["messages"][-1]["parts"]
        assert alone["url"].endswith(base64.b64encode(b"alone").decode())


async def test_the_forms_of_a_message() -> None:
    part = {"type": "text", "text": "Hi"}
    file = FilePart(url="data:,x", media_type="text/plain")
    forms: list[tuple[Any, dict[str, Any]]] = [
        ("Hi", {}),
        ({"text": "Hi"}, {}),
        ({"text": "Hi", "files": [file], "metadata": {"n": 1}}, {"metadata": {"n": 1}}),
        ({"parts": [part]}, {}),
        ({"parts": [part], "id": "mine", "role": "user"}, {"id": "mine"}),
        ({"parts": [part], "role": "system", "id": "s"}, {"id": "s", "role": "system"}),
        (UIMessage(id="own", role="user", parts=({"type": "text", "text": "Hi"},)), {"id": "own"}),
    ]
    for form, expected in forms:
        async with scripted(text_reply("Yes")) as chat:
            await chat.send_message(form)
            sent = chat.messages[0].model_dump()
            assert sent["parts"][-1] == part
            assert {name: sent[name] for name in expected} == expected
            assert sent["id"]


# ------------------------------------------------------- edits and regenerating


async def test_an_edit_replaces_and_drops_what_follows() -> None:
    replies = [text_reply(word) for word in ("one", "two", "three")]
    async with scripted(*replies) as chat:
        await chat.send_message("1", metadata={"n": 1})
        await chat.send_message("2")
        edited = chat.messages[0].id
        turn = await chat.send_message("1b", message_id=edited)
        assert texts(chat) == ["u:1b", "a:three"]
        assert chat.messages[0].id == edited
        assert turn.text == "three"


async def test_an_edit_ends_the_running_turn() -> None:
    async with chatting(handlers(hang)) as (chat, server):
        first = chat.send_message("1")

        async def edit() -> None:
            with anyio.fail_after(PATIENCE):
                while chat.last_message is None or not chat.last_message.text.startswith("Hello"):
                    await anyio.lowlevel.checkpoint()
            await chat.send_message("1b", message_id=chat.messages[0].id)

        await gathered(first.wait, edit)
        assert (first.outcome, first.text) == ("stopped", "Hello ")
        assert texts(chat) == ["u:1b", "a:Hello there"]
        body = server.exchanges[1].json
        assert (body["trigger"], body["messageId"]) == ("submit-message", chat.messages[0].id)


async def test_regenerate_asks_for_a_reply_again() -> None:
    replies = [text_reply(word) for word in ("one", "two", "three", "four", "five")]
    transport = ScriptedTransport(replies)
    async with AsyncChatSession(transport) as chat:
        with pytest.raises(InvalidArgumentError, match="no message to regenerate"):
            chat.regenerate()
        await chat.send_message("1")
        await chat.send_message("2")
        await chat.regenerate()
        assert texts(chat) == ["u:1", "a:one", "u:2", "a:three"]
        await chat.regenerate(chat.messages[1].id, body={"hot": True})
        assert texts(chat) == ["u:1", "a:four"]
        await chat.regenerate(chat.messages[0].id)
        assert texts(chat) == ["u:1", "a:five"]
        assert [r.trigger for r in transport.requests[2:]] == ["regenerate-message"] * 3
        assert transport.requests[3].options.body == {"hot": True}


async def test_regenerate_is_the_retry_after_an_error() -> None:
    async with scripted([*BEGUN, ConnectionError("x")], text_reply("Hello there")) as chat:
        assert (await chat.send_message("Hi")).outcome == "error"
        assert (chat.status, texts(chat)) == ("error", ["u:Hi", "a:Hello "])
        assert (await chat.regenerate()).text == "Hello there"
        assert (chat.status, chat.error, texts(chat)) == ("ready", None, ["u:Hi", "a:Hello there"])


async def test_sending_nothing_sends_the_history_as_it_is() -> None:
    transport = ScriptedTransport([text_reply("Hello there")])
    history = [{"id": "u", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}]
    async with AsyncChatSession(transport, messages=history) as chat:
        assert (await chat.send_message()).text == "Hello there"
        assert [m.id for m in transport.requests[0].messages] == ["u"]


# ------------------------------------------------------------- the list, clear


async def test_set_messages_with_a_list_or_a_function() -> None:
    async with scripted(text_reply("Hello there")) as chat:
        await chat.send_message("Hi")
        chat.set_messages(lambda messages: messages[:1])
        assert texts(chat) == ["u:Hi"]
        chat.set_messages([*chat.messages, {"id": "x", "role": "system", "parts": []}])
        assert [m.role for m in chat.messages] == ["user", "system"]
        chat.set_messages(())
        assert chat.last_message is None

        def fail(_: Any) -> Any:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            chat.set_messages(fail)


async def test_set_messages_ends_the_running_turn() -> None:
    async with chatting(handlers(hang)) as (chat, server):
        turn = chat.send_message("Hi")
        with chat.on(TextDelta, lambda _: chat.set_messages([])):
            await turn
        assert (turn.outcome, chat.messages, chat.status) == ("stopped", (), "ready")
        await server.all_closed()
        chat.clear()
        await assert_usable(chat)


async def test_clear_begins_a_new_chat() -> None:
    async with scripted(text_reply("Hello there"), when_busy="queue") as chat:
        old = chat.id
        turn, queued = chat.send_message("1"), chat.send_message("2")
        chat.clear()
        assert (turn.outcome, queued.outcome) == ("stopped", "dropped")
        assert (chat.messages, chat.queued_messages, chat.status) == ((), (), "ready")
        assert chat.id != old
        await assert_usable(chat)


async def test_clear_error() -> None:
    async with scripted(ConnectionError("x"), text_reply("Hello there")) as chat:
        chat.clear_error()
        assert chat.status == "ready"
        turn = await chat.send_message("Hi")
        assert chat.error is turn.error is not None
        chat.clear_error()
        assert (chat.status, chat.error) == ("ready", None)
        await assert_usable(chat)


async def test_a_saved_chat_goes_on() -> None:
    async with scripted(text_reply("Hello there")) as chat:
        await chat.send_message("Hi")
        saved = [message.model_dump() for message in chat.messages]
    transport = ScriptedTransport([text_reply("Hello there")])
    async with AsyncChatSession(transport, id=chat.id, messages=saved) as again:
        assert again.messages == chat.messages
        await assert_usable(again)
        assert transport.requests[0].chat_id == chat.id


# ------------------------------------------------------------------- the demo


async def test_tools_and_approvals_of_the_demo() -> None:
    with running_demo(delay=0) as origin:
        async with AsyncChatSession(
            f"{origin}/api/chat",
            send_automatically_when=lambda messages: (
                last_assistant_message_is_complete_with_tool_calls(messages)
                or last_assistant_message_is_complete_with_approval_responses(messages)
            ),
        ) as chat:
            turn = await chat.send_message("time")
            (call,) = turn.pending
            assert (call.tool_name, turn.finish_reason) == ("get_local_time", "tool-calls")
            turn = await chat.add_tool_output(call.tool_call_id, "12:34")
            assert turn.text == "Your clock says 12:34."
            turn = await chat.send_message("time")
            turn = await chat.add_tool_output(turn.pending[0].tool_call_id, error_text="no clock")
            assert turn.text == "get_local_time failed: no clock."
            for approved, says in ((True, "with your approval"), (False, "nothing was deleted")):
                turn = await chat.send_message("approval")
                (call,) = turn.pending
                assert call.approval is not None
                turn = await chat.add_tool_approval_response(call.approval.id, approved, "since")
                assert says in turn.text
                assert turn.pending == ()


async def test_a_running_reply_is_resumed_from_its_begin() -> None:
    with running_demo(delay=0.002) as origin:
        url = f"{origin}/api/chat?resumable=1"
        async with AsyncChatSession(url) as first:
            async for _ in first.send_message("long 60"):
                break
            saved, chat_id = first.messages, first.id
        assert 0 < len(saved[1].text.split()) < 60
        async with AsyncChatSession(url, id=chat_id, messages=saved) as second:
            turn = await second.resume_stream()
            assert turn.outcome == "completed"
            assert len(second.messages[1].text.split()) == 60
            assert second.messages[1].text.startswith(saved[1].text)
            assert len(second.messages) == 2
            nothing = await second.resume_stream()
            assert (nothing.outcome, nothing.message, second.status) == ("completed", None, "ready")
            assert len(second.messages) == 2


async def test_a_broken_connection_is_resumed_in_the_same_session() -> None:
    async def broken(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*BEGUN)
        await exchange.close()

    async def replay(exchange: Exchange) -> None:
        assert (exchange.method, exchange.path) == ("GET", "/api/chat/c%201/stream")
        await exchange.reply(GREETING)

    async with chatting(handlers(broken, replay), id="c 1") as (chat, _):
        turn = await chat.send_message("Hi")
        assert (turn.outcome, turn.text) == ("error", "Hello ")
        turn = await chat.resume_stream()
        assert (turn.outcome, turn.text) == ("completed", "Hello there")
        assert texts(chat) == ["u:Hi", "a:Hello there"]
        await assert_usable(chat)


async def test_a_resume_that_fails_and_one_that_is_stopped() -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(500, b"no")

    async def silent(exchange: Exchange) -> None:
        chat.stop()
        await exchange.left()

    async with chatting(handlers(refuse, silent)) as (chat, server):
        turn = await chat.resume_stream()
        assert (turn.outcome, chat.status) == ("error", "error")
        turn = await chat.resume_stream()
        assert turn.outcome == "stopped"
        await server.all_closed()
        await assert_usable(chat)


async def test_text_and_json_sse_of_the_demo() -> None:
    with running_demo(delay=0) as origin:
        async with AsyncChatSession(f"{origin}/api/chat?protocol=text", protocol="text") as chat:
            turn = await chat.send_message("long 12")
            assert (turn.outcome, len(turn.text.split())) == ("completed", 12)
        own = {"prepare_send_request": lambda r: {"body": {"message": r.messages[-1].text}}}
        async with AsyncChatSession(f"{origin}/api/stream", protocol="json-sse", **own) as chat:
            turn = await chat.send_message("long 12")
            assert (turn.outcome, len(turn.text.split())) == ("completed", 12)
            turn = await chat.send_message("error")
            assert (turn.outcome, bool(turn.text)) == ("error", True)


async def test_the_demo_sees_a_stop() -> None:
    ended: list[tuple[str, str]] = []
    seen = anyio.Event()
    with running_demo(delay=0, on_reply_end=lambda *end: ended.append(end)) as origin:
        async with AsyncChatSession(f"{origin}/api/chat") as chat:
            chat.on(TextDelta, lambda _: seen.set())
            turn = chat.send_message("stall")

            async def stop() -> None:
                await seen.wait()
                chat.stop()

            await gathered(turn.wait, stop)
            assert turn.outcome == "stopped"
            assert turn.text
            chat_id = chat.id
    assert ended == [(chat_id, "stopped")]
