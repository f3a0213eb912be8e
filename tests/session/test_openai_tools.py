"""A chat with a model itself that calls Python functions, in both sessions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.transport.openai_server import CITIES, KEY, OpenAIServer, running_openai
from usechat import (
    AsyncChatSession,
    ChatSession,
    HttpTransport,
    InvalidArgumentError,
    PendingToolError,
    Tool,
    generate_id,
)


def weather(city: str) -> str:
    """What it is like."""
    return f"sun in {city}"


def place() -> str:
    return "Bern"


@pytest.fixture(scope="module")
def openai() -> Iterator[tuple[OpenAIServer, str]]:
    with running_openai() as running:
        yield running


Server = tuple[OpenAIServer, str]


@pytest.mark.anyio
async def test_tools_in_one_two_and_three(openai: Server) -> None:
    server, base_url = openai
    async with AsyncChatSession.openai(
        "m", base_url=base_url, api_key=KEY, system="Be brief.", tools=[weather, place]
    ) as chat:
        turn = await chat.send_message("three tools", body={"temperature": 0})
        told = ", ".join(f"sun in {city}" for city in CITIES)
        assert (turn.outcome, turn.text) == ("completed", f"I am told: {told}")
        assert [body["temperature"] for body in server.bodies[-2:]] == [0, 0]
        turn = await chat.send_message("two rounds")
        assert turn.text.endswith("I am told: Bern / sun in Bern")
        assert [part.output for part in turn.message.tool_parts] == ["Bern", "sun in Bern"]
        assert turn.usage is not None


def test_the_same_without_await(openai: Server) -> None:
    with ChatSession.openai("m", base_url=openai[1], api_key=KEY, tools=[weather]) as chat:
        turn = chat.send_message("one tool").wait(10)
        assert turn.text.endswith("I am told: sun in Zürich")
        turn = chat.send_message("history").wait(10)
        assert '"role": "tool", "tool_call_id": "call_weather_0"' in turn.text


@pytest.mark.parametrize("allowed", [True, False])
def test_the_user_is_asked_first(openai: Server, allowed: bool) -> None:
    tool = Tool(weather, needs_approval=True)
    with ChatSession.openai("m", base_url=openai[1], api_key=KEY, tools=[tool]) as chat:
        turn = chat.send_message("one tool").wait(10)
        (part,) = turn.pending
        answered = chat.add_tool_approval_response(part.approval.id, allowed, "too far").wait(10)
        assert answered.outcome == "completed"
        said = "I am told: sun in Zürich" if allowed else "too far"
        assert said in answered.text


def test_an_input_that_does_not_fit_is_said_to_the_model(openai: Server) -> None:
    def weather(city: int) -> str:
        raise AssertionError

    with ChatSession.openai("m", base_url=openai[1], api_key=KEY, tools=[weather]) as chat:
        turn = chat.send_message("one tool").wait(10)
        assert "city: Input should be a valid integer" in turn.text


def test_a_limit_of_one_request(openai: Server) -> None:
    with ChatSession.openai(
        "m", base_url=openai[1], api_key=KEY, tools=[weather], max_steps=1
    ) as chat:
        turn = chat.send_message("one tool").wait(10)
        assert turn.limit_reached
        with pytest.raises(PendingToolError):
            turn.result()


def test_the_chat_closes_what_it_has_made(openai: Server) -> None:
    made: list[HttpTransport] = []
    chat = ChatSession.openai("m", base_url=openai[1], api_key=KEY, id=generate_id())
    told = chat._transport.made_client
    chat._transport.made_client = lambda transport, client: (
        made.append(client),
        told(transport, client),
    )
    chat.send_message("text").result(10)
    assert not made[0].is_closed
    chat.close()
    assert made[0].is_closed


def test_what_it_takes() -> None:
    with pytest.raises(InvalidArgumentError, match="protocol"):
        ChatSession.openai("m", protocol="ui")
    with pytest.raises(InvalidArgumentError, match="base_url"):
        ChatSession.openai("m", base_url="")
    with pytest.raises(InvalidArgumentError, match="nonsense"):
        ChatSession.openai("m", tools=[], nonsense=2)
