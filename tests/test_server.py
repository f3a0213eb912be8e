"""The demo endpoint, over real sockets and as an app object."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from typing import Any

import anyio
import httpx
import pytest

import usechat.server
from usechat import ChatSession
from usechat.errors import UseChatError
from usechat.server import create_app, requests, running, running_demo
from usechat.server.extras import extras_needed
from usechat.server.running import RunningReplies, RunningReply
from usechat.wire.data_stream import DataStreamDecoder

Chunk = dict[str, Any]


def history(text: str, **more: Any) -> Chunk:
    message = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": text}]}
    return {"messages": [message], "id": "chat-1", **more}


def events(body: str) -> list[Any]:
    """The events of a body: JSON, and the bare word of the last one."""
    assert body.endswith("\n\n")
    data = [event.removeprefix("data: ") for event in body[:-2].split("\n\n")]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


def said(chunks: list[Any]) -> str:
    return "".join(chunk["delta"] for chunk in chunks if chunk["type"] == "text-delta")


class Served:
    """A demo under uvicorn and a client for it."""

    def __init__(self, url: str, client: httpx.Client, ended: queue.Queue[tuple[str, str]]) -> None:
        self.url = url
        self.client = client
        self._ended = ended

    def next_end(self) -> tuple[str, str]:
        return self._ended.get(timeout=10)

    @property
    def none_ended(self) -> bool:
        return self._ended.empty()

    def chat(self, text: str, query: str = "", **more: Any) -> Any:
        return self.client.stream("POST", f"/api/chat{query}", json=history(text, **more))

    def follow(self, chat_id: str = "chat-1") -> Any:
        return self.client.stream("GET", f"/api/chat/{chat_id}/stream")


def served_with(delay: float) -> Iterator[Served]:
    ended: queue.Queue[tuple[str, str]] = queue.Queue()
    with (
        running_demo(delay=delay, on_reply_end=lambda *end: ended.put(end)) as url,
        httpx.Client(base_url=url, timeout=10, trust_env=False) as client,
    ):
        yield Served(url, client, ended)


@pytest.fixture(scope="module")
def quick() -> Iterator[Served]:
    yield from served_with(0)


@pytest.fixture
def served(quick: Served) -> Iterator[Served]:
    yield quick
    assert list(quick._ended.queue) == [], "each test takes the ends of its replies"


@pytest.fixture
def slow() -> Iterator[Served]:
    yield from served_with(0.002)


def read_until(response: httpx.Response, word: str) -> tuple[str, Iterator[bytes]]:
    """Read up to a word; gives what came and the rest."""
    pieces = response.iter_raw()
    response.extensions["pieces"] = pieces  # httpx closes the stream when this is collected
    came = b""
    while word.encode() not in came:
        came += next(pieces)
    return came.decode(), pieces


STALLED = '"me "}\n\n'  # the last word of a stalling reply


# -- replies -------------------------------------------------------------------------------


def test_a_reply_is_a_ui_message_stream(served: Served) -> None:
    answer = served.client.post("/api/chat", json=history("weather in Rome"))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    *chunks, done = events(answer.text)
    assert done == "[DONE]"
    assert [chunks[0]["type"], chunks[-1]["type"]] == ["start", "finish"]
    assert "Rome" in said(chunks)
    assert served.next_end() == ("chat-1", "finished")


def test_a_reply_as_plain_text_has_only_the_text(served: Served) -> None:
    answer = served.client.post("/api/chat?protocol=text", json=history("weather in Rome"))
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith("I look up the weather in Rome.\n\nIt is ")
    served.next_end()


def test_a_reply_as_a_data_stream_is_read_by_its_decoder(served: Served) -> None:
    query = "?protocol=data-stream"
    answer = served.client.post(f"/api/chat{query}", json=history("weather in Rome"))
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-vercel-ai-data-stream"] == "v1"
    first, second = (
        DataStreamDecoder().feed(served.client.post(f"/api/chat{query}", json=asked).content)
        for asked in (history("weather in Rome"), history("weather in Rome", id="chat-2"))
    )
    assert said(first) == said(second)
    assert "Rome" in said(first)
    assert [first[0]["type"], first[-1]["type"]] == ["start", "finish"]
    assert first[0]["messageId"] != second[0]["messageId"]
    assert [served.next_end()[1] for _ in range(3)] == ["finished"] * 3


def test_a_client_tool_is_answered_over_the_data_stream(served: Served) -> None:
    url = f"{served.url}/api/chat?protocol=data-stream"
    with ChatSession(url, id="chat-1", protocol="data-stream") as chat:
        turn = chat.send_message("What time is it?").wait(10)
        (call,) = turn.pending
        asked = chat.last_message
        chat.add_tool_output(call.tool_call_id, "12:34")
        answer = chat.send_message(None).wait(10)
        assert answer.text == "Your clock says 12:34."
        assert asked is not None
        assert chat.last_message is not None
        assert chat.last_message.id == asked.id
        assert len(chat.messages) == 2
        chat.send_message("Look at this", files=[b"x"]).wait(10)
        assert "1 file came with it" in chat.last_message.text
    assert [served.next_end()[1] for _ in range(3)] == ["finished"] * 3


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "weather in Rome"},
        {"role": "user", "parts": [None, {"type": "text", "text": "weather in Rome"}]},
        {
            "role": "user",
            "content": "",
            "parts": [{"type": "text", "text": "weather in Rome"}],
            "experimental_attachments": [1, {"url": 1}],
        },
        {"role": "user", "content": "weather in Rome", "experimental_attachments": 1},
    ],
)
def test_messages_of_version_4_are_read(served: Served, message: Chunk) -> None:
    body = {"messages": [message], "id": "chat-1"}
    answer = served.client.post("/api/chat?protocol=data-stream", json=body)
    assert "Rome" in said(DataStreamDecoder().feed(answer.content))
    served.next_end()


def test_a_data_stream_that_is_stopped_says_that_it_is_over(served: Served) -> None:
    with served.chat("stall", "?protocol=data-stream&resumable=1") as first:
        came, rest = read_until(first, "stop ")
        served.client.post("/api/chat", json=history("Hi"))
        body = came.encode() + b"".join(rest)
    types = [chunk["type"] for chunk in DataStreamDecoder().feed(body)]
    assert types[-3:] == ["text-end", "finish-step", "finish"]
    assert {served.next_end()[1], served.next_end()[1]} == {"stopped", "finished"}


@pytest.mark.parametrize(
    "path",
    [
        "/api/chat",
        "/api/chat?protocol=text",
        "/api/chat?protocol=data-stream",
        "/api/stream",
    ],
)
def test_odd_characters_and_lone_surrogates_pass(served: Served, path: str) -> None:
    text = "odd" if path != "/api/stream" else "emoji"
    odd = served.client.post(path, json={"message": text, **history(text)})
    assert "👩‍👩‍👧‍👦" in odd.text
    assert "\u2028" in odd.text
    body = json.dumps({"message": "half \ud83d", **history("half \ud83d")})
    half = served.client.post(path, content=body)
    assert half.status_code == 200
    assert ("\\ud83d" in half.text) == ("protocol=text" not in path)
    assert [served.next_end()[1] for _ in range(2)] == ["finished"] * 2


def test_an_error_in_mid_text_is_a_chunk(served: Served) -> None:
    chunks = events(served.client.post("/api/chat", json=history("error")).text)
    assert [chunk["errorText"] for chunk in chunks[:-1] if chunk["type"] == "error"]
    served.next_end()


def test_a_chat_without_an_id_is_answered(served: Served) -> None:
    body = history("Hi")
    del body["id"]
    assert "finish" in served.client.post("/api/chat", json=body).text
    chat_id, outcome = served.next_end()
    assert chat_id
    assert outcome == "finished"


# -- the simple stream ---------------------------------------------------------------------


def test_the_simple_stream_gives_the_text_and_done(served: Served) -> None:
    answer = served.client.post("/api/stream", json={"message": "weather in Rome"})
    assert answer.headers["content-type"] == "text/event-stream"
    *texts, done = events(answer.text)
    assert done == "[DONE]"
    assert "".join(event["text"] for event in texts).startswith(
        "I look up the weather in Rome.\n\nIt is "
    )
    assert served.next_end() == ("", "finished")


def test_an_error_ends_the_simple_stream_without_done(served: Served) -> None:
    *texts, last = events(served.client.post("/api/stream", json={"message": "error"}).text)
    assert texts
    assert last == {"error": "The demo failed, as you asked."}
    served.next_end()


def test_the_simple_stream_is_stopped_by_a_disconnect(served: Served) -> None:
    with served.client.stream("POST", "/api/stream", json={"message": "stall"}) as response:
        read_until(response, "stop ")
        assert served.none_ended
    assert served.next_end() == ("", "stopped")


# -- stop and resume -----------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?protocol=text", "?protocol=data-stream"])
def test_a_disconnect_stops_the_reply(served: Served, query: str) -> None:
    with served.chat("stall", query) as response:
        read_until(response, "me ")
        assert served.none_ended
    assert served.next_end() == ("chat-1", "stopped")
    assert served.client.get("/api/chat/chat-1/stream").status_code == 204


def test_nothing_to_resume_is_204(served: Served) -> None:
    answer = served.client.get("/api/chat/no%2Fsuch/stream")
    assert answer.status_code == 204
    assert answer.content == b""


@pytest.mark.parametrize("chat_id", ["chat-1", "a/b ?#é"])
def test_a_resume_replays_from_the_start(served: Served, chat_id: str) -> None:
    with served.chat("stall", id=chat_id) as first:
        original, _ = read_until(first, STALLED)
        encoded = "".join(f"%{byte:02X}" for byte in chat_id.encode())
        with served.follow(encoded) as second:
            assert second.headers["x-vercel-ai-ui-message-stream"] == "v1"
            replay, _ = read_until(second, STALLED)
        assert replay == original
        assert served.none_ended  # the first reader is still there
    assert served.next_end() == (chat_id, "stopped")


@pytest.mark.parametrize("path", ["/api/chat?chatId=chat-1&", "/api/chat/chat-1/stream?"])
def test_a_resume_is_in_the_protocol_that_is_asked_for(served: Served, path: str) -> None:
    with served.chat("stall", "?protocol=data-stream") as first:
        original, _ = read_until(first, '"me "\n')
        with served.client.stream("GET", f"{path}protocol=data-stream") as second:
            assert second.headers["x-vercel-ai-data-stream"] == "v1"
            replay, _ = read_until(second, '"me "\n')
        assert replay.partition("0:")[2] == original.partition("0:")[2]
    assert served.next_end() == ("chat-1", "stopped")


def test_a_reply_goes_on_while_a_resume_follows_it(served: Served) -> None:
    with served.chat("stall") as first, served.follow() as second:
        read_until(first, STALLED)
        first.close()
        read_until(second, STALLED)
        with served.follow() as third:  # still there: it can be resumed once more
            assert third.status_code == 200
            assert served.none_ended
    assert served.next_end() == ("chat-1", "stopped")


def test_a_resume_goes_on_live_to_the_end(slow: Served) -> None:
    with slow.chat("long 300") as first:
        came, rest = read_until(first, "stream")
        with slow.follow() as second:
            replay = b"".join(second.iter_raw()).decode()
        original = came + b"".join(rest).decode()
    assert replay == original
    assert len(said(events(original)[:-1]).split()) == 300
    assert slow.next_end() == ("chat-1", "finished")


def test_a_resumable_reply_goes_on_without_a_reader(slow: Served) -> None:
    with slow.chat("long 300", "?resumable=1") as first:
        came, _ = read_until(first, "stream")
    with slow.follow() as second:
        replay = b"".join(second.iter_raw()).decode()
    assert replay.startswith(came)
    assert len(said(events(replay)[:-1]).split()) == 300
    assert slow.next_end() == ("chat-1", "finished")


def test_a_newer_reply_to_the_same_chat_stops_the_older(served: Served) -> None:
    with served.chat("stall", "?resumable=1") as first:
        came, rest = read_until(first, STALLED)
        assert "finish" in served.client.post("/api/chat", json=history("Hi")).text
        chunks = events(came + b"".join(rest).decode())
    assert [chunks[-2]["type"], chunks[-1]] == ["abort", "[DONE]"]
    assert {served.next_end(), served.next_end()} == {
        ("chat-1", "stopped"),
        ("chat-1", "finished"),
    }


def test_replies_beyond_the_limit_are_refused(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "MAX_RUNNING", 1)
    with served.chat("stall") as first:
        read_until(first, STALLED)
        answer = served.client.post("/api/chat", json=history("Hi", id="other"))
        assert answer.status_code == 503
        assert "running" in answer.json()["error"]
    served.next_end()
    assert served.client.post("/api/chat", json=history("Hi")).status_code == 200
    served.next_end()


# -- bad requests --------------------------------------------------------------------------

BAD: list[tuple[str, bytes, str]] = [
    ("/api/chat", b"", "not JSON"),
    ("/api/chat", b"{", "not JSON"),
    ("/api/chat", b"\xff", "not JSON"),
    ("/api/chat", b"[" * 10_000, "not JSON"),
    ("/api/chat", b"[]", "not a JSON object"),
    ("/api/chat", b"{}", '"messages" must'),
    ("/api/chat", b'{"messages": []}', '"messages" must'),
    ("/api/chat", b'{"messages": [1]}', "messages[0]"),
    ("/api/chat", b'{"messages": [{"role": "user"}, {"role": 1}]}', "messages[1]"),
    ("/api/chat", b'{"messages": [{"role": "user", "parts": {}}]}', '"parts"'),
    ("/api/chat", b'{"messages": [{"role": "user", "id": 1}]}', '"id"'),
    ("/api/chat", b'{"messages": [{"role": "user"}], "id": 1}', '"id"'),
    ("/api/chat?protocol=morse", b'{"messages": [{"role": "user"}]}', "ui, text, data-stream"),
    ("/api/stream", b"{}", '"message"'),
    ("/api/stream", b'{"message": null}', '"message"'),
    ("/api/stream", b"1", "not a JSON object"),
]


@pytest.mark.parametrize(("path", "body", "words"), BAD)
def test_a_bad_request_is_told_why(served: Served, path: str, body: bytes, words: str) -> None:
    answer = served.client.post(path, content=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_a_body_beyond_the_limit_is_refused(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MAX_BODY", 100)
    answer = served.client.post("/api/chat", content=b"x" * 101)
    assert answer.status_code == 413
    assert "100 bytes" in answer.json()["error"]


def test_unknown_paths_and_methods_are_json_errors(served: Served) -> None:
    assert served.client.get("/nothing").json() == {"error": "Not Found"}
    answer = served.client.delete("/api/chat")
    assert answer.status_code == 405
    assert answer.json()["error"]
    answer = served.client.get("/api/chat")
    assert answer.status_code == 400
    assert "chatId" in answer.json()["error"]


@pytest.mark.parametrize(
    "parts",
    [
        [None],
        [{"type": 1}],
        [{"type": "tool-x"}],
        [{"type": "tool-x", "approval": 1}],
        [{"type": "tool-invocation", "toolInvocation": 1}],
        [{"type": "tool-invocation", "toolInvocation": {}}],
    ],
)
def test_odd_parts_never_give_a_fault(served: Served, parts: list[Any]) -> None:
    states = ["approval-responded", "output-available", 7]
    for state in states:
        odd = [dict(part, state=state) if isinstance(part, dict) else part for part in parts]
        for role in ("assistant", "user"):
            body = {"messages": [{"role": role, "parts": odd}], "id": "chat-1"}
            for query in ("", "?protocol=data-stream"):
                answer = served.client.post(f"/api/chat{query}", json=body)
                assert "finish" in answer.text
                assert "fault" not in answer.text
                served.next_end()


def test_the_front_page_says_what_this_is(served: Served) -> None:
    answer = served.client.get("/")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "/api/chat/{id}/stream" in answer.text


# -- as an app object, on both loops -------------------------------------------------------


class Call:
    """One call of an ASGI app, by hand."""

    def __init__(self, path: str, body: bytes = b"", method: str = "POST") -> None:
        path, _, query = path.partition("?")
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [],
        }
        self.gone = anyio.Event()
        self.send_fails = False
        self.status = 0
        self.body = b""
        self.complete = False
        self._request: list[Chunk] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive(self) -> Chunk:
        if self._request:
            return self._request.pop()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.send_fails:
            raise OSError("the client is gone")
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")
        self.complete = message["type"] == "http.response.body" and not message.get("more_body")
        await anyio.lowlevel.checkpoint()

    async def __call__(self, app: Any) -> None:
        await app(self.scope, self.receive, self.send)


@pytest.mark.anyio
async def test_the_app_needs_no_lifespan_and_no_loop_of_its_own() -> None:
    call = Call("/api/chat", json.dumps(history("Hi")).encode())
    await call(create_app(delay=0))
    assert call.status == 200
    assert call.complete
    assert events(call.body.decode())[-1] == "[DONE]"


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/api/chat", "/api/stream"])
async def test_a_disconnect_in_silence_is_seen(path: str) -> None:
    ended: list[tuple[str, str]] = []
    app = create_app(delay=0, on_reply_end=lambda *end: ended.append(end))
    call = Call(path, json.dumps({**history("stall"), "message": "stall"}).encode())
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, app)
            await anyio.wait_all_tasks_blocked()
            assert not ended
            call.gone.set()
    assert [outcome for _, outcome in ended] == ["stopped"]
    assert not call.complete


@pytest.mark.anyio
async def test_a_failing_send_is_a_disconnect() -> None:
    ended: list[tuple[str, str]] = []
    app = create_app(delay=0, on_reply_end=lambda *end: ended.append(end))
    call = Call("/api/chat", json.dumps(history("stall")).encode())
    call.send_fails = True
    with anyio.fail_after(10):
        await call(app)
    assert ended == [("chat-1", "stopped")]


@pytest.mark.anyio
async def test_a_body_that_breaks_off_starts_no_reply() -> None:
    ended: list[tuple[str, str]] = []
    call = Call("/api/chat")
    call._request.clear()
    call.gone.set()
    await call(create_app(delay=0, on_reply_end=lambda *end: ended.append(end)))
    assert call.status == 400
    assert not ended


@pytest.mark.anyio
async def test_a_fault_of_ours_is_a_json_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("usechat.server.app.messages_in", fail)
    call = Call("/api/chat", json.dumps(history("Hi")).encode())
    with pytest.raises(RuntimeError):  # Starlette hands it on, for the server's log
        await call(create_app(delay=0))
    assert call.status == 500
    assert b"fault" in call.body
    assert b"secret" not in call.body


# -- running replies -----------------------------------------------------------------------


async def chunks_of(*kinds: str, then: Callable[[], Any] | None = None) -> AsyncGenerator[Chunk]:
    for kind in kinds:
        yield {"type": kind}
    if then:
        await then()


@pytest.mark.anyio
async def test_readers_that_come_late_get_all() -> None:
    reply = RunningReply(chunks_of("a", "b", then=anyio.sleep_forever))
    got: list[list[str]] = []

    async def read() -> None:
        kinds: list[str] = []
        got.append(kinds)
        with reply.reading():
            while chunks := await reply.after(len(kinds)):
                kinds += [chunk["type"] for chunk in chunks]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        tasks.start_soon(reply.run)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        assert got == [["a", "b"]] * 2
        reply.stop()
    assert got == [["a", "b", "abort"]] * 2


@pytest.mark.anyio
async def test_a_reply_nobody_reads_is_stopped_after_its_grace() -> None:
    reply = RunningReply(chunks_of("a", then=anyio.sleep_forever), grace=0.01)
    with reply.reading():
        pass
    with anyio.fail_after(10):
        assert await reply.run() == "stopped"


@pytest.mark.anyio
async def test_a_reader_within_the_grace_keeps_the_reply() -> None:
    reply = RunningReply(chunks_of("a", then=anyio.sleep_forever), grace=60)
    with reply.reading():
        pass
    assert reply._scope.deadline < anyio.current_time() + 61
    with reply.reading():
        assert reply._scope.deadline == float("inf")


@pytest.mark.anyio
async def test_a_failing_script_is_told_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("a fault")

    ended: list[tuple[str, str]] = []
    replies = RunningReplies(lambda *end: ended.append(end))
    reply = RunningReply(chunks_of("a", then=fail))
    replies.add("x", reply)
    await replies.run("x", reply)
    assert [chunk["type"] for chunk in await reply.after(0)] == ["a", "error"]
    assert "a fault" in caplog.text
    assert ended == [("x", "finished")]
    assert replies.get("x") is None


@pytest.mark.anyio
async def test_a_cancelled_server_leaves_no_reader_waiting() -> None:
    reply = RunningReply(chunks_of("a", then=anyio.sleep_forever))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reply.run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert [chunk["type"] for chunk in await reply.after(0)] == ["a"]
    assert await reply.after(1) == []


# -- running the server --------------------------------------------------------------------


def test_a_running_demo_ends_at_once_with_open_streams(capfd: pytest.CaptureFixture[str]) -> None:
    ended: queue.Queue[tuple[str, str]] = queue.Queue()
    before = set(threading.enumerate())
    with httpx.Client(timeout=10, trust_env=False) as client:
        with running_demo(delay=0, on_reply_end=lambda *end: ended.put(end)) as url:
            opened = [
                client.send(client.build_request("POST", f"{url}{path}", json=body), stream=True)
                for path, body in [
                    ("/api/chat", history("stall")),
                    ("/api/chat?resumable=1", history("stall", id="chat-2")),
                    ("/api/stream", {"message": "stall"}),
                ]
            ]
            for response in opened:
                read_until(response, "stop ")
            client.get(url)  # and a connection that is kept alive
            began = time.monotonic()
        assert time.monotonic() - began < 1
        for response in opened:
            response.close()
    assert {ended.get(timeout=1)[1] for _ in opened} == {"stopped"}
    assert set(threading.enumerate()) == before
    assert capfd.readouterr() == ("", "")


def test_two_demos_run_side_by_side_and_a_body_that_raises_ends_one() -> None:
    with running_demo(delay=0) as first:
        with suppress(KeyError), running_demo(delay=0) as second:
            assert first != second
            raise KeyError
        assert httpx.get(first, trust_env=False).status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(second, trust_env=False)


def test_a_demo_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: object, sockets: object = None) -> None:
        raise SystemExit(1)

    monkeypatch.setattr("uvicorn.Server.startup", fail)
    with pytest.raises(UseChatError, match="did not start"), running_demo():
        pass


def test_serve_runs_until_interrupted() -> None:
    program = "from usechat.server import serve; serve(port=0, delay=0)"
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program], stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr
        for line in server.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        assert found
        with (
            httpx.Client(timeout=10, trust_env=False) as client,
            client.stream("POST", f"{found[0]}/api/chat", json=history("stall")) as response,
        ):
            read_until(response, STALLED)
            os.kill(server.pid, signal.SIGINT)
            rest = server.stderr.read()
        assert server.wait(10) == 0
    assert "Traceback" not in rest


# -- imports -------------------------------------------------------------------------------


def test_importing_the_server_imports_nothing_heavy() -> None:
    program = (
        "import sys, usechat.server, usechat.server.run, usechat.server.demo;"
        "print(sorted({'starlette', 'sse_starlette', 'uvicorn'} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert out.stdout == "[]\n"


@pytest.mark.parametrize("start", [running_demo().__enter__, usechat.server.serve])
def test_missing_packages_are_named(
    start: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(UseChatError, match=re.escape("pip install 'usechat[server]'")):
        start()


def test_missing_packages_are_named_on_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "usechat.server.app")
    monkeypatch.setitem(sys.modules, "sse_starlette", None)
    with pytest.raises(UseChatError, match=re.escape("pip install 'usechat[server]'")):
        _ = usechat.server.create_app


def test_other_import_errors_are_left_alone() -> None:
    with pytest.raises(ImportError, match="own fault"), extras_needed():
        raise ImportError("own fault", name="usechat.nothing")
    with pytest.raises(AttributeError):
        _ = usechat.server.nothing
