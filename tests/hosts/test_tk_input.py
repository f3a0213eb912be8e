"""A text box and a button in a Tk window, tied to a chat."""

from __future__ import annotations

import gc
import tkinter
import weakref
from collections.abc import Callable, Iterator
from tkinter import ttk
from tkinter.scrolledtext import ScrolledText
from typing import Any, TypeAlias

import pytest
from windows import Window

from usechat import ChatSession, InputChanged, InvalidArgumentError
from usechat.hosts.tk import bind_input, dispatcher
from usechat.testing import HANG, ScriptedTransport, text_reply

Box: TypeAlias = tkinter.Entry | tkinter.Text
Chats: TypeAlias = Callable[..., ChatSession]

ENTRIES = [tkinter.Entry, ttk.Entry]
BOXES = [*ENTRIES, tkinter.Text, ScrolledText]


@pytest.fixture
def chats(window: Window) -> Iterator[Chats]:
    made: list[ChatSession] = []

    def make(*replies: Any, **options: Any) -> ChatSession:
        chat = ChatSession(ScriptedTransport(replies), dispatch=dispatcher(window), **options)
        made.append(chat)
        return chat

    yield make
    for chat in made:
        chat.close()


def text_of(box: Box) -> str:
    return box.get("1.0", "end-1c") if isinstance(box, tkinter.Text) else box.get()


def shown(window: Window, box: Any) -> Any:
    box.pack()
    window.update()
    box.focus_force()
    window.until(lambda: window.focus_get() is box)
    return box


def press(box: tkinter.Misc, *keys: str) -> None:
    for key in keys:
        box.event_generate(f"<{key}>")
    box.update()


@pytest.mark.parametrize("kind", BOXES)
def test_both_ways(window: Window, chats: Chats, kind: type[Box]) -> None:
    chat, box = chats(), shown(window, kind(window))
    seen: list[str] = []
    chat.on(InputChanged, lambda e: seen.append(e.input))
    bind_input(chat, box)
    press(box, "a", "b", "BackSpace", "c")
    window.until(lambda: chat.input == "ac")
    chat.input = "from the program 🌍"
    window.until(lambda: text_of(box) == "from the program 🌍")
    press(box, "exclam")  # the cursor was at the end and is there again
    window.until(lambda: chat.input == "from the program 🌍!")
    box.insert("insert", "?")  # what code does counts as typing
    window.until(lambda: chat.input == "from the program 🌍!?")
    window.until(lambda: seen[-1:] == ["from the program 🌍!?"])
    told = len(seen)
    window.for_a_while()
    assert len(seen) == told  # nobody goes in circles


@pytest.mark.parametrize("kind", BOXES)
def test_what_there_was(window: Window, chats: Chats, kind: type[Box]) -> None:
    filled = kind(window)
    filled.insert("end", "in the box")  # type: ignore[arg-type]
    chat = chats()
    bind_input(chat, filled)
    assert chat.input == "in the box"
    other = kind(window)
    other.insert("end", "in the box")  # type: ignore[arg-type]
    bind_input(chats(input="in the chat"), other)
    assert text_of(other) == "in the chat"


@pytest.mark.parametrize("kind", BOXES)
def test_the_cursor_stays(window: Window, chats: Chats, kind: type[Box]) -> None:
    chat, box = chats(input="one two"), shown(window, kind(window))
    bind_input(chat, box)
    press(box, "Left", "Left", "Left")
    chat.input = "one two three"
    window.until(lambda: text_of(box) == "one two three")
    press(box, "X")
    assert text_of(box) == "one Xtwo three"
    chat.input = ""
    window.until(lambda: text_of(box) == "")
    press(box, "Y")
    window.until(lambda: chat.input == "Y")


@pytest.mark.parametrize("kind", BOXES)
def test_who_types_is_ahead_of_what_is_still_on_its_way(
    window: Window, chats: Chats, kind: type[Box]
) -> None:
    chat, box = chats(), shown(window, kind(window))
    bind_input(chat, box)
    press(box, "a")
    window.until(lambda: chat.input == "a")
    chat.input = "program"
    press(box, "b")  # before the window has heard of it
    window.until(lambda: chat.input == "ab")
    window.for_a_while()
    assert (chat.input, text_of(box)) == ("ab", "ab")


@pytest.mark.parametrize("kind", BOXES)
def test_return_sends_once_and_empties_the_box(
    window: Window, chats: Chats, kind: type[Box]
) -> None:
    chat, box = chats(text_reply("Hello")), shown(window, kind(window))
    bind_input(chat, box)
    press(box, "H", "i")
    box.event_generate("<Return>")
    box.event_generate("<Return>")
    assert (text_of(box), chat.input) == ("", "")
    assert [m.text for m in chat.messages] == ["Hi"]
    window.until(lambda: chat.status == "ready")
    assert [m.text for m in chat.messages] == ["Hi", "Hello"]
    press(box, "Return", "KP_Enter")  # nothing to send
    assert len(chat.messages) == 2
    assert text_of(box) == ""


def test_return_sends_what_is_seen(window: Window, chats: Chats) -> None:
    chat, box = chats(text_reply("Hello")), shown(window, ttk.Entry(window))
    bind_input(chat, box)
    press(box, "a")
    chat.input = "nobody has seen this yet"
    box.event_generate("<Return>")
    assert [m.text for m in chat.messages] == ["a"]


@pytest.mark.parametrize("kind", [tkinter.Text, ScrolledText])
def test_shift_return_begins_a_line(window: Window, chats: Chats, kind: type[Box]) -> None:
    chat, box = chats(text_reply("Hello")), shown(window, kind(window))
    bind_input(chat, box)
    press(box, "a", "Shift-Return", "b")
    window.until(lambda: chat.input == "a\nb")
    press(box, "Return")
    assert [m.text for m in chat.messages] == ["a\nb"]


@pytest.mark.parametrize("kind", BOXES)
def test_what_cannot_be_sent_now_stays(window: Window, chats: Chats, kind: type[Box]) -> None:
    chat, box = chats([HANG]), shown(window, kind(window))
    bind_input(chat, box)
    press(box, "a", "Return", "b", "Return")
    assert text_of(box) == "b"
    chat.stop()
    window.until(lambda: chat.status == "ready")
    assert (text_of(box), chat.input) == ("b", "b")


@pytest.mark.parametrize("kind", BOXES)
def test_what_raises_in_a_send_is_reported_and_the_text_stays(
    window: Window, chats: Chats, kind: type[Box]
) -> None:
    def no_id() -> str:
        raise RuntimeError("no id today")

    chat, box = chats(generate_id=no_id), shown(window, kind(window))
    bind_input(chat, box)
    press(box, "a", "Return")
    assert ["no id today" in str(error) for error in window.errors] == [True]
    window.errors.clear()
    assert (text_of(box), chat.input) == ("a", "a")  # and no new line in a Text


@pytest.mark.parametrize("kind", [tkinter.Button, ttk.Button])
def test_send_becomes_stop_and_send_again(window: Window, chats: Chats, kind: Any) -> None:
    chat = chats([*text_reply("Hello")[:4], HANG], text_reply("Again"))
    box, button = shown(window, ttk.Entry(window)), kind(window)
    bind_input(chat, box, button)
    assert str(button.cget("text")) == "Send"
    button.invoke()  # nothing to send
    assert not chat.messages
    box.insert(0, "Hi")
    button.invoke()
    assert (str(button.cget("text")), text_of(box)) == ("Stop", "")
    window.until(lambda: chat.status == "streaming")
    assert str(button.cget("text")) == "Stop"
    button.invoke()
    assert (str(button.cget("text")), chat.status) == ("Send", "ready")
    box.insert(0, "Go on")
    button.invoke()
    assert str(button.cget("text")) == "Stop"
    window.until(lambda: str(button.cget("text")) == "Send")
    assert [m.text for m in chat.messages] == ["Hi", "Hello", "Go on", "Again"]


def test_the_button_does_what_it_says(window: Window, chats: Chats) -> None:
    chat = chats([HANG])
    box, button = ttk.Entry(window), ttk.Button(window)
    bind_input(chat, box, button)
    box.insert(0, "typed")
    chat.send_message("from the program")
    assert button.cget("text") == "Send"  # nobody has told the button yet
    button.invoke()
    assert chat.is_loading
    assert (text_of(box), len(chat.messages)) == ("typed", 1)


@pytest.mark.parametrize("kind", [tkinter.Button, ttk.Button])
def test_a_double_click_is_one_press(window: Window, chats: Chats, kind: Any) -> None:
    chat = chats([HANG])
    box, button = ttk.Entry(window), kind(window)
    bind_input(chat, box, button)
    box.insert(0, "Hi")
    button.pack()
    window.update()
    at = {"x": button.winfo_width() // 2, "y": button.winfo_height() // 2}
    button.event_generate("<Enter>", **at)
    for _ in range(3):
        button.event_generate("<Button-1>", **at)
        button.event_generate("<ButtonRelease-1>", **at)
    window.update()
    assert chat.is_loading
    assert len(chat.messages) == 1


def test_labels(window: Window, chats: Chats) -> None:
    chat, button = chats([HANG]), ttk.Button(window, text="Los")
    untie = bind_input(chat, ttk.Entry(window), button, labels=("Senden", "Halt"))
    assert button.cget("text") == "Senden"
    chat.send_message("Hi")
    window.until(lambda: button.cget("text") == "Halt")
    untie()
    assert button.cget("text") == "Los"


def test_a_queue(window: Window, chats: Chats) -> None:
    chat = chats([HANG], text_reply("Two"), when_busy="queue")
    box, button = shown(window, ttk.Entry(window)), ttk.Button(window)
    bind_input(chat, box, button)
    press(box, "a", "Return", "b", "Return")
    assert (text_of(box), button.cget("text")) == ("", "Stop")
    assert [m.text for m in chat.queued_messages] == ["b"]
    window.for_a_while(40)
    assert button.cget("text") == "Stop"
    button.invoke()
    window.until(lambda: button.cget("text") == "Send")
    assert text_of(box) == ""


@pytest.mark.parametrize("kind", BOXES)
def test_untied(window: Window, chats: Chats, kind: type[Box]) -> None:
    chat, box = chats(), shown(window, kind(window))
    pressed: list[str] = []
    button = ttk.Button(window, text="Own", command=lambda: pressed.append("own"))
    before = box.bindtags()
    with bind_input(chat, box, button) as untie:
        press(box, "a")
        window.until(lambda: chat.input == "a")
        chat.input = "on its way"
    untie()  # a second time
    assert box.bindtags() == before
    press(box, "b", "Return")
    button.invoke()
    window.for_a_while()
    assert pressed == ["own"]
    assert button.cget("text") == "Own"
    assert chat.input == "on its way"
    assert text_of(box).rstrip("\n") == "ab"
    assert not chat.messages
    bind_input(chat, box, button)  # and once more
    assert text_of(box) == "on its way"


def test_the_programs_own_variable_and_bindings_stay(window: Window, chats: Chats) -> None:
    chat = chats(text_reply("Hello"))
    variable = tkinter.StringVar(window, "begin")
    box = shown(window, ttk.Entry(window, textvariable=variable))
    seen: list[str] = []
    box.bind("<Return>", lambda _: seen.append(variable.get()))
    untie = bind_input(chat, box)
    assert chat.input == "begin"
    variable.set("set")
    assert chat.input == "set"
    chat.input = "input"
    window.until(lambda: variable.get() == "input")
    press(box, "Return")
    assert seen == ["input"]
    assert variable.get() == ""
    untie()
    variable.set("later")
    assert (text_of(box), chat.input) == ("later", "")
    press(box, "Return")
    assert seen == ["input", "later"]


def test_a_completion_of_the_program_can_take_return(window: Window, chats: Chats) -> None:
    chat, box = chats(), shown(window, tkinter.Text(window))
    bind_input(chat, box)
    box.bind("<Return>", lambda _: "break")
    press(box, "a", "Return")
    assert (text_of(box), len(chat.messages)) == ("a", 0)


@pytest.mark.parametrize("kind", BOXES)
@pytest.mark.parametrize("gone", ["box", "button", "both", "frame"])
def test_destroyed(window: Window, chats: Chats, kind: type[Box], gone: str) -> None:
    chat = chats([*text_reply("Hello")[:4], HANG])
    frame = ttk.Frame(window)
    frame.pack()
    box, button = shown(window, kind(frame)), ttk.Button(frame)
    untie = bind_input(chat, box, button)
    press(box, "a", "Return", "b")
    chat.input = "on its way"
    doomed = {"box": [box], "button": [button], "both": [button, box], "frame": [frame]}[gone]
    for widget in doomed:
        widget.destroy()
    chat.stop()
    window.until(lambda: chat.status == "ready")
    chat.input = "later"
    window.for_a_while()
    if gone == "button":
        assert text_of(box) == "later"
        press(box, "c")
        window.until(lambda: chat.input == "laterc")
    elif gone == "box":
        button.invoke()  # it is free again
        assert not chat.is_loading
    untie()
    assert window.errors == []


@pytest.mark.parametrize("kind", BOXES)
def test_destroyed_widgets_and_their_chat_are_let_go(window: Window, kind: type[Box]) -> None:
    chat = ChatSession(ScriptedTransport([]), dispatch=dispatcher(window))
    frame = ttk.Frame(window)
    box, button = kind(frame), ttk.Button(frame)
    bind_input(chat, box, button)
    window.for_a_while(40)
    refs = [weakref.ref(thing) for thing in (chat, frame, box, button)]
    frame.destroy()
    del frame, box, button
    gc.collect()
    assert [ref() for ref in refs[1:]] == [None] * 3
    del chat
    gc.collect()
    assert refs[0]() is None


def test_what_is_no_text_box(window: Window, chats: Chats) -> None:
    label: Any = tkinter.Label(window)
    with pytest.raises(InvalidArgumentError, match="got Label"):
        bind_input(chats(), label)
