"""The text of a turn, piece by piece."""

from __future__ import annotations

import random

import pytest

from usechat.engine.exchange import RequestOptions, TurnState
from usechat.engine.turn_text import TurnText, text_of_turn
from usechat.errors import ConnectionBrokenError

from .harness import (
    END_STEP,
    RESET,
    STEP,
    Chat,
    assistant,
    call,
    data,
    finish,
    start,
    text,
    text_delta,
    text_end,
    text_start,
    tool,
    user,
)


class Reader:
    """Takes the text of a turn and keeps the pieces."""

    def __init__(self, turn: TurnState) -> None:
        self.turn = turn
        self._text = TurnText(turn)
        self.pieces: list[str] = []

    def take(self) -> str:
        piece = self._text.take()
        self.pieces.append(piece)
        return piece

    @property
    def joined(self) -> str:
        return "".join(self.pieces)


def begun() -> tuple[Chat, Reader]:
    chat = Chat()
    return chat, Reader(chat.send())


def test_text_is_given_as_it_comes() -> None:
    chat, reader = begun()
    assert reader.take() == ""
    chat.receive(text_start(), text_delta("Hel"))
    assert reader.take() == "Hel"
    assert reader.take() == ""
    chat.receive(text_delta("l"), text_delta("o"))
    assert reader.take() == "lo"
    chat.receive(text_end(), text("!", "t2"), finish())
    chat.finish()
    assert reader.take() == "!"
    assert reader.take() == ""
    assert text_of_turn(reader.turn) == "Hello!"


def test_between_steps_that_have_text_is_a_blank_line() -> None:
    chat, reader = begun()
    chat.receive(STEP, STEP, text("a"), END_STEP, STEP, tool("input-available"), END_STEP, STEP)
    assert reader.take() == "a"
    chat.receive(text_start("t2"), text_delta("", "t2"))
    assert reader.take() == ""
    chat.receive(text_delta("b", "t2"), text("c", "t3"))
    assert reader.take() == "\n\nb"
    chat.receive(text_end("t2"))
    assert reader.take() == "c"
    assert reader.joined == text_of_turn(reader.turn) == "a\n\nbc"


def test_parts_that_stream_at_the_same_time_are_given_one_after_the_other() -> None:
    chat, reader = begun()
    chat.receive(text_start("a"), text_start("b"), text_delta("1", "a"), text_delta("x", "b"))
    assert reader.take() == "1"
    chat.receive(text_delta("2", "a"), text_delta("y", "b"))
    assert reader.take() == "2"
    chat.receive(text_end("a"))
    assert reader.take() == "xy"


def test_a_part_that_is_open_over_a_step_may_still_grow() -> None:
    chat, reader = begun()
    chat.receive(text_start("a"), text_delta("1", "a"), STEP, text_start("b"), text_delta("2", "b"))
    assert reader.take() == "1"
    chat.receive(text_delta("+", "a"), text_end("a"))
    assert reader.take() == "+\n\n2"
    assert reader.joined == text_of_turn(reader.turn)


def test_the_end_of_the_exchange_gives_the_rest() -> None:
    chat, reader = begun()
    chat.receive(text_start("a"), text_start("b"), text_delta("1", "a"), text_delta("2", "b"))
    assert reader.take() == "1"
    chat.fail(ConnectionBrokenError("gone"))
    assert reader.take() == "2"
    assert reader.joined == text_of_turn(reader.turn)


def test_half_a_character_waits_for_the_other_half_or_the_end() -> None:
    chat, reader = begun()
    chat.receive(text_start(), text_delta("a\ud83d"))
    assert reader.take() == "a"
    chat.receive(text_delta("\ude00\ud83d"))
    assert reader.take() == "\U0001f600"
    chat.stop()
    assert reader.take() == "\ufffd"
    assert reader.joined == text_of_turn(reader.turn)


def test_a_message_that_is_continued_gives_only_what_is_new() -> None:
    chat = Chat(user(), assistant({"type": "text", "text": "old"}, {"type": "step-start"}))
    turn = chat.send(None)
    reader = Reader(turn)
    assert text_of_turn(turn) == ""
    chat.receive(text("new"))
    assert reader.take() == "new"
    assert text_of_turn(turn) == "new"


def test_the_text_of_follow_ups_is_the_turns_too_while_they_run() -> None:
    chat = Chat(callbacks={"send_automatically_when": lambda m: "b" not in m[-1].text})
    turn = chat.send()
    reader = Reader(turn)
    chat.receive(STEP, text_start(), text_delta("a"), finish())
    chat.finish()
    assert turn.outcome is None
    assert text_of_turn(turn) == "a"
    chat.receive(STEP, text_start(), text_delta("b"))
    assert text_of_turn(turn) == "a\n\nb"
    assert reader.take() == "a\n\nb"
    chat.receive(text_delta("c"), finish())
    chat.finish()
    reader.take()
    assert (turn.outcome, reader.joined, text_of_turn(turn)) == ("completed", "a\n\nbc", "a\n\nbc")


def test_what_a_server_takes_back_has_been_given_all_the_same() -> None:
    chat, reader = begun()
    chat.receive(STEP, text("a"), STEP, text("b", "t2"), data(1))
    assert reader.take() == "a\n\nb"
    chat.receive(RESET)
    assert reader.take() == ""
    chat.receive(text("c", "t3"))
    assert reader.take() == "c"
    assert text_of_turn(reader.turn) == "a\n\nc"


def test_a_replay_is_given_from_where_the_reader_was() -> None:
    chat = Chat(user(), assistant(call("input-streaming")))
    reader = Reader(chat.resume())
    assert reader.take() == ""
    chat.receive(start(), text_start(), text_delta("a"))
    assert reader.take() == "a"
    chat.receive(text_delta("b"))
    assert reader.take() == "b"
    assert text_of_turn(reader.turn) == "ab"


def test_a_reply_that_begins_anew_after_text_was_given_does_not_break_the_reader() -> None:
    chat = Chat(replays=False)
    reader = Reader(chat.resume())
    chat.receive(text("a"), text("b", "t2"))
    assert reader.take() == "ab"
    chat.receive(start("other"), text("c"))
    assert reader.take() == "c"


def test_a_turn_without_a_request_has_no_text() -> None:
    turn = TurnState(RequestOptions(), outcome="completed")
    assert (TurnText(turn).take(), text_of_turn(turn)) == ("", "")
    chat = Chat(user(), assistant({"type": "text", "text": "old"}, call("input-available")))
    turn = chat.output()
    assert (TurnText(turn).take(), text_of_turn(turn)) == ("", "")


def test_a_turn_that_failed_at_once_has_no_text() -> None:
    chat, reader = begun()
    chat.fail(ConnectionBrokenError("gone"))
    assert (reader.take(), text_of_turn(reader.turn)) == ("", "")


def random_chunk(rng: random.Random, opened: list[str]) -> dict:
    kind = rng.choice(["open", "delta", "delta", "delta", "end", "step", "tool", "reasoning"])
    if kind == "open":
        opened.append(f"t{rng.randrange(4)}")
        return text_start(opened[-1])
    if kind == "delta" and opened:
        piece = rng.choice(["a", "bc", "", "é", "\ud83d", "\ude00", "\U0001f600"])
        return text_delta(piece, rng.choice(opened))
    if kind == "end" and opened:
        return text_end(opened.pop(rng.randrange(len(opened))))
    if kind == "step":
        return rng.choice([STEP, END_STEP])
    if kind == "reasoning":
        return {"type": "reasoning-delta", "id": "r", "delta": "thought"}
    return tool("input-available", f"c{rng.randrange(3)}")


@pytest.mark.parametrize("seed", range(150))
def test_the_pieces_together_are_the_text_of_the_turn(seed: int) -> None:
    rng = random.Random(seed)
    wanted = rng.randrange(1, 4)
    chat = Chat(callbacks={"send_automatically_when": lambda _: turn.requests < wanted})
    turn = chat.send()
    readers = [Reader(turn) for _ in range(3)]
    for number in range(wanted):
        opened: list[str] = []
        for _ in range(rng.randrange(1, 25)):
            chat.receive(random_chunk(rng, opened))
            # One takes often, one seldom, one only at the end.
            if rng.random() < 0.7:
                readers[0].take()
            if rng.random() < 0.1:
                readers[1].take()
        if turn.over:
            break
        # Without a change the turn would end here.
        chat.receive(data(number), finish())
        chat.finish()
    if not turn.over:
        chat.stop()
    for reader in readers:
        reader.take()
        assert reader.joined == text_of_turn(turn)
    assert "\ud83d" not in text_of_turn(turn)
