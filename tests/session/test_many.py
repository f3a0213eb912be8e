"""Very many sessions at once."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import anyio
import pytest
from servers import GREETING, Exchange, serve

from usechat import AsyncChatSession, TextDelta

pytestmark = pytest.mark.anyio

SESSIONS = 1000


@pytest.fixture
def _many_sockets() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * SESSIONS), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("_many_sockets")
async def test_a_thousand_sessions_stream_at_once() -> None:
    halfway = 0
    all_halfway = anyio.Event()

    async def handle(exchange: Exchange) -> None:
        nonlocal halfway
        name = exchange.text
        deltas = [{**GREETING[3], "delta": f"{name}.{n} "} for n in range(20)]
        await exchange.head()
        await exchange.together({"type": "start", "messageId": name}, *GREETING[1:3], *deltas[:3])
        await exchange.together(*deltas[3:10])
        halfway += 1
        if halfway == SESSIONS:
            all_halfway.set()
        await all_halfway.wait()
        await exchange.together(*deltas[10:15])
        await exchange.together(*deltas[15:], *GREETING[-3:])
        await exchange.end()

    texts: dict[str, str] = {}
    shown: dict[str, list[str]] = {}

    async def talk(url: str, name: str) -> None:
        async with AsyncChatSession(url) as chat:
            pieces = shown[name] = []
            chat.on(TextDelta, lambda event: pieces.append(event.text))
            turn = await chat.send_message(name)
            assert turn.outcome == "completed"
            texts[name] = turn.text

    with anyio.fail_after(60):
        async with serve(handle) as server:
            async with anyio.create_task_group() as tasks:
                for number in range(SESSIONS):
                    tasks.start_soon(talk, server.url, f"s{number}")
            await server.all_closed()
    expected = {
        f"s{number}": "".join(f"s{number}.{n} " for n in range(20)) for number in range(SESSIONS)
    }
    assert texts == expected
    assert {name: "".join(pieces) for name, pieces in shown.items()} == expected
