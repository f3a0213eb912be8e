"""The terminal: the real program against real servers, and its pieces where that is cheaper."""

from __future__ import annotations

import io
import json
import os
import queue
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cli_program import Program, Terminal

import usechat
from usechat.cli import main
from usechat.cli.interrupts import Interrupts
from usechat.cli.output import Output, OutputClosed, OutputError
from usechat.cli.parts import call_of, lines_of, short
from usechat.cli.printer import Printer
from usechat.model.messages import UIMessage
from usechat.server import running_demo
from usechat.testing import CUT, HANG, FakeReply, FakeServer, text_reply

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of Unix")

HTML = FakeReply(b"<html>Welcome</html>", headers={"content-type": "text/html"})


class Demo:
    """The demo endpoint, and the ends of its replies."""

    def __init__(self, base: str, ended: queue.Queue[str]) -> None:
        self.base = base
        self.url = f"{base}/api/chat"
        self.ended = ended

    def next_end(self) -> str:
        return self.ended.get(timeout=10)


@pytest.fixture(scope="module")
def served() -> Iterator[Demo]:
    ended: queue.Queue[str] = queue.Queue()
    with running_demo(delay=0, on_reply_end=lambda _, how: ended.put(how)) as base:
        yield Demo(base, ended)


@pytest.fixture
def demo(served: Demo) -> Iterator[Demo]:
    yield served
    served.ended.queue.clear()


class Result:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the program in this process; ``stdin`` is what is piped into it."""

    def run(*arguments: str, stdin: bytes = b"") -> Result:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), "ascii"))
        try:
            status = main(arguments)
        except SystemExit as end:
            status = int(str(end.code))
        return Result(status, *capsys.readouterr())

    return run


# -- one message: the process ----------------------------------------------------------------


def test_a_reply_goes_to_the_output_unchanged(demo: Demo) -> None:
    with Program(demo.url, "-m", "\x1b[31mred\r é") as program:
        assert program.out.rest().startswith("You said: \x1b[31mred\r é\n\nI am a demo")
        assert (program.status(), program.err.rest()) == (0, "")


def test_ctrl_c_stops_the_reply(demo: Demo) -> None:
    with Program(demo.url, "-m", "stall") as program:
        program.out.until("Now nothing comes")
        program.interrupt()
        assert (program.status(), program.err.rest()) == (130, "")
    assert demo.next_end() == "stopped"


def test_ctrl_c_stops_a_reply_whose_headers_have_not_come() -> None:
    with FakeServer([HANG]) as server, Program(server.url, "-m", "Hi", "--json") as program:
        server.wait_request()
        program.interrupt()
        assert program.status() == 130
        assert json.loads(program.out.rest().splitlines()[-1])["outcome"] == "stopped"
        server.wait_disconnect()


def test_nobody_reads_any_more() -> None:
    # More than a pipe holds: the program is in the middle of writing it.
    endless = [*text_reply("Once " + 1_000_000 * "x")[:-3], HANG]
    with FakeServer([endless]) as server, Program(server.url, "-m", "Hi") as program:
        program.out.until("Once")
        assert program.process.stdout
        program.process.stdout.close()
        assert (program.status(), program.err.rest()) == (141, "")
        server.wait_disconnect()


def test_an_ascii_locale_changes_nothing_in_a_pipe(demo: Demo) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    with Program(demo.url, "-m", "-", env=ascii_only) as program:
        program.stdin.write("odd 🌍".encode())
        program.stdin.close()
        assert program.out.rest().startswith("Emoji 🌍 👩‍👩‍👧‍👦 🇳🇴, combining e\u0301")
        assert program.status() == 0


# -- one message: what comes of it -----------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "out", "status", "said"),
    [
        ("Hello", "You said: Hello\n\nI am a demo", 0, ""),
        ("weather", "I look up the weather in Oslo.\n\nIt is 28", 0, ""),
        ("error", "This reply breaks off in the middle of ", 1, "The demo failed, as you asked."),
        ("approval", "I can delete", 3, "waits for approval of delete_files {"),
        ("time", "Only your side", 3, "waits for the output of get_local_time {"),
    ],
)
def test_the_exit_status_says_how_it_went(
    run: Run, demo: Demo, asked: str, out: str, status: int, said: str
) -> None:
    result = run(demo.url, "-m", asked)
    assert result.out.startswith(out)
    assert result.status == status
    assert said in result.err
    assert result.err.startswith("usechat: ") and result.err.count("\n") == 1 if said else True


@pytest.mark.parametrize(
    ("reply", "status", "said"),
    [
        (HTML, 1, "is in no protocol known here"),
        ([b": nothing\n\n"], 3, "The answer holds no reply. Is this a chat endpoint?"),
        ([*text_reply("Half")[:4], b"\n"], 3, "The reply is incomplete"),
        ([*text_reply("Half")[:4], {"type": "abort"}], 3, "The server stopped the reply."),
        ([*text_reply("Half")[:4], CUT], 1, "the connection broke"),
        (FakeReply(b'{"error": "no key"}', status=401), 1, "401 Unauthorized"),
        ([{"type": "no-such-chunk"}, *text_reply("Whole")], 0, "no-such-chunk"),
    ],
)
def test_other_ends(run: Run, reply: Any, status: int, said: str) -> None:
    with FakeServer([reply]) as server:
        result = run(server.url, "-m", "Hi")
    assert result.status == status
    assert said in result.err


def test_a_refused_connection(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = run(f"http://127.0.0.1:{port}/api/chat", "-m", "Hi")
    assert (result.status, result.out) == (1, "")
    assert "cannot connect" in result.err
    assert "Traceback" not in result.err


def test_standard_input_is_utf_8_and_bad_bytes_are_replaced(run: Run, demo: Demo) -> None:
    assert run(demo.url, "-m", "-", stdin=b"gr\xc3\xbc\xff").out.startswith("You said: grü\ufffd\n")


def test_no_standard_input(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert main([demo.url, "-m", "-"]) == 0
    assert capsys.readouterr().out.startswith("You said nothing")
    assert main([demo.url]) == 0


def test_ctrl_c_while_standard_input_is_read(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(Interrupted()))
    assert main([demo.url, "-m", "-"]) == 130


def test_headers_and_body_arrive(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text('{"model": "grün"}', "utf-8")
    with FakeServer([text_reply("One"), text_reply("Two")]) as server:
        run(
            server.url, "-m", "Hi", "--header", "X-One: a: b", "--header", "x-two:c", "--body", "{}"
        )
        run(server.url, "-m", "Hi", "--body", f"@{file}")
    first, second = server.requests
    assert (first.headers["x-one"], first.headers["x-two"]) == ("a: b", "c")
    assert first.json["messages"][0]["parts"] == [{"type": "text", "text": "Hi"}]
    assert second.json["model"] == "grün"


def test_protocols(run: Run, demo: Demo) -> None:
    text = run(f"{demo.url}?protocol=text", "-m", "weather", "--protocol", "text")
    sse = run(f"{demo.base}/api/stream", "-m", "weather", "--protocol", "json-sse")
    v4 = run(f"{demo.url}?protocol=data-stream", "-m", "weather", "--protocol", "data-stream")
    found = run(f"{demo.url}?protocol=text", "-m", "weather")
    assert text.out == sse.out == v4.out == found.out
    assert {text.status, sse.status, v4.status, found.status} == {0}
    assert text.out.startswith("I look up the weather in Oslo.\n\nIt is 28")


@pytest.mark.parametrize("protocol", ["auto", "ui", "data-stream", "text", "json-sse"])
def test_a_demo_of_its_own(run: Run, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert run("-m", "Hi", "--protocol", protocol).out.startswith("You said: Hi")


# -- one message: events ---------------------------------------------------------------------


def test_events_are_a_line_of_json_each(run: Run, demo: Demo) -> None:
    result = run(demo.url, "-m", "weather", "--json")
    events = [json.loads(line) for line in result.out.splitlines()]
    names = [event["event"] for event in events]
    assert {"MessageAdded", "TextDelta", "StatusChanged", "ToolCalled", "PartDone"} <= set(names)
    assert names[-2:] == ["TurnFinished", "end"]
    added = next(event for event in events if event["event"] == "MessageAdded")
    assert (added["role"], added["messageIndex"]) == ("assistant", 1)
    last = events[-1]
    assert (last["outcome"], last["finishReason"], last["error"]) == ("completed", "stop", None)
    message = UIMessage.model_validate(last["message"])
    deltas = [event["text"] for event in events if event["event"] == "TextDelta"]
    assert "".join(deltas) == message.text.replace("\n\n", "")
    shown = {event["part"].get("state") for event in events if "part" in event}
    assert "output-available" in shown
    changed = next(event for event in events if event["event"] == "MetadataChanged")
    assert changed["metadata"] == message.metadata


def test_an_error_is_an_event_too(run: Run, demo: Demo) -> None:
    result = run(demo.url, "-m", "error", "--json")
    events = [json.loads(line) for line in result.out.splitlines()]
    error = {"type": "ServerError", "message": "The demo failed, as you asked."}
    assert {"event": "ErrorChanged", "error": error} in events
    assert (events[-1]["outcome"], events[-1]["error"]) == ("error", error)
    assert (result.status, result.err) == (1, "usechat: The demo failed, as you asked.\n")


def test_events_with_half_a_character_and_a_step_taken_back(run: Run) -> None:
    reply = [
        b'data: {"type": "start"}\n\ndata: {"type": "start-step"}\n\n'
        b'data: {"type": "data-x", "data": "\\ud83d"}\n\n'
        b'data: {"type": "source-url", "sourceId": "s", "url": "u"}\n\n'
        b'data: {"type": "reset-step"}\n\n',
        *text_reply("Anew")[2:],
    ]
    with FakeServer([reply]) as server:
        result = run(server.url, "-m", "Hi", "--json")
    assert "\\ud83d" in result.out
    events = [json.loads(line) for line in result.out.splitlines()]
    assert events[-1]["message"]["parts"][-1]["text"] == "Anew"
    assert {
        "event": "PartAdded",
        "messageId": events[-1]["message"]["id"],
        "partIndex": 2,
    } in events


# -- the command line ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ftp://localhost"], "begins with http"),
        (["nonsense"], "is not a whole URL"),
        (["--json"], "--json needs -m"),
        (["-m"], "expected one argument"),
        (["--header", "secret", "-m", "x"], "'Name: value'"),
        (["--header", ": secret", "-m", "x"], "'Name: value'"),
        (["--body", "[1]"], "JSON object"),
        (["--body", "{"], "not JSON"),
        (["--body", "@/no/such/file"], "No such file"),
        (["--protocol", "smoke"], "invalid choice"),
        (["serve", "--port", "x"], "no port"),
        (["serve", "--port", "65536"], "no port"),
        (["serve", "--delay", "x"], "could not convert"),
        (["serve", "--delay", "-1"], "number of seconds"),
        (["serve", "--delay", "nan"], "number of seconds"),
    ],
)
def test_errors_of_usage(run: Run, arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert (result.status, result.out) == (2, "")
    assert said in result.err
    assert "secret" not in result.err


def test_help_and_version(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = run("--help")
    assert result.status == 0
    assert result.out.isascii()
    assert max(map(len, result.out.splitlines())) <= 80
    for part in ("examples:", "exit status", "--json", "usechat serve", "usechat inspect"):
        assert part in result.out
    assert run("--version").out == f"usechat {usechat.__version__}\n"
    assert "--delay" in run("serve", "--help").out


def test_a_header_that_cannot_be_sent(run: Run, demo: Demo) -> None:
    result = run(demo.url, "-m", "Hi", "--header", "X-Odd: schlüssel")
    assert result.status == 1
    assert "The request cannot be made" in result.err


@pytest.mark.parametrize("arguments", [[], ["-m", "Hi"], ["serve"]])
def test_missing_extras(run: Run, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "uvicorn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = run(*arguments)
    assert (result.status, result.out) == (1, "")
    assert "pip install 'usechat[server]'" in result.err
    assert result.err.count("\n") == 1


# -- the endpoint alone ----------------------------------------------------------------------


def test_serve() -> None:
    with Program("serve", "--port", "0", "--delay", "0") as server:
        server.out.until("The demo endpoint takes a free port")
        server.err.until("running on ")
        url = server.err.until(" ").strip()
        with Program(f"{url}/api/chat", "-m", "Hi") as client:
            assert client.out.until("You said: Hi")
            assert client.status() == 0
        server.interrupt()
        assert server.status() == 0
        assert "Traceback" not in server.err.rest()


def test_serve_where_somebody_else_does(demo: Demo) -> None:
    with Program("serve", "--port", demo.base.rpartition(":")[2]) as server:
        assert server.out.until(f"{demo.url} ")
        assert "address already in use" in server.err.rest()
        assert server.status() == 1


def test_serve_says_where(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usechat.server.run.serve", lambda *_: None)
    assert run("serve", "--host", "::1").out.startswith("http://[::1]:8000/api/chat ")


# -- the chat, from a pipe -------------------------------------------------------------------


def test_a_chat_from_a_pipe(run: Run, demo: Demo) -> None:
    said = b"reasoning\ndata\nsources\nfile\n\napproval\ny\ntime\n\n/nonsense\n/stop\n/help\n"
    result = run(demo.url, stdin=said)
    assert result.status == 0
    for line in (
        "you> reasoning",
        "~ The user wants to see reasoning. I think of it first, then I answer.",
        '[data] notification {"level":"info","message":"Working on it."} (transient)',
        '[data] progress {"done":0,"of":5}',
        '[data] progress {"done":5,"of":5}',
        "[source] A document (document.pdf, application/pdf)",
        "[file] image/png (70 bytes)",
        '[tool] delete_files {"path":"logs/old","count":3}',
        'Approve delete_files {"path":"logs/old","count":3}? [y/N] y',
        '[tool] delete_files -> {"deleted":3}',
        "Done, with your approval: 3 files are gone.",
        'Output for get_local_time {"format":"HH:MM"} (empty: answer with an error): ',
        "get_local_time failed: The user gave no output..",
        "(There is no command /nonsense. /help lists them.)",
        "(Nothing runs. Ctrl-C stops a reply.)",
        "  /regenerate  ask for the last reply again, also after an error",
    ):
        assert line in result.out.split("\n"), line
    assert "\x1b" not in result.out


def test_a_chat_with_errors(run: Run) -> None:
    replies = [
        FakeReply(b"down", status=503),
        [*text_reply("Half")[:4], b"\n"],
        [*text_reply("Half")[:4], {"type": "abort"}],
        [{"type": "start"}, {"type": "finish"}],
        [{"type": "no-such-chunk"}, *text_reply("Whole")],
        text_reply("Anew"),
    ]
    said = (
        b"/regenerate\n/answer\nHi\n"
        + 5 * b"/regenerate\n"
        + b"/clear\n/regenerate\n /quit\n/quit\n"
    )
    with FakeServer([*replies, text_reply("Taken as text")]) as server:
        result = run(server.url, stdin=said)
    assert [r.json["trigger"] for r in server.requests] == [
        "submit-message",
        *5 * ["regenerate-message"],
        "submit-message",
    ]
    assert server.requests[-1].json["messages"][0]["parts"][0]["text"] == " /quit"
    for text in (
        "(There is no message to regenerate.)",
        "(Nothing waits for an answer.)",
        "503 Service Unavailable: down\n(/regenerate tries again)\n",
        "Half\n(incomplete: the reply ended without its end",
        "Half\n(stopped)\n",
        "(an empty reply)",
        "no-such-chunk",
        "Whole\n",
        "Anew\n",
        "(a new chat)",
        "Taken as text\n",
    ):
        assert text in result.out, text


def test_an_approval_shows_all_that_is_approved(run: Run) -> None:
    given = {"command": "true; " + 100 * "# nothing " + "; rm -rf /"}
    call = {"toolCallId": "call-1", "toolName": "shell"}
    asks = [
        {"type": "tool-input-available", **call, "input": given},
        {"type": "tool-approval-request", "approvalId": "a", "toolCallId": "call-1"},
        {"type": "finish"},
    ]
    with FakeServer([asks, text_reply("Then not.")]) as server:
        result = run(server.url, stdin=b"Hi\nn\n")
    assert '; rm -rf /"}\nApprove shell {' in result.out
    assert server.requests[1].json["messages"][1]["parts"][0]["approval"]["approved"] is False


def test_a_reply_that_goes_on_by_itself_for_ever(run: Run) -> None:
    def call(number: int) -> list[dict[str, Any]]:
        given = {"toolCallId": f"call-{number}", "toolName": "again", "input": {}}
        return [
            {"type": "start-step"},
            {"type": "tool-input-available", **given},
            {"type": "tool-output-available", "toolCallId": f"call-{number}", "output": number},
            {"type": "finish"},
        ]

    with FakeServer([call(number) for number in range(30)]) as server:
        result = run(server.url, stdin=b"Hi\n")
    assert len(server.requests) == 20
    assert "[tool] again -> 19\n" in result.out
    assert "(it went on by itself for long enough" in result.out


# -- the chat, on a terminal -----------------------------------------------------------------


def test_a_chat_on_a_terminal(demo: Demo) -> None:
    with Terminal(demo.url) as terminal:
        terminal.say("Hello")
        terminal.see("You said: Hello")
        terminal.say("approval")
        terminal.say("n", after="[y/N] ")
        terminal.see("delete_files was denied")
        terminal.see("You denied it, so nothing was deleted.")
        terminal.say("time")
        terminal.say("12:30", after="(empty: answer with an error): ")
        terminal.see("Your clock says 12:30.")
        terminal.say("reasoning")
        terminal.see("\x1b[2m~ The ")
        terminal.say("error")
        terminal.see("\x1b[31merror: The demo failed, as you asked.")
        terminal.say("/regenerate")
        terminal.see("The demo failed, as you asked.")
        terminal.say("data")
        terminal.see('\r\x1b[K\x1b[36m[data] progress {"done":5,"of":5}')
        terminal.see("you> ")
        terminal.press("\x04")
        assert terminal.status() == 0


def test_ctrl_c_on_a_terminal(demo: Demo) -> None:
    with Terminal(demo.url) as terminal:
        terminal.say("stall")
        terminal.see("Now nothing comes")
        terminal.press("\x03")
        terminal.see("(stopped)")
        assert demo.next_end() == "stopped"
        terminal.say("/regenerate")
        terminal.see("Now nothing comes")
        terminal.press("\x03")
        terminal.see("(stopped)")
        terminal.say("approval")
        terminal.see("[y/N] ")
        terminal.interrupt("left unanswered", typed="y")
        terminal.say("/answer")
        terminal.say("y", after="[y/N] ")
        terminal.see("Done, with your approval")
        terminal.see("you> ")
        terminal.interrupt("Ctrl-C again", typed="half a line")
        terminal.see("you> ")
        terminal.interrupt("\r\n")
        assert terminal.status() == 0


def test_eof_at_a_question_leaves(demo: Demo) -> None:
    with Terminal(demo.url, env={"NO_COLOR": "1"}) as terminal:
        terminal.say("reasoning")
        assert "\x1b[2m" not in terminal.see("answer is 42")
        terminal.say("approval")
        terminal.see("[y/N] ")
        terminal.press("\x04")
        assert terminal.status() == 0


def test_a_terminal_gets_no_control_characters(demo: Demo) -> None:
    with Terminal(demo.url, "-m", "\x1b]0;title\x07\x9b31mred\r\x7f \t end") as terminal:
        screen = terminal.screen.rest()
        assert "You said: \u241b]0;title\u2407\ufffd31mred\u2421 \t end\r\n" in screen
        assert "\x1b" not in screen
        assert screen.endswith("help.\r\n")
        assert terminal.status() == 0


def test_a_terminal_of_few_characters(demo: Demo) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    with Terminal(demo.url, "-m", "odd", env=ascii_only) as terminal:
        terminal.see("Emoji ? ")
        assert terminal.status() == 0


def test_the_demo_and_its_chat_in_one_command() -> None:
    with Terminal() as terminal:
        terminal.see("usechat 0.1.0, with http://127.0.0.1:")
        terminal.say("Hello")
        terminal.see("You said: Hello")
        terminal.say("stall")
        terminal.see("Now nothing comes")
        terminal.press("\x03")
        terminal.see("(stopped)")
        terminal.say("/quit")
        assert terminal.status() == 0


# -- the pieces ------------------------------------------------------------------------------


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    return Screen()


def test_a_dumb_terminal_gets_no_sequences(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out = Output(screen)
    out.line("plain", "error")
    assert (screen.getvalue(), out.can_rewrite) == ("plain\n", False)


def test_an_output_that_is_closed_or_full(tmp_path: Path) -> None:
    Output(None).line("goes nowhere")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        closed = Output(stream)
        for _ in range(2):
            with pytest.raises(OutputClosed):
                closed.line("text")
        closed.complain("nobody hears it")
    with open("/dev/full", "w") as stream, pytest.raises(OutputError, match="cannot be written"):
        Output(stream).write("text")


def test_help_that_nobody_reads(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        assert run("--help").status == 141


def test_a_full_disk(demo: Demo, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with suppress(OSError), open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        result = run(demo.url, "-m", "Hi")
    assert result.status == 1
    assert "The output cannot be written" in result.err


def reply_on(screen: Screen, chunks: list[dict[str, Any]]) -> str:
    """What a terminal shows of a reply, event by event."""
    import anyio

    from usechat.cli.printer import follow
    from usechat.testing import ScriptedTransport

    async def run() -> None:
        transport = ScriptedTransport([chunks])
        async with usechat.AsyncChatSession(transport, throttle=None) as chat:
            printer = Printer(Output(screen), lambda: chat.messages)
            turn = chat.send_message("Hi")
            await follow(turn, printer.show)
            printer.end(turn)

    anyio.run(run)
    return screen.getvalue()


def text_part(name: str, *deltas: str, kind: str = "text") -> list[dict[str, Any]]:
    begin, end = {"type": f"{kind}-start", "id": name}, {"type": f"{kind}-end", "id": name}
    return [begin, *({"type": f"{kind}-delta", "id": name, "delta": d} for d in deltas), end]


def test_text_in_several_parts_and_steps(screen: Screen) -> None:
    shown = reply_on(
        screen,
        [
            {"type": "start-step"},
            *text_part("a", "One ", "sentence"),
            *text_part("b", " in two parts."),
            {"type": "start-step"},
            *text_part("c", "Another step."),
            {"type": "finish"},
        ],
    )
    assert shown == "One sentence in two parts.\nAnother step.\n"


def test_reasoning_has_a_mark_before_each_line(screen: Screen) -> None:
    thought = text_part("a", "One\n", "Tw", "o\nThree", kind="reasoning")
    shown = reply_on(screen, [*thought, *text_part("b", "Text"), {"type": "finish"}])
    plain = shown.replace("\x1b[2m", "").replace("\x1b[0m", "")
    assert plain == "~ One\n~ Two\n~ Three\nText\n"


def test_parts_that_stream_at_once_do_not_mix(screen: Screen) -> None:
    a, b = text_part("a", "A1", "A2"), text_part("b", "B1", "B2")
    shown = reply_on(screen, [*a[:2], *b[:2], a[2], b[2], {"type": "finish"}])
    assert shown == "A1B1\nA2\nB2\n"


def test_progress_is_one_line_on_a_terminal(screen: Screen) -> None:
    def progress(value: Any, **more: Any) -> dict[str, Any]:
        return {"type": "data-p", "id": "1", "data": value, **more}

    shown = reply_on(
        screen,
        [
            {"type": "start-step"},
            progress(1),
            progress("x" * 100),
            {**progress(2), "id": "2"},
            {"type": "finish"},
        ],
    )
    first, second, third = shown.split("\r\x1b[K")[1:]
    assert first == "\x1b[36m[data] p 1\x1b[0m"
    assert second == f"\x1b[36m{('[data] p ' + chr(34) + 'x' * 100)[:39]}\x1b[0m\n"
    assert third == "\x1b[36m[data] p 2\x1b[0m\n"


def test_a_step_taken_back_shows_again(screen: Screen) -> None:
    source = {"type": "source-url", "sourceId": "s", "url": "https://example.com/"}
    shown = reply_on(
        screen,
        [{"type": "start-step"}, source, {"type": "reset-step"}, source, {"type": "finish"}],
    )
    assert shown.count("[source] <https://example.com/>") == 2


@pytest.mark.parametrize(
    ("part", "lines"),
    [
        ({"type": "tool-x", "state": "input-streaming", "input": {"a": 1}}, []),
        ({"type": "tool-x", "state": "input-available", "input": {"a": 1}}, ['[tool] x {"a":1}']),
        (
            {"type": "dynamic-tool", "toolName": "y", "state": "output-error", "rawInput": "{"},
            ['[tool] y "{"', "[tool] y failed: it does not say why"],
        ),
        (
            {"type": "tool-x", "state": "output-error", "input": {}, "errorText": "no\nway"},
            ["[tool] x {}", "[tool] x failed: no way"],
        ),
        (
            {"type": "tool-x", "state": "output-available", "input": 1, "output": [2]},
            ["[tool] x 1", "[tool] x -> [2]"],
        ),
        (
            {
                "type": "tool-x",
                "state": "output-available",
                "input": 1,
                "output": 2,
                "preliminary": True,
            },
            ["[tool] x 1", "[tool] x ... 2"],
        ),
        ({"type": "tool-x", "state": "output-denied"}, ["[tool] x null", "[tool] x was denied"]),
        (
            {"type": "source-url", "sourceId": "s", "url": "u", "title": "A\ntitle"},
            ["[source] A title <u>"],
        ),
        ({"type": "source-url", "sourceId": "s", "url": "u"}, ["[source] <u>"]),
        (
            {"type": "source-document", "sourceId": "s", "mediaType": "m/t", "title": "T"},
            ["[source] T (m/t)"],
        ),
        ({"type": "file", "mediaType": "a/b", "url": "https://x/"}, ["[file] a/b https://x/"]),
        (
            {"type": "file", "mediaType": "a/b", "filename": "f", "url": "data:,a%20b"},
            ["[file] a/b f (3 bytes)"],
        ),
        (
            {"type": "reasoning-file", "mediaType": "a/b", "url": "data:a/b;base64,YWE"},
            ["[file] a/b (not readable)"],
        ),
        ({"type": "custom", "kind": "acme.thing"}, ["[custom] acme.thing"]),
        ({"type": "steering-message", "id": "s", "parts": []}, ["[steering] []"]),
        ({"type": "brand-new", "x": 1}, ["[brand-new]"]),
        ({"type": "text", "text": "x"}, []),
        ({"type": "data-x", "data": 1}, []),
    ],
)
def test_parts_in_a_line(part: dict[str, Any], lines: list[str]) -> None:
    if "tool" in part["type"]:
        part = {**part, "toolCallId": "call"}
    message = UIMessage.model_validate({"id": "m", "role": "assistant", "parts": [part]})
    assert lines_of(message.parts[0]) == lines
    if lines and "tool" in part["type"]:
        assert f"[tool] {call_of(message.parts[0])}" == lines[0]


def test_values_are_of_bounded_length() -> None:
    assert len(short("x" * 10_000)) == 200
    assert short("\ud83d") == '"\\ud83d"'


def test_interrupts_leave_alone_what_was_switched_off() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Interrupts() as interrupts:
            yield interrupts
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_interrupts_raise_unless_told_else(interrupts: Interrupts) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with interrupts.ignored():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), interrupts.raised():
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the program's own
async def test_the_third_interrupt_ends_what_does_not_stop(
    interrupts: Interrupts, anyio_backend: str
) -> None:
    import anyio

    stopped = anyio.Event()
    with interrupts.stopping(stopped.set):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        await stopped.wait()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
