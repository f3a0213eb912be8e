"""When observers are told, by a clock that jumps."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from clocks import Timed, backend
from servers import GREETING, gathered

from usechat import AsyncChatSession, AsyncTurn, StatusChanged, TextDelta
from usechat.testing import ScriptedTransport

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return backend(request.param)


def delta(text: str) -> list[dict[str, Any]]:
    return [{"type": "text-delta", "id": "text-1", "delta": text}]


BEGIN = GREETING[:3]
END = GREETING[-3:]


class Watch:
    """When a chat's subscribers were told, and what they saw."""

    def __init__(self, chat: AsyncChatSession) -> None:
        self.told: list[tuple[float, str, str]] = []
        self._begun = anyio.current_time()
        chat.subscribe(self._tell)

    def _tell(self, chat: AsyncChatSession) -> None:
        text = chat.messages[1].text if len(chat.messages) > 1 else ""
        self.told.append((round(anyio.current_time() - self._begun, 3), chat.status, text))


async def test_at_most_one_in_that_time_and_a_last_one() -> None:
    reads = [BEGIN, *(x for n in range(10) for x in (delta(str(n)), 0.007)), 5.0, delta("."), END]
    async with AsyncChatSession(Timed(*reads), throttle=0.03) as chat:
        watch = Watch(chat)
        await chat.send_message("Hi")
        assert watch.told == [
            (0.0, "submitted", ""),  # a status does not wait
            (0.0, "streaming", ""),
            (0.03, "streaming", "01234"),
            (0.06, "streaming", "012345678"),
            (0.09, "streaming", "0123456789"),  # in the silence
            (5.07, "streaming", "0123456789."),  # at once
            (5.07, "ready", "0123456789."),
        ]


async def test_a_change_after_a_while_is_told_at_once() -> None:
    reads = [BEGIN, 1.0, delta("a"), 1.0, delta("b"), 0.01, delta("c"), 1.0, END]
    async with AsyncChatSession(Timed(*reads), throttle=0.03) as chat:
        watch = Watch(chat)
        await chat.send_message("Hi")
        assert watch.told[2:] == [
            (1.0, "streaming", "a"),
            (2.0, "streaming", "ab"),
            (2.03, "streaming", "abc"),
            (3.01, "streaming", "abc"),  # the part is done
            (3.01, "ready", "abc"),
        ]


async def test_a_long_throttle_holds_all_but_what_is_urgent() -> None:
    data = [{"type": "data-x", "id": "d", "data": n} for n in range(100)]
    call = {"type": "tool-input-available", "toolCallId": "c", "toolName": "t", "input": {}}
    reads = [BEGIN, *map(delta, "abcd"), data, [call], *map(delta, "efgh"), data, END]
    transport = ScriptedTransport([reads])
    seen: list[Any] = []
    async with AsyncChatSession(transport, throttle=3600, on_data=seen.append) as chat:
        watch = Watch(chat)
        deltas: list[str] = []
        chat.on(TextDelta, lambda event: deltas.append(event.text))
        await chat.send_message("Hi")
        assert [(status, text) for _, status, text in watch.told] == [
            ("submitted", ""),
            ("streaming", ""),
            ("streaming", "abcd"),  # the tool call
            ("ready", "abcdefgh"),
        ]
        assert deltas == ["abcd", "efgh"]
        assert len(seen) == 200


async def test_no_throttle_is_once_for_each_read() -> None:
    many = [*delta("a"), *delta("b"), {"type": "data-x", "data": 1}, *delta("c")]
    reads = [BEGIN, many, delta("d"), delta("e"), END]
    async with AsyncChatSession(ScriptedTransport([reads]), throttle=0) as chat:
        watch = Watch(chat)
        await chat.send_message("Hi")
        assert [(status, text) for _, status, text in watch.told] == [
            ("submitted", ""),
            ("streaming", ""),
            ("streaming", "abc"),
            ("streaming", "abcd"),
            ("streaming", "abcde"),
            ("streaming", "abcde"),  # the part is done
            ("ready", "abcde"),
        ]


async def test_none_is_each_change_with_its_state() -> None:
    reads = [[*BEGIN, *delta("a"), *delta("b"), *END]]
    async with AsyncChatSession(ScriptedTransport([reads]), throttle=None) as chat:
        watch = Watch(chat)
        statuses: list[str] = []
        chat.on(StatusChanged, lambda event: statuses.append(f"{event.status} {chat.status}"))
        await chat.send_message("Hi")
        texts = [text for _, _, text in watch.told]
        assert list(dict.fromkeys(texts)) == ["", "a", "ab"]
        assert statuses == [f"{s} {s}" for s in ("submitted", "streaming", "ready")]
        assert watch.told[-1][1:] == ("ready", "ab")


async def test_one_who_subscribes_in_mid_reply_is_told_in_a_silence() -> None:
    reads = [BEGIN, delta("a"), 1.0, delta("b"), 0.01, delta("c"), 100.0, END]
    async with AsyncChatSession(Timed(*reads), throttle=0.03) as chat:
        turn = chat.send_message("Hi")
        watches: list[Watch] = []

        async def come() -> None:
            await anyio.sleep(0.5)
            watches.append(Watch(chat))

        await gathered(turn.wait, come, patience=1000)
        assert watches[0].told[:2] == [(0.5, "streaming", "ab"), (0.53, "streaming", "abc")]


async def test_one_who_waits_tells_in_a_silence_when_an_iteration_was_left() -> None:
    reads = [BEGIN, delta("a"), 1.0, delta("b"), 0.01, delta("c"), 100.0, END]
    async with AsyncChatSession(Timed(*reads), throttle=0.03) as chat:
        watch = Watch(chat)
        turn = chat.send_message("Hi")

        async def leave() -> None:
            async for _ in turn:
                break

        await gathered(leave, turn.wait, patience=1000)
        assert next(at for at, _, text in watch.told if text == "abc") == 1.03


async def test_iterating_tells_in_a_silence() -> None:
    reads = [BEGIN, delta("a"), 1.0, delta("b"), 0.01, delta("c"), 100.0, END]
    async with AsyncChatSession(Timed(*reads), throttle=0.03) as chat:
        watch = Watch(chat)
        assert [piece async for piece in chat.send_message("Hi")] == ["a", "b", "c"]
        assert next(at for at, _, text in watch.told if text == "abc") == 1.03


async def test_an_action_is_told_at_once() -> None:
    async with AsyncChatSession(Timed(BEGIN, 1.0, END), throttle=3600) as chat:
        watch = Watch(chat)
        chat.input = "a"
        chat.input = "b"
        chat.input = "b"
        chat.set_messages([{"id": "u", "role": "user", "parts": []}])
        assert len(watch.told) == 3


async def test_stop_in_a_silence_is_told_at_once() -> None:
    async with AsyncChatSession(Timed(BEGIN, delta("a"), 1000.0), throttle=0.03) as chat:
        watch = Watch(chat)
        turn: AsyncTurn = chat.send_message("Hi")

        async def stop() -> None:
            await anyio.sleep(7)
            chat.stop()

        await gathered(turn.wait, stop)
        assert watch.told[-1] == (7.0, "ready", "a")
        assert watch.told[-2] == (0.03, "streaming", "a")
