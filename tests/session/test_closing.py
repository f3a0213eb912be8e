"""Sessions are closed, and what is the user's is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.abc
import pytest
from servers import (
    BEGUN,
    assert_usable,
    chatting,
    gathered,
    handlers,
    hang,
    scripted,
)

from usechat import (
    AsyncChatSession,
    AsyncTurn,
    ChatClosedError,
    ChatRequest,
    StatusChanged,
    TextDelta,
    TurnFinished,
)
from usechat.testing import HANG, text_reply

pytestmark = pytest.mark.anyio


async def test_a_closed_session_says_so() -> None:
    async with chatting(handlers()) as (chat, _):
        await chat.send_message("Hi")
        await chat.aclose()
        await chat.aclose()
        for act in (
            lambda: chat.send_message("Hi"),
            lambda: chat.send_message(None),
            chat.regenerate,
            chat.resume_stream,
            chat.clear,
            lambda: chat.set_messages([]),
            lambda: chat.add_tool_output("c", 1),
            lambda: chat.send_queued_message_now("x"),
        ):
            with pytest.raises(ChatClosedError, match="Make a new one"):
                act()
        chat.input = "typed"
        assert chat.submit() is None
        chat.stop()
        chat.clear_error()
        assert (chat.input, chat.status, len(chat.messages)) == ("typed", "ready", 2)


async def test_closing_drops_what_waits() -> None:
    async with scripted(HANG, when_busy="queue") as chat:
        first, second = chat.send_message("1"), chat.send_message("2")

        async def close() -> None:
            await anyio.wait_all_tasks_blocked()
            await chat.aclose()

        await gathered(first.wait, second.wait, close)
        assert (first.outcome, second.outcome) == ("stopped", "dropped")
        assert chat.queued_messages == ()


async def test_a_session_closes_although_its_block_is_cancelled() -> None:
    async with chatting(handlers(hang)) as (_, server):
        with anyio.CancelScope() as scope:
            async with AsyncChatSession(server.url) as chat:
                turn = chat.send_message("Hi")
                chat.on(TextDelta, lambda _: scope.cancel())
                await turn
        await server.all_closed()
        assert turn.outcome == "stopped"


class Own:
    """A transport of the user's, from an async generator."""

    def __init__(self) -> None:
        self.closed = 0
        self.replies_closed = 0

    async def send_messages(self, request: ChatRequest) -> AsyncIterator[list[dict[str, Any]]]:
        return self._reply()

    async def _reply(self) -> AsyncIterator[list[dict[str, Any]]]:
        try:
            yield list(BEGUN)
            await anyio.sleep_forever()
        finally:
            self.replies_closed += 1

    async def reconnect_to_stream(self, request: ChatRequest) -> None:
        return None

    async def aclose(self) -> None:
        self.closed += 1


async def test_a_transport_of_the_users_is_not_closed_but_its_replies_are() -> None:
    transport = Own()
    async with AsyncChatSession(transport) as chat:
        async with chat.stream("Hi") as turn:
            async for _ in turn:
                break
        assert transport.replies_closed == 1
        turn = chat.send_message("Hi")
        with anyio.CancelScope() as scope:
            chat.on(TextDelta, lambda _: scope.cancel())
            await turn
        assert transport.replies_closed == 2
        assert (await chat.resume_stream()).outcome == "completed"
    assert transport.closed == 0


async def test_a_client_of_the_users_is_neither_closed_nor_changed() -> None:
    import httpx

    async with chatting(handlers(hang)) as (_, server), httpx.AsyncClient() as client:
        headers = dict(client.headers)
        timeout = client.timeout
        options: dict[str, Any] = {"headers": {"x": "y"}, "timeout": 5, "client": client}
        async with AsyncChatSession(server.url, **options) as chat:
            async with chat.stream("Hi") as turn:
                async for _ in turn:
                    break
            await server.all_closed()
            await assert_usable(chat)
        assert not client.is_closed
        assert (dict(client.headers), client.timeout) == (headers, timeout)
        assert (await client.post(server.url, json={"messages": []})).status_code == 200


def test_a_session_made_outside_of_any_loop(anyio_backend: str) -> None:
    seen: list[str] = []
    chat = scripted(
        text_reply("Hello there"), text_reply("Hello there"), messages=[], input="typed"
    )
    chat.on(StatusChanged, lambda e: seen.append(e.status))
    chat.on(TurnFinished, lambda e: seen.append(e.turn.text))
    chat.input = "Hi"
    turn = chat.submit()
    assert turn is not None
    assert (chat.status, seen) == ("submitted", ["submitted"])

    async def main() -> str:
        async with chat:
            await assert_usable_after(turn, chat)
            return turn.text

    assert anyio.run(main, backend=anyio_backend) == "Hello there"
    assert seen == ["submitted", "streaming", "ready", "Hello there"] * 2


async def assert_usable_after(turn: AsyncTurn, chat: AsyncChatSession) -> None:
    await turn
    await assert_usable(chat)
