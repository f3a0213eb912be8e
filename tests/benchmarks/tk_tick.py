"""A Tk window that receives very much at full speed: does it stay alive?

    python -m tests.benchmarks.tk_tick URL DELTAS

needs a display, and prints figures as JSON; ``run`` sees to the display.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.benchmarks.replies import text

TICK = 20  # milliseconds
REPLIES = 8
TICK_LIMIT = 50.0  # milliseconds, the 99th percentile
FLUSH_LIMIT = 15.0  # milliseconds of CPU time, each


class Meter:
    """Replies one after the other into the text of a window, beside a tick."""

    def __init__(self, url: str, expected: str) -> None:
        import tkinter

        from usechat import ChatSession, TextDelta, TurnFinished
        from usechat.hosts.tk import dispatcher

        self.ticks: list[float] = []
        self.flushes: list[float] = []
        self.outcomes: list[str] = []
        self._expected = expected
        self.root = tkinter.Tk()
        self._log = tkinter.Text(self.root, wrap="word")
        self._log.pack(fill="both", expand=True)
        self._to_tk = dispatcher(self.root)
        self.chat = ChatSession(url, dispatch=self._dispatch)
        self.chat.on(TextDelta, self._show)
        self.chat.on(TurnFinished, self._next)

    def _dispatch(self, flush: Callable[[], object]) -> None:
        def timed() -> None:
            began = time.thread_time()
            flush()
            self.flushes.append((time.thread_time() - began) * 1000)

        self._to_tk(timed)

    def _show(self, event: Any) -> None:
        self._log.insert("end", event.text)
        self._log.see("end")

    def _next(self, event: Any) -> None:
        self.outcomes.append(event.turn.outcome)
        assert event.turn.text == self._expected, "the text is not what was sent"
        assert self._log.get("1.0", "end-1c") == self._expected, "the window shows another text"
        if len(self.outcomes) < REPLIES:
            self.root.after(2 * TICK, self._send)
        else:
            self.root.after(2 * TICK, self.root.quit)

    def _send(self) -> None:
        self._log.delete("1.0", "end")
        self.chat.clear()
        self.chat.send_message("Hi")

    def _tick(self, asked: float) -> None:
        now = time.perf_counter()
        self.ticks.append((now - asked) * 1000)
        self.root.after(TICK, self._tick, time.perf_counter())

    def run(self) -> dict[str, Any]:
        """The figures, in milliseconds."""
        self.root.update()
        self.root.after(0, self._send)
        self.root.after(TICK, self._tick, time.perf_counter())
        began = time.perf_counter()
        self.root.mainloop()
        taken = time.perf_counter() - began
        self.chat.close()
        assert self.outcomes == ["completed"] * REPLIES
        return {
            "seconds": taken,
            "ticks": [len(self.ticks), *_spread(self.ticks)],
            "flushes": [len(self.flushes), *_spread(self.flushes)],
        }


def _spread(values: list[float]) -> tuple[float, float, float]:
    """The median, the 99th percentile and the maximum."""
    hundredths = statistics.quantiles(values, n=100, method="inclusive")
    return hundredths[49], hundredths[98], max(values)


@contextmanager
def _display() -> Iterator[dict[str, str] | None]:
    """The environment with a display; None: there is none, and none can be made."""
    if sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY"):
        yield dict(os.environ)
        return
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        yield None
        return
    reading, writing = os.pipe()
    command = [xvfb, "-displayfd", str(writing), "-screen", "0", "1024x768x24", "-noreset"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, pass_fds=[writing], stdout=quiet, stderr=quiet) as server:
        os.close(writing)
        try:
            with os.fdopen(reading) as numbers:
                number = numbers.readline().strip()  # comes when it is ready
            yield {**os.environ, "DISPLAY": f":{number}"} if number else None
        finally:
            server.terminate()


def run(base: str, pieces: Iterable[int] = (70, 300, 16384)) -> bool:
    """Measure, print, and say whether the limits are kept (or nothing could be measured).

    Args:
        base: the server's URL.
        pieces: the sizes of network pieces.
    """
    kept = True
    print(f"\nA Tk window that gets 20,000 deltas at full speed, {REPLIES} times")
    with _display() as environment:
        if environment is None:
            print("  not measured: there is no display, and no Xvfb")
            return True
        for piece in pieces:
            url = f"{base}?deltas=20000&piece={piece}"
            command = [sys.executable, "-m", "tests.benchmarks.tk_tick", url, "20000"]
            done = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            kept = _show(json.loads(done.stdout), piece) and kept
    return kept


def _show(figures: dict[str, Any], piece: int) -> bool:
    print(f"  pieces of {piece:,} bytes, {figures['seconds']:.1f} s")
    for what in ("ticks", "flushes"):
        count, middle, most, longest = figures[what]
        name = "a tick of 20 ms" if what == "ticks" else "CPU time of a flush"
        spread = f"median {middle:6.1f}  99 % under {most:6.1f}  max {longest:6.1f} ms"
        print(f"    {name:<22}{spread}  ({count} of them)")
    kept = figures["ticks"][2] < TICK_LIMIT and figures["flushes"][3] < FLUSH_LIMIT
    if not kept:
        print(f"    too slow: the limits are {TICK_LIMIT:.0f} and {FLUSH_LIMIT:.0f} ms")
    return kept


if __name__ == "__main__":
    print(json.dumps(Meter(sys.argv[1], text(int(sys.argv[2]))).run()))
