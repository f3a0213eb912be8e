"""How an exchange ends, and whether its turn goes on."""

from __future__ import annotations

import pytest

from usechat.engine.automatic import last_assistant_message_is_complete_with_tool_calls
from usechat.engine.events import TurnFinished
from usechat.engine.exchange import RequestOptions
from usechat.errors import CallbackError, ConnectionBrokenError, ServerError

from .harness import (
    DONE,
    Chat,
    assistant,
    call,
    finish,
    start,
    text,
    text_delta,
    text_start,
    tool,
    user,
)

GONE = ConnectionBrokenError("gone")


def always(_: object) -> bool:
    return True


def ignore(_: object) -> None:
    pass


# ------------------------------------------------------------------- outcomes


def test_a_reply_with_its_end_completes_the_turn() -> None:
    chat = Chat()
    turn = chat.send()
    chat.reply(text("x"))
    assert (turn.outcome, turn.over, turn.exchange_over, chat.status) == (
        "completed",
        True,
        True,
        "ready",
    )
    assert turn.message is chat.messages[-1]
    assert chat.events(TurnFinished) == [TurnFinished(turn)]


def test_a_reply_without_its_end_is_incomplete_and_stays() -> None:
    chat = Chat()
    turn = chat.send()
    chat.receive(text_start(), text_delta("x"))
    chat.finish()
    assert (turn.outcome, turn.error, chat.status) == ("incomplete", None, "ready")
    assert turn.message is not None
    assert turn.message.text == "x"


def test_where_the_end_is_not_required_it_is_complete() -> None:
    chat = Chat(require_finish=False)
    turn = chat.send()
    chat.receive(text("x"))
    chat.finish()
    assert turn.outcome == "completed"


def test_a_server_that_was_stopped_is_stopped_whatever_else_it_says() -> None:
    chat = Chat(require_finish=False)
    turn = chat.send()
    chat.receive(text("x"), {"type": "abort"}, finish("stop"), DONE)
    chat.finish()
    assert turn.outcome == "stopped"


def test_a_reply_that_fails_before_its_first_write_leaves_no_message() -> None:
    chat = Chat()
    turn = chat.send()
    chat.fail(GONE)
    assert (turn.outcome, turn.error, turn.message, chat.status) == ("error", GONE, None, "error")
    assert chat.texts() == ["user: Hi"]


def test_a_reply_that_fails_later_keeps_what_came() -> None:
    chat = Chat()
    turn = chat.send()
    chat.receive(text_start(), text_delta("x"))
    chat.fail(GONE)
    assert (turn.outcome, turn.message) == ("error", chat.messages[-1])
    assert chat.texts() == ["user: Hi", "assistant: x"]


def test_a_stop_keeps_what_came() -> None:
    chat = Chat(callbacks={"on_finish": ignore})
    turn = chat.send()
    chat.receive(text_start(), text_delta("x"), finish("length"))
    chat.stop()
    assert (turn.outcome, turn.finish_reason, chat.status) == ("stopped", "length", "ready")
    assert chat.texts() == ["user: Hi", "assistant: x"]
    assert [f.is_abort for f in chat.called("on_finish")] == [True]


def test_a_stop_with_nothing_running_is_no_error() -> None:
    chat = Chat()
    chat.stop()
    assert (chat.status, chat.engine.queue.paused) == ("ready", True)


def test_a_drive_that_is_cancelled_stops_the_turn() -> None:
    chat = Chat()
    turn = chat.send()
    chat.receive(text("x"))
    chat.run(chat.engine.end_cancelled(chat.exchange))
    assert (turn.outcome, chat.status, chat.engine.exchange) == ("stopped", "ready", None)


# -------------------------------------------------------------- what finish says


@pytest.mark.parametrize(
    ("end", "flags"),
    [
        (lambda c: c.finish(), (False, False, False)),
        (lambda c: c.stop(), (True, False, False)),
        (lambda c: c.fail(GONE), (False, True, True)),
        (lambda c: c.fail(ServerError("x")), (False, False, True)),
    ],
    ids=["finished", "stopped", "disconnected", "failed"],
)
def test_finish_says_how_it_ended(end, flags: tuple) -> None:  # type: ignore[no-untyped-def]
    chat = Chat(callbacks={"on_finish": ignore})
    chat.send()
    chat.receive(text("x"), finish("stop"))
    end(chat)
    (told,) = chat.called("on_finish")
    assert (told.is_abort, told.is_disconnect, told.is_error) == flags
    assert (told.message.text, told.finish_reason) == ("x", "stop")
    assert told.messages == chat.messages


def test_finish_is_called_once_an_exchange_after_the_final_status() -> None:
    seen: list[object] = []
    chat = Chat(callbacks={"on_finish": lambda f: seen.append((chat.status, f.message.text))})
    chat.send()
    chat.reply(text("x"))
    chat.send()
    chat.receive(text("y"))
    chat.fail(GONE)
    assert seen == [("ready", "x"), ("error", "y")]


def test_the_error_callback_comes_before_the_status_and_finish_after() -> None:
    seen: list[object] = []
    chat = Chat(
        callbacks={
            "on_error": lambda e: seen.append(("error", chat.status, chat.error)),
            "on_finish": lambda f: seen.append(("finish", chat.status, chat.error)),
        }
    )
    chat.send()
    chat.receive(text("x"))
    chat.fail(GONE)
    assert seen == [("error", "streaming", None), ("finish", "error", GONE)]


def test_finish_has_a_message_even_where_nothing_came() -> None:
    chat = Chat(callbacks={"on_finish": ignore})
    chat.send()
    chat.fail(GONE)
    (told,) = chat.called("on_finish")
    assert (told.message.id, told.message.parts) == ("id-1", ())
    assert [m.id for m in told.messages] == ["id-0"]


# -------------------------------------------------------------- automatic sends


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


# ------------------------------------------------------------ callbacks that raise


def boom(_: object) -> None:
    raise RuntimeError("boom")


def test_what_on_finish_raises_is_the_turns_error() -> None:
    chat = Chat(callbacks={"on_finish": boom, "on_error": ignore})
    turn = chat.send()
    chat.reply(text("x"))
    assert (turn.outcome, chat.status, chat.engine.queue.paused) == ("error", "error", True)
    assert isinstance(turn.error, CallbackError)
    assert isinstance(turn.error.__cause__, RuntimeError)
    assert chat.called("on_error") == [turn.error]
    assert chat.texts() == ["user: Hi", "assistant: x"]


def test_what_the_predicate_raises_is_too() -> None:
    chat = Chat(callbacks={"send_automatically_when": boom})
    turn = chat.send()
    chat.reply(text("x"))
    assert (turn.outcome, chat.status, chat.error) == ("error", "error", turn.error)


def test_the_predicate_may_raise_after_an_answer_which_stays() -> None:
    chat = Chat(
        user(), assistant(call("input-available")), callbacks={"send_automatically_when": boom}
    )
    with pytest.raises(CallbackError):
        chat.output("sun")
    assert (chat.reply_parts()[0]["output"], chat.status) == ("sun", "ready")


@pytest.mark.parametrize(
    ("name", "chunk"),
    [("on_data", {"type": "data-x", "data": 1}), ("on_tool_call", tool("input-available"))],
)
def test_a_callback_that_raises_in_the_reply_ends_it(name: str, chunk: dict) -> None:
    chat = Chat(callbacks={name: boom, "on_error": ignore, "on_finish": ignore})
    turn = chat.send()
    chat.receive(text("x"), chunk, text("late", "t2"))
    assert (turn.outcome, chat.status, chat.error) == ("error", "error", turn.error)
    assert isinstance(turn.error, CallbackError)
    assert chat.called("on_error") == [turn.error]
    assert [f.is_error for f in chat.called("on_finish")] == [True]
    assert chat.texts()[-1] == "assistant: x"


def test_data_whose_callback_raised_is_not_published() -> None:
    chat = Chat(callbacks={"on_data": lambda c: 1 / (2 - c.data)})
    chat.send()
    chat.receive({"type": "data-x", "id": "1", "data": 1}, text("x"))
    chat.receive({"type": "data-x", "id": "1", "data": 2})
    assert chat.status == "error"
    assert chat.reply_parts()[0]["data"] == 1
    chat.send()
    chat.receive({"type": "data-x", "id": "2", "data": 2})
    assert len(chat.messages) == 3


def test_on_response_that_raises_ends_the_exchange() -> None:
    chat = Chat(callbacks={"on_response": boom})
    turn = chat.send()
    chat.open(object())
    assert (turn.outcome, chat.status) == ("error", "error")


def test_on_response_that_raises_ends_a_resume_before_it_opens() -> None:
    chat = Chat(callbacks={"on_response": boom, "on_finish": ignore})
    turn = chat.resume()
    chat.open(object())
    assert (turn.outcome, chat.status, chat.called("on_finish")) == ("error", "error", [])


def test_what_on_error_raises_is_logged_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chat = Chat(callbacks={"on_error": boom})
    turn = chat.send()
    chat.fail(GONE)
    assert (turn.error, chat.error, chat.status) == (GONE, GONE, "error")
    assert [r.getMessage() for r in caplog.records] == ["on_error raised"]


def test_both_may_raise(caplog: pytest.LogCaptureFixture) -> None:
    chat = Chat(callbacks={"on_error": boom, "on_finish": boom})
    turn = chat.send()
    chat.fail(GONE)
    assert turn.error is GONE
    assert [r.getMessage() for r in caplog.records] == ["on_error raised", "on_finish raised"]
    caplog.clear()
    turn = chat.send()
    chat.reply(text("x"))
    assert isinstance(turn.error, CallbackError)
    assert [r.getMessage() for r in caplog.records] == ["on_error raised"]


def test_what_on_finish_raises_after_a_stop_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    chat = Chat(callbacks={"on_finish": boom})
    turn = chat.send()
    chat.stop()
    assert (turn.outcome, turn.error, chat.status) == ("stopped", None, "ready")
    assert [r.getMessage() for r in caplog.records] == ["on_finish raised"]
