"""An exchange begins, opens and receives."""

from __future__ import annotations

import pytest

from usechat.engine.exchange import Finish, RequestOptions, Response
from usechat.errors import ConnectionBrokenError, ServerError

from .harness import (
    DONE,
    GRANTED,
    STEP,
    Chat,
    assistant,
    call,
    finish,
    start,
    text,
    text_delta,
    text_end,
    text_start,
    tool,
    user,
)

HEAD = Response(200, {"x": "y"})
GONE = ConnectionBrokenError("gone")


# ------------------------------------------------------------------- requests


def test_a_message_is_a_request_with_the_history() -> None:
    options = RequestOptions({"a": "b"}, {"c": 1}, "m")
    chat = Chat(user(), assistant())
    chat.send("more", options=options)
    request = chat.exchange.request
    assert (request.trigger, request.chat_id, request.message_id) == (
        "submit-message",
        "chat",
        None,
    )
    assert request.messages == chat.messages
    assert request.options is options
    assert (chat.status, chat.exchange.draft.id) == ("submitted", "id-1")


def test_secrets_of_a_request_are_in_no_repr() -> None:
    chat = Chat()
    turn = chat.send(
        options=RequestOptions({"authorization": "secret"}, {"key": "secret"}, "secret")
    )
    assert "secret" not in repr(turn) + repr(chat.exchange)


def test_the_messages_of_a_request_do_not_change_with_the_reply() -> None:
    chat = Chat()
    chat.send()
    request = chat.exchange.request
    chat.receive(text("x"))
    assert [m.text for m in request.messages] == ["Hi"]


def test_the_history_as_it_is_continues_the_last_message_if_that_is_an_assistants() -> None:
    chat = Chat(user(), assistant({"type": "text", "text": "a"}))
    turn = chat.send(None)
    assert chat.exchange.request.message_id == "a1"
    assert turn.first_part == 1
    chat.reply(text("b"))
    assert chat.texts() == ["user: Hi", "assistant: ab"]
    assert turn.message is chat.messages[-1]


def test_else_the_reply_is_a_new_message() -> None:
    chat = Chat(user())
    turn = chat.send(None)
    assert (chat.exchange.request.message_id, turn.first_part) == ("u1", 0)
    chat.reply(text("b"))
    assert chat.texts() == ["user: Hi", "assistant: b"]


def test_an_empty_history_can_be_sent() -> None:
    chat = Chat()
    chat.send(None)
    assert (chat.exchange.request.messages, chat.exchange.request.message_id) == ((), None)
    chat.reply(text("b"))
    assert chat.texts() == ["assistant: b"]


def test_the_history_as_it_is_continues_the_newest_answered_approval() -> None:
    chat = Chat(
        user(),
        assistant(call("approval-responded", **GRANTED), id="a1"),
        assistant(call("approval-responded", "c2", **GRANTED), id="a2"),
        user("wait", id="u2"),
    )
    chat.send(None)
    assert chat.exchange.request.message_id == "a2"
    chat.receive(tool("output-available", "c2", output="sun"))
    assert chat.messages[2].parts[0].output == "sun"


def test_a_message_to_continue_that_is_gone_is_the_last_one() -> None:
    chat = Chat(user(), assistant(call("approval-requested", approval={"id": "ap1"})))
    chat.approve()
    chat.set_messages(user(), assistant({"type": "text", "text": "a"}, id="other"))
    chat.send(None)
    assert chat.exchange.request.message_id == "a1"
    chat.reply(text("b"))
    assert chat.texts() == ["user: Hi", "assistant: ab"]


# -------------------------------------------------------------------- opening


def test_the_head_of_the_response_goes_to_its_callback() -> None:
    chat = Chat(callbacks={"on_response": lambda _: None})
    chat.send()
    chat.open(HEAD)
    assert chat.called("on_response") == [HEAD]
    assert chat.status == "submitted"


def test_without_a_head_it_is_not_called() -> None:
    chat = Chat(callbacks={"on_response": lambda _: None})
    chat.send()
    chat.open()
    assert chat.called("on_response") == []


def test_an_exchange_that_is_over_does_not_open() -> None:
    chat = Chat(callbacks={"on_response": lambda _: None})
    chat.send()
    exchange = chat.exchange
    chat.stop()
    chat.run(chat.engine.opened(exchange, HEAD))
    assert (chat.called("on_response"), chat.status) == ([], "ready")


# ---------------------------------------------------------- what comes in late


def test_what_comes_for_an_exchange_that_is_over_is_dropped() -> None:
    chat = Chat(callbacks={"on_data": lambda _: None, "on_tool_call": lambda _: None})
    chat.send()
    chat.receive(text("x"))
    old = chat.exchange
    chat.stop()
    chat.send("next")
    before = chat.dump(), chat.status
    chat.receive(
        text("late", "t2"),
        tool("input-available"),
        {"type": "data-x", "data": 1},
        start("other"),
        {"type": "error", "errorText": "late"},
        {"type": "unheard-of"},
        exchange=old,
    )
    chat.finish(old)
    chat.fail(GONE, old)
    chat.run(chat.engine.end_cancelled(old))
    chat.nothing_to_resume(old)
    assert (chat.dump(), chat.status) == before
    assert chat.calls == []
    assert old.received == 3


# -------------------------------------------------------------------- resuming


def test_a_resume_changes_nothing_until_there_is_a_reply() -> None:
    chat = Chat(user())
    turn = chat.resume()
    assert (chat.status, chat.engine.busy, chat.exchange.request.message_id) == (
        "ready",
        False,
        None,
    )
    chat.open()
    assert (chat.status, chat.engine.busy) == ("submitted", True)
    chat.reply(text("x"))
    assert (chat.texts(), turn.outcome) == (["user: Hi", "assistant: x"], "completed")


def test_nothing_to_resume_is_no_error_and_calls_nobody() -> None:
    chat = Chat(user(), callbacks={"on_finish": lambda _: None})
    turn = chat.resume()
    chat.nothing_to_resume()
    assert (turn.outcome, turn.message, chat.status, chat.calls) == ("completed", None, "ready", [])
    assert chat.engine.exchange is None


def test_nothing_to_resume_clears_an_error() -> None:
    chat = Chat()
    chat.send()
    chat.fail(GONE)
    chat.resume()
    assert chat.status == "error"
    chat.nothing_to_resume()
    assert (chat.status, chat.error) == ("ready", None)


def test_a_resume_that_is_refused_is_an_error_and_calls_no_finish() -> None:
    chat = Chat(callbacks={"on_finish": lambda _: None, "on_error": lambda _: None})
    turn = chat.resume()
    chat.fail(GONE)
    assert (turn.outcome, turn.error, chat.status) == ("error", GONE, "error")
    assert chat.calls == [("on_error", GONE)]
    assert chat.engine.queue.paused is False


def test_a_resume_that_is_stopped_before_it_opens_calls_no_finish() -> None:
    chat = Chat(callbacks={"on_finish": lambda _: None})
    turn = chat.resume()
    chat.stop()
    assert (turn.outcome, chat.calls, chat.status) == ("stopped", [], "ready")


def test_a_send_takes_the_place_of_a_resume_that_has_not_opened() -> None:
    chat = Chat(callbacks={"on_finish": lambda _: None})
    turn = chat.resume()
    chat.send()
    assert (turn.outcome, chat.calls, chat.status) == ("stopped", [], "submitted")


def test_the_message_of_a_reply_that_is_replayed_begins_anew() -> None:
    chat = Chat(user(), assistant(call("input-streaming")))
    turn = chat.resume()
    chat.receive(start(), text("x"))
    assert chat.texts() == ["user: Hi", "assistant: x"]
    assert [m.id for m in chat.messages] == ["u1", "a1"]
    chat.receive(start(), text("y", "t2"))
    assert chat.texts()[-1] == "assistant: xy"
    assert turn.first_part == 0


def test_a_replay_of_another_message_is_another_message() -> None:
    chat = Chat(user(), assistant({"type": "text", "text": "old"}))
    chat.resume()
    chat.receive(start("a2"), text("x"))
    assert chat.texts() == ["user: Hi", "assistant: old", "assistant: x"]


def test_a_replay_of_a_message_that_is_there_replaces_it() -> None:
    chat = Chat(user(), assistant({"type": "text", "text": "old"}))
    chat.resume()
    chat.receive(start("a1"), text("x"))
    assert chat.texts() == ["user: Hi", "assistant: x"]


@pytest.mark.parametrize("replays", [True, False])
def test_a_replay_whose_steps_have_ids_of_their_own_is_one_message(replays: bool) -> None:
    """The data stream of the AI SDK 4 names the message at each step."""
    chat = Chat(user(), replays=replays)
    chat.resume()
    chat.receive(start("a1"), STEP, text("one", "t1"), start("a2"), STEP, text("two", "t2"))
    assert chat.texts() == ["user: Hi", "assistant: one\n\ntwo"]
    assert chat.messages[-1].id == "a2"


BROKEN = (start("m1"), STEP, text_start("1"), text_delta("Hel", "1"))
NOTE = {"type": "data-note", "data": 1}


@pytest.mark.parametrize("replays", [True, False])
def test_a_rest_whose_later_step_has_an_id_of_its_own_is_one_message(replays: bool) -> None:
    chat = Chat(replays=replays)
    chat.send()
    chat.receive(*BROKEN)
    chat.fail(GONE)
    chat.resume()
    chat.receive(text_delta("lo", "1"), text_end("1"), start("m2"), STEP, text("world", "2"))
    assert chat.texts() == ["user: Hi", "assistant: Hello\n\nworld"]


def test_a_replay_may_begin_with_data() -> None:
    """As the AI SDK 4 sends them: before the step that names the message."""
    chat = Chat()
    chat.send()
    chat.receive(NOTE, *BROKEN)
    chat.fail(GONE)
    chat.resume()
    chat.receive(NOTE, *BROKEN, text_delta("lo", "1"))
    assert chat.texts() == ["user: Hi", "assistant: Hello"]


def test_what_comes_before_the_start_of_a_new_reply_is_kept() -> None:
    chat = Chat(user())
    chat.resume()
    chat.receive(NOTE, *BROKEN)
    assert [part["type"] for part in chat.reply_parts()] == ["data-note", "step-start", "text"]
    assert chat.messages[-1].id == "m1"


@pytest.mark.parametrize(
    "part",
    [
        call("input-streaming"),
        call("approval-responded", **GRANTED),
        call("input-available", providerExecuted=True),
    ],
)
def test_a_reply_that_is_not_replayed_goes_on_in_a_message_with_an_unfinished_call(
    part: dict,
) -> None:
    chat = Chat(user(), assistant(part), replays=False)
    chat.resume()
    chat.receive(start(), tool("output-available", output=1))
    assert [m.id for m in chat.messages] == ["u1", "a1"]
    assert chat.reply_parts()[0]["output"] == 1


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (user(),),
        (user(), assistant({"type": "text", "text": "old"})),
        (user(), assistant(call("input-available"))),
    ],
)
def test_else_it_is_a_message_of_its_own(messages: tuple) -> None:
    chat = Chat(*messages, replays=False)
    chat.resume()
    chat.receive(text("x"))
    assert len(chat.messages) == len(messages) + 1
    assert chat.messages[-1].id == "id-0"


def test_with_another_id_a_reply_that_is_not_replayed_begins_anew_too() -> None:
    chat = Chat(user(), assistant(call("input-streaming")), replays=False)
    chat.resume()
    chat.receive(start("a2"), text("x"))
    assert [len(m.parts) for m in chat.messages] == [1, 1, 1]


def test_after_a_disconnect_the_same_message_goes_on() -> None:
    chat = Chat(replays=False)
    chat.send()
    chat.receive(STEP, text_start(), text_delta("a"))
    chat.fail(GONE)
    turn = chat.resume()
    chat.receive(text_delta("b"), finish("stop"))
    chat.finish()
    assert chat.texts() == ["user: Hi", "assistant: ab"]
    assert (turn.outcome, chat.status) == ("completed", "ready")


def test_after_a_disconnect_a_replay_fills_the_same_message() -> None:
    chat = Chat()
    chat.send()
    chat.receive(start("m"), text_start(), text_delta("a"))
    chat.fail(GONE)
    chat.resume()
    chat.receive(start("m"), text("abc"), DONE)
    assert chat.texts() == ["user: Hi", "assistant: abc"]
    # Another disconnect, another try.
    chat.fail(GONE)
    chat.resume()
    chat.receive(start(), text("abcd"))
    assert chat.texts() == ["user: Hi", "assistant: abcd"]


def test_after_a_disconnect_before_the_first_write_the_reply_is_new() -> None:
    chat = Chat()
    chat.send()
    chat.open()
    chat.fail(GONE)
    chat.resume()
    chat.receive(text("x"))
    assert chat.texts() == ["user: Hi", "assistant: x"]


def test_a_message_that_is_not_there_any_more_comes_back_with_the_resumed_reply() -> None:
    chat = Chat(replays=False)
    chat.send()
    chat.receive(text_start(), text_delta("a"))
    chat.fail(GONE)
    chat.set_messages(user())
    chat.resume()
    chat.receive(text_delta("b"))
    assert chat.texts() == ["user: Hi", "assistant: ab"]


def test_what_a_resumed_reply_takes_back_of_a_message_that_is_gone_comes_back_without_it() -> None:
    chat = Chat(replays=False)
    chat.send()
    chat.receive(STEP, text("a"), STEP, text("b", "t2"))
    chat.fail(GONE)
    chat.set_messages(user())
    chat.resume()
    chat.receive({"type": "reset-step"})
    assert chat.texts() == ["user: Hi", "assistant: a"]


def test_another_resume_takes_its_place_and_the_status_stays() -> None:
    chat = Chat(user(), callbacks={"on_finish": lambda _: None})
    first = chat.resume()
    chat.receive(text("x"))
    assert chat.status == "streaming"
    second = chat.resume()
    assert (first.outcome, chat.status, chat.engine.busy) == ("stopped", "streaming", False)
    assert [f.is_abort for f in chat.called("on_finish")] == [True]
    third = chat.resume()
    assert (second.outcome, len(chat.calls)) == ("stopped", 1)
    chat.receive(start("id-0"), text("whole"), finish())
    chat.finish()
    assert (third.outcome, chat.texts()) == ("completed", ["user: Hi", "assistant: whole"])


def test_a_resume_ends_a_turn_that_runs() -> None:
    chat = Chat(callbacks={"on_finish": lambda _: None})
    turn = chat.send()
    chat.receive(text("x"))
    chat.resume()
    assert (turn.outcome, chat.status, len(chat.calls)) == ("stopped", "ready", 1)


@pytest.mark.parametrize("end", ["finish", "server error", "stop", "send"])
def test_only_a_disconnect_can_be_resumed(end: str) -> None:
    chat = Chat(replays=False)
    chat.send()
    chat.receive(text_start(), text_delta("a"))
    chat.fail(GONE)
    chat.resume()
    chat.open()
    if end == "finish":
        chat.finish()
    elif end == "server error":
        chat.fail(ServerError("no"))
    elif end == "stop":
        chat.stop()
    else:
        chat.stop()
        chat.send("other")
        chat.stop()
    chat.resume()
    chat.receive(text("new", "t9"))
    assert chat.texts()[1] == "assistant: a"
    assert chat.texts()[-1] == "assistant: new"


def test_a_replay_that_breaks_off_sooner_leaves_what_was_there() -> None:
    chat = Chat()
    chat.send()
    chat.receive(start("a1"), text_start(), text_delta("Hello there"))
    chat.fail(GONE)
    turn = chat.resume()
    chat.receive(start("a1"), text_start(), text_delta("Hel"))
    assert chat.texts()[-1] == "assistant: Hel"
    chat.fail(GONE)
    assert (chat.texts()[-1], turn.message) == ("assistant: Hello there", chat.messages[-1])
    chat.resume()
    chat.reply(start("a1"), text("Hello there, you"))
    assert chat.texts() == ["user: Hi", "assistant: Hello there, you"]


def test_a_replay_that_comes_further_is_kept() -> None:
    chat = Chat()
    chat.send()
    chat.receive(start("a1"), text_start(), text_delta("Hel"))
    chat.fail(GONE)
    chat.resume()
    chat.receive(start("a1"), text_start(), text_delta("Hello"))
    chat.fail(GONE)
    assert chat.texts()[-1] == "assistant: Hello"


def test_a_step_that_a_broken_reply_went_on_from_is_not_lost() -> None:
    chat = Chat(user(), assistant(call("output-available", input={}, output=1)))
    chat.send(None)
    chat.receive(start("a1"), STEP, text_start(), text_delta("It"))
    chat.fail(GONE)
    turn = chat.resume()
    chat.reply(start("a1"), STEP, text("It is."))
    assert [part["type"] for part in chat.reply_parts()] == ["tool-weather", "step-start", "text"]
    assert (turn.first_part, chat.texts()[-1]) == (1, "assistant: It is.")


def test_a_replay_that_breaks_off_sooner_in_its_reasoning_leaves_what_was_there() -> None:
    thought = {"type": "reasoning-start", "id": "r"}
    finishes: list[Finish] = []
    chat = Chat(callbacks={"on_finish": finishes.append})
    chat.send()
    chat.receive(start("a1"), thought, {"type": "reasoning-delta", "id": "r", "delta": "Hm, hm"})
    chat.fail(GONE)
    chat.resume()
    chat.receive(start("a1"), thought, {"type": "reasoning-delta", "id": "r", "delta": "Hm"})
    chat.fail(GONE)
    assert chat.reply_parts()[0]["text"] == "Hm, hm"
    assert finishes[-1].message == chat.messages[-1]
    chat.resume()  # this time the server goes on
    chat.receive(text("So."))
    assert [part.get("text") for part in chat.reply_parts()] == ["Hm, hm", "So."]
