"""Actions that callbacks call: the chat is in order whatever they do and wherever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from usechat.engine.exchange import TurnState
from usechat.errors import ChatBusyError, ChatClosedError, ConnectionBrokenError

from .harness import Chat, assistant, call, data, finish, text, tool, user

GONE = ConnectionBrokenError("gone")

CHUNKS: dict[str, Any] = {"on_data": data(1), "on_tool_call": tool("input-available")}
IN_REPLY = pytest.mark.parametrize("name", ["on_data", "on_tool_call", "on_error"])


def acting(name: str, action: Callable[[Chat], object], **options: Any) -> tuple[Chat, TurnState]:
    """A chat whose callback has acted in the middle of a reply, and the turn of that reply."""

    def act(_: object) -> None:
        if len(chat.called(name)) == 1:
            action(chat)

    chat = Chat(user(), callbacks={name: act}, **options)
    turn = chat.send("first")
    chat.receive(text("1"))
    if name == "on_error":
        chat.fail(GONE)
    else:
        chat.receive(CHUNKS[name], text("late", "t9"))
    return chat, turn


def in_order(chat: Chat) -> None:
    """What runs is what the status says, and the chat can be used again."""
    assert (chat.engine.exchange is not None) == (chat.status in ("submitted", "streaming"))
    if chat.engine.exchange is not None:
        chat.reply(text("end", "t10"))
    if not chat.engine.closed:
        turn = chat.send("again")
        chat.reply(text("fine"))
        assert turn.outcome == "completed"


# -------------------------------------------------------------- within a reply


@IN_REPLY
def test_a_stop_ends_the_reply_there(name: str) -> None:
    chat, turn = acting(name, Chat.stop)
    assert (turn.outcome, chat.status, chat.messages[-1].text) == ("stopped", "ready", "1")
    in_order(chat)


@IN_REPLY
def test_a_send_is_refused_while_the_reply_runs(name: str) -> None:
    refused: list[bool] = []

    def send(chat: Chat) -> None:
        with pytest.raises(ChatBusyError):
            chat.send("more")
        refused.append(True)

    chat, _ = acting(name, send)
    assert refused == [True]
    in_order(chat)


@IN_REPLY
def test_a_send_waits_where_messages_queue(name: str) -> None:
    chat, turn = acting(name, lambda chat: chat.send("more"), when_busy="queue")
    assert chat.queued() == ["more"]
    assert turn.outcome == ("error" if name == "on_error" else None)


@IN_REPLY
def test_a_send_takes_over_where_messages_interrupt(name: str) -> None:
    chat, turn = acting(name, lambda chat: chat.send("more"), when_busy="interrupt")
    assert (turn.outcome, turn.error, chat.status) == ("stopped", None, "submitted")
    assert chat.messages[-1].text == "more"
    in_order(chat)


@IN_REPLY
def test_regenerating_takes_over(name: str) -> None:
    chat, turn = acting(name, Chat.regenerate)
    assert (turn.outcome, chat.status) == ("stopped", "submitted")
    assert chat.texts() == ["user: Hi", "user: first"]
    in_order(chat)


@IN_REPLY
def test_other_messages_end_the_reply(name: str) -> None:
    chat, turn = acting(name, lambda chat: chat.set_messages(user("new")))
    assert (turn.outcome, chat.status, chat.texts()) == ("stopped", "ready", ["user: new"])
    in_order(chat)


@IN_REPLY
def test_clearing_ends_the_reply(name: str) -> None:
    chat, turn = acting(name, Chat.clear)
    assert (turn.outcome, chat.status, chat.messages) == ("stopped", "ready", ())
    in_order(chat)


@IN_REPLY
def test_closing_ends_the_reply(name: str) -> None:
    chat, turn = acting(name, Chat.close)
    assert (turn.outcome, chat.status, chat.messages[-1].text) == ("stopped", "ready", "1")
    in_order(chat)


@IN_REPLY
def test_resuming_takes_over(name: str) -> None:
    chat, turn = acting(name, Chat.resume)
    assert (turn.outcome, chat.status, chat.exchange.connecting) == ("stopped", "ready", True)


def test_a_tool_call_is_answered_where_it_is_called() -> None:
    chat, turn = acting("on_tool_call", Chat.output)
    assert [p.output for p in chat.messages[-1].tool_parts] == ["sun"]
    assert (turn.outcome, chat.messages[-1].text) == (None, "1late")
    in_order(chat)


def test_clearing_an_error_that_is_not_there_yet_does_nothing() -> None:
    chat, turn = acting("on_error", lambda chat: chat.engine.clear_error())
    assert (turn.outcome, chat.status) == ("error", "error")


def test_on_response_may_stop_the_chat() -> None:
    chat = Chat(callbacks={"on_response": lambda _: chat.stop()})
    turn = chat.send()
    chat.open(object())
    assert (turn.outcome, chat.status) == ("stopped", "ready")


def test_on_response_may_stop_a_resume() -> None:
    chat = Chat(callbacks={"on_response": lambda _: chat.stop()})
    turn = chat.resume()
    chat.open(object())
    assert (turn.outcome, chat.status, chat.engine.exchange) == ("stopped", "ready", None)


# ------------------------------------------------------------ when a reply is over


def finishing(action: Callable[[Chat], object], **options: Any) -> tuple[Chat, TurnState]:
    """A chat whose first ``on_finish`` acts after a reply that ended well, and its turn."""

    def act(_: object) -> None:
        if len(chat.called("on_finish")) == 1:
            action(chat)

    callbacks = {"on_finish": act, **options.pop("callbacks", {})}
    chat = Chat(user(), callbacks=callbacks, **options)
    turn = chat.send("first")
    chat.reply(text("1"))
    return chat, turn


@pytest.mark.parametrize("when_busy", ["reject", "interrupt", "queue"])
def test_on_finish_may_send(when_busy: str) -> None:
    chat, turn = finishing(lambda chat: chat.send("more"), when_busy=when_busy)
    assert (turn.outcome, chat.messages[-1].text, chat.status) == ("completed", "more", "submitted")
    in_order(chat)


def test_on_finish_may_try_again_after_an_error() -> None:
    def retry(finish: Any) -> None:
        if finish.is_error:
            chat.regenerate()

    chat = Chat(callbacks={"on_finish": retry})
    first = chat.send()
    chat.fail(GONE)
    assert (first.outcome, chat.status, chat.error) == ("error", "submitted", None)
    in_order(chat)


@pytest.mark.parametrize("action", [Chat.stop, Chat.clear, Chat.close])
def test_a_stop_in_on_finish_ends_what_would_go_on_by_itself(action: Any) -> None:
    chat, turn = finishing(action, callbacks={"send_automatically_when": lambda _: True})
    assert (turn.outcome, turn.requests, chat.status) == ("completed", 1, "ready")
    assert chat.engine.exchange is None


def test_what_on_finish_sends_is_instead_of_what_would_go_on_by_itself() -> None:
    chat, turn = finishing(
        lambda chat: chat.send("more"), callbacks={"send_automatically_when": lambda _: True}
    )
    assert (turn.outcome, turn.requests) == ("completed", 1)
    assert chat.messages[-1].text == "more"


def test_what_on_finish_sends_before_it_raises_goes_on() -> None:
    def send_and_raise(chat: Chat) -> None:
        chat.send("more")
        raise RuntimeError("boom")

    chat, turn = finishing(send_and_raise)
    assert (turn.outcome, chat.status, chat.error) == ("error", "submitted", None)
    in_order(chat)


def test_the_predicate_may_send_something_else() -> None:
    def other(_: object) -> bool:
        chat.send("more")
        return True

    chat = Chat(callbacks={"send_automatically_when": other})
    turn = chat.send("first")
    chat.reply(text("1"))
    assert (turn.outcome, turn.requests, chat.messages[-1].text) == ("completed", 1, "more")


# ----------------------------------- while an action ends the reply before its own


def ending(action: Callable[[Chat], object], **options: Any) -> tuple[Chat, list[TurnState]]:
    """A chat in the middle of a reply, whose ``on_finish`` acts when that is stopped."""

    def act(finish: Any) -> None:
        if finish.is_abort and not made:
            made.append(action(chat))

    made: list[Any] = []
    chat = Chat(user(), callbacks={"on_finish": act}, **options)
    chat.send("first")
    chat.receive(text("1"))
    return chat, made


ACTIONS = {
    "send": lambda chat: chat.send("mine"),
    "edit": lambda chat: chat.send("mine", edit="u1"),
    "regenerate": Chat.regenerate,
    "resume": Chat.resume,
}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
@pytest.mark.parametrize("begun", ACTIONS.values(), ids=ACTIONS)
def test_the_action_that_ends_a_reply_wins_over_what_on_finish_begins(
    action: Callable[[Chat], TurnState], begun: Callable[[Chat], TurnState]
) -> None:
    chat, made = ending(begun, when_busy="interrupt")
    turn = action(chat)
    (in_the_way,) = made
    assert in_the_way.outcome == "stopped"
    assert (turn.outcome, chat.exchange.turn) == (None, turn)
    chat.reply(text("end"))
    assert (turn.outcome, chat.status) == ("completed", "ready")
    in_order(chat)


def test_a_resume_wins_over_what_on_finish_begins_when_another_resume_ends() -> None:
    made: list[TurnState] = []
    chat = Chat(user(), callbacks={"on_finish": lambda f: made.append(chat.send("mine"))})
    chat.resume()
    chat.receive(text("1"))
    turn = chat.resume()
    assert ([t.outcome for t in made], chat.exchange.turn) == (["stopped"], turn)
    chat.nothing_to_resume()
    assert (turn.outcome, chat.status) == ("completed", "ready")


@pytest.mark.parametrize("begun", ACTIONS.values(), ids=ACTIONS)
@pytest.mark.parametrize("end", [Chat.set_messages, Chat.clear])
def test_other_messages_win_over_what_on_finish_begins(
    end: Callable[[Chat], None], begun: Callable[[Chat], TurnState]
) -> None:
    chat, made = ending(begun)
    end(chat)
    assert ([t.outcome for t in made], chat.engine.exchange) == (["stopped"], None)
    assert (chat.status, chat.messages) == ("ready", ())
    in_order(chat)


def test_clearing_drops_what_on_finish_queues() -> None:
    chat, made = ending(lambda chat: chat.send("mine"), when_busy="queue")
    chat.clear()
    assert ([t.outcome for t in made], chat.queued(), chat.status) == (["dropped"], [], "ready")
    in_order(chat)


def test_after_a_stop_what_on_finish_begins_goes_on() -> None:
    chat, made = ending(lambda chat: chat.send("mine"))
    chat.stop()
    assert ([t.outcome for t in made], chat.status) == ([None], "submitted")
    in_order(chat)


def test_while_a_chat_is_closed_nothing_can_begin() -> None:
    refused: list[bool] = []

    def send(chat: Chat) -> None:
        with pytest.raises(ChatClosedError):
            chat.send("mine")
        refused.append(True)

    chat, _ = ending(send)
    chat.close()
    assert (refused, chat.status, chat.engine.exchange) == ([True], "ready", None)


@pytest.mark.parametrize("action", [ACTIONS["edit"], ACTIONS["regenerate"]])
def test_an_action_whose_message_a_callback_has_taken_away_is_refused(action: Any) -> None:
    chat, _ = ending(lambda chat: chat.set_messages())
    with pytest.raises(ValueError, match="There is no message"):
        action(chat)
    assert (chat.status, chat.messages) == ("ready", ())
    in_order(chat)


def test_an_edit_finds_its_message_where_a_callback_has_put_it() -> None:
    chat, _ = ending(lambda chat: chat.set_messages(user("0", id="u0"), user(), user("2", id="u2")))
    chat.send("mine", edit="u1")
    assert chat.texts() == ["user: 0", "user: mine"]


def test_what_on_finish_queues_when_one_is_sent_now_comes_after_it() -> None:
    chat, _ = ending(lambda chat: chat.send("mine"), when_busy="queue")
    chat.send("second")
    chat.send_now(chat.engine.queue.messages[0].id)
    assert (chat.messages[-1].text, chat.queued()) == ("second", ["mine"])


def test_a_turn_that_on_finish_begins_goes_before_one_that_is_sent_now() -> None:
    chat, _ = ending(lambda chat: chat.send(None), when_busy="queue")
    second = chat.send("second")
    chat.send_now(chat.engine.queue.messages[0].id)
    assert (second.queued, chat.status) == (True, "submitted")
    chat.reply(text("end", "t2"))
    assert (second.queued, chat.messages[-1].text) == (False, "second")


def test_late_chunks_of_a_reply_that_a_callback_ended_are_dropped() -> None:
    chat = Chat(user(), assistant(call("input-available")), when_busy="interrupt")
    chat.send("first")
    old = chat.open()
    chat.send("second")
    chat.receive(text("late"), finish("stop"), exchange=old)
    chat.finish(old)
    assert chat.status == "submitted"
    assert chat.messages[-1].text == "second"
