"""32 threads do to one chat whatever can be done to it."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any

from tests.stress.hosts import Host
from tests.stress.replies import fault_in
from tests.stress.watch import PATIENCE, Planned, Watch
from usechat import (
    ChatSession,
    StatusChanged,
    Subscription,
    TextDelta,
    Turn,
    TurnFinished,
    UIMessage,
    last_assistant_message_is_complete_with_tool_calls,
)

THREADS = 32


class Chaos:
    """One chat, its options left to chance, and those who use it."""

    def __init__(self, url: str, watch: Watch, chance: random.Random) -> None:
        self.watch = watch
        self.chance = chance
        self.name = f"r{chance.randrange(10**6)}"
        self.turns: list[tuple[Turn, str | None]] = []
        self.finished: Counter[Turn] = Counter()
        self.told_on: set[int] = set()
        self.ending = threading.Event()
        self.pause = chance.choice((0.0, 0.5))
        self.host = Host(watch) if chance.random() < 0.6 else None
        self.destroys = self.host is not None and chance.random() < 0.2
        self.chat = ChatSession(url, **self._options())
        self.chat.on(TurnFinished, self._on_finished)
        self.chat.on(StatusChanged, lambda event: self._observe(0.02))
        self.chat.on(TextDelta, lambda event: self._observe(0.005))
        self.chat.subscribe(lambda chat: self._observe(0.01))

    def _options(self) -> dict[str, Any]:
        chance = self.chance
        options: dict[str, Any] = {
            "when_busy": chance.choice(("reject", "queue", "queue", "interrupt")),
            "throttle": chance.choice((None, 0, 0.005, 0.03)),
            "queue_limit": chance.choice((3, 50)),
            "max_steps": chance.choice((None, 3)),
            "timeout": 1.0,
        }
        if self.host is not None:
            options["dispatch"] = self.host.dispatch
        if chance.random() < 0.5:
            options["send_automatically_when"] = last_assistant_message_is_complete_with_tool_calls
        for name in ("on_finish", "on_error", "on_data", "on_tool_call", "on_response"):
            if chance.random() < 0.5:
                options[name] = lambda _: self._observe(0.01)
        if chance.random() < 0.3:
            options["headers"] = self._headers
        if chance.random() < 0.3:
            options["generate_id"] = self._make_id
        self.seen = {"pause": self.pause, **{k: v for k, v in options.items() if not callable(v)}}
        return options

    def _headers(self) -> dict[str, str]:
        self.told_on.add(threading.get_ident())
        return {"x-request": "1"}

    def _make_id(self) -> str:
        if random.random() < 0.002:
            raise Planned
        return f"id{random.getrandbits(64):x}"

    # ------------------------------------------------ on the host's thread

    def _on_finished(self, event: TurnFinished) -> None:
        self.finished[event.turn] += 1
        self._observe(0.05)

    def _observe(self, share: float) -> None:
        """Sometimes act, and sometimes raise, in the middle of being told."""
        self.told_on.add(threading.get_ident())
        _ = self.chat.messages, self.chat.status, self.chat.error
        if self.ending.is_set() or random.random() > share:
            return
        if random.random() < 0.1:
            raise Planned
        with self.watch.only_ours("an action in an observer"):
            random.choice((self.send, self.regenerate, self.stop, self.wait_a_little))(random)

    # -------------------------------------------------------------- actions

    def send(self, chance: Any) -> None:
        prompt = f"{self.name}.{chance.choice(('tool', 'text'))}.{chance.getrandbits(64):x}"
        self.turns.append((self.chat.send_message(prompt), prompt))

    def send_in_block(self, chance: Any) -> None:
        prompt = f"{self.name}.block.{chance.getrandbits(64):x}"
        with self.chat.stream(prompt) as turn:
            self.turns.append((turn, prompt))
            turn.wait(0.1)

    def send_history(self, chance: Any) -> None:
        self.turns.append((self.chat.send_message(None), None))

    def edit(self, chance: Any) -> None:
        users = [m.id for m in self.chat.messages if m.role == "user"]
        if users:
            prompt = f"{self.name}.edit.{chance.getrandbits(64):x}"
            turn = self.chat.send_message(prompt, message_id=chance.choice(users))
            self.turns.append((turn, prompt))

    def regenerate(self, chance: Any) -> None:
        if self.chat.messages:
            self.turns.append((self.chat.regenerate(), None))

    def resume(self, chance: Any) -> None:
        self.turns.append((self.chat.resume_stream(), None))

    def stop(self, chance: Any) -> None:
        self.chat.stop()

    def clear(self, chance: Any) -> None:
        self.chat.clear()

    def clear_error(self, chance: Any) -> None:
        self.chat.clear_error()

    def shorten(self, chance: Any) -> None:
        self.chat.set_messages(lambda messages: messages[-10:])

    def replace(self, chance: Any) -> None:
        self.chat.set_messages([{"id": "s", "role": "system", "parts": []}])

    def answer(self, chance: Any) -> None:
        last = self.chat.last_message
        for part in [] if last is None else last.tool_parts:
            turn = self.chat.add_tool_output(part.tool_call_id, {"answer": chance.randrange(9)})
            self.turns.append((turn, None))

    def queue(self, chance: Any) -> None:
        waiting = self.chat.queued_messages
        if not waiting:
            return
        message = chance.choice(waiting)
        if chance.random() < 0.3:
            self.chat.remove_queued_message(message.id)
        else:
            self.turns.append((self.chat.send_queued_message_now(message.id), None))

    def type(self, chance: Any) -> None:
        self.chat.input = f"{self.name}.typed.{chance.getrandbits(64):x}"
        turn = self.chat.submit()
        if turn is not None:
            self.turns.append((turn, None))

    def read(self, chance: Any) -> None:
        messages = self.chat.messages
        assert isinstance(messages, tuple)
        assert all(isinstance(message, UIMessage) for message in messages)
        assert self.chat.status in ("ready", "submitted", "streaming", "error")
        for turn, _ in self.turns[-3:]:
            _ = turn.text, turn.message, turn.usage, turn.pending, repr(turn), turn.finish_reason
        _ = repr(self.chat), self.chat.queued_messages, self.chat.input, self.chat.id

    def wait_a_little(self, chance: Any) -> None:
        if self.turns:
            self._wait(self.turns[-1][0], 0.02)

    def wait(self, chance: Any) -> None:
        if self.turns:
            self._wait(chance.choice(self.turns[-5:])[0], chance.choice((0.0, 0.05, 0.5)))

    def _wait(self, turn: Turn, timeout: float) -> None:
        turn.wait(timeout)
        assert turn.over, "wait() returned and the turn is not over"
        told = self.finished[turn] or threading.get_ident() in self.told_on
        if not told and not self.destroys and _was_begun(turn):
            raise AssertionError("wait() returned before TurnFinished was told")

    def iterate(self, chance: Any) -> None:
        if self.turns:
            turn, prompt = chance.choice(self.turns[-5:])
            said = "".join(turn)
            if turn.outcome == "completed":
                self._check(said, turn, prompt)

    def events(self, chance: Any) -> None:
        if self.turns:
            for _ in islice(self.turns[-1][0].events(), 20):
                pass

    def on_host(self, chance: Any) -> None:
        """What a button does that waits: the flushes run in its wait."""
        if self.host is None or self.destroys:
            return self.read(chance)

        def press() -> None:
            if not self.ending.is_set():
                with self.watch.only_ours("an action on the host"):
                    chance.choice((self.send, self.wait, self.iterate, self.events, self.stop))(
                        random
                    )

        return self.host.dispatch(press)

    def observe(self, chance: Any) -> None:
        ends: list[Subscription] = []
        ends.append(self.chat.subscribe(lambda _: [end() for end in ends]))
        with self.chat.on(TextDelta, lambda event: None):
            time.sleep(chance.uniform(0, 0.02))

    # ---------------------------------------------------------------- a round

    def _check(self, said: str, turn: Turn, prompt: str | None) -> None:
        if turn.outcome == "completed" and _was_begun(turn) and not _is_empty_resume(turn):
            fault = fault_in(said, prompt)
            if fault is not None:
                self.watch.fault(f"{self.seen}: {fault}")

    def run(self, seconds: float) -> None:
        """Let them all loose for a while, and see what is left."""
        until = time.monotonic() + seconds
        seeds = [self.chance.getrandbits(64) for _ in range(THREADS)]
        threads = [
            threading.Thread(target=self._user, args=(seed, until), daemon=True) for seed in seeds
        ]
        for thread in threads:
            thread.start()
        while time.monotonic() < until:
            self.watch.look()
            time.sleep(0.1)
        if self.destroys and self.host is not None:
            self.host.destroy()
        self.ending.set()
        self._end(threads)

    def _end(self, threads: list[threading.Thread]) -> None:
        until = time.monotonic() + PATIENCE
        while any(thread.is_alive() for thread in threads) and time.monotonic() < until:
            self.chat.stop()
            for thread in threads:
                thread.join(0.02)
        self.chat.close()
        for thread in threads:
            thread.join(1)
        if any(thread.is_alive() for thread in threads):
            raise TimeoutError(f"{self.seen}: threads hang in their actions")
        for turn, prompt in self.turns:
            self._judge(turn, prompt)
        if self.host is not None:
            self.host.end()
        if len(self.told_on) > 1 and not self.destroys:
            self.watch.fault(f"{self.seen}: observers on {len(self.told_on)} threads")

    def _judge(self, turn: Turn, prompt: str | None) -> None:
        try:
            turn.wait(PATIENCE)
        except Exception as error:
            self.watch.fault(f"{self.seen}: {turn!r} of a closed chat", error)
        self.watch.count(f"turn {turn.outcome}")
        self._check(turn.text, turn, prompt)
        told = self.finished[turn]
        if told != 1 and _was_begun(turn) and not (told == 0 and self.destroys):
            self.watch.fault(f"{self.seen}: the end of {turn!r} was told {told} times")

    def _user(self, seed: int, until: float) -> None:
        chance = random.Random(seed)
        actions, weights = zip(*self._actions(), strict=True)
        while time.monotonic() < until:
            action = chance.choices(actions, weights)[0]
            self.watch.count("actions")
            with self.watch.only_ours(action.__name__):
                action(chance)
            if chance.random() < self.pause:
                time.sleep(chance.uniform(0, 0.05))

    def _actions(self) -> list[tuple[Callable[[Any], None], float]]:
        return [
            (self.send, 20),
            (self.read, 20),
            (self.wait, 20),
            (self.iterate, 8),
            (self.observe, 5),
            (self.answer, 5),
            (self.on_host, 1),
            (self.events, 3),
            (self.queue, 3),
            (self.type, 3),
            (self.shorten, 2),
            (self.clear_error, 2),
            (self.send_history, 1),
            (self.send_in_block, 1),
            (self.edit, 1),
            (self.regenerate, 1),
            (self.resume, 0.5),
            (self.stop, 0.5),
            (self.clear, 0.3),
            (self.replace, 0.3),
        ]


def _was_begun(turn: Turn) -> bool:
    """Whether it is one whose end is told: an answer may have nothing to request."""
    return turn.outcome != "completed" or turn._state.requests > 0


def _is_empty_resume(turn: Turn) -> bool:
    exchange = turn._state.exchange
    return exchange is not None and exchange.connecting
