"""The helpers for users' own tests."""

from __future__ import annotations

import doctest
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx
import pytest

import usechat.testing.script
import usechat.testing.server
import usechat.testing.split
import usechat.testing.transport
from usechat import (
    AsyncChatSession,
    ChatRequest,
    ChatTimeoutError,
    ChatTransport,
    ConnectionBrokenError,
    HTTPStatusError,
    InvalidArgumentError,
    RequestOptions,
    UIMessage,
    UseChatError,
)
from usechat.model.chunk_validation import validate_chunk
from usechat.model.chunks import STREAM_DONE
from usechat.testing import (
    CUT,
    HANG,
    RESET,
    FakeReply,
    FakeRequest,
    FakeServer,
    ScriptedTransport,
    byte_by_byte,
    every_split,
    text_reply,
)
from usechat.wire.ui_message_stream import UIMessageStreamDecoder, encode_chunk

HALF = text_reply("Hello there", message_id="m1")[:4]


@pytest.mark.parametrize(
    "module",
    [
        usechat.testing.script,
        usechat.testing.server,
        usechat.testing.split,
        usechat.testing.transport,
    ],
)
def test_the_examples_run(module: Any) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_neither_pytest_nor_the_server_extra_is_imported() -> None:
    code = (
        "import sys, usechat.testing;"
        "print({'pytest', 'starlette', 'uvicorn', 'sse_starlette'} & sys.modules.keys())"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert shown.stdout.strip() == "set()"


# -- cutting -------------------------------------------------------------------------------


def test_every_split_in_two() -> None:
    ways = list(every_split(b"abcd"))
    assert ways == [[b"a", b"bcd"], [b"ab", b"cd"], [b"abc", b"d"]]


def test_every_split_in_three_is_all_of_them() -> None:
    ways = list(every_split(b"abcde", 3))
    assert len(ways) == 6
    assert all(b"".join(way) == b"abcde" and all(way) for way in ways)
    assert len({tuple(way) for way in ways}) == 6


@pytest.mark.parametrize("data", [b"", b"a"])
def test_too_few_bytes_cannot_be_split(data: bytes) -> None:
    assert list(every_split(data)) == []


def test_byte_by_byte() -> None:
    assert byte_by_byte(b"") == []
    assert byte_by_byte(b"ab") == [b"a", b"b"]


# -- text_reply ----------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "a", "  two  words ", "line\n\nline", "wörld 🌍"])
def test_a_text_reply_says_its_text_in_words(text: str) -> None:
    chunks = text_reply(text, message_id="m1", finish_reason="length")
    assert [validate_chunk(chunk) for chunk in chunks] == chunks
    assert chunks[0] == {"type": "start", "messageId": "m1"}
    assert chunks[-1] == {"type": "finish", "finishReason": "length"}
    deltas = [chunk["delta"] for chunk in chunks if chunk["type"] == "text-delta"]
    assert "".join(deltas) == text
    assert len(deltas) == max(len(text.split()), bool(text)) + text.startswith(" ")


def test_a_text_reply_makes_an_id() -> None:
    assert text_reply("a")[0]["messageId"] != text_reply("a")[0]["messageId"]


# -- ScriptedTransport ---------------------------------------------------------------------


def request(trigger: Any = "submit-message") -> ChatRequest:
    return ChatRequest(trigger, "c1", (), None, RequestOptions())


def test_it_is_a_transport() -> None:
    assert isinstance(ScriptedTransport(), ChatTransport)


@pytest.mark.anyio
async def test_reads_are_chunks_or_lists_of_them() -> None:
    reply = text_reply("Hello there", message_id="m1")
    transport = ScriptedTransport([[reply[0], reply[1:3], [], *reply[3:], STREAM_DONE]])
    source = await transport.send_messages(request())
    reads = [read async for read in source]
    assert reads == [[reply[0]], reply[1:3], [], *([c] for c in reply[3:]), [STREAM_DONE]]


@pytest.mark.anyio
async def test_a_session_takes_its_replies_in_order() -> None:
    transport = ScriptedTransport([text_reply("One"), text_reply("Two")])
    async with AsyncChatSession(transport, id="c1") as chat:
        assert (await chat.send_message("a")).text == "One"
        assert (await chat.send_message("b", body={"x": 1})).text == "Two"
    assert [r.trigger for r in transport.requests] == ["submit-message"] * 2
    assert [r.chat_id for r in transport.requests] == ["c1", "c1"]
    assert [m.text for m in transport.requests[1].messages] == ["a", "One", "b"]
    assert transport.requests[1].options.body == {"x": 1}


@pytest.mark.anyio
async def test_an_exception_is_raised_where_it_stands() -> None:
    transport = ScriptedTransport(
        [[*HALF, ConnectionBrokenError("gone")], ChatTimeoutError("late"), [RuntimeError("odd")]]
    )
    async with AsyncChatSession(transport) as chat:
        turn = await chat.send_message("a")
        assert turn.text == "Hello "
        assert isinstance(turn.error, ConnectionBrokenError)
        turn = await chat.send_message("b")
        assert turn.text == ""
        assert isinstance(turn.error, ChatTimeoutError)
        turn = await chat.send_message("c")
        assert isinstance(turn.error.__cause__, RuntimeError)


@pytest.mark.anyio
@pytest.mark.parametrize("script", [[*HALF, HANG], [HANG], HANG])
async def test_silence_until_stopped(script: Any) -> None:
    transport = ScriptedTransport([script, text_reply("Done")])
    async with AsyncChatSession(transport) as chat, anyio.create_task_group() as tasks:
        turn = chat.send_message("a")

        async def stop() -> None:
            await anyio.wait_all_tasks_blocked()
            chat.stop()

        tasks.start_soon(stop)
        await turn
        assert turn.outcome == "stopped"
        assert turn.text == ("Hello " if isinstance(script, list) and len(script) > 1 else "")
        assert (await chat.send_message("b")).text == "Done"


@pytest.mark.anyio
async def test_a_function_answers_the_request() -> None:
    async def later(request: ChatRequest) -> Any:
        return text_reply(request.messages[-1].text.upper())

    transport = ScriptedTransport(
        [lambda request: text_reply(request.messages[-1].text[::-1]), later]
    )
    async with AsyncChatSession(transport) as chat:
        assert (await chat.send_message("abc")).text == "cba"
        assert (await chat.send_message("abc")).text == "ABC"


@pytest.mark.anyio
async def test_a_function_may_fail_and_may_err() -> None:
    transport = ScriptedTransport(
        [lambda _: HTTPStatusError("no", 500, {}, ""), lambda _: [{"type": "tex"}]]
    )
    async with AsyncChatSession(transport) as chat:
        assert isinstance((await chat.send_message("a")).error, HTTPStatusError)
        error = (await chat.send_message("a")).error
        assert isinstance(error, InvalidArgumentError)
        assert "the reply that a function gave, item 0" in str(error)


@pytest.mark.anyio
async def test_no_reply_left_is_told() -> None:
    transport = ScriptedTransport([text_reply("One")])
    async with AsyncChatSession(transport) as chat:
        await chat.send_message("a")
        turn = await chat.send_message("b")
        assert turn.outcome == "error"
        assert type(turn.error) is UseChatError
        assert "nothing left in replies= for request 2 (submit-message)" in str(turn.error)


@pytest.mark.anyio
async def test_resuming() -> None:
    nothing = ScriptedTransport()
    assert await nothing.reconnect_to_stream(request("resume-stream")) is None
    transport = ScriptedTransport(
        resume=[None, [text_reply("Hello", message_id="m1")], lambda _: text_reply("again")]
    )
    asked = UIMessage(id="u1", role="user", parts=[{"type": "text", "text": "Hi"}])
    async with AsyncChatSession(transport, messages=[asked]) as chat:
        await chat.resume_stream()
        assert chat.messages == (asked,)
        assert (await chat.resume_stream()).text == "Hello"
        assert (await chat.resume_stream()).text == "again"
        error = (await chat.resume_stream()).error
        assert "nothing left in resume= for request 4 (resume-stream)" in str(error)
    assert {r.trigger for r in transport.requests} == {"resume-stream"}


@pytest.mark.anyio
async def test_a_closed_reply_gives_no_more() -> None:
    reply = await ScriptedTransport([text_reply("a")]).send_messages(request())
    await reply.aclose()
    assert [read async for read in reply] == []


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ([{"type": "text-delta", "id": "t"}], "reply 2, item 0: this is no chunk"),
        ([[{"type": "start"}, {"typ": "x"}]], "reply 2, item 0: this is no chunk"),
        (["start"], "reply 2, item 0: expected a list of chunks"),
        ({"type": "start"}, "reply 2: expected a list of chunks"),
        ([CUT], "reply 2, item 0: expected a list of chunks"),
        (None, "reply 2: expected a list of chunks"),
    ],
)
def test_a_slip_in_a_script_is_told_at_once(reply: Any, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        ScriptedTransport([[], reply])


def test_a_slip_in_a_resume_is_told_at_once() -> None:
    with pytest.raises(InvalidArgumentError, match="resume 2, item 0"):
        ScriptedTransport(resume=[None, [{"type": "start", "messageId": 1}]])


@pytest.mark.anyio
async def test_the_transports_options_are_the_sessions() -> None:
    transport = ScriptedTransport(
        [HALF, HALF], strict=True, require_finish=False, resume_stream_is_replay=False
    )
    assert transport.strict
    assert not transport.resume_stream_is_replay
    async with AsyncChatSession(transport) as chat:
        assert (await chat.send_message("a")).outcome == "completed"
    async with AsyncChatSession(ScriptedTransport([HALF])) as chat:
        assert (await chat.send_message("a")).outcome == "incomplete"
    await transport.aclose()


# -- FakeServer ----------------------------------------------------------------------------


def client() -> httpx.Client:
    return httpx.Client(timeout=10, trust_env=False)


def test_a_list_of_chunks_is_a_whole_reply() -> None:
    chunks = text_reply("Hello there")
    with FakeServer([chunks]) as server, client() as http:
        answer = http.post(server.url, json={"a": 1})
    assert answer.status_code == 200
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert UIMessageStreamDecoder(True).feed(answer.content) == [*chunks, STREAM_DONE]


def test_requests_are_recorded() -> None:
    with FakeServer([[], [], FakeReply(b"x", headers={})]) as server, client() as http:
        http.post(f"{server.url}/a?x=1", json={"a": "ö"}, headers={"X-Odd": "Yes"})
        http.get(server.url)
        http.put(server.url, content=iter([b"chun", b"ked"]))
    first, second, third = server.requests
    assert (first.method, first.path) == ("POST", "/api/chat/a?x=1")
    assert first.headers["x-odd"] == "Yes"
    assert first.headers["content-type"] == "application/json"
    assert first.json == {"a": "ö"}
    assert (second.method, second.body, second.json) == ("GET", b"", None)
    assert third.body == b"chunked"
    with pytest.raises(ValueError, match="Expecting value"):
        assert third.json


def test_replies_with_a_status_and_headers() -> None:
    replies = [
        FakeReply(b"no such chat", status=404),
        FakeReply([b"pieces ", b"", b"and more"], headers={"content-type": "text/x"}),
        FakeReply(status=204),
        FakeReply(status=302, headers={"location": "/elsewhere"}),
        FakeReply(b"whole", headers={"Content-Length": "5"}),
        FakeReply(b"odd", status=299),
        [],
    ]
    with FakeServer(replies) as server, client() as http:
        answers = [http.post(server.url) for _ in replies]
        assert server.disconnects == 0
    assert [a.status_code for a in answers] == [404, 200, 204, 302, 200, 299, 200]
    texts = ["no such chat", "pieces and more", "", "", "whole", "odd", ""]
    assert [a.text for a in answers] == texts
    assert answers[0].headers["content-type"] == "text/plain; charset=utf-8"
    assert answers[1].headers["content-type"] == "text/x"
    assert answers[3].headers["location"] == "/elsewhere"
    assert "transfer-encoding" not in answers[4].headers
    assert answers[6].headers["content-length"] == "0"


def test_chunks_and_bytes_may_be_mixed() -> None:
    bad = b"data: {oh no\n\n"
    with FakeServer([[HALF[0], bad]]) as server, client() as http:
        assert http.post(server.url).content == encode_chunk(HALF[0]) + bad


def test_a_function_gets_the_request() -> None:
    def echo(request: FakeRequest) -> Any:
        return FakeReply(request.body[::-1])

    def broken(request: FakeRequest) -> Any:
        raise KeyError("oh")

    with FakeServer([echo, broken]) as server, client() as http:
        assert http.post(server.url, content=b"abc").content == b"cba"
        answer = http.post(server.url)
    assert answer.status_code == 500
    assert "raised KeyError('oh')" in answer.text


def test_no_reply_left_is_answered_500() -> None:
    with FakeServer() as server, client() as http:
        answer = http.get(f"{server.url}/c1/stream")
    assert answer.status_code == 500
    assert answer.text == "FakeServer has no reply left for GET /api/chat/c1/stream."


@pytest.mark.parametrize("item", ["text", 7, None])
def test_a_slip_in_a_reply_is_told_at_once(item: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="expected bytes, a chunk, HANG"):
        FakeServer([[item]])


@pytest.mark.parametrize(
    ("script", "error", "came"),
    [
        ([*HALF, CUT], httpx.RemoteProtocolError, 4),
        ([*HALF, RESET], httpx.ReadError, 4),
        (CUT, httpx.RemoteProtocolError, 0),
        (RESET, httpx.ReadError, 0),
    ],
)
def test_a_connection_that_ends_early(script: Any, error: type[Exception], came: int) -> None:
    decoder = UIMessageStreamDecoder()
    chunks = []

    def read(http: httpx.Client, url: str) -> None:
        with http.stream("POST", url) as answer:
            for piece in answer.iter_raw():
                chunks.extend(decoder.feed(piece))

    with FakeServer([script, b""]) as server, client() as http:
        with pytest.raises(error):
            read(http, server.url)
        assert len(chunks) == came
        assert http.post(server.url).status_code == 200
        assert server.disconnects == 0  # it was the server that went


def test_silence_ends_when_the_client_goes() -> None:
    with FakeServer([[*HALF, HANG], HANG]) as server, client() as http:
        with http.stream("POST", server.url) as answer:
            pieces = answer.iter_raw()
            assert b"data: " in next(pieces)
            with pytest.raises(TimeoutError, match="has not disconnected within 0 s"):
                server.wait_disconnect(timeout=0)
        server.wait_disconnect()
        assert server.disconnects == 1
        with pytest.raises(httpx.ReadTimeout):
            http.post(server.url, timeout=httpx.Timeout(10, read=0.05))
        server.wait_disconnect(2)


def test_a_client_that_goes_while_it_is_being_written_to() -> None:
    big = [b"x" * 100_000] * 1000  # more than any socket buffer
    with FakeServer([big]) as server, client() as http:
        with http.stream("POST", server.url) as answer:
            pieces = answer.iter_raw()
            next(pieces)
        server.wait_disconnect()


def test_a_client_that_has_said_goodbye_gets_no_more() -> None:
    big = [b"x" * 100_000] * 1000
    with FakeServer([big]) as server, connected(server) as line:
        line.sendall(b"GET / HTTP/1.1\r\n\r\n")
        line.shutdown(socket.SHUT_WR)
        came = 0
        while piece := line.recv(1_000_000):
            came += len(piece)
        server.wait_disconnect()
    assert came < 100_000_000


def test_a_client_that_says_more_than_it_should_during_silence() -> None:
    with FakeServer([HANG]) as server, connected(server) as line:
        line.sendall(b"GET / HTTP/1.1\r\n\r\n")
        server.wait_request()
        line.sendall(b"more")
        line.shutdown(socket.SHUT_WR)
        server.wait_disconnect()


def connected(server: FakeServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=5)


@pytest.mark.parametrize(
    "sent",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"x" * 3_000_000],
)
def test_what_is_no_http_is_hung_up_on(sent: bytes) -> None:
    with FakeServer() as server, connected(server) as line:
        try:
            line.sendall(sent)
            assert line.recv(10) == b""
        except ConnectionError:
            pass  # what was not read makes the close a reset
        assert server.requests == []


def test_waiting_for_a_request() -> None:
    with FakeServer([[], []]) as server, client() as http:
        with pytest.raises(TimeoutError, match="request 1 has not come within 0 s"):
            server.wait_request(timeout=0)
        poster = threading.Thread(target=lambda: [http.post(server.url, content=b) for b in "ab"])
        poster.start()
        assert server.wait_request(2).body == b"b"
        poster.join()


@pytest.mark.anyio
async def test_a_session_over_the_wire() -> None:
    with FakeServer([text_reply("Hello there"), [*HALF, HANG]]) as server:
        async with AsyncChatSession(server.url) as chat:
            assert (await chat.send_message("Hi")).text == "Hello there"
            async with chat.stream("Again") as turn:
                assert await anext(aiter(turn)) == "Hello "
            assert turn.outcome == "stopped"
            await anyio.to_thread.run_sync(server.wait_disconnect)
    assert [r.json["messages"][-1]["parts"][0]["text"] for r in server.requests] == ["Hi", "Again"]


def test_many_connections_at_once_and_a_prompt_end() -> None:
    def open_some(server: FakeServer, stack: list[Callable[[], Any]]) -> None:
        for _ in range(20):
            line = connected(server)
            stack.append(line.close)
            line.sendall(b"POST /api/chat HTTP/1.1\r\n\r\n")

    lines: list[Callable[[], Any]] = []
    with FakeServer([HANG] * 20) as server:
        open_some(server, lines)
        lines.append(connected(server).close)
        server.wait_request(20)
    assert not server._thread.is_alive()
    assert not any(thread.name == "FakeServer" for thread in threading.enumerate())
    assert server.disconnects == 0
    for close in lines:
        close()
