"""Replies captured from real servers, sent by a real server: whole, and cut at every length.

What came of a reply is in its protocol or in none that is known yet, never in another.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import pytest

from usechat import ChatRequest, HttpTransport, RequestOptions, StreamProtocolError
from usechat.testing import FakeReply, FakeServer
from usechat.testing.server import FakeRequest
from usechat.transport.reply import HttpReply
from usechat.wire.auto import AutoDecoder

TESTS = Path(__file__).parent.parent
PROTOCOLS = {"streams": "ui", "data_streams": "data-stream", "text_streams": "text"}
CAPTURES = [path for folder in PROTOCOLS for path in sorted((TESTS / folder).glob("*.http"))]
REQUEST = ChatRequest("submit-message", "c", (), None, RequestOptions())


def head_and_body(path: Path) -> tuple[dict[str, str], bytes]:
    head, _, body = path.read_bytes().partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")[1:]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return headers, body


def answer(request: FakeRequest) -> FakeReply:
    """So much of a capture as the query asks for, with the labels of its server."""
    query = parse_qs(urlsplit(request.path).query)
    headers, body = head_and_body(TESTS / query["name"][0])
    labels = {k: v for k, v in headers.items() if k == "content-type" or k.startswith("x-vercel")}
    piece = body[: int(query["length"][0])]
    return FakeReply([piece], headers=labels)


async def read(url: str, client: httpx.AsyncClient) -> tuple[AutoDecoder, list[str]]:
    """The decoder at the end of a reply, and the chunk types."""
    reply = await HttpTransport(url, client=client).send_messages(REQUEST)
    assert isinstance(reply, HttpReply)
    decoder = reply._decoder
    assert isinstance(decoder, AutoDecoder)
    kinds: list[str] = []
    try:
        async for chunks in reply:
            kinds += [chunk["type"] for chunk in chunks]
    except StreamProtocolError:
        pass
    finally:
        await reply.aclose()
    return decoder, kinds


def test_there_are_captures_of_each_protocol() -> None:
    for folder in PROTOCOLS:
        assert any(path.parent.name == folder for path in CAPTURES)


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_a_reply_is_in_its_protocol_at_every_length(path: Path) -> None:
    expected = PROTOCOLS[path.parent.name]
    _, body = head_and_body(path)

    async def at_every_length(server: FakeServer) -> None:
        name = path.relative_to(TESTS)
        async with httpx.AsyncClient(trust_env=False) as client:
            for length in range(1, len(body) + 1):
                url = f"{server.url}?name={name}&length={length}"
                decoder, kinds = await read(url, client)
                found = None if decoder.detection is None else decoder.detection.protocol
                assert found in (None, expected), f"{length} bytes"
        assert found == expected
        assert decoder.error is None
        assert len(kinds) > 2

    with FakeServer([answer] * len(body)) as server:
        anyio.run(at_every_length, server)
