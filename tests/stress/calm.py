"""32 threads that get along: nothing of what any of them does is lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from tests.stress.hosts import Host
from tests.stress.replies import CALM, fault_in
from tests.stress.watch import PATIENCE, Watch
from usechat import ChatSession, UIMessage

THREADS = 32
EACH = 4  # messages a thread
COUNTS = 40  # a thread


def in_threads(watch: Watch, work: Callable[[int], None]) -> None:
    """Do something in 32 threads."""

    begin = threading.Barrier(THREADS)

    def guarded(number: int) -> None:
        try:
            begin.wait(PATIENCE)
            work(number)
        except BaseException as error:
            watch.fault(f"{work.__name__}", error)

    threads = [threading.Thread(target=guarded, args=(n,), daemon=True) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    watch.look()
    for thread in threads:
        thread.join(3 * PATIENCE)
    if any(thread.is_alive() for thread in threads):
        raise TimeoutError(f"{work.__name__}: threads hang")


def all_in_a_queue(url: str, watch: Watch, chance: random.Random) -> None:
    """Each sends some messages: all are answered, each once, and in each one's order."""
    host = Host(watch) if chance.random() < 0.5 else None
    dispatch = None if host is None else host.dispatch

    def send(number: int) -> None:
        prompts = [f"{CALM}{number}.{i}" for i in range(EACH)]
        turns = [chat.send_message(prompt) for prompt in prompts]
        for turn, prompt in zip(turns, prompts, strict=True):
            turn.wait(3 * PATIENCE)
            watch.count(f"turn {turn.outcome}")
            fault = fault_in(turn.text, prompt)
            if turn.outcome != "completed" or fault is not None:
                watch.fault(f"in a queue: {turn.outcome}, {turn.error!r}, {fault}")

    throttle = chance.choice((None, 0.0, 0.03))
    with ChatSession(
        url, dispatch=dispatch, when_busy="queue", queue_limit=1000, throttle=throttle
    ) as chat:
        in_threads(watch, send)
        sent = [m.text.removeprefix(CALM).split(".") for m in chat.messages if m.role == "user"]
        each = [[int(i) for n, i in sent if int(n) == number] for number in range(THREADS)]
        if each != [list(range(EACH))] * THREADS:
            watch.fault(f"in a queue: the messages are {sent}")
    if host is not None:
        host.end()


def all_count(url: str, watch: Watch, chance: random.Random) -> None:
    """Each counts in the first message, while replies come: no count is lost."""

    def counted(messages: tuple[UIMessage, ...]) -> list[object]:
        first = messages[0].model_dump()
        return [
            {**first, "metadata": {"count": first["metadata"]["count"] + 1}},
            *messages[-4:][1:],
        ]

    def count(number: int) -> None:
        for i in range(COUNTS):
            chat.set_messages(counted)
            if number % 8 == i % 8:
                chat.send_message(f"{CALM}{number}")

    counter = {"id": "c", "role": "system", "parts": [], "metadata": {"count": 0}}
    throttle = chance.choice((None, 0.0, 0.03))
    with ChatSession(url, messages=[counter], when_busy="interrupt", throttle=throttle) as chat:
        in_threads(watch, count)
        metadata = chat.messages[0].metadata
        if metadata != {"count": THREADS * COUNTS}:
            watch.fault(f"{THREADS * COUNTS} counts gave {metadata}")
