"""What a message does that is sent while the chat is busy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from usechat.engine.events import QueueChanged, TurnFinished
from usechat.engine.exchange import RequestOptions
from usechat.errors import ChatBusyError, ChatClosedError, ConnectionBrokenError, ServerError

from .harness import ASKED, Chat, assistant, call, finish, text, tool, user

GONE = ConnectionBrokenError("gone")


def queueing(*messages: dict, **options: object) -> Chat:
    return Chat(*messages, when_busy="queue", **options)


def busy(**options: object) -> Chat:
    """A chat in which a turn runs and two messages wait."""
    chat = queueing(**options)
    chat.send("first")
    chat.receive(text("1"))
    chat.send("second")
    chat.send("third")
    return chat


# --------------------------------------------------------- reject and interrupt


def test_rejecting_raises_and_changes_nothing() -> None:
    chat = Chat()
    turn = chat.send("first")
    with pytest.raises(ChatBusyError, match="when_busy"):
        chat.send("second")
    assert (chat.texts(), turn.outcome, chat.made) == (["user: first"], None, 2)


@pytest.mark.parametrize("when_busy", ["reject", "queue", "interrupt"])
def test_the_history_as_it_is_cannot_be_sent_while_a_turn_runs(when_busy: str) -> None:
    chat = Chat(when_busy=when_busy)
    chat.send()
    with pytest.raises(ChatBusyError, match="None"):
        chat.send(None)


def test_interrupting_stops_the_turn_and_keeps_what_came() -> None:
    chat = Chat(when_busy="interrupt")
    first = chat.send("first")
    chat.receive(text("1"))
    second = chat.send("second")
    assert (first.outcome, second.outcome, chat.status) == ("stopped", None, "submitted")
    assert chat.texts() == ["user: first", "assistant: 1", "user: second"]


def test_a_chat_that_only_tries_to_resume_is_not_busy() -> None:
    chat = Chat()
    chat.resume()
    chat.send()
    assert chat.status == "submitted"


# ---------------------------------------------------------------------- waiting


def test_messages_wait_and_are_sent_one_after_the_other() -> None:
    chat = queueing()
    first = chat.send("first")
    options = RequestOptions({"h": "2"})
    second = chat.send("second", options=options)
    third = chat.send("third")
    assert (second.queued, third.queued, chat.queued()) == (True, True, ["second", "third"])
    assert chat.engine.state().queued_messages == chat.engine.queue.messages
    chat.reply(text("1"))
    assert (first.outcome, second.queued, chat.queued()) == ("completed", False, ["third"])
    assert chat.exchange.turn is second
    assert chat.exchange.request.options is options
    chat.reply(text("2"))
    chat.reply(text("3"))
    assert (second.outcome, third.outcome, chat.queued()) == ("completed", "completed", [])
    assert chat.texts() == [
        *("user: first", "assistant: 1"),
        *("user: second", "assistant: 2"),
        *("user: third", "assistant: 3"),
    ]
    assert [e.turn for e in chat.events(TurnFinished)] == [first, second, third]


def test_with_nothing_running_a_message_does_not_wait() -> None:
    chat = queueing()
    assert chat.send().queued is False


def test_a_reply_that_was_cut_short_without_an_error_lets_the_next_go() -> None:
    chat = busy()
    chat.finish()
    assert (chat.queued(), chat.exchange.turn.queued) == (["third"], False)


def test_a_message_is_checked_when_it_is_put_in_line() -> None:
    chat = busy()
    with pytest.raises(ValueError, match="no message"):
        chat.send({"role": "pilot", "parts": []})
    assert chat.queued() == ["second", "third"]


def test_so_many_may_wait_and_no_more() -> None:
    chat = busy(queue_limit=2)
    with pytest.raises(ChatBusyError, match="queue_limit"):
        chat.send("fourth")
    assert chat.queued() == ["second", "third"]


def test_a_message_can_be_taken_out() -> None:
    chat = busy()
    second, third = [entry.turn for entry in chat.engine.queue._entries]
    (waiting, _) = chat.engine.queue.messages
    chat.events()
    chat.engine.remove_queued_message(waiting.id)
    assert (second.outcome, second.queued, third.queued) == ("dropped", False, True)
    assert [type(e) for e in chat.events(QueueChanged, TurnFinished)] == [
        QueueChanged,
        TurnFinished,
    ]
    chat.engine.remove_queued_message(waiting.id)
    assert chat.events() == []


def test_a_waiting_turn_can_be_stopped_and_a_running_one_and_one_that_is_over() -> None:
    chat = busy()
    running = chat.exchange.turn
    second = chat.engine.queue._entries[0].turn
    chat.run(chat.engine.stop_turn(second))
    assert (second.outcome, chat.queued()) == ("dropped", ["third"])
    chat.run(chat.engine.stop_turn(running))
    assert (running.outcome, chat.engine.exchange) == ("stopped", None)
    chat.run(chat.engine.stop_turn(running))
    assert chat.queued() == ["third"]


# ----------------------------------------------------------------------- pauses


@pytest.mark.parametrize(
    "end",
    [
        lambda c: c.stop(),
        lambda c: c.fail(GONE),
        lambda c: c.fail(ServerError("no")),
        lambda c: c.receive({"type": "error", "errorText": "no"}),
        lambda c: (c.receive(finish("interrupted")), c.finish()),
    ],
    ids=["stop", "disconnect", "server error", "error chunk", "interrupted"],
)
def test_a_stop_an_error_and_an_interruption_pause_the_queue(end) -> None:  # type: ignore[no-untyped-def]
    chat = busy()
    end(chat)
    assert (chat.engine.queue.paused, chat.engine.exchange) == (True, None)
    assert chat.queued() == ["second", "third"]
    # The user sends again: the queue goes on, in order.
    fourth = chat.send("fourth")
    assert (fourth.queued, chat.queued()) == (True, ["third", "fourth"])
    assert chat.messages[-1].text == "second"
    chat.reply(text("2"))
    assert chat.queued() == ["fourth"]


def test_a_paused_queue_with_nothing_in_it_does_not_hold_a_message() -> None:
    chat = queueing()
    chat.stop()
    assert chat.send().queued is False
    assert chat.engine.queue.paused is False


def test_the_queue_waits_while_a_tool_call_waits_for_the_user() -> None:
    chat = queueing()
    chat.send("first")
    chat.receive(tool("input-available"))
    second = chat.send("second")
    chat.reply()
    assert (second.queued, chat.status) == (True, "ready")
    third = chat.send("third")
    assert third.queued is True
    chat.output("sun")
    assert (second.queued, third.queued, chat.status) == (False, True, "submitted")


def test_after_a_stop_it_does_not_wait_for_the_user() -> None:
    chat = queueing()
    chat.send("first")
    chat.receive(tool("input-available"))
    chat.send("second")
    chat.stop()
    chat.send("third")
    assert (chat.messages[-1].text, chat.queued()) == ("second", ["third"])


def test_answering_does_not_send_the_queue_after_a_stop() -> None:
    chat = queueing()
    chat.send("first")
    chat.receive(tool("input-available"))
    chat.send("second")
    chat.stop()
    chat.output("sun")
    assert (chat.queued(), chat.status) == (["second"], "ready")


# ------------------------------------------------------------- the answered approval


def test_an_answered_approval_goes_before_the_queue() -> None:
    chat = queueing(user(), assistant(call("approval-requested", **ASKED)))
    second = chat.send("second")
    assert second.queued is True
    chat.approve()
    assert (chat.queued(), chat.status) == (["second"], "ready")
    third = chat.send("third")
    # The approval is sent first, for the message that asked.
    assert chat.exchange.request.message_id == "a1"
    assert chat.queued() == ["second", "third"]
    chat.reply(tool("output-available", output=1))
    assert (second.queued, third.queued) == (False, True)
    assert chat.messages[-1].text == "second"


def test_an_approval_that_is_answered_while_its_reply_runs_goes_first_after_it() -> None:
    chat = queueing()
    chat.send("first")
    chat.receive(tool("input-available"), tool("approval-request", approvalId="ap1"))
    chat.approve()
    second = chat.send("second")
    assert chat.engine.queue.deferred is not None
    chat.reply()
    assert chat.exchange.request.message_id == "id-1"
    assert (second.queued, chat.engine.queue.deferred) == (True, None)
    chat.reply(tool("output-available", output=1))
    assert (second.queued, chat.messages[-1].text) == (False, "second")


def test_an_approval_that_was_put_off_is_forgotten_where_it_is_not_needed() -> None:
    chat = queueing()
    chat.send("first")
    chat.receive(tool("input-available"), tool("approval-request", approvalId="ap1"))
    chat.approve()
    second = chat.send("second")
    chat.reply(tool("output-available", output=1))
    assert (chat.exchange.turn, chat.engine.queue.deferred) == (second, None)


def test_a_stop_forgets_an_approval_that_was_put_off() -> None:
    chat = queueing()
    chat.send("first")
    chat.receive(tool("input-available"), tool("approval-request", approvalId="ap1"))
    chat.approve()
    chat.send("second")
    chat.stop()
    assert (chat.engine.queue.deferred, chat.status) == (None, "ready")


# ---------------------------------------------------------------- sending one now


def test_one_that_waits_can_be_sent_now_and_the_others_follow() -> None:
    chat = busy()
    running = chat.exchange.turn
    third = chat.engine.queue._entries[1].turn
    assert chat.send_now(chat.engine.queue.messages[1].id) is third
    assert (running.outcome, third.queued, chat.queued()) == ("stopped", False, ["second"])
    assert chat.messages[-1].text == "third"
    chat.reply(text("3"))
    assert chat.messages[-1].text == "second"


def test_one_that_does_not_wait_is_not_sent() -> None:
    chat = busy()
    running = chat.exchange.turn
    turn = chat.send_now("?")
    assert (turn.outcome, turn.requests, running.outcome) == ("completed", 0, None)


def test_an_answered_approval_goes_before_one_that_is_sent_now() -> None:
    chat = queueing(user(), assistant(call("approval-requested", **ASKED)))
    second = chat.send("second")
    chat.approve()
    assert chat.send_now(chat.engine.queue.messages[0].id) is second
    assert (chat.exchange.request.message_id, second.queued) == ("a1", True)


def test_a_stop_while_the_turn_before_ends_wins() -> None:
    chat = busy(callbacks={"on_finish": lambda f: chat.stop()})
    second = chat.engine.queue._entries[0].turn
    chat.send_now(chat.engine.queue.messages[0].id)
    assert (second.queued, chat.engine.exchange, chat.status) == (True, None, "ready")
    assert chat.engine.queue.paused is True


# ------------------------------------------------------------- another history


@pytest.mark.parametrize(
    "change", [lambda c: c.regenerate(), lambda c: c.send("edited", edit="id-0")]
)
def test_regenerating_and_editing_drop_what_waits_and_end_what_runs(change) -> None:  # type: ignore[no-untyped-def]
    chat = busy()
    running = chat.exchange.turn
    waiting = [entry.turn for entry in chat.engine.queue._entries]
    change(chat)
    assert [running.outcome, *(t.outcome for t in waiting)] == ["stopped", "dropped", "dropped"]
    assert (chat.queued(), len(chat.messages), chat.status) == ([], 1, "submitted")


def test_other_messages_end_what_runs_and_the_queue_is_paused() -> None:
    chat = busy()
    running = chat.exchange.turn
    chat.set_messages(user("other"))
    assert (running.outcome, chat.queued(), chat.status) == (
        "stopped",
        ["second", "third"],
        "ready",
    )
    assert chat.texts() == ["user: other"]
    assert chat.engine.queue.paused is True


@pytest.mark.parametrize("end", [Chat.clear, Chat.close])
def test_clearing_and_closing_drop_what_waits(end) -> None:  # type: ignore[no-untyped-def]
    chat = busy()
    waiting = [entry.turn for entry in chat.engine.queue._entries]
    end(chat)
    assert ([t.outcome for t in waiting], chat.queued()) == (["dropped", "dropped"], [])


def test_a_message_in_line_takes_the_place_of_a_resume_that_has_not_opened() -> None:
    chat = queueing(user(), assistant(call("input-available")))
    second = chat.send("second")
    resume = chat.resume()
    chat.output("sun")
    assert (resume.outcome, second.queued, chat.status) == ("stopped", False, "submitted")


def test_what_a_callback_sends_when_a_reply_is_over_waits_for_its_end() -> None:
    chat = queueing(
        callbacks={"on_finish": lambda f: chat.send("more") if len(chat.calls) < 2 else 0}
    )
    chat.send("first")
    chat.reply(text("1"))
    assert chat.texts() == ["user: first", "assistant: 1", "user: more"]
    assert (chat.queued(), chat.status) == ([], "submitted")


def test_an_approval_that_a_callback_wants_sent_waits_for_the_end_too() -> None:
    def on_finish(_: object) -> None:
        if len(chat.called("on_finish")) == 1:
            chat.approve()
            chat.send("more")

    chat = queueing(callbacks={"on_finish": on_finish})
    chat.send("first")
    chat.receive(tool("input-available"), tool("approval-request", approvalId="ap1"))
    chat.reply()
    assert (chat.queued(), chat.exchange.request.message_id) == (["more"], "id-1")


def test_a_closed_chat_sends_nothing_that_waited() -> None:
    chat = busy()
    chat.close()
    with pytest.raises(ChatClosedError):
        chat.send_now("id-3")


def test_a_message_goes_when_the_call_that_it_waited_for_is_taken_away() -> None:
    chat = queueing(user(), assistant(call("input-available")))
    turn = chat.send("second")
    chat.set_messages(user())
    assert (turn.queued, chat.texts()) == (False, ["user: Hi", "user: second"])
    assert chat.status == "submitted"


@pytest.mark.parametrize("end", [Chat.nothing_to_resume, lambda chat: chat.fail(GONE)])
def test_a_message_behind_a_turn_that_nobody_awaits_goes_after_a_resume_of_nothing(
    end: Callable[[Chat], None],
) -> None:
    chat = queueing()
    first = chat.send("first")
    second = chat.send("second")
    first.abandoned = True
    chat.resume()
    assert (first.outcome, second.queued, chat.engine.queue.paused) == ("stopped", True, False)
    end(chat)
    assert (second.queued, chat.exchange.turn) == (False, second)


def test_on_finish_takes_a_message_back_that_is_about_to_go() -> None:
    def take_back(_: object) -> None:
        for message in chat.engine.queue.messages:
            chat.engine.remove_queued_message(message.id)

    chat = queueing(callbacks={"on_finish": take_back})
    first = chat.send("first")
    chat.receive(text("1"))
    second = chat.send("second")
    first.abandoned = True
    third = chat.send("third")
    assert [turn.outcome for turn in (first, second, third)] == ["stopped", "dropped", "dropped"]
    assert (chat.texts(), chat.status) == (["user: first", "assistant: 1"], "ready")
