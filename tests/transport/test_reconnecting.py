"""``reconnect=``: how often, how soon, and when there is nothing to go on with.

That no byte of a reply is lost or doubled is tested in tests/chaos.
"""

from __future__ import annotations

import logging
from typing import Any

import anyio
import anyio.to_thread
import pytest

from usechat import (
    AsyncChatSession,
    ChatSession,
    ChatTimeoutError,
    ConnectionBrokenError,
    HTTPStatusError,
    InvalidArgumentError,
    Reconnect,
    StreamProtocolError,
    TextDelta,
    UIMessageChunk,
)
from usechat.testing import CUT, HANG, FakeReply, FakeServer, text_reply
from usechat.wire.json_sse import encode_text
from usechat.wire.ui_message_stream import encode_chunk

pytestmark = pytest.mark.anyio

AT_ONCE = Reconnect(attempts=3, delay=0)
WHOLE = text_reply("Hello there my friend", message_id="m1")
BROKEN: list[Any] = [*WHOLE[:5], CUT]
NOTHING = FakeReply(status=204)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "usechat")


def methods(server: FakeServer) -> list[str]:
    return [request.method for request in server.requests]


async def test_a_reply_goes_on_over_another_connection() -> None:
    with FakeServer([BROKEN, WHOLE]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE, id="c 1") as chat:
            turn = await chat.send_message("Hi", headers={"x-own": "1"})
        post, get = server.requests
    assert (turn.outcome, turn.text) == ("completed", "Hello there my friend")
    assert (get.method, get.path) == ("GET", "/api/chat/c%201/stream")
    assert get.headers["x-own"] == post.headers["x-own"] == "1"
    assert "last-event-id" not in get.headers


def test_a_chat_session_too() -> None:
    with (
        FakeServer([BROKEN, [*WHOLE[:6], CUT], WHOLE]) as server,
        ChatSession(server.url, reconnect=AT_ONCE) as chat,
    ):
        pieces = list(chat.send_message("Hi"))
        assert "".join(pieces) == "Hello there my friend"
        assert methods(server) == ["POST", "GET", "GET"]
        assert chat.status == "ready"


async def test_it_is_off_by_default() -> None:
    with FakeServer([BROKEN, WHOLE]) as server:
        async with AsyncChatSession(server.url) as chat:
            turn = await chat.send_message("Hi")
        assert isinstance(turn.error, ConnectionBrokenError)
        assert methods(server) == ["POST"]


async def test_true_is_the_usual_way() -> None:
    with FakeServer([BROKEN, WHOLE]) as server:
        async with AsyncChatSession(server.url, reconnect=True) as chat:
            turn = await chat.send_message("Hi")  # waits for half a second
        assert turn.outcome == "completed"


# ---------------------------------------------------------------- when it ends


async def test_a_server_that_has_no_more_of_it() -> None:
    with FakeServer([BROKEN, NOTHING]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE) as chat:
            turn = await chat.send_message("Hi")
        assert turn.outcome == "error"
        assert isinstance(turn.error, ConnectionBrokenError)
        assert "no running reply" in str(turn.error)
        assert turn.text == "Hello there "
        assert methods(server) == ["POST", "GET"]


@pytest.mark.parametrize("status", [401, 404, 405])
async def test_a_server_that_cannot_resume_is_not_asked_twice(status: int) -> None:
    with FakeServer([BROKEN, FakeReply(b"no such thing", status=status), WHOLE]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE) as chat:
            turn = await chat.send_message("Hi")
        assert isinstance(turn.error, ConnectionBrokenError)
        assert isinstance(turn.error.__cause__, HTTPStatusError)
        assert f"{status}" in str(turn.error)
        assert methods(server) == ["POST", "GET"]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
async def test_a_server_in_trouble_is_asked_again(status: int) -> None:
    with FakeServer([BROKEN, FakeReply(status=status), WHOLE]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE) as chat:
            turn = await chat.send_message("Hi")
        assert turn.text == "Hello there my friend"


async def test_attempts_in_a_row_are_limited() -> None:
    with FakeServer([BROKEN, *[FakeReply(status=503)] * 9]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE) as chat:
            turn = await chat.send_message("Hi")
        assert isinstance(turn.error, ConnectionBrokenError)
        assert "503" in str(turn.error)
        assert methods(server) == ["POST", "GET", "GET", "GET"]


async def test_one_that_brings_nothing_new_has_failed() -> None:
    with FakeServer([BROKEN] * 9) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE) as chat:
            turn = await chat.send_message("Hi")
        assert isinstance(turn.error, ConnectionBrokenError)
        assert methods(server) == ["POST", "GET", "GET", "GET"]


async def test_one_that_brings_something_has_not() -> None:
    broken = [[*WHOLE[:n], CUT] for n in range(3, len(WHOLE))]
    assert len(broken) > AT_ONCE.attempts
    with FakeServer([*broken, WHOLE]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE) as chat:
            turn = await chat.send_message("Hi")
        assert (turn.outcome, turn.text) == ("completed", "Hello there my friend")


async def test_each_waits_twice_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("usechat.transport.reconnecting.anyio.sleep", note)
    policy = Reconnect(attempts=6, delay=1, max_delay=8)
    with FakeServer([BROKEN, *[FakeReply(status=503)] * 6]) as server:
        async with AsyncChatSession(server.url, reconnect=policy) as chat:
            await chat.send_message("Hi")
    longest = [1, 2, 4, 8, 8, 8]
    assert len(waits) == len(longest)
    for waited, most in zip(waits, longest, strict=True):
        assert most / 2 <= waited <= most


async def test_a_refused_connection_was_no_reply() -> None:
    with FakeServer() as server:
        url = server.url
    async with AsyncChatSession(url, reconnect=Reconnect(delay=1000)) as chat:
        turn = await chat.send_message("Hi")
    assert isinstance(turn.error, ConnectionBrokenError)
    assert "cannot connect" in str(turn.error)


async def test_a_reply_that_broke_before_its_headers() -> None:
    seen: list[int] = []
    with FakeServer([CUT, WHOLE]) as server:
        async with AsyncChatSession(
            server.url, reconnect=AT_ONCE, on_response=lambda r: seen.append(r.status_code)
        ) as chat:
            turn = await chat.send_message("Hi")
        assert turn.text == "Hello there my friend"
        assert methods(server) == ["POST", "GET"]
        assert seen == [200]


async def test_a_silent_connection_is_broken() -> None:
    with FakeServer([[*WHOLE[:5], HANG], WHOLE]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE, timeout=0.2) as chat:
            turn = await chat.send_message("Hi")
        assert turn.text == "Hello there my friend"


async def test_what_is_silent_for_good_has_timed_out() -> None:
    with FakeServer([[*WHOLE[:5], HANG], HANG, HANG, HANG]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE, timeout=0.1) as chat:
            turn = await chat.send_message("Hi")
        assert isinstance(turn.error, ConnectionBrokenError)
        assert isinstance(turn.error.__cause__, ChatTimeoutError)


# ---------------------------------------------------------------- ends that were none


def cleanly(chunks: list[UIMessageChunk]) -> FakeReply:
    """A body that ends in order, with the reply unfinished."""
    return FakeReply([b"".join(map(encode_chunk, chunks))])


async def test_a_body_that_ends_without_the_replys_end_broke_too() -> None:
    with FakeServer([cleanly(WHOLE[:5]), WHOLE]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE) as chat:
            turn = await chat.send_message("Hi")
        assert (turn.outcome, turn.text) == ("completed", "Hello there my friend")


async def test_without_a_rest_it_is_incomplete() -> None:
    for rest in (NOTHING, FakeReply(status=404)):
        with FakeServer([cleanly(WHOLE[:5]), rest]) as server:
            async with AsyncChatSession(server.url, reconnect=AT_ONCE) as chat:
                turn = await chat.send_message("Hi")
            assert (turn.outcome, turn.text) == ("incomplete", "Hello there ")


async def test_with_a_network_that_stays_away_it_is_an_error() -> None:
    with FakeServer([cleanly(WHOLE[:5]), CUT, CUT, CUT]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE) as chat:
            turn = await chat.send_message("Hi")
        assert isinstance(turn.error, ConnectionBrokenError)


async def test_a_server_that_never_says_the_end() -> None:
    with FakeServer([cleanly(WHOLE[:5])]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE, require_finish=False) as chat:
            turn = await chat.send_message("Hi")
        assert turn.outcome == "completed"
        assert methods(server) == ["POST"]


async def test_a_break_after_the_end_matters_no_more() -> None:
    whole: list[Any] = [*map(encode_chunk, WHOLE), CUT]
    with FakeServer([whole]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE) as chat:
            turn = await chat.send_message("Hi")
        assert turn.outcome == "completed"
        assert methods(server) == ["POST"]


async def test_another_reply_is_not_mixed_in() -> None:
    with FakeServer([BROKEN, text_reply("Other", message_id="m2")]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE) as chat:
            turn = await chat.send_message("Hi")
        assert isinstance(turn.error, StreamProtocolError)
        assert turn.text == "Hello there "


# ---------------------------------------------------------------- stop


async def test_stop_ends_the_wait_for_the_next_attempt() -> None:
    with FakeServer([BROKEN]) as server:
        async with AsyncChatSession(server.url, reconnect=Reconnect(delay=1000)) as chat:

            async def stop() -> None:
                await anyio.to_thread.run_sync(server.wait_request)
                while chat.status != "streaming":
                    await anyio.lowlevel.checkpoint()
                chat.stop()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stop)
                turn = await chat.send_message("Hi")
        assert turn.outcome == "stopped"


def test_stop_ends_the_wait_in_a_chat_session() -> None:
    with (
        FakeServer([BROKEN, text_reply("Next")]) as server,
        ChatSession(server.url, reconnect=Reconnect(delay=1000)) as chat,
    ):
        turn = chat.send_message("Hi")
        next(iter(turn))
        chat.stop()
        assert turn.wait(5).outcome == "stopped"
        assert chat.send_message("And now?").result(5).text == "Next"


async def test_a_stop_reaches_the_second_connection() -> None:
    with FakeServer([BROKEN, [*WHOLE[:6], HANG]]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE) as chat:
            chat.on(TextDelta, lambda e: chat.stop() if "my" in e.text else None)
            turn = await chat.send_message("Hi")
            await anyio.to_thread.run_sync(server.wait_disconnect)
        assert (turn.outcome, turn.text) == ("stopped", "Hello there my ")


# ---------------------------------------------------------------- resume, ids, other protocols


async def test_a_resumed_reply_goes_on_too() -> None:
    with FakeServer([BROKEN, WHOLE]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE) as chat:
            turn = await chat.resume_stream()
        assert (turn.outcome, turn.text) == ("completed", "Hello there my friend")
        assert methods(server) == ["GET", "GET"]


async def test_nothing_to_resume_is_still_nothing() -> None:
    with FakeServer([NOTHING]) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE) as chat:
            turn = await chat.resume_stream()
        assert (turn.outcome, turn.message) == ("completed", None)


async def test_the_last_event_is_named_and_hooks_may_say_otherwise() -> None:
    events = [b"id: e%d\n" % i + encode_chunk(c) for i, c in enumerate(WHOLE)]
    seen: list[str | None] = []

    def note(request: Any) -> None:
        seen.append(request.headers.get("last-event-id"))

    with FakeServer([[*events[:5], CUT], WHOLE]) as server:
        async with AsyncChatSession(
            server.url, reconnect=AT_ONCE, prepare_reconnect_request=note
        ) as chat:
            turn = await chat.send_message("Hi")
        assert turn.text == "Hello there my friend"
        assert seen == [server.requests[1].headers["last-event-id"]] == ["e4"]


def pieces(*texts: str) -> list[bytes]:
    return [encode_text(text) for text in texts]


@pytest.mark.parametrize("replays", [True, False])
async def test_json_over_events(replays: bool) -> None:
    sse = {"content-type": "text/event-stream"}
    rest = [*(pieces("Hello ", "you") if replays else pieces("lo ", "you")), b"data: [DONE]\n\n"]
    replies = [FakeReply([*pieces("Hel"), CUT], headers=sse), FakeReply(rest, headers=sse)]
    with FakeServer(replies) as server:
        async with AsyncChatSession(
            server.url, reconnect=AT_ONCE, resume_stream_is_replay=replays
        ) as chat:
            turn = await chat.send_message("Hi")
    assert (turn.outcome, turn.text) == ("completed", "Hello you")
    assert len(turn.message.parts) == 1 if turn.message else False


@pytest.mark.parametrize("replays", [True, False])
async def test_plain_text(replays: bool) -> None:
    plain = {"content-type": "text/plain"}
    rest = "Grüße euch" if replays else "ße euch"
    replies = [
        FakeReply(["Grü".encode(), CUT], headers=plain),
        FakeReply([rest.encode()], headers=plain),
    ]
    with FakeServer(replies) as server:
        async with AsyncChatSession(
            server.url, reconnect=AT_ONCE, resume_stream_is_replay=replays, protocol="text"
        ) as chat:
            turn = await chat.send_message("Hi")
    assert (turn.outcome, turn.text) == ("completed", "Grüße euch")
    assert turn.message is not None
    assert [part.type for part in turn.message.parts] == ["step-start", "text"]


async def test_the_data_stream() -> None:
    lines = [b'f:{"messageId":"m1"}\n', b'0:"Hel"\n', b'0:"lo"\n', b'd:{"finishReason":"stop"}\n']
    v4 = {"content-type": "text/plain", "x-vercel-ai-data-stream": "v1"}
    replies = [FakeReply([*lines[:2], CUT], headers=v4), FakeReply(lines, headers=v4)]
    with FakeServer(replies) as server:
        async with AsyncChatSession(server.url, reconnect=AT_ONCE) as chat:
            turn = await chat.send_message("Hi")
    assert (turn.outcome, turn.text) == ("completed", "Hello")


# ---------------------------------------------------------------- words


async def test_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "usechat")
    with FakeServer([BROKEN, WHOLE]) as server:
        async with AsyncChatSession(f"{server.url}?key=hunter2", reconnect=AT_ONCE) as chat:
            await chat.send_message("Hi")
    (record,) = caplog.records
    assert "Reconnecting in 0.0 s (1 of 3)" in record.getMessage()
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": 1.5},
        {"delay": -1},
        {"max_delay": float("inf")},
        {"delay": "1"},
    ],
)
def test_a_policy_that_cannot_be_used(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
        Reconnect(**wrong)


# ---------------------------------------------------------------- servers that are odd


def with_ids(chunks: list[UIMessageChunk], prefix: str, after: int = 0) -> list[bytes]:
    events = enumerate(map(encode_chunk, chunks), 1)
    return [b"id: %b%d\n%b" % (prefix.encode(), i, event) for i, event in events if i > after]


async def resumed(*replies: Any, **options: Any) -> Any:
    """The turn whose reply these are, one for each connection."""
    with FakeServer(replies) as server:
        options = {"reconnect": AT_ONCE, **options}
        async with AsyncChatSession(server.url, **options) as chat:
            turn = await chat.send_message("Hi")
            return turn, server.requests


@pytest.mark.parametrize("first", [{"type": "text-delta", "id": "text-1", "delta": ""}, None])
async def test_a_prefix_that_is_repeated_for_ever_is_no_progress(first: Any) -> None:
    count = iter(range(99))

    def same(_: Any) -> list[Any]:
        clock = {"type": "data-clock", "data": next(count)}
        return [*map(encode_chunk, [*WHOLE[:3], first or clock, *WHOLE[3:5], clock]), CUT]

    turn, requests = await resumed(*[same] * 30)
    assert isinstance(turn.error, ConnectionBrokenError)
    assert len(requests) == 4


async def test_ids_that_are_new_each_time_do_not_hide_a_replay() -> None:
    turn, _ = await resumed([*with_ids(WHOLE, "a")[:5], CUT], with_ids(WHOLE, "b"))
    assert (turn.outcome, turn.text) == ("completed", "Hello there my friend")


async def test_the_last_event_may_come_once_more() -> None:
    turn, _ = await resumed([*with_ids(WHOLE, "e")[:5], CUT], with_ids(WHOLE, "e", after=4))
    assert (turn.outcome, turn.text) == ("completed", "Hello there my friend")


async def test_ids_tell_where_a_step_begins_like_the_reply() -> None:
    step = [*WHOLE[1:3], *WHOLE[-4:-1]]  # without a start; a step of one word
    events = with_ids([*step, *step, WHOLE[-1]], "e")
    turn, _ = await resumed([*events[: len(step)], CUT], events[len(step) :])
    assert (turn.outcome, turn.text) == ("completed", "friend\n\nfriend")


async def test_another_answer_under_the_same_id_is_no_rest() -> None:
    other = text_reply("Quite another and much longer answer", message_id="m1")
    turn, _ = await resumed(BROKEN, other)
    assert isinstance(turn.error, StreamProtocolError)
    assert turn.text == "Hello there "


async def test_plain_text_that_was_detected_goes_on() -> None:
    plain = {"content-type": "text/plain"}
    turn, _ = await resumed(
        FakeReply([b"Hello wonderful ", CUT], headers=plain),
        FakeReply([b"world of text"], headers=plain),
    )
    assert (turn.outcome, turn.text) == ("completed", "Hello wonderful world of text")


async def test_a_data_stream_that_goes_on() -> None:
    v4 = {"content-type": "text/plain", "x-vercel-ai-data-stream": "v1"}
    turn, _ = await resumed(
        FakeReply([b'f:{"messageId":"m1"}\n', b'0:"Hi "\n', CUT], headers=v4),
        FakeReply([b'0:"you"\n', b'd:{"finishReason":"stop"}\n'], headers=v4),
    )
    assert (turn.outcome, turn.text) == ("completed", "Hi you")


@pytest.mark.parametrize(
    "event_id", [b"x ", b"", b"\x01", "é".encode(), b"x" * 1000, b" ", b"a\x7fb"]
)
async def test_an_id_that_cannot_be_a_header_is_left_out(event_id: bytes) -> None:
    broken = [b"id: " + event_id + b"\n" + encode_chunk(WHOLE[0]), *WHOLE[1:5], CUT]
    turn, requests = await resumed(broken, WHOLE)
    assert turn.text == "Hello there my friend"
    assert "last-event-id" not in requests[1].headers


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/json"])
async def test_a_page_is_no_rest(content_type: str) -> None:
    page = FakeReply(b"<p>Please log in.</p>", headers={"content-type": content_type})
    turn, requests = await resumed(BROKEN, page)
    assert isinstance(turn.error, ConnectionBrokenError)
    assert content_type in str(turn.error)
    assert len(requests) == 2


async def test_silence_before_the_headers_is_mended_too() -> None:
    turn, requests = await resumed(HANG, WHOLE, timeout=0.2)
    assert turn.text == "Hello there my friend"
    assert [request.method for request in requests] == ["POST", "GET"]


async def test_a_thousand_attempts_are_possible() -> None:
    turn, _ = await resumed(
        BROKEN, *[FakeReply(status=503)] * 1100, WHOLE, reconnect=Reconnect(attempts=2000, delay=0)
    )
    assert turn.text == "Hello there my friend"


async def test_what_a_server_says_of_a_request_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "usechat")
    page = FakeReply(b"bad header authorization: Bearer hunter2", status=503)
    await resumed(BROKEN, page, page, WHOLE)
    assert "answered 503" in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_connection_that_fell_silent_is_closed_before_the_next_is_opened() -> None:
    left: list[int] = []
    with FakeServer() as server:

        def rest(_: Any) -> list[UIMessageChunk]:
            left.append(server.disconnects)
            return WHOLE

        server._replies.extend([FakeReply([*WHOLE[:5], HANG]), rest])
        async with AsyncChatSession(server.url, reconnect=AT_ONCE, timeout=0.2) as chat:
            turn = await chat.send_message("Hi")
            await anyio.to_thread.run_sync(server.wait_disconnect)
    assert turn.text == "Hello there my friend"
    assert server.disconnects == 1
