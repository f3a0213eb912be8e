"""Uses chats as no program should, against a server that drops, stalls and errs at random.

    python -m tests.stress [--seconds 30] [--seed N]

Ends with 0 if nothing but errors of our classes was raised anywhere, every completed text was
exact, nobody hung, and no thread, socket or connection was left; else it says what was wrong, and
the seed.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import sys
import time
import warnings

from tests.stress import calm, many
from tests.stress.chaos import Chaos
from tests.stress.watch import Server, Watch, check_left, sockets
from usechat import ChatSession
from usechat.session import reader

DEADLOCK = 120.0  # seconds without an end of a round: all stacks are shown, and it is over


def one_round(number: int, url: str, watch: Watch, chance: random.Random, seconds: float) -> str:
    """One round; its name."""
    # A flush that nobody asked for would be asked for when the host is looked after: not here.
    reader._WATCH = 3600.0
    sys.setswitchinterval(chance.choice((0.005, 0.00001, 0.000001)))
    kind = number % 5
    if kind == 1:
        many.run(url, watch, chance)
        return "200 chats"
    if kind == 3:
        calm.all_in_a_queue(url, watch, chance)
        return "a queue"
    if kind == 4:
        calm.all_count(url, watch, chance)
        return "counting"
    chaos = Chaos(url, watch, chance)
    chaos.run(seconds)
    return f"chaos {chaos.seen}"


def stress(seconds: float, seed: int, watch: Watch) -> int:
    """Round after round; how many there were."""
    began = time.monotonic()
    chance = random.Random(seed)
    number = 0
    faulthandler.dump_traceback_later(DEADLOCK, exit=True)
    with Server(str(seed)) as server:
        with ChatSession(server.url) as chat:  # the loop's thread has sockets of its own
            chat.send_message("calm:first").wait()
        before = sockets()
        while not watch.faults and (number < 5 or time.monotonic() - began < seconds):
            faulthandler.dump_traceback_later(DEADLOCK, exit=True)
            began_round = time.monotonic()
            try:
                name = one_round(number, server.url, watch, chance, min(3.0, seconds / 8))
            except Exception as error:
                watch.fault("a round ended", error)
                faulthandler.dump_traceback(all_threads=True)
                break
            check_left(watch, server, before, name)
            print(f"{time.monotonic() - began_round:6.1f} s  {name}", flush=True)
            number += 1
        faulthandler.cancel_dump_traceback_later()
        stats = server.stats()
    for error in stats["errors"]:
        watch.fault(f"the server: {error}")
    print("\nreplies:", ", ".join(f"{n} {kind}" for kind, n in sorted(stats["kinds"].items())))
    return number


def main() -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    random.seed(arguments.seed)
    warnings.simplefilter("error")
    watch = Watch()
    watch.install()
    began = time.monotonic()
    rounds = stress(arguments.seconds, arguments.seed, watch)
    print(f"{rounds} rounds in {time.monotonic() - began:.1f} s, {watch.threads} threads at most")
    for what, count in sorted(watch.counts.items()):
        print(f"{count:8}  {what}")
    for fault in watch.faults[:10]:
        print(f"\nFAULT: {fault}")
    if watch.faults:
        print(f"\n{len(watch.faults)} faults; seed {arguments.seed}")
        return 1
    print("\nnothing went wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())
