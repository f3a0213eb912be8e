"""What is measured: usechat, and the loop that one would write by hand."""

from __future__ import annotations

import json

import httpx
import httpx_sse

from usechat import AsyncChatSession, ChatSession, TextDelta


async def by_hand(url: str) -> str:
    """The loop by hand: httpx, httpx-sse, json.loads, append."""
    pieces: list[str] = []
    async with (
        httpx.AsyncClient(verify=False) as client,
        httpx_sse.aconnect_sse(client, "POST", url, json={"messages": []}) as source,
    ):
        async for event in source.aiter_sse():
            if event.data == "[DONE]":
                continue
            chunk = json.loads(event.data)
            if chunk["type"] == "text-delta":
                pieces.append(chunk["delta"])
    return "".join(pieces)


async def session(url: str) -> str:
    """usechat with an observer of the text, delivered at each network piece."""
    pieces: list[str] = []
    async with AsyncChatSession(url, throttle=0) as chat:
        chat.on(TextDelta, lambda event: pieces.append(event.text))
        turn = await chat.send_message("Hi")
    assert turn.text == "".join(pieces)
    return turn.text


async def throttled(url: str) -> str:
    """usechat as it is without a word said: an observer, at most 33 deliveries a second."""
    pieces: list[str] = []
    async with AsyncChatSession(url) as chat:
        chat.on(TextDelta, lambda event: pieces.append(event.text))
        turn = await chat.send_message("Hi")
    assert turn.text == "".join(pieces)
    return turn.text


async def iterated(url: str) -> str:
    """usechat with its text taken piece by piece."""
    async with AsyncChatSession(url) as chat:
        return "".join([piece async for piece in chat.send_message("Hi")])


async def script(url: str) -> str:
    """usechat in a script: an observer on a thread of its own, and this one waits."""
    pieces: list[str] = []
    with ChatSession(url) as chat:
        chat.on(TextDelta, lambda event: pieces.append(event.text))
        turn = chat.send_message("Hi").wait()
    assert turn.text == "".join(pieces)
    return turn.text


async def script_iterated(url: str) -> str:
    """usechat in a script that takes the text piece by piece."""
    with ChatSession(url) as chat:
        return "".join(chat.send_message("Hi"))


async def read_bytes(url: str) -> str:
    """The limit: httpx reads the bytes and nothing is done with them."""
    async with httpx.AsyncClient(verify=False) as client, client.stream("POST", url) as response:
        async for _ in response.aiter_raw():
            pass
    return ""
