"""Replies of real servers (tests/streams): the same chunks at every cut."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from usechat import UIMessageChunk
from usechat.model.chunks import STREAM_DONE
from usechat.testing import byte_by_byte, every_split
from usechat.wire.ui_message_stream import HEADERS, UIMessageStreamDecoder

FILES = sorted((Path(__file__).parent.parent / "streams").glob("*.http"))


def body_of(path: Path) -> bytes:
    return path.read_bytes().partition(b"\r\n\r\n")[2]


def decoded(pieces: Iterable[bytes], strict: bool) -> list[UIMessageChunk]:
    decoder = UIMessageStreamDecoder(strict)
    chunks = [chunk for piece in pieces for chunk in decoder.feed(piece)]
    assert decoder.error is None
    return chunks + decoder.close()


def test_there_are_replies() -> None:
    names = [path.name for path in FILES]
    for server in ("ai5", "ai7", "fastapi-ai-sdk", "pydanticai"):
        assert any(name.startswith(server) for name in names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_reply_is_the_same_at_every_cut(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    body = body_of(path)
    data = [event.removeprefix(b"data: ") for event in body.split(b"\n\n")[:-1]]
    expected = [STREAM_DONE if d == b"[DONE]" else json.loads(d) for d in data]
    for strict in (False, True):
        assert decoded([body], strict) == expected
        assert decoded(byte_by_byte(body), strict) == expected
    for pieces in every_split(body):
        assert decoded(pieces, strict=False) == expected, len(pieces[0])
    assert caplog.records == []  # a real server's reply is nothing to complain of


def test_our_headers_are_those_of_the_sdk() -> None:
    path = next(path for path in FILES if path.name == "ai7-text.http")
    head = path.read_bytes().partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    sent = {name.lower(): value for name, _, value in (line.partition(": ") for line in head)}
    assert HEADERS.items() <= sent.items()
