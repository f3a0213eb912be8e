"""OpenAITransport against a server that speaks the API, read by the package openai and by us."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import struct
import weakref
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import httpx
import openai
import pytest
from openai_server import KEY, TEXT, OpenAIServer, running_openai

from usechat import (
    AsyncChatSession,
    CallbackError,
    ChatRequest,
    ChatSession,
    ConnectionBrokenError,
    HTTPStatusError,
    InvalidArgumentError,
    RequestOptions,
    Response,
    ServerError,
    StreamProtocolError,
    UIMessage,
    last_assistant_message_is_complete_with_tool_calls,
)
from usechat.model.tools import ToolDefinition
from usechat.testing import FakeReply, FakeServer
from usechat.transport.base import ChatTransport
from usechat.transport.openai import OpenAITransport, _is_openai

pytestmark = pytest.mark.anyio

WEATHER = ToolDefinition(
    "weather",
    "The weather of a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
PLACE = ToolDefinition("place", "Where the user is.", {"type": "object", "properties": {}})
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.input_schema,
        },
    }
    for tool in (WEATHER, PLACE)
]
Round = dict[str, Any]
EVENTS = {"content-type": "text/event-stream"}


def png(width: int, height: int) -> str:
    def block(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(height * (b"\0" + width * b"\x7f"))
    data = b"\x89PNG\r\n\x1a\n" + block(b"IHDR", head) + block(b"IDAT", rows) + block(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


IMAGE = png(31, 17)


def run_tool(name: str, given: dict[str, Any]) -> Any:
    return "Lyon" if name == "place" else f"{given['city']}: sunny"


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[OpenAIServer, str]]:
    with running_openai() as running:
        yield running


@pytest.fixture
def base(served: tuple[OpenAIServer, str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return served[1]


@pytest.fixture
def server(served: tuple[OpenAIServer, str]) -> OpenAIServer:
    served[0].bodies.clear()
    served[0].headers.clear()
    return served[0]


T = TypeVar("T")


class Official:
    """The package openai, on a loop of its own: on trio it leaves generators behind."""

    def __init__(self, base: str) -> None:
        self._base = base

    async def run(self, use: Callable[[openai.AsyncOpenAI], Awaitable[T]]) -> T:
        async def main() -> T:
            async with openai.AsyncOpenAI(
                base_url=self._base, api_key=KEY, max_retries=0
            ) as client:
                return await use(client)

        return await anyio.to_thread.run_sync(asyncio.run, main())

    async def read(self, content: Any) -> list[Round]:
        return await self.run(lambda client: rounds_read_officially(client, content))


@pytest.fixture
def official(base: str) -> Official:
    return Official(base)


# ------------------------------------------------------------- the same, read by both


async def read_officially(
    client: openai.AsyncOpenAI, messages: list[Any]
) -> tuple[Round, dict[str, Any]]:
    """One reply as the package openai puts it together, and the message to send back."""
    read: Round = {"text": "", "refusal": "", "reasoning": "", "finish": None, "usage": None}
    async with client.chat.completions.stream(
        model="m", messages=messages, tools=TOOLS, stream_options={"include_usage": True}
    ) as stream:
        async for event in stream:
            if event.type == "chunk":
                for choice in event.chunk.choices:
                    read["reasoning"] += (choice.delta.model_extra or {}).get(
                        "reasoning_content", ""
                    )
        completion = await stream.get_final_completion()
    choice = completion.choices[0]
    read["text"] = choice.message.content or ""
    read["refusal"] = choice.message.refusal or ""
    read["finish"] = choice.finish_reason.replace("_", "-")
    calls = choice.message.tool_calls or []
    read["calls"] = [(c.function.name, json.loads(c.function.arguments)) for c in calls]
    usage = completion.usage
    read["usage"] = usage and (usage.prompt_tokens, usage.completion_tokens)
    return read, choice.message.model_dump(include={"role", "content", "tool_calls"})


async def rounds_read_officially(client: openai.AsyncOpenAI, content: Any) -> list[Round]:
    messages: list[Any] = [{"role": "user", "content": content}]
    rounds = []
    while True:
        read, message = await read_officially(client, messages)
        rounds.append(read)
        if not read["calls"]:
            return rounds
        calls = [
            {k: call[k] for k in ("id", "type")}
            | {"function": {k: call["function"][k] for k in ("name", "arguments")}}
            for call in message["tool_calls"]
        ]
        messages.append({"role": "assistant", "content": message["content"], "tool_calls": calls})
        for call, (name, given) in zip(calls, read["calls"], strict=True):
            output = run_tool(name, given)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": output})


def steps_of(message: UIMessage | None) -> list[Round]:
    """What each step of a message holds."""
    assert message is not None
    steps: list[Round] = []
    for part in message.model_dump()["parts"]:
        if part["type"] == "step-start":
            steps.append({"text": "", "refusal": "", "reasoning": "", "calls": []})
        elif part["type"] == "reasoning":
            steps[-1]["reasoning"] += part["text"]
        elif part["type"] == "text":
            refused = part.get("providerMetadata") == {"openai": {"refusal": True}}
            steps[-1]["refusal" if refused else "text"] += part["text"]
        else:
            steps[-1]["calls"].append((part["type"].removeprefix("tool-"), part["input"]))
    return steps


def last_round(message: UIMessage | None, finish: str | None, usage: Any) -> Round:
    counts = usage and (usage.input_tokens, usage.output_tokens)
    return {**steps_of(message)[-1], "finish": finish, "usage": counts}


SCENARIOS = [
    "text",
    "unicode",
    "reasoning",
    "refusal",
    "one tool",
    "three tools",
    "two rounds",
    "image",
    "length",
]


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_it_is_what_the_package_openai_reads(
    scenario: str, base: str, server: OpenAIServer, official: Official
) -> None:
    content: Any = scenario
    parts: list[dict[str, Any]] = [{"type": "text", "text": scenario}]
    if scenario == "image":
        image = {"type": "image_url", "image_url": {"url": IMAGE}}
        content = [{"type": "text", "text": scenario}, image]
        parts.append({"type": "file", "mediaType": "image/png", "url": IMAGE})
    if scenario == "length":  # the package's own way with this is an exception
        expected = [
            {"text": "Hello there, how", "refusal": "", "reasoning": "", "calls": []}
            | {"finish": "length", "usage": (1, 4)}
        ]
        with pytest.raises(openai.LengthFinishReasonError):
            await official.read(content)
    else:
        expected = await official.read(content)
    transport = OpenAITransport("m", base_url=base, api_key=KEY, body={"tools": TOOLS})
    rounds: list[Round] = []
    async with AsyncChatSession(
        transport,
        send_automatically_when=last_assistant_message_is_complete_with_tool_calls,
    ) as chat:
        turn = await chat.send_message(UIMessage(id="u", role="user", parts=parts))
        rounds.append(last_round(turn.message, turn.finish_reason, turn.usage))
        while turn.pending:
            for part in turn.pending:
                turn = await chat.add_tool_output(
                    part.tool_call_id, run_tool(part.tool_name, part.input)
                )
            rounds.append(last_round(turn.message, turn.finish_reason, turn.usage))
        assert turn.outcome == "completed"
        assert len(chat.messages) == 2
    await transport.aclose()
    assert rounds == expected
    theirs, ours = server.bodies[: len(expected)], server.bodies[-len(rounds) :]
    assert [body["messages"] for body in ours] == [body["messages"] for body in theirs]


def test_the_session_for_other_hosts_reads_it_too(base: str) -> None:
    with ChatSession.openai(
        "m",
        base_url=base,
        api_key=KEY,
        send_automatically_when=last_assistant_message_is_complete_with_tool_calls,
    ) as chat:
        turn = chat.send_message("three tools").wait(10)
        for part in turn.pending:
            turn = chat.add_tool_output(part.tool_call_id, run_tool("weather", part.input))
        assert turn.wait(10).text == "I am told: Paris: sunny, Rome: sunny, Oslo: sunny"
        assert turn.usage is not None
        assert turn.usage.total_tokens == (turn.usage.input_tokens or 0) + 10


# ------------------------------------------------------------------------- requests


def request_of(text: str = "text", **fields: Any) -> ChatRequest:
    message = UIMessage(id="u", role="user", parts=[{"type": "text", "text": text}])
    return ChatRequest("submit-message", "c", (message,), None, RequestOptions(), **fields)


async def send(transport: OpenAITransport, request: ChatRequest) -> list[dict[str, Any]]:
    reply = await transport.send_messages(request)
    try:
        return [chunk async for chunks in reply for chunk in chunks]
    finally:
        await reply.aclose()
        await transport.aclose()


async def test_tools_and_system_go_along(base: str, server: OpenAIServer) -> None:
    transport = OpenAITransport("m", base_url=base, api_key=KEY, system="Be brief.")
    chunks = await send(transport, request_of(tools=(WEATHER, PLACE)))
    assert "".join(c["delta"] for c in chunks if c["type"] == "text-delta") == TEXT
    assert server.bodies == [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "text"},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "tools": TOOLS,
        }
    ]
    assert server.headers[0]["content-type"] == "application/json"


async def test_fields_of_the_body_win_and_none_leaves_one_out(
    base: str, server: OpenAIServer
) -> None:
    transport = OpenAITransport(
        "m", base_url=base, api_key=KEY, body={"temperature": 1, "stream_options": None}
    )
    async with AsyncChatSession(transport) as chat:
        turn = await chat.send_message("text", body={"temperature": 0, "model": "other"})
        assert turn.text == TEXT
        assert turn.usage is None
    await transport.aclose()
    messages = [{"role": "user", "content": "text"}]
    assert server.bodies == [
        {"model": "other", "messages": messages, "stream": True, "temperature": 0}
    ]


async def test_headers_and_history_are_the_users(base: str, server: OpenAIServer) -> None:
    transport = OpenAITransport(
        "m",
        base_url=base,
        headers=lambda: {"Authorization": f"Bearer {KEY}", "x-title": "Test"},
        history="last",
    )
    heads: list[Response] = []
    async with AsyncChatSession(transport, on_response=heads.append) as chat:
        await chat.send_message("text")
        await chat.send_message("length")
    await transport.aclose()
    assert [len(body["messages"]) for body in server.bodies] == [1, 1]
    assert server.headers[1]["x-title"] == "Test"
    assert [head.status_code for head in heads] == [200, 200]
    assert heads[0].headers["content-type"].startswith("text/event-stream")


async def test_a_client_of_the_callers(base: str) -> None:
    async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
        transport = OpenAITransport("m", base_url="/", api_key=KEY, client=client)
        assert (await send(transport, request_of()))[-1] == {"type": "[DONE]"}
        assert not client.is_closed


async def test_ids_that_come_again_get_others() -> None:
    def answer(text: str) -> FakeReply:
        function = {"name": "weather", "arguments": "{}"}
        call = {"index": 0, "id": "call_0", "function": function}
        choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}
        event = f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n"
        return FakeReply(event.encode(), headers=EVENTS)

    with FakeServer([answer("1"), answer("2"), answer("3")]) as server:
        base = server.url.removesuffix("/api/chat")
        transport = OpenAITransport("m", base_url=base)
        async with AsyncChatSession(
            transport,
            send_automatically_when=last_assistant_message_is_complete_with_tool_calls,
        ) as chat:
            turn = await chat.send_message("Hi")
            for output in ("one", "two"):
                turn = await chat.add_tool_output(turn.pending[0].tool_call_id, output)
            assert turn.message is not None
            ids = [part.tool_call_id for part in turn.message.tool_parts]
            assert len(ids) == len(set(ids)) == 3
        await transport.aclose()
        sent = server.requests[2].json["messages"]
        assert [m["content"] for m in sent] == ["Hi", None, "one", None, "two"]
        for request in server.requests:
            assert request.path == "/chat/completions"
            assert "authorization" not in request.headers


async def test_what_cannot_be_sent_says_so(base: str, server: OpenAIServer) -> None:
    file = {"type": "file", "mediaType": "application/pdf", "url": "https://e.com/a.pdf?key=1"}
    message = {"id": "u", "role": "user", "parts": [file]}
    transport = OpenAITransport("m", base_url=base, api_key=KEY)
    async with AsyncChatSession(transport) as chat:
        turn = await chat.send_message(message)
    assert isinstance(turn.error, InvalidArgumentError)
    assert str(turn.error).startswith("The file https://e.com/a.pdf (application/pdf) cannot be")
    await transport.aclose()
    assert server.bodies == []


async def test_functions_are_asked_once(base: str, server: OpenAIServer) -> None:
    asked: list[str] = []

    async def history(messages: tuple[UIMessage, ...]) -> list[UIMessage]:
        asked.append(f"history of {len(messages)}")
        return [messages[0], messages[-1]]

    def body() -> dict[str, Any]:
        asked.append("body")
        return {"temperature": 0}

    transport = OpenAITransport("m", base_url=base, api_key=KEY, history=history, body=body)
    async with AsyncChatSession(transport) as chat:
        await chat.send_message("text")
        await chat.send_message("unicode")
    await transport.aclose()
    assert asked == ["history of 1", "body", "history of 3", "body"]
    said = [[m["content"] for m in body["messages"]] for body in server.bodies]
    assert said == [["text", "text"], ["text", "unicode"]]


def calling(*names: str) -> FakeReply:
    calls = [
        {"index": at, "id": f"call_{at}", "function": {"name": name, "arguments": "{}"}}
        for at, name in enumerate(names)
    ]
    choice = {"index": 0, "delta": {"tool_calls": calls}, "finish_reason": "tool_calls"}
    body = f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n".encode()
    return FakeReply(body, headers=EVENTS)


def saying(text: str) -> FakeReply:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop"}
    return FakeReply(f"data: {json.dumps({'choices': [choice]})}\n\n".encode(), headers=EVENTS)


async def test_a_tool_that_there_is_not_ends_no_conversation() -> None:
    def weather() -> str:
        return "sunny"

    with FakeServer([calling("wether", "weather"), saying("Sorry.")]) as server:
        transport = OpenAITransport("m", base_url=server.url, body={"tools": TOOLS})
        async with AsyncChatSession(transport, tools=[weather]) as chat:
            turn = await chat.send_message("Hi")
        await transport.aclose()
        assert (turn.outcome, turn.text) == ("completed", "Sorry.")
        results = [m["content"] for m in server.requests[1].json["messages"] if m["role"] == "tool"]
    assert results == ["There is no tool 'wether'. There are: weather, place.", "sunny"]


@pytest.mark.parametrize(
    ("tools", "checked"),
    [
        (TOOLS, True),
        ([{"type": "custom", "custom": {"name": "place"}}], True),
        ([{"function": {"name": "place"}}], True),
        ([*TOOLS, {"type": "web_search"}], False),
        ([*TOOLS, 5], False),
        ({}, False),
        (None, False),
    ],
)
async def test_names_are_checked_where_all_are_known(tools: Any, checked: bool) -> None:
    with FakeServer([calling("place", "wether")]) as server:
        transport = OpenAITransport("m", base_url=server.url, body={"tools": tools})
        chunks = await send(transport, request_of())
    kinds = [chunk["type"] for chunk in chunks if chunk["type"].startswith("tool-input-")]
    assert kinds[-2:] == [
        "tool-input-available",
        "tool-input-error" if checked else "tool-input-available",
    ]


async def test_what_servers_want_back_with_calls() -> None:
    extra = {"google": {"thought_signature": "S"}}
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    delta = {"reasoning_content": "Hm", "tool_calls": [{**call, "extra_content": extra}]}
    choice = {"index": 0, "delta": delta, "finish_reason": "tool_calls"}
    first = FakeReply(f"data: {json.dumps({'choices': [choice]})}\n\n".encode(), headers=EVENTS)

    def f() -> int:
        return 1

    with FakeServer([first, saying("One.")]) as server:
        transport = OpenAITransport("m", base_url=server.url)
        async with AsyncChatSession(transport, tools=[f]) as chat:
            assert (await chat.send_message("Hi")).text == "One."
        await transport.aclose()
        answer = server.requests[1].json["messages"][1]
    assert answer["reasoning_content"] == "Hm"
    assert answer["tool_calls"][0]["extra_content"] == extra


async def test_a_function_of_the_users_that_raises_is_named(base: str) -> None:
    def body() -> Any:
        raise LookupError("none")

    transport = OpenAITransport("m", base_url=base, api_key=KEY, body=body)
    with pytest.raises(CallbackError, match="body raised LookupError: none"):
        await transport.send_messages(request_of())
    await transport.aclose()


# ---------------------------------------------------------------- what goes wrong


async def test_an_error_in_mid_stream_keeps_the_text(base: str, official: Official) -> None:
    with pytest.raises(openai.APIError, match="Out of memory"):
        await official.read("error")
    transport = OpenAITransport("m", base_url=base, api_key=KEY)
    async with AsyncChatSession(transport) as chat:
        turn = await chat.send_message("error")
        assert (turn.outcome, chat.status) == ("error", "error")
        assert isinstance(turn.error, ServerError)
        assert turn.error.error_text == "Out of memory, ***."
        assert turn.text == "Hello there"
    await transport.aclose()


@pytest.mark.parametrize("scenario", ["cut", "cut in call"])
async def test_a_cut_connection_is_never_complete(
    scenario: str, base: str, official: Official
) -> None:
    with pytest.raises(openai.APIConnectionError):
        await official.read(scenario)
    transport = OpenAITransport("m", base_url=base, api_key=KEY)
    async with AsyncChatSession(transport) as chat:
        turn = await chat.send_message(scenario)
        assert turn.outcome == "error"
        assert isinstance(turn.error, ConnectionBrokenError)
        assert turn.text == "Hello there"
        assert turn.pending == ()
    await transport.aclose()


@pytest.mark.parametrize(("finish", "outcome"), [(True, "incomplete"), (False, "completed")])
async def test_an_early_end_is_incomplete(finish: bool, outcome: str, base: str) -> None:
    transport = OpenAITransport("m", base_url=base, api_key=KEY, require_finish=finish)
    assert transport.require_finish is finish
    async with AsyncChatSession(transport) as chat:
        turn = await chat.send_message("ends early")
        assert (turn.outcome, turn.text, turn.pending) == (outcome, "Hello there", ())
        # The call has its end for the model when the user goes on.
        turn = await chat.send_message("history")
        assert turn.outcome == "completed"
        sent = json.loads(turn.text)
        assert [message["role"] for message in sent] == ["user", "assistant", "tool", "user"]
    await transport.aclose()


async def test_the_server_sees_a_stop(base: str, server: OpenAIServer) -> None:
    transport = OpenAITransport("m", base_url=base, api_key=KEY)
    async with AsyncChatSession(transport) as chat:

        def stop_there(chat: AsyncChatSession) -> None:
            if turn.text == "Hello there":
                chat.stop()

        chat.subscribe(stop_there)
        turn = chat.send_message("endless")
        await turn
        assert (turn.outcome, turn.text) == ("stopped", "Hello there")
        assert await anyio.to_thread.run_sync(lambda: server.left.acquire(timeout=10))
    await transport.aclose()


@pytest.mark.parametrize(
    ("scenario", "model", "status", "said"),
    [
        ("429", "m", 429, "answered 429 Too Many Requests: Rate limit reached for requests"),
        ("text", "missing", 404, "answered 404 Not Found: model 'missing' not found"),
    ],
)
async def test_a_refusal_says_why(
    scenario: str, model: str, status: int, said: str, base: str, official: Official
) -> None:
    with pytest.raises(openai.APIStatusError):
        await official.run(
            lambda client: client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": scenario}], stream=True
            )
        )
    transport = OpenAITransport(model, base_url=base, api_key=KEY)
    async with AsyncChatSession(transport) as chat:
        turn = await chat.send_message(scenario)
    await transport.aclose()
    assert isinstance(turn.error, HTTPStatusError)
    assert turn.error.status_code == status
    assert str(turn.error) == f"POST {base}/chat/completions {said}"


def chain_of(error: BaseException | None) -> list[BaseException]:
    """An error and all that it keeps."""
    found: list[BaseException] = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


@pytest.mark.parametrize("by_header", [True, False])
async def test_a_wrong_key_is_in_no_message(
    by_header: bool, base: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = "sk-wrong-9876543210"
    caplog.set_level(logging.DEBUG)
    given: Any = (
        {"headers": {"authorization": f"Bearer {wrong}"}} if by_header else {"api_key": wrong}
    )
    transport = OpenAITransport("m", base_url=base, **given)
    async with AsyncChatSession(transport) as chat:
        turn = await chat.send_message("text")
        shown = repr(chat) + repr(transport) + repr(turn)
    await transport.aclose()
    error = turn.error
    assert isinstance(error, HTTPStatusError)
    assert str(error) == (
        f"POST {base}/chat/completions answered 401 Unauthorized: "
        f"Incorrect API key provided: ***. "
        "Is the key right (api_key=, OPENAI_API_KEY or a header)?"
    )
    for kept in chain_of(error):
        shown += repr(kept) + str(kept) + repr(vars(kept))
    assert wrong not in shown + caplog.text
    assert error.body.count("***") == 1


async def refused(said: str, status: int = 400, **options: Any) -> str:
    """What we say when a server refuses in these words."""
    body = json.dumps({"error": {"message": said}}).encode()
    query = options.pop("query", "")
    with FakeServer([FakeReply(body, status, {})]) as server:
        transport = OpenAITransport("m", base_url=server.url + query, **options)
        with pytest.raises(HTTPStatusError) as error:
            await transport.send_messages(request_of())
        await transport.aclose()
    return str(error.value).partition(": ")[2]


@pytest.mark.parametrize(
    ("options", "said", "shown"),
    [
        ({"api_key": "ollama"}, "Try `ollama pull`.", "Try `ollama pull`."),
        ({"api_key": "x"}, "The context exceeds it.", "The context exceeds it."),
        # One is the begin of the other.
        (
            {"api_key": "sk-12345678", "headers": {"x-other": "sk-12345678-more"}},
            "sk-12345678-more, sk-12345678",
            "***, ***",
        ),
        ({"headers": {"x-goog-api-key": "s3cret-s3cret"}}, "No s3cret-s3cret.", "No ***."),
        ({"headers": {"Api-Key": "s3cret-s3cret"}}, "No s3cret-s3cret.", "No ***."),
        ({"headers": {"x-auth": "Token s3cret-s3cret"}}, "No s3cret-s3cret.", "No ***."),
        ({"headers": {"accept": "text/event-stream"}}, "text/event-stream", "text/event-stream"),
        ({"query": "?key=s3cret%2Fs3cret"}, "s3cret/s3cret, s3cret%2Fs3cret", "***, ***"),
        ({"query": "?api-version=2024-10-21"}, "No 2024-10-21.", "No 2024-10-21."),
    ],
)
async def test_what_is_hidden(options: Any, said: str, shown: str) -> None:
    assert await refused(said, **options) == shown


@pytest.mark.parametrize(
    ("options", "asks"),
    [
        ({}, "Give a key as api_key="),
        ({"headers": {"x-title": "A title of mine"}}, "Give a key as api_key="),
        ({"api_key": "x"}, "Is the key right"),
        ({"headers": {"api-key": "x"}}, "Is the key right"),
        ({"headers": {"x-api-key": "x"}}, "Is the key right"),
        ({"headers": {"authorization": "x"}}, "Is the key right"),
    ],
)
async def test_a_401_asks_for_the_key_that_is_not_there(options: Any, asks: str) -> None:
    assert (await refused("no", 401, **options)).startswith(f"no. {asks}")
    assert (await refused("No!", 401, **options)).startswith(f"No! {asks}")


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("headers", [JSON, EVENTS])
async def test_a_whole_completion_is_a_reply(headers: dict[str, str]) -> None:
    message = {"role": "assistant", "content": "Hi"}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    reply = FakeReply(json.dumps(body, indent=1).encode(), headers=headers)
    with FakeServer([reply]) as server:
        transport = OpenAITransport("m", base_url=server.url, body={"stream": False})
        async with AsyncChatSession(transport) as chat:
            turn = await chat.send_message("Hello")
        await transport.aclose()
    assert (turn.outcome, turn.text, turn.finish_reason) == ("completed", "Hi", "stop")


async def test_an_answer_that_is_no_reply_says_so() -> None:
    said = f"Unexpected endpoint or method, {KEY}. (POST /chat/completions)"
    body = json.dumps({"error": said}).encode()
    with FakeServer([FakeReply(body, headers=JSON), FakeReply(b"<html>", headers={})]) as server:
        transport = OpenAITransport("m", base_url=server.url, api_key=KEY)
        async with AsyncChatSession(transport) as chat:
            turn = await chat.send_message("Hello")
            assert turn.outcome == "error"
            assert str(turn.error) == (
                "The server answered with no event stream, but with an error: Unexpected endpoint "
                "or method, ***. (POST /chat/completions). Is the URL right? Mostly base_url ends "
                "in /v1."
            )
            turn = await chat.send_message("Hello")
            assert turn.outcome == "error"
            assert str(turn.error).endswith("It begins: <html>")
        await transport.aclose()


async def test_without_a_key(base: str) -> None:
    transport = OpenAITransport("m", base_url=base)
    with pytest.raises(HTTPStatusError, match=r"You didn't provide an API key. Give a key as api"):
        await transport.send_messages(request_of())
    await transport.aclose()


@pytest.mark.parametrize(
    ("base_url", "gets_it"),
    [
        ("https://api.openai.com/v1", True),
        ("https://api.openai.com/v1/", True),
        ("https://API.OpenAI.com:443/v1/chat/completions", True),
        ("https://api.openai.com/v1?x=1", True),
        ("https://api.openai.com/v2", False),
        ("https://e.com#@api.openai.com/v1", False),
        ("https://api.openai.com.example/v1", False),
        ("http://api.openai.com/v1", False),
        ("http://localhost:11434/v1", False),
    ],
)
async def test_the_environments_key_goes_to_openai_only(
    base_url: str, gets_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(401, json={"error": "no"}, headers={"x-key": f"given {KEY}"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        transport = OpenAITransport("m", base_url=base_url, client=client)
        with pytest.raises(HTTPStatusError) as refused:
            await transport.send_messages(request_of())
    expected = f"Bearer {KEY}" if gets_it else None
    assert seen[0].headers.get("authorization") == expected
    assert seen[0].url.path.endswith("/chat/completions")
    if gets_it:
        assert refused.value.headers["x-key"] == "given ***"


async def test_no_key_for_openai_says_where_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    answer = httpx.MockTransport(lambda request: httpx.Response(401))
    async with httpx.AsyncClient(transport=answer) as client:
        transport = OpenAITransport("m", client=client)
        with pytest.raises(HTTPStatusError) as refused:
            await transport.send_messages(request_of())
    assert str(refused.value) == (
        "POST https://api.openai.com/v1/chat/completions answered 401 Unauthorized: it does not "
        "say why. Give a key, as api_key= or as OPENAI_API_KEY in the environment."
    )


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, b"<html>It broke.\n</html>", "answered 500 Internal Server Error: <html>It broke."),
        (400, b'[{"error": {"message": "Bad request."}}]', "400 Bad Request: Bad request."),
        (400, b'{"object": "error", "message": "Too long."}', "400 Bad Request: Too long."),
        (422, b'{"detail": "No."}', '422 Unprocessable Entity: {"detail": "No."}'),
        (503, b'{"error": "\\ud83d overloaded"}', "503 Service Unavailable: \ufffd overloaded"),
        (400, b'{"error": "It is \\u006bkkkkkkkkkkkkkkkkkkk."}', "400 Bad Request: It is ***."),
        (200, b"", "answered 200 OK without a body"),
    ],
)
async def test_refusals_in_other_words(status: int, body: bytes, said: str) -> None:
    with FakeServer([FakeReply(body, status, {})]) as server:
        transport = OpenAITransport("m", base_url=server.url, api_key="k" * 20)
        with pytest.raises(HTTPStatusError) as refused:
            await transport.send_messages(request_of())
        await transport.aclose()
    assert said in str(refused.value)


async def test_a_redirect_is_not_followed_and_its_key_not_shown() -> None:
    location = f"https://e.com/{KEY}/x?k={KEY}"
    with FakeServer([FakeReply(b"", 307, {"location": location})]) as server:
        transport = OpenAITransport("m", base_url=server.url, api_key=KEY)
        with pytest.raises(HTTPStatusError, match="307") as refused:
            await transport.send_messages(request_of())
        await transport.aclose()
    assert "to https://e.com/***/x. Redirects" in str(refused.value)
    assert KEY not in repr(vars(refused.value))


async def test_what_cannot_be_read_is_shown_without_the_key() -> None:
    body = f"data: {{no json {KEY}\n\n".encode()
    with FakeServer([FakeReply(body, headers=EVENTS)]) as server:
        transport = OpenAITransport("m", base_url=server.url, api_key=KEY)
        with pytest.raises(StreamProtocolError) as unread:
            await send(transport, request_of())
    assert unread.value.position == 0
    assert str(unread.value).endswith("{no json ***")
    assert unread.value.chunk == "{no json ***"
    assert not any(KEY in str(kept) for kept in chain_of(unread.value))


async def test_nobody_is_there() -> None:
    transport = OpenAITransport("m", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ConnectionBrokenError, match="Is the server running"):
        await transport.send_messages(request_of())
    await transport.aclose()


# ------------------------------------------------------------------- the transport


async def test_there_is_nothing_to_resume() -> None:
    transport = OpenAITransport("m")
    assert isinstance(transport, ChatTransport)
    async with AsyncChatSession(transport) as chat:
        turn = await chat.resume_stream()
        assert turn.outcome == "completed"
    assert chat.messages == ()


async def test_who_closes_the_client_is_told_of_it(base: str) -> None:
    transport = OpenAITransport("m", base_url=base, api_key=KEY)
    told: list[object] = []
    assert transport.made_client is None
    transport.made_client = lambda of, client: told.append(client)
    await send(transport, request_of())
    assert len(told) == 1


def test_it_is_gone_when_it_is_dropped() -> None:
    gone = weakref.ref(OpenAITransport("m", api_key=KEY))
    assert gone() is None


def test_its_repr_says_where() -> None:
    transport = OpenAITransport("llama3.2", base_url="http://localhost:11434/v1", api_key=KEY)
    assert repr(transport) == "OpenAITransport('llama3.2' at 'http://localhost:11434/v1')"
    transport = OpenAITransport("m", base_url="http://u:p@localhost/v1?key=secret")
    assert repr(transport) == "OpenAITransport('m' at 'http://localhost/v1')"


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("/v1", "/v1/chat/completions"),
        ("/v1//", "/v1/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/deployments/d?api-version=1", "/deployments/d/chat/completions?api-version=1"),
    ],
)
async def test_the_url(base_url: str, path: str) -> None:
    with FakeServer([FakeReply(b"data: [DONE]\n\n", headers=EVENTS)]) as server:
        base = server.url.removesuffix("/api/chat")
        assert await send(OpenAITransport("m", base_url=base + base_url), request_of()) == [
            {"type": "[DONE]"}
        ]
        assert server.requests[0].path == path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": ""}, "model: expected a name, got ''."),
        ({"model": None}, "model: expected a name, got NoneType."),
        ({"base_url": None}, "base_url: expected a URL, got NoneType."),
        ({"headers": 5}, "headers: expected a mapping"),
        ({"body": [1]}, "body: expected a mapping"),
        ({"history": "first"}, "history='first': expected"),
        ({"base_url": "localhost:11434"}, "is not a whole URL"),
        ({"system": 5}, "system: expected text, got int"),
        ({"api_key": 5}, "api_key: expected text in ASCII"),
        ({"api_key": "sk-\n1"}, "api_key: expected text in ASCII"),
        ({"api_key": "sk-ü"}, "api_key: expected text in ASCII"),
        ({"protocol": "ui", "strict": True}, "OpenAITransport has no protocol, strict."),
        ({"timeout": 0}, "timeout=0"),
    ],
)
def test_arguments_that_cannot_be_used(arguments: Any, said: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        OpenAITransport(**{"model": "m", **arguments})
    assert said in str(refused.value)
    assert "sk-" not in str(refused.value)


def test_no_other_host_looks_like_openais() -> None:
    for url in ("https://api.openai.com@e.com/v1", "https://e.com/\\@api.openai.com/v1"):
        assert not _is_openai(url)


def test_the_environments_key_may_end_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ü")
    with pytest.raises(InvalidArgumentError, match="OPENAI_API_KEY: expected text in ASCII"):
        OpenAITransport("m")
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    OpenAITransport("m")


async def test_a_backend_may_pass_the_stream_on(base: str) -> None:
    choice = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}
    body = f"data: {json.dumps({'choices': [choice]})}\n\n".encode()
    replies = [FakeReply(body, headers=EVENTS)] * 2
    with FakeServer(replies) as server:
        async with AsyncChatSession(server.url, protocol="openai") as chat:
            turn = await chat.send_message("Hello")
            assert (turn.text, turn.finish_reason) == ("Hi", "stop")
        async with AsyncChatSession(server.url) as chat:
            turn = await chat.send_message("Hello")
            assert "say protocol='openai'" in str(turn.error)
