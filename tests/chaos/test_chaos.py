"""A connection cut at every byte of a reply: with ``reconnect=`` the message is whole, and single.

A proxy between the session and a real server lets so many bytes of the response through, its head
with them, and closes the connection.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import httpx
import pytest
from proxy import Proxy
from replies import CHUNKS, END, TEXT, Server, continues, replays, replays_merged, replays_with_ids

from usechat import AsyncChatSession, Reconnect, TextDelta, UIMessage
from usechat.testing import FakeServer, ScriptedTransport

BYTES = 4096
# Every third byte still meets each kind of place: between, in and at the edges of events.
STRIDE = 1 if os.environ.get("USECHAT_CHAOS") == "all" else 3
AT_ONCE = Reconnect(delay=0)
SERVERS = [replays, replays_merged, continues, replays_with_ids]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """The log says of each cut that it is mended; that is tested elsewhere."""
    caplog.set_level("ERROR", "usechat")


def expected() -> dict[str, Any]:
    """The message that the reply makes where nothing is cut."""

    async def ask() -> UIMessage:
        async with AsyncChatSession(ScriptedTransport([CHUNKS])) as chat:
            return await chat.send_message("Hi").result()

    return asyncio.run(ask()).model_dump()


EXPECTED = expected()


def port_of(server: FakeServer) -> int:
    return httpx.URL(server.url).port or 0


async def one_run(proxy: Proxy, client: httpx.AsyncClient, cut_at: int) -> None:
    proxy.cut_at, cuts = cut_at, proxy.cuts
    heard: list[str] = []
    async with AsyncChatSession(
        proxy.url, client=client, reconnect=AT_ONCE, throttle=0, id="c"
    ) as chat:
        chat.on(TextDelta, lambda event: heard.append(event.text))
        turn = chat.send_message("Hi")
        pieces = [piece async for piece in turn]
    at = f"cut after {cut_at} bytes"
    assert proxy.cuts == cuts + 1, at
    assert turn.outcome == "completed", at
    assert turn.message is not None
    assert turn.message.model_dump() == EXPECTED, at
    assert "".join(pieces) == turn.text == f"{TEXT}\n\n{END}", at
    assert "".join(heard) == TEXT + END, at


async def many_runs(answer: Server, cuts: range, resets: bool = False) -> None:
    with FakeServer([answer] * (2 * len(cuts))) as server:
        async with (
            Proxy(port_of(server)) as proxy,
            httpx.AsyncClient(trust_env=False) as client,
        ):
            proxy.resets = resets
            for cut_at in cuts:
                await one_run(proxy, client, cut_at)


@pytest.mark.parametrize("answer", [replays, continues], ids=lambda a: a.__name__)
def test_a_cut_at_every_byte(answer: Server) -> None:
    """At every third; with ``USECHAT_CHAOS=all`` at each."""
    asyncio.run(many_runs(answer, range(0, BYTES, STRIDE)))


@pytest.mark.parametrize("answer", SERVERS, ids=lambda a: a.__name__)
@pytest.mark.parametrize("resets", [False, True])
def test_a_cut_at_many_bytes(answer: Server, resets: bool) -> None:
    asyncio.run(many_runs(answer, range(7, BYTES, 41), resets))
