"""The dispatcher of Tk, by itself: a queue that the window empties."""

from __future__ import annotations

import gc
import itertools
import subprocess
import sys
import threading
import time
import tkinter
import weakref
from collections.abc import Callable
from tkinter import ttk
from typing import Any

import pytest
from windows import Window

from usechat import DispatchError, hosts
from usechat.hosts.tk import _interpreters, dispatcher


def from_thread(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def test_hosts_are_imported_on_demand() -> None:
    assert hosts.tk.dispatcher is dispatcher
    assert "tk" in dir(hosts)
    with pytest.raises(AttributeError, match="'abacus'"):
        hosts.abacus  # noqa: B018
    code = "import sys; from usechat import hosts; print('tkinter' in sys.modules); hosts.tk"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_functions_run_in_order_on_the_windows_thread(window: Window) -> None:
    dispatch = dispatcher(window)
    ran: list[tuple[int, int]] = []

    def give() -> None:
        for i in range(2000):
            dispatch(lambda i=i: ran.append((i, threading.get_ident())))  # type: ignore[misc]

    thread = from_thread(give)
    window.until(lambda: len(ran) == 2000)
    thread.join()
    assert ran == [(i, threading.get_ident()) for i in range(2000)]


def test_nobody_waits_for_a_window_that_is_busy_or_not_running(window: Window) -> None:
    dispatch = dispatcher(window)
    ran: list[str] = []
    from_thread(lambda: dispatch(lambda: ran.append("one"))).join(10)  # the loop does not run
    assert ran == []
    window.until(lambda: ran)

    def busy() -> None:
        from_thread(lambda: dispatch(lambda: ran.append("two"))).join(10)  # a join would deadlock
        ran.append("busy")

    window.after(0, busy)
    window.until(lambda: len(ran) == 3)
    assert ran == ["one", "busy", "two"]


def test_one_look_runs_what_was_there_when_it_began(window: Window) -> None:
    dispatch = dispatcher(window)
    looks: list[int] = []

    def again() -> None:
        looks.append(len(drawn))
        if len(looks) < 4:
            dispatch(again)

    drawn: list[None] = []

    def idle() -> None:
        drawn.append(None)
        if len(looks) < 4:
            window.after_idle(lambda: window.after(1, idle))

    idle()
    dispatch(again)
    window.until(lambda: len(looks) == 4)
    assert sorted(set(looks)) == looks  # Tk was idle between each and the next


def test_a_lot_of_work_leaves_the_window_responsive(window: Window) -> None:
    dispatch = dispatcher(window)
    ran: list[float] = []
    ticks: list[int] = []

    def work() -> None:
        end = time.perf_counter() + 0.004
        while time.perf_counter() < end:
            pass
        ran.append(end)

    def tick() -> None:
        ticks.append(len(ran))
        if len(ran) < 30:
            window.after(1, lambda: window.after_idle(tick))

    for _ in range(30):
        dispatch(work)
    tick()
    window.until(lambda: len(ran) == 30)
    steps = [after - before for before, after in itertools.pairwise(ticks)]
    assert max(steps) <= 4  # of 4 ms: 15 ms and the rest of one


def test_what_raises_is_reported_and_the_rest_runs(window: Window) -> None:
    dispatch = dispatcher(window)
    ran: list[str] = []
    dispatch(lambda: ran.append("before"))
    dispatch(lambda: 1 / 0)
    dispatch(lambda: ran.append("after"))
    window.until(lambda: len(ran) == 2)
    assert [type(error) for error in window.errors] == [ZeroDivisionError]
    window.errors.clear()


def test_system_exit_ends_the_loop_as_everywhere_in_tk(window: Window) -> None:
    dispatch = dispatcher(window)
    ran: list[int] = []
    dispatch(lambda: sys.exit(3))
    dispatch(lambda: ran.append(1))
    with pytest.raises(SystemExit):
        window.mainloop()
    window.until(lambda: ran)
    window.errors.clear()  # Tcl has heard of it too


def test_a_loop_that_was_left_can_be_entered_again(window: Window) -> None:
    dispatch = dispatcher(window)
    for _ in range(3):
        dispatch(window.quit)
        window.mainloop()
    ran: list[int] = []
    dispatch(lambda: ran.append(1))
    end = time.monotonic() + 10
    while not ran and time.monotonic() < end:
        window.update()  # a loop that is driven by hand
    assert ran


def test_others_go_on_in_a_dialog_that_a_function_opens(window: Window) -> None:
    dispatch = dispatcher(window)
    ran: list[str] = []
    answered = tkinter.BooleanVar(window, False)

    def ask() -> None:
        window.wait_variable(answered)
        ran.append("asked")

    dispatch(ask)
    dispatch(lambda: ran.append("other"))
    dispatch(lambda: answered.set(True))
    window.until(lambda: "asked" in ran)
    assert ran == ["other", "asked"]


def widgets(window: Window) -> list[tkinter.Misc]:
    return [tkinter.Toplevel(window), ttk.Frame(window), tkinter.Text(window)]


@pytest.mark.parametrize("index", range(3))
def test_any_widget_will_do_and_its_end_is_noticed(window: Window, index: int) -> None:
    root: Any = widgets(window)[index]
    child = tkinter.Label(root)
    dispatch = dispatcher(root)
    ran: list[str] = []
    dispatch(lambda: ran.append("one"))
    window.until(lambda: ran)
    child.destroy()  # not what was waited for
    dispatch(lambda: ran.append("two"))
    window.until(lambda: len(ran) == 2)
    waiting = Waiting()
    thrown_away = weakref.ref(waiting)
    dispatch(waiting)
    del waiting
    root.destroy()
    assert thrown_away() is None
    with pytest.raises(DispatchError, match="window of this chat has been destroyed"):
        dispatch(lambda: ran.append("three"))
    window.for_a_while()  # no "invalid command name"
    assert ran == ["one", "two"]


class Waiting:
    """A function that is dispatched."""

    def __init__(self, function: Callable[[], object] = lambda: None) -> None:
        self.function = function

    def __call__(self) -> None:
        self.function()


def test_destroyed_by_what_it_runs(window: Window) -> None:
    top = tkinter.Toplevel(window)
    dispatch = dispatcher(top)
    ran: list[str] = []
    dispatch(top.destroy)
    dispatch(lambda: ran.append("too late"))
    window.until(lambda: not top.winfo_exists())
    window.for_a_while()
    assert ran == []


def test_bindings_of_the_program_do_not_get_in_the_way(window: Window) -> None:
    top = tkinter.Toplevel(window)
    dispatch = dispatcher(top)
    seen: list[str] = []
    top.bind("<Destroy>", lambda _: seen.append("program") or "break")  # type: ignore[func-returns-value]
    top.unbind("<Destroy>")
    top.bind("<Destroy>", lambda _: seen.append("program") or "break")  # type: ignore[func-returns-value]
    top.destroy()
    assert seen == ["program"]
    with pytest.raises(DispatchError):
        dispatch(print)


def test_a_destroyed_window_is_not_kept_and_keeps_nothing(window: Window) -> None:
    top = tkinter.Toplevel(window)
    dispatch = dispatcher(top)
    ran: list[int] = []
    dispatch(lambda: ran.append(1))
    window.until(lambda: ran)
    kept = weakref.ref(top)
    top.destroy()
    del top
    gc.collect()
    assert kept() is None
    with pytest.raises(DispatchError):
        dispatch(print)


def test_an_idle_window_keeps_nothing_that_ran(window: Window) -> None:
    dispatch = dispatcher(window)
    ran: list[int] = []
    waiting = Waiting(lambda: ran.append(1))
    ref = weakref.ref(waiting)
    dispatch(waiting)
    del waiting
    window.until(lambda: ran)
    assert ref() is None


def test_destroyed_while_threads_dispatch(window: Window) -> None:
    """Whatever is given is run, thrown away, or refused; nothing is left in between."""
    for _ in range(3):
        top = tkinter.Toplevel(window)
        dispatch = dispatcher(top, interval=0.001)
        refs: list[weakref.ref[Waiting]] = []
        refused: list[DispatchError] = []

        def give(
            dispatch: Callable[[Callable[[], object]], None] = dispatch,
            refs: list[weakref.ref[Waiting]] = refs,
            refused: list[DispatchError] = refused,
        ) -> None:
            while not refused:
                waiting = Waiting()
                refs.append(weakref.ref(waiting))
                try:
                    dispatch(waiting)
                except DispatchError as error:
                    refused.append(error.with_traceback(None))

        threads = [from_thread(give) for _ in range(2)]
        window.until(lambda refs=refs: len(refs) > 100)  # type: ignore[misc]
        top.destroy()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        gc.collect()
        assert [ref() for ref in refs if ref() is not None] == []


COLLECTED_ELSEWHERE = """
import gc, threading, tkinter
from usechat import hosts

class App:
    def __init__(self):
        self.root = tkinter.Tk()
        self.myself = self  # only the collector can free it
        self.dispatch = hosts.tk.dispatcher(self.root)
        self.dispatch(lambda: self.root.after(1, self.root.destroy))
        self.root.mainloop()

gc.disable()
for _ in range(3):
    App()
    thread = threading.Thread(target=gc.collect)
    thread.start()
    thread.join()
print("done")
"""


@pytest.mark.usefixtures("display")
def test_a_window_that_is_collected_on_another_thread_does_not_abort_the_process() -> None:
    run = subprocess.run(
        [sys.executable, "-c", COLLECTED_ELSEWHERE], capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "done\n", "")


@pytest.mark.usefixtures("display")
def test_interpreters_of_windows_that_are_gone_are_let_go() -> None:
    before = len(_interpreters._held)
    for _ in range(5):
        root = tkinter.Tk()
        dispatcher(root)
        root.destroy()
        del root
        gc.collect()
    assert len(_interpreters._held) <= before + 1
