"""Whether a turn goes on by itself when a reply is over."""

from __future__ import annotations

import pytest

from usechat.engine.automatic import last_assistant_message_is_complete_with_tool_calls
from usechat.engine.events import TurnFinished
from usechat.engine.exchange import RequestOptions
from usechat.errors import ConnectionBrokenError

from .harness import (
    Chat,
    finish,
    start,
    text,
    tool,
    user,
)

GONE = ConnectionBrokenError("gone")


def always(_: object) -> bool:
    return True


def chat_with_tool(**options: object) -> Chat:
    callbacks = {"send_automatically_when": last_assistant_message_is_complete_with_tool_calls}
    return Chat(callbacks=callbacks, **options)


def test_a_reply_whose_calls_were_answered_is_sent_again_by_itself() -> None:
    chat = chat_with_tool()
    options = RequestOptions({"h": "1"})
    turn = chat.send(options=options)
    chat.receive(tool("input-available"))
    chat.output("sun")
    chat.receive(finish("tool-calls"))
    first = chat.exchange
    chat.finish()
    assert (turn.outcome, turn.requests, chat.status) == (None, 2, "submitted")
    second = chat.exchange
    assert first is not second
    assert (second.request.trigger, second.request.message_id) == ("submit-message", "id-1")
    assert second.request.options is options
    chat.reply({"type": "start-step"}, text("It is sunny."))
    assert (turn.outcome, turn.message) == ("completed", chat.messages[-1])
    assert [m.text for m in chat.messages] == ["Hi", "It is sunny."]
    assert len(chat.events(TurnFinished)) == 1


def test_each_exchange_of_a_turn_has_its_finish() -> None:
    told: list[str] = []
    chat = Chat(
        callbacks={
            "on_finish": lambda f: told.append(f.finish_reason),
            "send_automatically_when": last_assistant_message_is_complete_with_tool_calls,
        }
    )
    chat.send()
    chat.receive(tool("input-available"), tool("output-available", output=1), finish("tool-calls"))
    chat.finish()
    chat.receive({"type": "start-step"}, text("x"), finish("stop"))
    chat.finish()
    assert (told, chat.status) == (["tool-calls", "stop"], "ready")


def test_an_automatic_send_that_changed_nothing_is_not_repeated() -> None:
    chat = Chat(callbacks={"send_automatically_when": always})
    turn = chat.send()
    chat.reply(text("x"))
    assert turn.requests == 2
    chat.reply()
    assert (turn.outcome, turn.requests, chat.status) == ("incomplete", 2, "ready")
    assert chat.texts() == ["user: Hi", "assistant: x"]


def test_an_empty_reply_to_a_message_is_asked_for_once_more() -> None:
    chat = Chat(callbacks={"send_automatically_when": always})
    turn = chat.send()
    chat.reply()
    assert chat.exchange.request.message_id == "id-0"
    chat.reply()
    assert (turn.outcome, turn.requests, chat.texts()) == ("incomplete", 2, ["user: Hi"])


def test_a_reply_that_changed_the_message_is_no_repetition() -> None:
    chat = Chat(callbacks={"send_automatically_when": always})
    turn = chat.send()
    for i in range(5):
        chat.reply(text(str(i), f"t{i}"))
    assert (turn.outcome, turn.requests) == (None, 6)


def test_the_limit_of_requests_ends_the_turn_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chat = Chat(max_steps=3, callbacks={"send_automatically_when": always})
    turn = chat.send()
    for i in range(3):
        assert turn.limit_reached is False
        chat.reply(text(str(i), f"t{i}"))
    assert (turn.outcome, turn.limit_reached, turn.requests) == ("completed", True, 3)
    assert [r.getMessage() for r in caplog.records] == [
        "A turn ended after 3 requests (max_steps)."
    ]


def test_a_turn_that_does_not_want_to_go_on_reaches_no_limit() -> None:
    chat = Chat(max_steps=1, callbacks={"send_automatically_when": lambda _: False})
    turn = chat.send()
    chat.reply(text("x"))
    assert (turn.outcome, turn.limit_reached) == ("completed", False)


def test_the_limit_counts_a_turn_at_a_time() -> None:
    chat = Chat(max_steps=1, callbacks={"send_automatically_when": always})
    chat.send()
    chat.reply(text("x"))
    turn = chat.send()
    assert turn.requests == 1
    assert turn.outcome is None


def test_an_interrupted_reply_sends_nothing_now_or_later() -> None:
    chat = chat_with_tool()
    turn = chat.send()
    chat.receive(tool("input-available"), finish("interrupted"))
    chat.finish()
    assert (turn.outcome, turn.finish_reason) == ("completed", "interrupted")
    assert chat.engine.queue.paused is True
    assert (chat.output().requests, chat.status) == (0, "ready")


def test_a_reply_after_it_that_is_not_interrupted_may_go_on_again() -> None:
    chat = chat_with_tool()
    chat.send()
    chat.receive(tool("input-available"), finish("interrupted"))
    chat.finish()
    chat.send(None)
    chat.receive(finish("stop"))
    chat.finish()
    assert chat.output().requests == 1


@pytest.mark.parametrize("end", ["stop", "fail"])
def test_an_interruption_counts_however_the_reply_ended(end: str) -> None:
    chat = chat_with_tool()
    chat.send()
    chat.receive(start("m"), tool("input-available"), finish("interrupted"))
    if end == "stop":
        chat.stop()
    else:
        chat.fail(GONE)
    assert chat.output().requests == 0


def test_a_reply_that_failed_or_was_stopped_sends_nothing() -> None:
    chat = Chat(callbacks={"send_automatically_when": always})
    chat.send()
    chat.receive(text("x"))
    chat.fail(GONE)
    chat.send()
    chat.receive(text("x"))
    chat.stop()
    assert chat.called("send_automatically_when") == []


def test_a_follow_up_that_fails_is_the_turns_error() -> None:
    chat = Chat(callbacks={"send_automatically_when": always})
    turn = chat.send()
    chat.reply(text("x"))
    chat.fail(GONE)
    assert (turn.outcome, turn.error, turn.requests) == ("error", GONE, 2)
    assert turn.message is chat.messages[-1]
    assert chat.texts() == ["user: Hi", "assistant: x"]


def test_the_history_may_be_empty_when_the_reply_ends() -> None:
    chat = Chat(callbacks={"send_automatically_when": always, "on_finish": lambda _: chat.clear()})
    turn = chat.send()
    chat.reply(text("x"))
    assert (turn.outcome, chat.messages, chat.status) == ("completed", (), "ready")


def test_a_predicate_that_empties_the_history_sends_nothing() -> None:
    def forget(_: object) -> bool:
        chat.set_messages()
        return True

    chat = Chat(callbacks={"send_automatically_when": forget})
    turn = chat.send()
    chat.reply(text("x"))
    assert (turn.outcome, chat.status) == ("completed", "ready")


def test_what_a_predicate_makes_of_the_history_is_what_is_sent() -> None:
    def rewrite(_: object) -> bool:
        chat.set_messages(user("other", id="u2"))
        return True

    chat = Chat(callbacks={"send_automatically_when": rewrite})
    chat.send()
    chat.reply(text("x"))
    assert chat.exchange.request.message_id == "u2"
    assert [m.text for m in chat.exchange.request.messages] == ["other"]
