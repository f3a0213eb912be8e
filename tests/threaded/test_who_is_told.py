"""Observers of a threaded session: order, errors, coming and going."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from hosting import (
    GREETING,
    Asked,
    Gate,
    Host,
    Paced,
    chatting,
    delta,
    deltas,
    everywhere,
    hosted,
    scripted,
    told,
)

from usechat import (
    ChatSession,
    InputChanged,
    StatusChanged,
    TextDelta,
    TurnFinished,
)
from usechat.session import observers
from usechat.session.toolkits import _RECIPES
from usechat.testing import HANG


def expected_of_docstring() -> list[str]:
    """What the module says that its example prints."""
    assert observers.__doc__ is not None
    lines = observers.__doc__.partition("prints\n")[2].split("\n")
    return [line.strip() for line in lines if line.strip()]


@pytest.mark.parametrize("throttle", [0.03, 0, None])
@pytest.mark.parametrize("with_dispatch", [True, False])
def test_the_example_prints_what_its_module_says(
    with_dispatch: bool, throttle: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    host = Host() if with_dispatch else None
    with ChatSession(scripted(HANG), dispatch=host, throttle=throttle) as chat:
        stopped: list[bool] = []

        def stop_once() -> None:
            if not stopped:
                stopped.append(True)
                chat.stop()
                assert chat._engine.status == "ready"  # at once

        chat.on(StatusChanged, lambda e: (print("first:", e.status), stop_once()))
        chat.on(StatusChanged, lambda e: print("second:", e.status))
        turn = chat.send_message("Hi")
        Asked(turn.wait).answer()
        assert turn.outcome == "stopped"
    if host is not None:
        host.end()
    assert capsys.readouterr().out.strip().split("\n") == expected_of_docstring()


def test_one_that_raises_is_reported_and_the_others_run(
    logged: pytest.LogCaptureFixture,
) -> None:
    def bad(_: Any) -> None:
        raise RuntimeError("oh dear")

    for report in (True, False):
        reported: list[Exception] = []
        seen: list[str] = []
        with chatting(GREETING, on_observer_error=reported.append if report else None) as chat:
            chat.on(StatusChanged, bad)
            chat.on(StatusChanged, lambda e, s=seen: s.append(e.status))  # type: ignore[misc]
            chat.subscribe(bad)
            assert chat.send_message("Hi").result().text == "Hello there"
        assert seen == ["submitted", "streaming", "ready"]
        assert bool(reported) == report
    assert "oh dear" in logged.text
    assert "bad" in logged.text


def test_a_report_that_raises_is_logged(logged: pytest.LogCaptureFixture) -> None:
    def bad(_: Any) -> None:
        raise RuntimeError("oh dear")

    with chatting(GREETING, on_observer_error=bad) as chat:
        chat.subscribe(bad)
        assert chat.send_message("Hi").result().text == "Hello there"
    assert "on_observer_error raised" in logged.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", [StatusChanged, TextDelta, TurnFinished])
def test_one_that_raises_more_than_an_error_on_a_thread_of_the_sessions_own(
    kind: Any, error: type[BaseException], logged: pytest.LogCaptureFixture
) -> None:
    """It ends no reply and no thread, and nobody waits for ever."""
    raised: list[int] = []

    def bad(_: Any) -> None:
        if not raised:
            raised.append(1)
            raise error

    with chatting(GREETING, GREETING) as chat:
        chat.on(kind, bad)
        assert chat.send_message("Hi").wait().text == "Hello there"
        assert chat.send_message("Hi").result().text == "Hello there"
    assert raised
    assert "raised" in logged.text


def test_one_that_unsubscribes_itself_or_another_in_the_middle() -> None:
    seen: list[str] = []
    with hosted(GREETING, throttle=0) as (chat, host):

        def once(event: StatusChanged) -> None:
            seen.append(f"once {event.status}")
            own()
            others()

        own = chat.on(StatusChanged, once)
        others = chat.on(StatusChanged, lambda e: seen.append("never"))
        chat.on(StatusChanged, lambda e: seen.append(f"last {e.status}"))
        host.ask(lambda: chat.send_message("Hi")).wait()
    assert seen == ["once submitted", "last submitted", "last streaming", "last ready"]


def test_one_that_is_added_in_the_middle_hears_the_next() -> None:
    seen: list[str] = []
    with hosted(GREETING, throttle=0) as (chat, host):

        def add(event: StatusChanged) -> None:
            subscription()
            chat.on(StatusChanged, lambda e: seen.append(e.status))

        subscription = chat.on(StatusChanged, add)
        host.ask(lambda: chat.send_message("Hi")).wait()
    assert seen[-2:] == ["streaming", "ready"]


def test_observers_come_and_go_on_other_threads_during_a_stream() -> None:
    gate = Gate()
    pieces = [delta(f"{n} ") for n in range(2000)]
    with ChatSession(Paced(deltas([gate, *pieces])), throttle=0) as chat:
        whole: list[str] = []
        chat.on(TextDelta, lambda e: whole.append(e.text))
        turn = chat.send_message("Hi")

        def come_and_go(index: int) -> None:
            if index == 0:
                gate.open()
            for _ in range(200):
                seen: list[TextDelta] = []
                with chat.on(TextDelta, seen.append), chat.subscribe(lambda _: None):
                    pass

        everywhere(8, come_and_go)
        turn.wait()
        assert "".join(whole) == turn.text == "".join(p["delta"] for p in pieces)
        assert len(chat._observers._by_type[TextDelta]) == 1
        assert chat._observers._every_flush == ()


def test_an_ended_observation_is_not_called_any_more() -> None:
    """Not even by the delivery that is under way on another thread."""
    is_in, goes_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def first(_: Any) -> None:
        is_in.set()
        told(goes_on)

    with chatting() as chat:
        chat.on(InputChanged, first)
        second = chat.on(InputChanged, lambda e: seen.append(e.input))
        chat.input = "x"
        told(is_in)
        second()
        goes_on.set()
    assert seen == []


def test_events_keep_their_order_whoever_causes_them() -> None:
    """Changes of other threads come after what is being told, in the order they were made."""
    seen: list[str] = []
    with chatting() as chat:

        def first(event: InputChanged) -> None:
            seen.append(f"first {event.input}")
            if event.input == "a":
                Asked(lambda: setattr(chat, "input", "b")).answer()
                chat.input = "c"

        chat.on(InputChanged, first)
        chat.on(InputChanged, lambda e: seen.append(f"second {e.input}"))
        done = threading.Event()
        chat.on(InputChanged, lambda e: e.input == "c" and done.set())
        chat.input = "a"
        told(done)
    assert seen == ["first a", "second a", "first b", "second b", "first c", "second c"]


def test_what_is_told_is_there_when_it_is_told() -> None:
    """State and events go in step on the host's thread."""
    wrong: list[Any] = []
    with hosted(deltas([delta(c) for c in "abc" * 100]), throttle=0) as (chat, host):
        text: list[str] = []

        def check(event: TextDelta) -> None:
            text.append(event.text)
            shown = chat.messages[-1].parts[event.part_index].text
            if not shown.startswith("".join(text)) or event.start + len(event.text) > len(shown):
                wrong.append((event, shown))

        chat.on(TextDelta, check)
        chat.on(StatusChanged, lambda e: e.status == chat.status or wrong.append(e))
        host.ask(lambda: chat.send_message("Hi")).wait()
    assert wrong == []
    assert "".join(text) == "abc" * 100


def test_a_function_that_makes_ids_may_look_at_the_chat() -> None:
    made: list[str] = []

    def make() -> str:
        made.append(f"{chat.id}-{len(chat.messages)}-{len(made)}")
        return made[-1]

    with chatting(GREETING, id="c", generate_id=make) as chat:
        chat.send_message("Hi").wait()
        assert chat.messages[0].id in made
        assert chat.messages[0].id.startswith("c-")
        assert len({m.id for m in chat.messages}) == 2


PROGRAM = """
import sys, threading, warnings
import {toolkit}
from usechat import ChatSession, StatusChanged
from usechat.testing import ScriptedTransport, text_reply
warnings.simplefilter({filter!r})
dispatch = eval({dispatch!r})
for _ in range(2):
    with ChatSession(ScriptedTransport([text_reply("Hi")]), dispatch=dispatch) as chat:
        if {observed}:
            chat.on(StatusChanged, print)
        chat.send_message("Hi").wait()
"""


def run(**values: Any) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(
        **{"toolkit": "tkinter", "filter": "always", "dispatch": "None", "observed": True, **values}
    )
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)


def test_a_toolkit_without_dispatch_warns_once_and_names_the_recipe() -> None:
    pytest.importorskip("tkinter")
    said = run().stderr
    assert said.count("RuntimeWarning") == 1
    assert _RECIPES["tkinter"] in said
    assert "dispatch" in said


def test_a_warning_that_is_an_error_ends_no_delivery() -> None:
    pytest.importorskip("tkinter")
    made = run(filter="error")
    assert made.stdout.count("StatusChanged(status='ready')") == 2
    assert _RECIPES["tkinter"] in made.stderr  # it is logged


@pytest.mark.parametrize(
    "values", [{"toolkit": "json"}, {"observed": False}, {"dispatch": "lambda fn: fn()"}]
)
def test_no_warning_where_nothing_is_wrong(values: dict[str, Any]) -> None:
    assert "RuntimeWarning" not in run(**values).stderr
