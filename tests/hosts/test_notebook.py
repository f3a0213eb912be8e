"""A ``ChatSession`` in the cells of a notebook: a real kernel, a real endpoint."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ipykernel", reason="ipykernel is not installed: no kernel to run cells in")

import nbformat
from kernels import Cell, Kernel
from markdown_it import MarkdownIt

from usechat.server import running_demo
from usechat.testing import HANG, FakeServer, text_reply

NOTEBOOK = Path(__file__).parent.parent.parent / "examples" / "notebook.ipynb"

SETUP = """
import asyncio, sys, threading
from contextlib import contextmanager
from usechat.session.waiting import News
from usechat import AsyncChatSession, ChatSession, StatusChanged, TextDelta, TurnFinished

def say(*words):  # in one piece, whatever other threads print
    sys.stdout.write(" ".join(map(str, words)) + "\\n")

@contextmanager
def announcing():
    wait = News.wait
    def announce(*arguments):  # from here on, an interrupt interrupts a wait
        say("waiting")
        wait(*arguments)
    News.wait = announce
    try:
        yield
    finally:
        News.wait = wait
"""

LEFT_OVER = """
for chat in [value for value in list(globals().values()) if isinstance(value, ChatSession)]:
    chat.close()
print([t.name for t in threading.enumerate() if t.name.startswith("usechat-")])
"""

DELTAS = 20_000
MANY_WORDS = [f"{i}🌍 " for i in range(DELTAS)]
MANY: list[Any] = [
    {"type": "start", "messageId": "m1"},
    {"type": "text-start", "id": "t"},
    *({"type": "text-delta", "id": "t", "delta": word} for word in MANY_WORDS),
    {"type": "text-end", "id": "t"},
    {"type": "finish", "finishReason": "stop"},
]
BEGUN = [*text_reply("Hello there")[:4], HANG]  # up to "Hello "

HTML = "<img src=x onerror=alert(1)> and <script>alert(2)</script> end"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with Kernel(tmp_path_factory.mktemp("kernel")) as kernel:
        kernel.run(SETUP)
        yield kernel
        assert "Traceback" not in kernel.log


@pytest.fixture
def kernel(process: Kernel) -> Iterator[Kernel]:
    yield process
    assert process.run(LEFT_OVER).out == "[]\n"


@pytest.fixture(autouse=True)
def no_threads_of_ours() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


# -------------------------------------------------------------------------------- waiting


def test_a_cell_waits_while_the_loop_of_the_kernel_runs(kernel: Kernel) -> None:
    with FakeServer([text_reply("Hello there") for _ in range(4)]) as server:
        kernel.run(f"loop = asyncio.get_running_loop(); chat = ChatSession({server.url!r})")
        assert kernel.value("chat.send_message('Hi').wait().outcome") == "completed"
        assert kernel.value("chat.send_message('Hi').result().text") == "Hello there"
        assert kernel.value("''.join(chat.send_message('Hi'))") == "Hello there"
        kinds = kernel.value("[type(e).__name__ for e in chat.send_message('Hi').events()]")
        assert kinds[-1] == "TurnFinished"
        assert "TextDelta" in kinds
        assert kernel.value("loop is asyncio.get_running_loop() and loop.is_running()")
        assert kernel.value("[chat.status, len(chat.messages)]") == ["ready", 8]


def test_a_reply_goes_on_when_its_cell_has_ended(kernel: Kernel) -> None:
    with FakeServer([text_reply("Hello there")]) as server:
        kernel.run(f"chat = ChatSession({server.url!r}); turn = chat.send_message('Hi')")
        assert kernel.value("turn.result().text") == "Hello there"


def test_a_cell_can_await_the_other_session_too(kernel: Kernel) -> None:
    with FakeServer([text_reply("Hello there") for _ in range(2)]) as server:
        kernel.run(
            f"async with AsyncChatSession({server.url!r}) as asynchronous:\n"
            "    turn = await asynchronous.send_message('Hi')\n"
            f"with ChatSession({server.url!r}) as chat:\n"
            "    other = chat.send_message('Hi').wait()"
        )
        assert kernel.value("[turn.text, other.text]") == ["Hello there"] * 2


def test_what_went_wrong_is_raised_in_the_cell(kernel: Kernel) -> None:
    with FakeServer([[*text_reply("Hello there")[:4], {"type": "error", "errorText": "no"}]]) as s:
        cell = kernel.start(f"chat = ChatSession({s.url!r}); chat.send_message('Hi').result()")
        cell.ended("ServerError")
    assert kernel.value("[chat.status, chat.last_message.text]") == ["error", "Hello "]


# ------------------------------------------------------------------------------ observers


@pytest.mark.parametrize("waits", ["turn.wait()", "pieces = list(turn)", "turn.result()"])
def test_20_000_deltas_at_full_speed(kernel: Kernel, waits: str) -> None:
    with FakeServer([MANY]) as server:
        kernel.run(
            "told, seen, where = [], [], set()\n"
            "def note(*_): where.add((threading.get_ident(), threading.current_thread().name))\n"
            f"chat = ChatSession({server.url!r}, on_finish=note, on_response=note)\n"
            "chat.on(TextDelta, lambda e: (note(), told.append(e)))\n"
            "chat.subscribe(lambda chat: (note(), seen.append(chat.last_message.text)))\n"
            f"turn = chat.send_message('Go')\n{waits}"
        )
    text = "".join(MANY_WORDS)
    assert kernel.value("turn.text") == text
    assert kernel.value("chat.messages[-1].text") == text
    assert kernel.value("''.join(e.text for e in told)") == text
    assert kernel.value(
        "[e.start == sum(len(f.text) for f in told[:i]) for i, e in enumerate(told)]"
    )
    assert kernel.value("seen[-1]") == text
    if "pieces" in waits:
        assert kernel.value("''.join(pieces)") == text
    ((thread, name),) = kernel.value("list(where)")
    assert name == "usechat-observers"
    others = "[t.ident for t in threading.enumerate() if t.name != 'usechat-observers']"
    assert thread not in kernel.value(others)
    assert kernel.value(f"threading.main_thread().ident in {others}")


def test_observers_print_into_the_cell(kernel: Kernel) -> None:
    with FakeServer([text_reply("Hello there"), text_reply("And again")]) as server:
        kernel.run(
            f"chat = ChatSession({server.url!r}, throttle=None)\n"
            "chat.on(TextDelta, lambda e: print('told', repr(e.text)))\n"
            "chat.on(TurnFinished, lambda e: print('finished'))"
        )
        told = kernel.run("_ = chat.send_message('Hi').wait()").out
        assert told == "told 'Hello '\ntold 'there'\nfinished\n"
        again = kernel.run("_ = chat.send_message('Hi').wait()").out
        assert again == "told 'And '\ntold 'again'\nfinished\n"  # in this cell, not the first


def test_observers_on_the_loop_of_the_kernel(kernel: Kernel) -> None:
    with FakeServer([text_reply("Hello there") for _ in range(2)]) as server:
        kernel.run(
            "where = set()\n"
            "dispatch = asyncio.get_running_loop().call_soon_threadsafe\n"
            f"chat = ChatSession({server.url!r}, dispatch=dispatch)\n"
            "chat.subscribe(lambda _: where.add(threading.get_ident()))\n"
            "turn = chat.send_message('Hi').wait()"
        )
        assert kernel.value("turn.text") == "Hello there"
        kernel.run(
            "turn, over = chat.send_message('Hi'), asyncio.Event()\n"
            "chat.on(TurnFinished, lambda _: over.set())\n"
            "await asyncio.wait_for(over.wait(), 20)"
        )
        assert kernel.value("turn.text") == "Hello there"
        assert kernel.value("where == {threading.main_thread().ident}")


# ------------------------------------------------------------------------------ interrupts

WAITS = {
    "wait": ("turn.wait()", "told Hello"),
    "result": ("turn.result()", "told Hello"),
    "iteration": ("for piece in turn: say('piece', piece)", "piece Hello"),
    "events": ("for e in turn.events(): say('event', type(e).__name__)", "event TextDelta"),
}


@pytest.mark.parametrize("dispatch", ["None", "asyncio.get_running_loop().call_soon_threadsafe"])
@pytest.mark.parametrize("where", ["before the headers", "in the text"])
@pytest.mark.parametrize("wait", WAITS)
def test_an_interrupt_stops_the_turn(kernel: Kernel, wait: str, where: str, dispatch: str) -> None:
    code, mark = WAITS[wait]
    early = where == "before the headers"
    with FakeServer([HANG if early else BEGUN, text_reply("And again")]) as server:
        kernel.run(
            f"chat = ChatSession({server.url!r}, dispatch={dispatch})\n"
            "finished = []\n"
            "chat.on(TextDelta, lambda e: say('told', e.text))\n"
            "chat.on(TurnFinished, lambda e: finished.append(e.turn.outcome))"
        )
        cell = kernel.start(f"turn = chat.send_message('Hi')\nwith announcing():\n    {code}")
        server.wait_request()
        cell.until(lambda: "waiting" in (cell.out if early else cell.out.partition(mark)[2]))
        kernel.interrupt()
        cell.ended("KeyboardInterrupt")
        server.wait_disconnect()
        text = "" if early else "Hello "
        assert kernel.value("[turn.outcome, turn.text, chat.status]") == ["stopped", text, "ready"]
        assert kernel.run("print(chat.send_message('More').result().text)").out.endswith(
            "And again\n"
        )
        assert kernel.value("finished") == ["stopped", "completed"]
        sent = server.wait_request(2).json["messages"]
        assert [message["role"] for message in sent][-1] == "user"


def test_a_block_that_is_interrupted_stops_its_turn_wherever_it_is(kernel: Kernel) -> None:
    with FakeServer([BEGUN, text_reply("And again")]) as server:
        kernel.run(f"chat = ChatSession({server.url!r})")
        cell = kernel.start(
            "with chat.stream('Hi') as turn:\n"
            "    for piece in turn:\n"
            "        print(piece, flush=True)\n"
            "        threading.Event().wait(60)"
        )
        cell.printed("Hello")
        kernel.interrupt()
        cell.ended("KeyboardInterrupt")
        server.wait_disconnect()
        assert kernel.value("[turn.outcome, chat.status]") == ["stopped", "ready"]
        assert kernel.value("chat.send_message('More').result().text") == "And again"


# --------------------------------------------------------------------------------- display


class Page(HTMLParser):
    """What a page shows, and the tags that it is made of."""

    def __init__(self, data: dict[str, str]) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        assert set(data) == {"text/plain", "text/markdown"}
        self.feed(MarkdownIt("commonmark").render(data["text/markdown"]))  # it lets HTML through
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(cell: Cell) -> Page:
    (data,) = cell.data
    return Page(data)


SHOWN = ["chat", "turn", "chat.last_message", "turn.message"]


@pytest.mark.parametrize("expression", SHOWN)
def test_a_chat_a_turn_and_a_message_show_as_markdown(kernel: Kernel, expression: str) -> None:
    with FakeServer([text_reply("It is **bold** there")]) as server:
        kernel.run(f"chat = ChatSession({server.url!r}); turn = chat.send_message('Hi').wait()")
        page = shown(kernel.run(expression))
        assert "It is bold there" in page.text
        assert ("Hi" in page.text) == (expression == "chat")
        assert "strong" in page.tags


def test_what_a_cell_ends_with_is_shown(kernel: Kernel) -> None:
    with FakeServer([text_reply("Hello there") for _ in range(2)]) as server:
        assert shown(kernel.run(f"ChatSession({server.url!r})")).tags <= {"p", "em", "strong"}
        kernel.run(f"chat = ChatSession({server.url!r})")
        assert "Hello there" in shown(kernel.run("chat.send_message('Hi').wait()")).text
        assert "Hello there" in shown(kernel.run("chat.send_message('Hi').result()")).text


@pytest.mark.parametrize("expression", SHOWN)
def test_html_of_a_model_is_text(kernel: Kernel, expression: str) -> None:
    with FakeServer([text_reply(HTML)]) as server:
        kernel.run(f"chat = ChatSession({server.url!r}); turn = chat.send_message('Hi').wait()")
        page = shown(kernel.run(expression))
        assert page.tags <= {"p", "em", "strong"}
        assert HTML in page.text


@pytest.mark.parametrize("expression", ["chat", "turn"])
def test_html_of_an_error_is_text(kernel: Kernel, expression: str) -> None:
    reply = [*text_reply("Hello there")[:4], {"type": "error", "errorText": HTML}]
    with FakeServer([reply]) as server:
        kernel.run(f"chat = ChatSession({server.url!r}); turn = chat.send_message('Hi').wait()")
        assert kernel.value("str(chat.error)").endswith(HTML)
        page = shown(kernel.run(expression))
        assert page.tags <= {"p", "em", "strong"}
        assert "Hello" in page.text


def test_a_running_turn_shows_what_has_come(kernel: Kernel) -> None:
    with FakeServer([BEGUN]) as server:
        kernel.run(f"chat = ChatSession({server.url!r})")
        kernel.run("turn = chat.send_message('Hi'); piece = next(iter(turn))")
        for expression in SHOWN:
            assert "Hello" in shown(kernel.run(expression)).text
        kernel.run("chat.stop()")
        server.wait_disconnect()


# ----------------------------------------------------------------------------- the kernel


def timed(action: Any) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def test_restart_and_shutdown_with_open_streams(tmp_path: Path) -> None:
    with FakeServer([BEGUN] * 2) as server, Kernel(tmp_path) as kernel:
        kernel.run(f"{SETUP}\nchat = ChatSession({server.url!r}); turn = chat.send_message('Hi')")
        kernel.run("print(next(iter(turn)))")
        assert timed(kernel.restart) < 2
        server.wait_disconnect()
        kernel.wait_for_ready()
        kernel.run(f"{SETUP}\nchat = ChatSession({server.url!r})")
        cell = kernel.start(
            "turn = chat.send_message('Hi')\n"
            "print(next(iter(turn)))\n"
            "with announcing():\n    turn.wait()"
        )
        cell.until(lambda: "waiting" in cell.out.partition("Hello")[2])
        assert timed(kernel.shut_down) < 2
        server.wait_disconnect(2)
        # The kernel may complain that it cannot answer a cell any more; we have no part in that.
        assert str(Path("usechat", "session")) not in kernel.log


# ----------------------------------------------------------------------------- the example


@pytest.fixture(scope="module")
def notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_is_clean(notebook: Any) -> None:
    nbformat.validate(notebook)
    assert notebook.nbformat == 4
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert [cell.execution_count for cell in code] == [None] * len(code)
    assert sum(cell.source.count("\n") + 1 for cell in notebook.cells) <= 50  # one screen


def test_the_notebook_runs(notebook: Any, tmp_path: Path) -> None:
    cells: dict[str, Cell] = {}
    # The endpoint is the last to go: a kernel that still reads would keep it waiting.
    with running_demo(delay=0.001) as endpoint, Kernel(tmp_path) as kernel:
        for cell in notebook.cells:
            if cell.cell_type == "code":
                if cell.id == "api":
                    assert cell.source == 'api = "http://localhost:8000/api/chat"'
                    cell.source = f'api = "{endpoint}/api/chat"'
                cells[cell.id] = kernel.run(cell.source)
        assert cells["stream"].out.startswith("Put one of these words in your message:")
        page = shown(cells["show"])
        assert "What can you do?" in page.text
        assert "several hundred words" in page.text
        story = kernel.value("chat.last_message.text")
        assert len(story.split()) == 120
        for name in ("live", "again"):
            assert cells[name].out == "The reply is completed\n"
            assert len(cells[name].updates) > 1
            assert story in Page(cells[name].updates[-1]).text
        assert "Where were we?" in shown(cells["load"]).text
        saved = json.loads((tmp_path / "chat.json").read_text(encoding="utf-8"))
        assert saved == kernel.value("[m.model_dump() for m in chat.messages]")
        assert "Traceback" not in kernel.log
