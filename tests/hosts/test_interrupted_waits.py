"""Ctrl-C while a cell or a script waits: wherever it hits, the chat goes on afterwards."""

from __future__ import annotations

import gc
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import usechat
from usechat import ChatSession, TextDelta, TurnFinished
from usechat.session import hosting
from usechat.testing import ScriptedTransport, text_reply

SESSION = str(Path(usechat.__file__).parent / "session")
LIMIT = 10.0


@pytest.fixture(autouse=True)
def _is_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that makes the many sessions is their host, and need not find out."""
    monkeypatch.setattr(hosting, "_PATIENCE", 0.0)


class Interrupt:
    """Interrupts operations, each where none before it was interrupted.

    It hits where the interpreter looks for signals: when a function of ours begins, and when one
    that is written in C has returned to one of ours.

    Attributes:
        place: where the last one was interrupted; empty: nowhere.
    """

    def __init__(self) -> None:
        self.place = ""
        self._known: set[str] = set()

    def during(self, operation: Callable[[], object]) -> bool:
        """Run an operation; whether it was interrupted."""
        self.place = ""
        sys.setprofile(self._look)
        try:
            operation()
        except KeyboardInterrupt:
            assert self.place
        finally:
            sys.setprofile(None)
        return bool(self.place)

    def _look(self, frame: FrameType, event: str, _: Any) -> None:
        if event not in ("call", "c_return") or not frame.f_code.co_filename.startswith(SESSION):
            return
        place = f"{event} in {_named(frame)}, called by {_named(frame.f_back)}"
        if place not in self._known and not _in_finalizer(frame):
            sys.setprofile(None)
            self._known.add(place)
            self.place = place
            raise KeyboardInterrupt


def _in_finalizer(frame: FrameType | None) -> bool:
    """Whether an interrupt would be lost here: Python tells nobody what a finalizer raises."""
    while frame is not None and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    return frame is not None


def _named(frame: FrameType | None) -> str:
    assert frame
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} ({frame.f_lasti})"


@pytest.fixture(autouse=True)
def finalizers_come_later() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def no_threads_of_ours() -> Iterator[None]:
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("usechat-")] == []


WAITS: dict[str, Callable[[ChatSession], object]] = {
    "wait": lambda chat: chat.send_message("Hi").wait(),
    "pieces": lambda chat: list(chat.send_message("Hi")),
    "events": lambda chat: list(chat.send_message("Hi").events()),
}


@pytest.mark.parametrize("hosted", [False, True], ids=["own thread", "dispatch"])
@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_an_interrupt_anywhere_leaves_a_chat_that_works(
    wait: Callable[[ChatSession], object], hosted: bool
) -> None:
    interrupt, count = Interrupt(), 0
    while _goes_on_after(interrupt, wait, hosted):
        count += 1
    assert count > 50


def _goes_on_after(
    interrupt: Interrupt, wait: Callable[[ChatSession], object], hosted: bool
) -> bool:
    calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    transport = ScriptedTransport([text_reply("Hello there"), text_reply("And again")])
    dispatch = calls.put if hosted else None
    with ChatSession(transport, dispatch=dispatch, throttle=0.001) as chat:
        told: list[Any] = []
        chat.on(TextDelta, told.append)
        chat.on(TurnFinished, told.append)
        interrupted = interrupt.during(lambda: wait(chat))
        chat.stop()
        try:
            turn = chat.send_message("More").wait(LIMIT)
        except TimeoutError:
            pytest.fail(f"{interrupt.place}: stuck")
        # The first reply, where that had not been asked for yet.
        assert turn.text in ("And again", "Hello there"), f"{interrupt.place}: {turn.error!r}"
        assert turn.outcome == "completed", interrupt.place
        assert told[-1].turn is turn, interrupt.place
        chat.close()
        while not calls.empty():
            calls.get()()
    return interrupted
