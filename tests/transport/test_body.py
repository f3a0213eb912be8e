"""Bodies that are read as far as they have come."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import httpx
import pytest

from usechat.errors import ConnectionBrokenError
from usechat.testing import every_split
from usechat.transport.body import Body

pytestmark = pytest.mark.anyio

WAIT = object()  # in a script: the next piece is not there yet


class Scripted(httpx.AsyncByteStream):
    """A body of pieces that are there, of waits, and of errors."""

    def __init__(self, *script: Any) -> None:
        self.script = script
        self.told: list[str] = []

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for step in self.script:
                if step is WAIT:
                    self.told.append("waits")
                    await anyio.lowlevel.checkpoint()
                elif isinstance(step, BaseException):
                    raise step
                else:
                    yield step
        finally:
            self.told.append("left")


class Endless(Scripted):
    """A body whose next piece never comes."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            yield b"a"
            await anyio.sleep_forever()
        finally:
            self.told.append("left")


def body_of(stream: httpx.AsyncByteStream, **headers: str) -> Body:
    return Body(httpx.Response(200, stream=stream, headers=headers), "POST http://test/")


async def taken(body: Body, more: Callable[[bytes], bool] = lambda _: True) -> list[bytes]:
    came: list[bytes] = []

    def take(piece: bytes) -> bool:
        came.append(piece)
        return more(piece)

    assert await body.read_into(take)
    return came


async def test_what_has_come_is_taken_together() -> None:
    stream = Scripted(b"a", b"b", WAIT, b"c", WAIT, WAIT, b"d", b"e")
    assert await taken(body_of(stream)) == [b"ab", b"c", b"de"]
    assert stream.told == ["waits", "waits", "waits", "left"]


async def test_what_has_come_is_handed_on_before_the_wait() -> None:
    stream = Endless()
    body = body_of(stream)
    came = anyio.Event()

    async with anyio.create_task_group() as tasks:

        def take(piece: bytes) -> bool:
            came.set()
            return True

        tasks.start_soon(body.read_into, take)
        with anyio.fail_after(10):
            await came.wait()
        tasks.cancel_scope.cancel()
    assert stream.told == ["left"]


async def test_a_body_without_pieces_and_one_that_waits_for_its_end() -> None:
    assert await taken(body_of(Scripted())) == []
    assert await taken(body_of(Scripted(WAIT))) == []
    assert await taken(body_of(Scripted(b"a", WAIT))) == [b"a"]


async def test_much_is_taken_bit_by_bit() -> None:
    came = await taken(body_of(Scripted(*[bytes(10_000)] * 5)))
    assert [len(piece) for piece in came] == [20_000, 20_000, 10_000]


@pytest.mark.parametrize("waits", [[], [WAIT]], ids=["at once", "later"])
async def test_what_came_before_an_error_is_handed_on_first(waits: list[Any]) -> None:
    came: list[bytes] = []
    body = body_of(Scripted(b"a", *waits, httpx.ReadError("reset")))
    with pytest.raises(ConnectionBrokenError, match="POST http://test/") as raised:
        await body.read_into(lambda piece: bool(came.append(piece) or True))
    assert came == [b"a"]
    assert isinstance(raised.value.__cause__, httpx.ReadError)


@pytest.mark.parametrize("rest", [[], [WAIT, b"b"], [httpx.ReadError("reset")]])
@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), OSError("mine")])
async def test_what_take_raises_comes_out_and_the_read_that_has_begun_ends(
    error: BaseException, rest: list[Any]
) -> None:
    def take(_: bytes) -> bool:
        raise error

    stream = Scripted(b"a", *rest)
    body = body_of(stream)
    with pytest.raises(type(error)) as raised:
        await body.read_into(take)
    assert raised.value is error
    await body.aclose()
    assert stream.told[-1:] == ["left"]


async def test_take_raises_while_the_next_piece_never_comes() -> None:
    stream = Endless()

    def take(_: bytes) -> bool:
        raise ValueError("mine")

    with anyio.fail_after(10), pytest.raises(ValueError, match="mine"):
        await body_of(stream).read_into(take)
    assert stream.told == ["left"]


async def test_enough_is_enough_and_nothing_is_lost() -> None:
    body = body_of(Scripted(b"a", WAIT, b"b", b"c", WAIT, b"d", b"e"))
    assert not await body.read_into(lambda _: False)  # the read of b had begun
    assert await body.read() == b"b"
    assert await body.read() == b"c"
    assert await taken(body) == [b"de"]
    assert await body.read() is None


async def test_enough_at_the_end_is_the_end() -> None:
    assert await body_of(Scripted(b"a")).read_into(lambda _: False)
    assert await body_of(Scripted(b"a", WAIT)).read_into(lambda _: False)


async def test_a_pause_is_awaited_where_no_read_is_under_way() -> None:
    told: list[Any] = []
    body = body_of(Scripted(b"a", b"b", WAIT, b"c", WAIT))

    async def pause() -> None:
        with anyio.CancelScope():
            await anyio.lowlevel.checkpoint()
        told.append("pause")

    assert await body.read_into(lambda piece: told.append(piece) is None, pause)
    assert told == [b"ab", "pause", b"c"]


async def test_what_take_raises_comes_out_where_it_has_cancelled_who_reads() -> None:
    stream, scope = Endless(), anyio.CancelScope()

    def take(_: bytes) -> bool:
        scope.cancel()
        raise KeyboardInterrupt

    with scope, pytest.raises(KeyboardInterrupt):
        await body_of(stream).read_into(take)
    assert stream.told == ["left"]


async def test_scopes_of_who_takes_are_its_own() -> None:
    def take(_: bytes) -> bool:
        with anyio.CancelScope() as scope:  # noqa: ASYNC100 (it is the order of scopes that counts)
            scope.cancel()
        return True

    assert await body_of(Scripted(b"a", WAIT, b"b", WAIT)).read_into(take)


async def test_who_takes_may_cancel_who_reads() -> None:
    stream = Endless()
    with anyio.CancelScope() as scope:

        def take(_: bytes) -> bool:
            scope.cancel()
            return True

        await body_of(stream).read_into(take)
    assert scope.cancelled_caught
    assert stream.told == ["left"]


async def test_a_body_that_was_read_already_or_is_compressed_comes_from_httpx() -> None:
    response = httpx.Response(200, stream=Scripted(b"a", b"b"))
    await response.aread()
    assert await taken(Body(response, "")) == [b"ab"]
    packed = gzip.compress(b"packed")
    stream = Scripted(packed[:5], packed[5:])
    assert b"".join(await taken(body_of(stream, **{"content-encoding": "gzip"}))) == b"packed"


async def test_any_split_and_any_waits_give_the_same_bytes() -> None:
    for split in [split for pieces in range(1, 6) for split in every_split(b"abcde", pieces)]:
        for waits in range(2 ** len(split)):
            script = [
                step
                for at, piece in enumerate(split)
                for step in ([WAIT, piece] if waits >> at & 1 else [piece])
            ]
            assert b"".join(await taken(body_of(Scripted(*script)))) == b"abcde"
