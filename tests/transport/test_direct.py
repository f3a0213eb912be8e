"""A function in the process as the backend, whatever kind it is and whatever it gives."""

from __future__ import annotations

import doctest
import functools
import gc
import importlib.util
import inspect
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from usechat import (
    AsyncChatSession,
    ChatRequest,
    ChatSession,
    IncompleteReplyError,
    InvalidArgumentError,
    ServerError,
    StreamProtocolError,
    TransportError,
)
from usechat.model.chunks import STREAM_DONE
from usechat.testing import text_reply
from usechat.threads import run_in_thread
from usechat.transport import direct
from usechat.transport.background import Background
from usechat.transport.direct import DirectTransport

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("collected")]

ODD = "Grüße \u2028 \U0001f600 data: [DONE]\n\n"


async def turn_of(function: Any) -> Any:
    async with AsyncChatSession(DirectTransport(function)) as chat:
        return await chat.send_message("Hello there")


def types_in(turn: Any) -> list[str]:
    return [part.type for part in turn.message.parts]


async def chunks_of(function: Any) -> list[dict[str, Any]]:
    reply = await DirectTransport(function).send_messages(REQUEST)
    chunks = [chunk async for some in reply for chunk in some]
    await reply.aclose()  # type: ignore[attr-defined]
    return chunks


REQUEST: Any = object()  # these functions do not look at it


# ------------------------------------------------------------ kinds of functions


async def async_generator(request: ChatRequest) -> AsyncIterator[str]:
    for word in request.messages[-1].text.split():
        await anyio.lowlevel.checkpoint()
        yield f"{word} "


async def async_function(request: ChatRequest) -> str:
    await anyio.lowlevel.checkpoint()
    return request.messages[-1].text + " "


async def async_function_of_pieces(request: ChatRequest) -> list[str]:
    return ["Hello ", "there "]


def generator(request: ChatRequest) -> Iterator[str]:
    for word in request.messages[-1].text.split():
        yield f"{word} "


def function(request: ChatRequest) -> str:
    return request.messages[-1].text + " "


class Bot:
    async def method(self, request: ChatRequest) -> AsyncIterator[str]:
        async for word in async_generator(request):
            yield word

    async def __call__(self, request: ChatRequest) -> str:
        return await async_function(request)


FUNCTIONS: dict[str, Callable[[ChatRequest], Any]] = {
    "async generator": async_generator,
    "async function": async_function,
    "async function that gives a list": async_function_of_pieces,
    "generator": generator,
    "function": function,
    "method": Bot().method,
    "object": Bot(),
    "partial": functools.partial(async_function),
    "lambda: async generator": lambda request: async_generator(request),
    "lambda: coroutine": lambda request: async_function(request),
    "lambda: generator": lambda request: generator(request),
    "lambda: list": lambda request: ["Hello ", ["there", " "]],
}


@pytest.mark.parametrize("backend", FUNCTIONS.values(), ids=FUNCTIONS.keys())
async def test_each_kind_of_function(backend: Any) -> None:
    async with AsyncChatSession(DirectTransport(backend)) as chat:
        turn = chat.send_message("Hello there")
        assert "".join([piece async for piece in turn]) == "Hello there "
        assert (turn.outcome, turn.finish_reason) == ("completed", None)
        assert types_in(turn) == ["step-start", "text"]


@pytest.mark.parametrize("backend", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_each_kind_of_function_for_a_session_with_threads(backend: Any) -> None:
    with ChatSession(DirectTransport(backend)) as chat:
        assert "".join(chat.send_message("Hello there")) == "Hello there "
        assert chat.regenerate().wait().text == "Hello there "


@pytest.mark.parametrize("backend", [generator, function])
async def test_plain_functions_run_beside_the_loop(backend: Any) -> None:
    seen = []

    def called(request: ChatRequest) -> Any:
        seen.append(threading.current_thread())
        return backend(request)

    assert (await turn_of(called)).outcome == "completed"
    assert seen[0] is not threading.current_thread()
    assert seen[0].daemon


async def test_the_function_gets_the_request() -> None:
    requests: list[ChatRequest] = []

    def keep(request: ChatRequest) -> str:
        requests.append(request)
        return "ok"

    async with AsyncChatSession(DirectTransport(keep), id="c1") as chat:
        await chat.send_message("Hi", body={"model": "m"})
        await chat.send_message("And now?")
        assert (await chat.resume_stream()).outcome == "completed"  # nothing to resume
    first, second = requests
    assert (first.chat_id, first.trigger, first.options.body) == (
        "c1",
        "submit-message",
        {"model": "m"},
    )
    assert [message.text for message in second.messages] == ["Hi", "ok", "And now?"]


# ------------------------------------------------------------- what they give


def gives(*items: Any) -> Any:
    async def function(request: ChatRequest) -> AsyncIterator[Any]:
        for item in items:
            yield item

    return function


TEXT = ["text-start", "text-delta", "text-end"]
DATA = {"type": "data-x", "data": 1}


@pytest.mark.parametrize(
    ("items", "kinds"),
    [
        (["a"], ["start", "start-step", *TEXT, "finish-step", "finish"]),
        ([""], ["start", "start-step", "finish-step", "finish"]),
        (["a", DATA, "b"], ["start", "start-step", *TEXT, "data-x", *TEXT, "finish-step"]),
        ([DATA, "b"], ["data-x", "start", "start-step", *TEXT, "finish-step", "finish"]),
        ([{"type": "start"}, "a"], ["start", "start-step", *TEXT, "finish-step", "finish"]),
        (["a", {"type": "finish"}], ["start", "start-step", *TEXT, "finish-step", "finish"]),
        (["a", STREAM_DONE], ["start", "start-step", *TEXT, "finish-step", "[DONE]"]),
        (
            ["a", {"type": "finish-step"}, {"type": "start-step"}, "b"],
            ["start", "start-step", *TEXT, "finish-step", "start-step", *TEXT, "finish-step"],
        ),
        ([DATA], ["data-x"]),
        ([], []),
        ([text_reply("a")], [chunk["type"] for chunk in text_reply("a")]),
    ],
)
async def test_what_is_put_around_text(items: list[Any], kinds: list[str]) -> None:
    chunks = await chunks_of(gives(*items))
    if kinds and kinds[-1] == "finish-step":
        kinds = [*kinds, "finish"]
    assert [chunk["type"] for chunk in chunks] == kinds


async def test_pieces_of_text_are_one_part_until_something_else_comes() -> None:
    chunks = await chunks_of(gives("a", "b", DATA, "c"))
    assert [chunk["id"] for chunk in chunks if chunk["type"] == "text-start"] == [
        "usechat-text-1",
        "usechat-text-2",
    ]
    assert [chunk["delta"] for chunk in chunks if "delta" in chunk] == ["a", "b", "c"]


async def test_text_is_text_however_it_looks() -> None:
    event = 'data: {"type":"error","errorText":"no"}\n\n'
    assert (await turn_of(gives(ODD, event))).text == ODD + event
    halves = "\U0001f600".encode("utf-16-be")
    first, second = (halves[i : i + 2].decode("utf-16-be", "surrogatepass") for i in (0, 2))
    assert (await turn_of(gives(first, second))).text == "\U0001f600"


async def test_a_whole_reply_of_chunks() -> None:
    turn = await turn_of(gives(*text_reply(ODD, message_id="m1", finish_reason="length")))
    assert (turn.message.id, turn.text, turn.finish_reason) == ("m1", ODD, "length")
    assert turn.outcome == "completed"


async def test_chunks_without_their_end_are_incomplete() -> None:
    turn = await turn_of(gives(*text_reply("a")[:-1]))
    assert turn.outcome == "incomplete"
    with pytest.raises(IncompleteReplyError):
        await turn.result()


async def test_what_a_function_says_of_errors_and_aborts() -> None:
    turn = await turn_of(gives("a", {"type": "error", "errorText": "no"}))
    assert isinstance(turn.error, ServerError)
    assert (await turn_of(gives("a", {"type": "abort"}))).outcome == "stopped"


async def test_a_chunk_is_as_it_was_when_it_was_given() -> None:
    async def function(request: ChatRequest) -> AsyncIterator[Any]:
        data = {"type": "data-x", "data": {"n": 1}}
        yield data
        data["data"]["n"] = 2  # type: ignore[index]
        yield "a"

    turn = await turn_of(function)
    assert turn.message.parts[0].data == {"n": 1}


class Chunk(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    type: str
    tool_call_id: str | None = None
    tool_name: str | None = None
    input: Any = None
    output: Any = None


async def test_models_that_dump_to_chunks() -> None:
    call = Chunk(type="tool-input-available", tool_call_id="t1", tool_name="f", input={"a": 1})
    output = Chunk(type="tool-output-available", tool_call_id="t1")
    turn = await turn_of(gives(call, [output, Chunk(type="finish")], Chunk(type="done")))
    (part,) = turn.message.tool_parts
    assert (part.state, part.input, part.output) == ("output-available", {"a": 1}, None)
    assert turn.outcome == "completed"


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (None, "NoneType is neither text nor a mapping.*: None"),
        (b"bytes", "bytes is neither"),
        (5, "int is neither"),
        (object, "type is neither"),
        ({"type": "text-dleta", "id": "1", "delta": "x"}, "text-dleta"),
        ({"type": "text-delta", "id": "1"}, "delta: field required"),
        ({}, "type"),
        ({"type": "data-x", "data": {1, 2, object()}}, "cannot be written as JSON"),
        (Chunk(type="text-delta"), "cannot be read"),
        ([DATA, 7], "int is neither"),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
async def test_what_is_no_chunk(item: Any, said: str, whole: bool) -> None:
    turn = await turn_of((lambda _: item) if whole else gives("a", item))
    assert turn.outcome == "error"
    assert isinstance(turn.error, StreamProtocolError)
    with pytest.raises(StreamProtocolError, match=f"gave something that is no chunk.*{said}"):
        raise turn.error
    if not (whole and isinstance(item, list)):
        assert turn.error.position == (0 if whole else 1)


@pytest.mark.parametrize("whole", [False, True])
async def test_what_comes_before_a_refused_piece_of_a_list_is_kept(whole: bool) -> None:
    pieces = ["Hello ", ["there", ({"type": "data-x"}, "never")], "never"]
    turn = await turn_of((lambda _: pieces) if whole else gives(DATA, pieces))
    assert isinstance(turn.error, StreamProtocolError)
    assert "data: field required" in str(turn.error)
    assert turn.text == "Hello there"


# ---------------------------------------------------------------- how they end


def _raising(error: Exception) -> list[Any]:
    async def in_async_generator(request: ChatRequest) -> AsyncIterator[str]:
        yield "a"
        raise error

    async def in_async_function(request: ChatRequest) -> str:
        raise error

    def in_generator(request: ChatRequest) -> Iterator[str]:
        yield "a"
        raise error

    def in_function(request: ChatRequest) -> str:
        raise error

    return [in_async_generator, in_async_function, in_generator, in_function]


MINE = KeyError("mine")
OURS = ServerError("the model is gone")


@pytest.mark.parametrize("backend", _raising(MINE))
async def test_what_a_function_raises_is_the_cause(backend: Any) -> None:
    turn = await turn_of(backend)
    assert (turn.outcome, turn.error.__cause__) == ("error", MINE)
    assert type(turn.error) is TransportError
    assert f"{backend.__name__} raised KeyError: 'mine'" in str(turn.error)
    assert turn.text == ("a" if "generator" in backend.__name__ else "")


@pytest.mark.parametrize("backend", _raising(OURS))
async def test_an_error_of_ours_is_the_turns(backend: Any) -> None:
    assert (await turn_of(backend)).error is OURS


def grouped(*errors: Exception, depth: int = 1) -> Any:
    """A function that these leave through as many task groups."""

    async def fail(error: Exception) -> None:
        raise error

    async def within(depth: int) -> None:
        async with anyio.create_task_group() as group:
            if depth > 1:
                await within(depth - 1)
            for error in errors if depth == 1 else ():
                group.start_soon(fail, error)

    async def function(request: ChatRequest) -> AsyncIterator[str]:
        yield "a"
        await within(depth)

    return function


@pytest.mark.parametrize("depth", [1, 3])
async def test_the_one_exception_of_a_group_is_named(depth: int) -> None:
    turn = await turn_of(grouped(KeyError("mine"), depth=depth))
    assert type(turn.error) is TransportError
    assert str(turn.error).endswith("function raised KeyError: 'mine'")
    assert len(turn.error.__cause__.exceptions) == 1
    assert (await turn_of(grouped(OURS, depth=depth))).error is OURS


async def test_of_several_exceptions_the_group_is_named() -> None:
    turn = await turn_of(grouped(KeyError("mine"), ValueError("mine")))
    assert "raised ExceptionGroup: " in str(turn.error)
    assert len(turn.error.__cause__.exceptions) == 2


def test_a_function_that_exits_ends_its_turn_only() -> None:
    with ChatSession(DirectTransport(lambda _: sys.exit(3))) as chat:
        turn = chat.send_message("Hi").wait()
        assert isinstance(turn.error, TransportError)


async def stopped(chat: AsyncChatSession, when: anyio.Event) -> Any:
    """A turn that is stopped while its function waits."""

    async def stop() -> None:
        await when.wait()
        await anyio.wait_all_tasks_blocked()
        chat.stop()

    async with anyio.create_task_group() as group:
        group.start_soon(stop)
        return await chat.send_message("Hi")


async def test_a_stopped_generator_may_await_while_it_cleans_up(anyio_backend_name: str) -> None:
    seen: list[str] = []
    waits, cleans, may_end = anyio.Event(), anyio.Event(), anyio.Event()

    async def function(request: ChatRequest) -> AsyncIterator[str]:
        seen.append(str(anyio.get_current_task().id))
        try:
            yield "a"
            waits.set()
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=anyio_backend_name == "trio"):
                cleans.set()
                await may_end.wait()
            seen.append(str(anyio.get_current_task().id))

    async def let_it_end() -> None:
        await cleans.wait()
        may_end.set()

    async with (
        AsyncChatSession(DirectTransport(function)) as chat,
        anyio.create_task_group() as group,
    ):
        group.start_soon(let_it_end)
        turn = await stopped(chat, waits)
        assert (turn.outcome, turn.text) == ("stopped", "a")
    assert len(set(seen)) == 1
    assert len(seen) == 2


async def test_a_stopped_function_may_await_while_it_cleans_up() -> None:
    waits, cleaned = anyio.Event(), anyio.Event()

    async def function(request: ChatRequest) -> str:
        try:
            waits.set()
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            cleaned.set()
        return "never"

    async with AsyncChatSession(DirectTransport(function)) as chat:
        assert (await stopped(chat, waits)).outcome == "stopped"
    assert cleaned.is_set()


@pytest.mark.parametrize("swallows", [False, True])
async def test_one_that_does_not_end_when_it_is_stopped_is_ended(
    swallows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usechat.transport.direct._CLEAN_UP", 0.01)
    waits = anyio.Event()
    ended: list[str] = []

    async def function(request: ChatRequest) -> AsyncIterator[str]:
        try:
            waits.set()
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            if not swallows:
                raise
        finally:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append("ended")
        yield "never"

    async with AsyncChatSession(DirectTransport(function)) as chat:
        assert (await stopped(chat, waits)).outcome == "stopped"
    assert ended == ["ended"]


async def test_one_that_never_ends_is_left_after_its_time_to_clean_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("usechat.transport.direct._CLEAN_UP", 0.5)
    waits, go = anyio.Event(), anyio.Event()

    async def function(request: ChatRequest) -> AsyncIterator[str]:
        waits.set()
        while not go.is_set():
            with suppress(anyio.get_cancelled_exc_class()), anyio.CancelScope(shield=True):
                await go.wait()
        yield "never"

    async with AsyncChatSession(DirectTransport(function)) as chat:
        begun = anyio.current_time()
        assert (await stopped(chat, waits)).outcome == "stopped"
        took = anyio.current_time() - begun
        go.set()
        await anyio.wait_all_tasks_blocked()
    assert took < 0.9  # not once for each cancellation


async def test_a_task_that_is_ended_before_its_first_step() -> None:
    background = Background(anyio.sleep_forever)
    begun = anyio.current_time()
    await background.end(1)
    assert anyio.current_time() - begun < 1
    assert background.over


async def collect_here() -> None:
    gc.collect()


async def collect_in_a_thread() -> None:
    await run_in_thread(gc.collect)


COLLECT = pytest.mark.parametrize("collect", [collect_here, collect_in_a_thread])


async def read_one(function: Any) -> None:
    """Read one piece of a reply, and leave it and its chat to the collector."""
    async for piece in AsyncChatSession(DirectTransport(function)).send_message("Hi"):
        assert piece == "a"
        break


@COLLECT
@pytest.mark.parametrize("at_yield", [False, True])
async def test_a_function_is_ended_when_nobody_holds_its_chat(collect: Any, at_yield: bool) -> None:
    ended = anyio.Event()

    async def function(request: ChatRequest) -> AsyncIterator[str]:
        try:
            yield "a"
            if not at_yield:
                await anyio.sleep_forever()
            yield "b"
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            ended.set()

    await read_one(function)
    await anyio.wait_all_tasks_blocked()
    await collect()
    with anyio.fail_after(5):
        await ended.wait()
    await anyio.wait_all_tasks_blocked()


@COLLECT
async def test_a_plain_generator_is_closed_when_nobody_holds_its_chat(collect: Any) -> None:
    closed = threading.Event()

    def function(request: ChatRequest) -> Iterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            closed.set()

    await read_one(function)
    await collect()
    assert await run_in_thread(lambda: closed.wait(5))


async def test_what_a_function_raises_when_nobody_holds_its_chat_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended = anyio.Event()

    async def function(request: ChatRequest) -> AsyncIterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            ended.set()
            raise KeyError("mine")

    await read_one(function)
    gc.collect()
    with anyio.fail_after(5):
        await ended.wait()
    await anyio.wait_all_tasks_blocked()
    assert "raised when it was stopped" in caplog.text


async def test_a_reply_that_is_never_read_calls_nothing() -> None:
    def function(request: ChatRequest) -> str:
        raise AssertionError

    await DirectTransport(function).send_messages(REQUEST)
    gc.collect()
    reply: Any = await DirectTransport(function).send_messages(REQUEST)
    await reply.aclose()
    assert [chunks async for chunks in reply] == []


async def test_a_generator_that_waits_to_be_read_is_closed() -> None:
    ended: list[BaseException] = []

    async def function(request: ChatRequest) -> AsyncIterator[str]:
        try:
            yield "a"
            yield "b"
        except BaseException as error:
            await anyio.lowlevel.checkpoint()
            ended.append(error)
            raise

    async with AsyncChatSession(DirectTransport(function)) as chat:
        async for _ in chat.send_message("Hi"):
            chat.stop()
    assert [type(error) for error in ended] == [GeneratorExit]


async def test_a_generator_may_yield_from_within_its_scopes() -> None:
    ended: list[str] = []

    async def helper() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("helper")

    async def function(request: ChatRequest) -> AsyncIterator[str]:
        async with anyio.create_task_group() as group:
            group.start_soon(helper)
            with anyio.move_on_after(5):
                yield "a"
                yield "b"
            yield "c"
            if len(request.messages) > 2:
                await anyio.sleep_forever()
            group.cancel_scope.cancel()

    async with AsyncChatSession(DirectTransport(function)) as chat:
        assert "".join([piece async for piece in chat.send_message("Hi")]) == "abc"
        async for piece in chat.send_message("And now?"):
            if piece == "c":
                chat.stop()
    assert ended == ["helper"] * 2


async def test_a_generator_that_raises_when_it_is_stopped_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def function(request: ChatRequest) -> AsyncIterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            raise KeyError("mine")

    async with AsyncChatSession(DirectTransport(function)) as chat:
        turn = chat.send_message("Hi")
        async for _ in turn:
            chat.stop()
        assert (turn.outcome, turn.error) == ("stopped", None)
    assert "raised when it was stopped" in caplog.text


async def test_a_task_of_the_functions_that_is_cancelled_is_its_own_business() -> None:
    async def function(request: ChatRequest) -> AsyncIterator[str]:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep_forever()
        with anyio.move_on_after(0.001):
            await anyio.sleep_forever()
        yield "a"

    assert (await turn_of(function)).text == "a"


def test_a_stopped_generator_is_closed_in_its_thread() -> None:
    closed = threading.Event()
    threads: list[threading.Thread] = []

    def function(request: ChatRequest) -> Iterator[str]:
        threads.append(threading.current_thread())
        try:
            yield "a"
        finally:
            threads.append(threading.current_thread())
            closed.set()

    with ChatSession(DirectTransport(function)) as chat:
        for _ in chat.send_message("Hi"):
            chat.stop()
        assert closed.wait(5)
    assert threads[0] is threads[1]


def test_a_function_that_is_stuck_holds_up_nobody() -> None:
    begun, go = threading.Event(), threading.Event()

    def stuck(request: ChatRequest) -> str:
        begun.set()
        go.wait()
        return "late"

    with ChatSession(DirectTransport(stuck)) as chat:
        turn = chat.send_message("Hi")
        assert begun.wait(5)
        chat.stop()
        assert (turn.wait(1).outcome, turn.text) == ("stopped", "")
    go.set()


def test_a_coroutine_that_comes_after_the_stop_is_closed() -> None:
    begun, go = threading.Event(), threading.Event()
    made: list[Coroutine[Any, Any, str]] = []
    threads: list[threading.Thread] = []

    def late(request: ChatRequest) -> Coroutine[Any, Any, str]:
        threads.append(threading.current_thread())
        made.append(async_function(request))
        begun.set()
        go.wait()
        return made[0]

    with ChatSession(DirectTransport(late)) as chat:
        turn = chat.send_message("Hi")
        assert begun.wait(5)
        chat.stop()
        assert turn.wait(1).outcome == "stopped"
    go.set()
    threads[0].join(5)
    assert inspect.getcoroutinestate(made[0]) == inspect.CORO_CLOSED


@pytest.mark.parametrize("wrong", [None, "http://localhost", Bot])
def test_what_is_no_function(wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="DirectTransport: expected a function"):
        DirectTransport(wrong)


def test_it_shows_its_function() -> None:
    assert repr(DirectTransport(function)) == "DirectTransport(function)"
    assert repr(DirectTransport(Bot())) == "DirectTransport(Bot)"


def test_the_example_of_its_docstring() -> None:
    assert doctest.testmod(direct) == (0, 5)


# ----------------------------------------------------------------- pydantic-ai

needs_pydantic_ai = pytest.mark.skipif(
    importlib.util.find_spec("pydantic_ai") is None,
    reason="needs pydantic-ai: pip install 'pydantic-ai-slim[ui,openai]'",
)


def agents() -> tuple[Any, Any]:
    """An agent with a tool that gives None, and the adapter."""
    from pydantic_ai import Agent
    from pydantic_ai.models.test import TestModel
    from pydantic_ai.ui.vercel_ai import VercelAIAdapter

    agent = Agent(TestModel(custom_output_text=ODD))

    @agent.tool_plain
    def note(text: str) -> None:
        """Keep a note."""

    return agent, VercelAIAdapter


@needs_pydantic_ai
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # it runs on no other
@pytest.mark.parametrize("plain", [False, True])
async def test_an_agent_of_pydantic_ai(plain: bool) -> None:
    agent, adapter = agents()

    def stream(request: ChatRequest) -> Any:
        asked = adapter.build_run_input(request.ui_body())
        return adapter(agent, asked, sdk_version=7).run_stream()

    async def generate(request: ChatRequest) -> AsyncIterator[Any]:
        async for chunk in stream(request):
            yield chunk

    async with AsyncChatSession(DirectTransport(stream if plain else generate)) as chat:
        turn = await chat.send_message("Hi")
        assert (turn.outcome, turn.text) == ("completed", ODD), turn.error
        (part,) = turn.message.tool_parts
        assert (part.tool_name, part.state) == ("note", "output-available")
        assert (await chat.send_message("And now?")).outcome == "completed"


@needs_pydantic_ai
def test_the_text_of_an_agent_of_pydantic_ai() -> None:
    agent, _ = agents()

    async def stream(request: ChatRequest) -> AsyncIterator[str]:
        async with agent.run_stream(request.messages[-1].text) as result:
            async for piece in result.stream_text(delta=True, debounce_by=None):
                yield piece

    with ChatSession(DirectTransport(stream)) as chat:
        assert "".join(chat.send_message("Hi")) == ODD
