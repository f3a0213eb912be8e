"""Many threads on one session: nothing is lost, nobody waits for ever."""

from __future__ import annotations

import threading
from typing import Any

from hosting import (
    GREETING,
    Gate,
    Host,
    Paced,
    assert_usable,
    chatting,
    delta,
    deltas,
    everywhere,
    hangs_for,
    scripted,
)

from usechat import ChatBusyError, ChatSession, QueuePausedError, Turn, TurnFinished, UIMessage
from usechat import last_assistant_message_is_complete_with_tool_calls as is_complete
from usechat.testing import FakeServer, text_reply

THREADS = 32


def test_no_update_is_lost() -> None:
    with chatting() as chat:

        def add(index: int) -> None:
            for n in range(5):
                new = UIMessage(id=f"{index}-{n}", role="user", parts=())
                chat.set_messages(lambda messages, new=new: [*messages, new])  # type: ignore[misc]

        everywhere(THREADS, add)
        ids = [m.id for m in chat.messages]
        assert sorted(ids) == sorted(f"{i}-{n}" for i in range(THREADS) for n in range(5))
        for index in range(THREADS):  # each thread's own come in their order
            own = [i for i in ids if i.startswith(f"{index}-")]
            assert own == [f"{index}-{n}" for n in range(5)]


def test_every_tool_output_arrives_and_the_last_one_sends() -> None:
    calls: list[dict[str, Any]] = [
        {"type": "tool-input-available", "toolCallId": f"c{n}", "toolName": "t", "input": {}}
        for n in range(THREADS)
    ]
    begin, end = {"type": "start", "messageId": "m1"}, {"type": "finish"}
    transport = scripted([begin, *calls, end], *[GREETING] * 3)
    with ChatSession(transport, send_automatically_when=is_complete) as chat:
        chat.send_message("Hi").wait()
        turns = everywhere(THREADS, lambda n: chat.add_tool_output(f"c{n}", n))
        for turn in turns:
            turn.wait()
        outputs = {p.tool_call_id: p.output for p in chat.messages[1].tool_parts}
        assert outputs == {f"c{n}": n for n in range(THREADS)}
        assert len(transport.requests) == 2
        sent = transport.requests[1].messages[-1]
        assert sent.tool_parts
        assert not sent.pending


def test_of_many_that_send_one_is_taken() -> None:
    gate = Gate()
    with ChatSession(Paced([gate, *GREETING])) as chat:

        def send(index: int) -> Turn | None:
            try:
                return chat.send_message(str(index))
            except ChatBusyError:
                return None

        turns = [turn for turn in everywhere(THREADS, send) if turn is not None]
        assert len(turns) == len(chat.messages) == 1
        gate.open()
        assert turns[0].result().text == "Hello there"
        assert len(chat.messages) == 2


def test_many_that_send_wait_their_turn() -> None:
    def echo(request: Any) -> Any:
        return text_reply(f"to {request.messages[-1].text}")

    with chatting(*[echo] * THREADS, when_busy="queue") as chat:
        turns = everywhere(THREADS, lambda n: chat.send_message(str(n)))
        assert [turn.result().text for turn in turns] == [f"to {n}" for n in range(THREADS)]
        texts = [m.text for m in chat.messages]
        assert [f"to {text}" for text in texts[::2]] == texts[1::2]
        assert sorted(texts[::2]) == sorted(str(n) for n in range(THREADS))


def test_many_that_send_interrupt_each_other() -> None:
    with (
        FakeServer([GREETING] * THREADS) as server,
        ChatSession(server.url, when_busy="interrupt") as chat,
    ):
        turns = everywhere(THREADS, lambda n: chat.send_message(str(n)).wait())
        outcomes = [turn.outcome for turn in turns]
        assert set(outcomes) <= {"stopped", "completed"}
        last = chat.messages[-1]
        assert (last.role, last.text) == ("assistant", "Hello there")
        users = [m.text for m in chat.messages if m.role == "user"]
        assert sorted(users) == sorted(str(n) for n in range(THREADS))
        for turn in turns:
            assert turn.outcome == "stopped" or turn.text == "Hello there"


def test_return_pressed_many_times_sends_once() -> None:
    gate = Gate()
    transport = Paced([gate, *GREETING])
    with ChatSession(transport) as chat:
        chat.input = "Hi"
        turns = [turn for turn in everywhere(THREADS, lambda _: chat.submit()) if turn]
        assert len(turns) == 1
        assert chat.input == ""
        gate.open()
        turns[0].wait()
        assert [m.text for m in chat.messages] == ["Hi", "Hello there"]
        assert len(transport.requests) == 1


def test_a_turn_has_one_face_on_all_threads() -> None:
    for _ in range(20):
        with chatting(*[hangs_for("Hi")] * 2, when_busy="queue") as chat:
            finished: list[Turn] = []
            chat.on(TurnFinished, lambda e, f=finished: f.append(e.turn))  # type: ignore[misc]
            turn = chat.send_message("Hi")
            everywhere(4, lambda _: chat.stop())
            turn.wait()
            assert finished == [turn]


def test_stops_and_sends_at_random_leave_the_session_whole() -> None:
    pieces = [delta(f"{n} ") for n in range(50)]
    host = Host()
    replies = [deltas(pieces, f"m{n}") for n in range(200)]
    with ChatSession(scripted(*replies, GREETING), dispatch=host, when_busy="queue") as chat:
        text = "".join(piece["delta"] for piece in pieces)

        def act(index: int) -> None:
            for n in range(6):
                turn = chat.send_message(f"{index}-{n}")
                if (index + n) % 5 == 0:
                    chat.stop()
                if (index + n) % 7 == 0:
                    chat.set_messages([])
                try:
                    turn.wait()
                except QueuePausedError:
                    chat.remove_queued_message(_id_of(chat, f"{index}-{n}"))
                    continue
                assert turn.outcome in ("completed", "stopped", "dropped")
                if turn.outcome == "completed":
                    assert turn.text == text
                else:
                    assert text.startswith(turn.text)

        everywhere(8, act)
        chat.set_messages([])
        assert chat.send_message("Last").result().role == "assistant"
    host.end()
    assert host.errors == []
    assert host.most <= 1


def _id_of(chat: ChatSession, text: str) -> str:
    return next((m.id for m in chat.queued_messages if m.text == text), "gone")


def test_input_from_many_threads() -> None:
    with chatting(GREETING) as chat:
        everywhere(THREADS, lambda n: chat.handle_input_change(str(n)))
        assert chat.input in {str(n) for n in range(THREADS)}
        chat.input = ""
        assert_usable(chat)


def test_sessions_made_and_closed_on_many_threads() -> None:
    def use(index: int) -> str:
        with ChatSession(server.url) as chat:
            return chat.send_message(str(index)).result().text

    with FakeServer([GREETING] * THREADS) as server:
        assert everywhere(THREADS, use) == ["Hello there"] * THREADS
    assert len({t.ident for t in threading.enumerate() if t.name == "usechat"}) == 1
