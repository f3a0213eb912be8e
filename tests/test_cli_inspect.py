"""``usechat inspect``: the real program against real servers, and its pieces where time matters."""

from __future__ import annotations

import io
import json
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from cli_program import ROOT, Program, Terminal, environment

from usechat.cli import main
from usechat.cli.inspect.clients import decoder_of
from usechat.cli.inspect.inspection import Inspection, Row
from usechat.cli.inspect.rows import Pulse
from usechat.cli.inspect.table import content_of, fit, shown_headers, width
from usechat.cli.inspect.verdict import faults_of, notes_of, status_of
from usechat.testing import CUT, HANG, RESET, FakeReply, FakeServer, every_split, text_reply
from usechat.wire.ui_message_stream import DONE, HEADERS, encode_chunk

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of Unix")

TESTS = Path(__file__).parent
PLAIN = {"content-type": "text/plain"}
EVENTS = {"content-type": "text/event-stream"}
REPLY = text_reply("Hello there", message_id="msg-1")
BEGIN = REPLY[:4]


class Result:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.split("\n")[:-1]]

    @property
    def end(self) -> Any:
        return self.lines[-1]


Inspect = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Inspect:
    """Run the program in this process; ``stdin`` is what is piped into it."""

    def run(*arguments: str, stdin: bytes = b"") -> Result:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), "ascii"))
        try:
            status = main(["inspect", *arguments])
        except SystemExit as end:
            status = int(str(end.code))
        return Result(status, *capsys.readouterr())

    return run


@pytest.fixture
def inspect(run: Inspect) -> Inspect:
    """Inspect a scripted reply."""

    def inspect(reply: Any, *arguments: str) -> Result:
        with FakeServer([reply]) as server:
            return run(server.url, *arguments)

    return inspect


def steady(out: str) -> str:
    """What is shown, with what differs from run to run made the same."""
    return re.sub(r"(?<=after )\d+|(?<=127.0.0.1:)\d+", "N", out)


# -- a good reply ----------------------------------------------------------------------------


def test_a_good_reply() -> None:
    with FakeServer([REPLY]) as server, Program("inspect", server.url, "-m", "Hi") as program:
        out = steady(program.out.rest())
        assert (program.status(), program.err.rest()) == (0, "")
        assert server.requests[0].json["messages"][0]["parts"] == [{"type": "text", "text": "Hi"}]
    head, table, summary, verdict = out.split("\n\n")
    assert head == (
        "POST http://127.0.0.1:N/api/chat\n"
        "200 OK, after N ms\n"
        "  content-type: text/event-stream\n"
        "  cache-control: no-cache\n"
        "  x-vercel-ai-ui-message-stream: v1\n"
        "  x-accel-buffering: no\n"
        "  transfer-encoding: chunked\n"
        "protocol: ui (the header x-vercel-ai-ui-message-stream; the first value is "
        '{"type":"start","messa...'
    )
    names, *rows = table.split("\n")
    assert names.split() == ["#", "ms", "gap", "chunk", "what", "is", "in", "it"]
    at = names.index("chunk")
    assert [row[at:].split(maxsplit=1) for row in rows] == [
        ["start", "msg-1"],
        ["start-step"],
        ["text-start", "text-1"],
        ["text-delta", 'text-1 "Hello "'],
        ["text-delta", 'text-1 "there"'],
        ["text-end", "text-1"],
        ["finish-step"],
        ["finish", "finishReason=stop"],
        ["[DONE]"],
    ]
    assert [int(row[:5]) for row in rows] == list(range(1, 10))
    assert rows[0][5:12].strip().isdigit()
    assert summary.startswith("outcome   completed, finish reason stop\nchunks    9 in ")
    assert re.search(r"\nms +headers \d+, first chunk \d+, first text \d+, total \d+\n", summary)
    assert "\ntext      11 characters" in summary
    assert verdict == "A strict client (useChat of ai 7) has no objection.\n"


def test_usage_is_that_of_the_metadata(inspect: Inspect) -> None:
    finish = {"type": "finish", "messageMetadata": {"usage": {"inputTokens": 3}}}
    reply = [*REPLY[:-1], finish]
    assert '\nusage     {"inputTokens":3}\n' in inspect(reply).out
    assert inspect(reply, "--json").end["usage"] == {"inputTokens": 3}


def captures(folder: str) -> list[Path]:
    return sorted((TESTS / folder).glob("*.http"))


def captured(path: Path) -> FakeReply:
    head, _, body = path.read_bytes().partition(b"\r\n\r\n")
    lines = [line.partition(": ") for line in head.decode().split("\r\n")[1:]]
    left_out = ("transfer-encoding", "content-length")
    return FakeReply(body, headers={k: v for k, _, v in lines if k.lower() not in left_out})


@pytest.mark.parametrize("path", captures("streams"), ids=lambda path: path.stem)
def test_replies_of_real_servers(path: Path, inspect: Inspect) -> None:
    result = inspect(captured(path), "--json")
    end = result.end
    kinds = [line["type"] for line in result.lines[:-1]]
    events = captured(path).body
    assert isinstance(events, bytes)
    assert len(kinds) == events.count(b"\n\n") == end["chunks"]
    assert (end["protocol"], result.err) == ("ui", "")
    if "error" in kinds:
        row = kinds.index("error") + 1
        words = "the server reports an error, which ends the reply"
        assert end["faults"] == [{"rows": [row], "fault": words}]
        assert (end["outcome"], result.status) == ("error", 3)
    elif "abort" in kinds:
        assert (end["faults"], end["outcome"], result.status) == ([], "stopped", 3)
    else:
        assert (end["faults"], end["outcome"], result.status) == ([], "completed", 0)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        *((path, "a data stream of the AI SDK 4") for path in captures("data_streams")),
        *((path, "TextStreamChatTransport") for path in captures("text_streams")),
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else "",
)
def test_replies_that_the_sdk_does_not_read_any_more(
    path: Path, words: str, inspect: Inspect
) -> None:
    result = inspect(captured(path), "--json")
    assert (result.status, result.err) == (3, "")
    is_text = "plaintext" in path.stem
    assert result.end["protocol"] == ("text" if is_text else "data-stream")
    assert words in result.end["faults"][0]["fault"]
    assert result.end["textLength"] or "client" in path.stem or "invalid" in path.stem


# -- what a strict client rejects ------------------------------------------------------------


def test_every_fault_is_named_with_its_row(inspect: Inspect) -> None:
    reply = [
        *BEGIN,
        {"type": "text-deltaa", "id": "text-1", "delta": "x"},
        b'data: {"type":\n\n',
        b"data: [1]\n\n",
        {"type": "text-delta", "id": "t2", "delta": "late"},
        {"type": "text-delta", "id": "t2", "delta": "r"},
        {"type": "text-delta", "id": "text-1"},
        {"type": "tool-output-available", "toolCallId": "call-1", "output": 1},
        {"type": "text-deltaa"},
        {"type": "finish", "finishReason": "done"},
    ]
    result = inspect(reply)
    assert result.status == 3
    names, *rows = result.out.split("\n\n")[1].split("\n")
    marked = [row[names.index("chunk") :] for row in rows if row.startswith("!")]
    assert [row.split()[0] for row in marked] == [
        "text-deltaa",
        "?",
        "?",
        "text-delta",
        "text-delta",
        "tool-output-available",
        "text-deltaa",
        "finish",
    ]
    assert marked[1].split(maxsplit=1)[1] == '{"type":'
    verdict = result.out.partition("objects:\n")[2]
    for words in (
        '! row 5, 12: ai 7 knows no chunk type "text-deltaa"\n',
        "! row 6: this is not JSON (EOF ",
        "! row 7: this is no object with a type\n",
        '! row 8: Received text-delta for "t2", which is not there:',
        "! row 10: text-delta.delta: field required\n",
        '! row 11: Received tool-output-available for "call-1"',
        '! row 13: The server sent the finish reason "done", which ai 7 does not know.\n',
        "  useChat ends with an error at row 5.\n",
    ):
        assert words in verdict
    assert "row 9" not in verdict
    # A session forgives the first, and ends at what is no JSON.
    assert "outcome   error: The server sent an event that is not JSON" in result.out
    assert "\ntext      6 characters\n" in result.out


def test_many_rows_with_one_fault_are_one_line(inspect: Inspect) -> None:
    result = inspect([*REPLY[:3], *9 * [{"type": "x"}], *REPLY[3:]])
    assert '! row 4, 5, 6, 7, 8 and 4 more: ai 7 knows no chunk type "x"\n' in result.out
    assert "outcome   completed" in result.out


def test_what_comes_after_an_error_is_shown_and_not_held_against_it(inspect: Inspect) -> None:
    failure = {"type": "error", "errorText": "no quota"}
    result = inspect([*BEGIN, failure, {"type": "x"}, b"data: {\n\n", *REPLY[4:]])
    assert result.status == 3
    assert "outcome   error: no quota\n" in result.out
    assert re.findall(r"^!.*", result.out, re.MULTILINE)[1:] == [
        "! row 5: the server reports an error, which ends the reply"
    ]
    assert re.search(r"\n +12 +(\d+ +)?\[DONE\]\n", result.out)


def of_rows(*events: bytes) -> bytes:
    return b"".join([b"".join(map(encode_chunk, BEGIN)), *events])


@pytest.mark.parametrize(
    ("reply", "arguments", "status", "said"),
    [
        ([b"\n: ping\n\n"], [], 3, "! the reply: nothing came: useChat is ready again"),
        ([of_rows()], [], 3, "! the reply: neither finish nor [DONE] ends it"),
        (
            [of_rows(b'data: {"type":"finish"}\n')],
            [],
            3,
            "! the reply: its last event is not ended by an empty line",
        ),
        ([of_rows(), CUT], [], 3, "! the reply: POST http://127.0.0.1:N/api/chat: the connection"),
        ([of_rows(), RESET], [], None, "the connection broke"),
        (
            FakeReply(REPLY, headers=PLAIN),
            [],
            3,
            "! the reply: its content-type is text/plain, not text/event-stream",
        ),
        (FakeReply(REPLY, headers={}), [], 3, "! the reply: its content-type is missing"),
        (
            FakeReply(b'0:"Hi"\nd:{"finishReason":"stop"}\n', headers=PLAIN),
            ["--protocol", "data-stream"],
            3,
            "! the reply: it is a data stream of the AI SDK 4",
        ),
        (
            FakeReply(b'0:"Hi"\n', headers=PLAIN),
            [],
            3,
            "! the reply: no finish (d:) ends it",
        ),
        (
            FakeReply(b'0:"Hi"\n0:{}\n0:"more"\n', headers=PLAIN),
            [],
            3,
            "outcome   error: The server sent a line that is not of the data stream",
        ),
        (
            FakeReply(b'data: {"text":"Hi"}\n\n', headers=EVENTS),
            [],
            3,
            "! the reply: its events are no chunks (they have no type)",
        ),
        (FakeReply(b'data: {"text":"Hi"}\n\n', headers=EVENTS), [], 3, "! the reply: no [DONE]"),
        (
            FakeReply(b'data: {"text":"Hi"}\n\ndata: 1\n\n', headers=EVENTS),
            [],
            3,
            '! row 3: The server sent an event that is not {"text"',
        ),
        (
            FakeReply(b"Just text", headers=PLAIN),
            [],
            3,
            "! the reply: it is plain text: useChat reads nothing of it, unless its transport",
        ),
        (
            FakeReply(b"Just text", headers=PLAIN),
            ["--protocol", "text"],
            0,
            "- TextStreamChatTransport reads it",
        ),
        (
            FakeReply(b'0:"Hi"\n', headers=PLAIN),
            ["--protocol", "ui"],
            3,
            "- it looks like data-stream: see --protocol",
        ),
        (
            FakeReply(b"  \n", headers=PLAIN),
            ["--protocol", "ui"],
            3,
            "protocol: ui (as the command line says",
        ),
    ],
)
def test_faults_of_the_whole(
    reply: Any, arguments: list[str], status: int | None, said: str, inspect: Inspect
) -> None:
    result = inspect(reply, *arguments)
    assert said in re.sub(r"\n    ", " ", steady(result.out))
    if status is not None:  # of a reset connection all may be lost
        assert result.status == status
    assert result.err == ""


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (FakeReply(REPLY, headers=EVENTS), "- there is no header x-vercel-ai-ui-message-stream"),
        ([{"type": "start"}, *REPLY[1:]], "- start has no messageId: the client's own id stands"),
        (REPLY[1:], "- there is no start: useChat needs none"),
        (REPLY[:-1], "- there is no finish: onFinish is told no reason"),
        ([*REPLY, b": end\n\n"], "- there is no [DONE]: useChat needs none"),
        ([*REPLY[:5], *REPLY[6:]], "- text without its text-end (text-1)"),
        ([*REPLY[:5], {"type": "abort"}], "- abort says that the server was stopped"),
        (
            [
                {"type": "tool-input-available", "toolCallId": "c", "toolName": "ask", "input": {}},
                {"type": "finish"},
            ],
            "- the reply waits for the client's output of ask",
        ),
        (
            [
                {"type": "tool-input-available", "toolCallId": "c", "toolName": "rm", "input": {}},
                {"type": "tool-approval-request", "toolCallId": "c", "approvalId": "a"},
                {"type": "finish"},
            ],
            "- the reply waits for an approval of rm",
        ),
    ],
)
def test_notes_are_no_faults(reply: Any, said: str, inspect: Inspect) -> None:
    result = inspect(reply)
    assert said in result.out
    assert "has no objection.\nWorth knowing:\n- " in result.out
    assert result.status == (3 if "abort" in said else 0)


# -- no reply --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "head", "said"),
    [
        (
            FakeReply(b"<html>Welcome</html>", headers={"content-type": "text/html"}),
            "200 OK, after N ms\n  content-type: text/html\n",
            "error: The endpoint answered 200 (content-type: text/html) with what is in no "
            "protocol known here: '<html>Welcome</html>'.",
        ),
        (
            FakeReply([b"<html>\n", HANG], headers={"content-type": "text/html"}),
            "200 OK, after N ms\n",
            "error: The endpoint answered 200",
        ),
        (
            FakeReply(b'{"error":"no key"}', status=500),
            "500 Internal Server Error, after N ms\n",
            'answered 500 Internal Server Error: {"error":"no key"}',
        ),
        (
            FakeReply(status=307, headers={"location": "/login?token=secret"}),
            "307 Temporary Redirect, after N ms\n  location: /login\n",
            "answered 307 Temporary Redirect to /login. Redirects are not followed",
        ),
        (FakeReply(status=204), "204 No Content", "without a body"),
        (FakeReply(b"odd", status=599), "599, after N ms\n", "answered 599: odd"),
        (CUT, "POST http://127.0.0.1:N/api/chat\n\noutcome", "the connection broke"),
    ],
)
def test_no_reply(reply: Any, head: str, said: str, inspect: Inspect) -> None:
    result = inspect(reply)
    out = re.sub(r"\n    ", " ", steady(result.out))
    assert (result.status, result.err) == (1, "")
    assert head in out
    assert said in out
    assert "secret" not in out
    assert "strict client" not in out


def test_a_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Program("inspect", f"http://127.0.0.1:{port}/api/chat?key=secret") as program:
        out = program.out.rest()
        assert (program.status(), program.err.rest()) == (1, "")
    assert out.startswith(f"POST http://127.0.0.1:{port}/api/chat\n\noutcome   error: POST http:")
    assert "cannot connect" in out
    assert "secret" not in out


# -- the request -----------------------------------------------------------------------------


def test_the_request_is_that_of_the_chat_and_no_secret_shows(run: Inspect) -> None:
    cookies = {**EVENTS, "set-cookie": "session=secret", "x-odd": "a" * 300}
    with FakeServer([FakeReply(REPLY, headers=cookies)]) as server:
        result = run(
            *(f"{server.url}?key=secret", "-m", "-", "--header", "Authorization: secret"),
            *("--body", '{"model": "secret"}'),
            stdin="grün".encode(),
        )
    request = server.requests[0]
    assert request.headers["authorization"] == "secret"
    assert request.json["model"] == "secret"
    assert request.json["trigger"] == "submit-message"
    assert request.json["messages"][0]["parts"] == [{"type": "text", "text": "grün"}]
    assert result.out.startswith(f"POST {server.url} (authorization)\n")
    assert "  set-cookie: (not shown)\n" in result.out
    assert "secret" not in result.out + result.err
    assert max(map(len, result.out.split("\n"))) == 100


def test_the_message_goes_beside_the_history_with_json_sse(run: Inspect) -> None:
    body = b'data: {"text":"Hi"}\n\ndata: {}\n\ndata: [DONE]\n\n'
    with FakeServer([FakeReply(body, headers=EVENTS)]) as server:
        result = run(server.url, "-m", "What?", "--protocol", "json-sse", "--body", '{"k": 1}')
    assert server.requests[0].json["message"] == "What?"
    assert server.requests[0].json["k"] == 1
    assert "chunks    3 in 1 piece, 1 heartbeat\n" in result.out


def test_a_header_that_cannot_be_sent(run: Inspect) -> None:
    result = run("http://localhost/", "--header", "X-Odd: schlüssel")
    assert result.status == 1
    assert "The request cannot be made" in result.out


@pytest.mark.parametrize(
    ("protocol", "read_as"),
    [
        ("auto", "ui"),
        ("ui", "ui"),
        ("data-stream", "data-stream"),
        ("text", "text"),
        ("json-sse", "json-sse"),
    ],
)
def test_the_demo_without_a_url(
    protocol: str, read_as: str, run: Inspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    end = run("--protocol", protocol, "-m", "Hi", "--json").end
    assert (end["outcome"], end["protocol"]) == ("completed", read_as)
    assert end["textLength"] > 100
    assert end["pieces"] > 5


def test_help_and_errors_of_usage(run: Inspect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = run("--help")
    assert result.status == 0
    assert result.out.isascii()
    assert max(map(len, result.out.split("\n"))) <= 80
    assert all(x in result.out for x in ("examples:", "exit status", "data-stream", "--json"))
    for arguments in (["ftp://x"], ["--protocol", "smoke"], ["--body", "[]"], ["a", "b"]):
        assert run(*arguments).status == 2


# -- lines of JSON ---------------------------------------------------------------------------


def test_rows_as_lines_of_json(inspect: Inspect) -> None:
    result = inspect([*BEGIN, {"type": "x"}, b"data: {\n\n", *REPLY[4:]], "--json")
    first, *_ = result.lines
    assert first == {
        "event": "chunk",
        "row": 1,
        "ms": first["ms"],
        "together": False,
        "type": "start",
        "chunk": {"type": "start", "messageId": "msg-1"},
        "faults": [],
    }
    unknown, bad = result.lines[4:6]
    assert unknown["faults"] == ['ai 7 knows no chunk type "x"']
    assert (bad["type"], bad["chunk"]) == ("?", "{")
    end = result.end
    assert (end["event"], end["status"], end["outcome"]) == ("end", 200, "error")
    assert end["error"]["type"] == "StreamProtocolError"
    assert end["headers"]["content-type"] == "text/event-stream"
    assert [fault["rows"] for fault in end["faults"]] == [[5], [6]]
    assert end["ms"]["headers"] <= end["ms"]["firstChunk"] <= end["ms"]["total"]
    assert result.status == 3


def test_no_reply_as_a_line_of_json(inspect: Inspect) -> None:
    result = inspect(FakeReply(b"no", status=500), "--json")
    assert (len(result.lines), result.status) == (1, 1)
    assert (result.end["status"], result.end["error"]["type"]) == (500, "HTTPStatusError")


# -- time ------------------------------------------------------------------------------------


class Stepwise:
    """A server that sends what it is told when it is told; a context manager."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.asked = threading.Event()
        self.asked_at = 0.0
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Stepwise:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()
        if self.asked.is_set():
            self._peer.close()

    def _accept(self) -> None:
        self._peer, _ = self._listener.accept()
        came = b""
        while not came.endswith(b"}"):  # the request's body is an object
            came += self._peer.recv(65536)
        self.asked_at = time.monotonic()
        self.asked.set()

    def send(self, data: bytes) -> float:
        """Send something; the time just before, in ms since the request had come."""
        at = time.monotonic()
        self._peer.sendall(data)
        return (at - self.asked_at) * 1000

    def end(self) -> None:
        self._peer.shutdown(socket.SHUT_RDWR)


HEAD = "".join(["HTTP/1.1 200 OK\r\n", *(f"{k}: {v}\r\n" for k, v in HEADERS.items()), "\r\n"])


def take_a_while() -> None:
    """Something that takes more than a few milliseconds: another Python begins and ends."""
    subprocess.run([sys.executable, "-c", ""], check=True)


def test_times_are_those_of_the_pieces() -> None:
    began = time.monotonic()
    with Stepwise() as server, Program("inspect", server.url, "--json") as program:
        assert server.asked.wait(20)
        take_a_while()
        sent = [server.send(HEAD.encode())]
        for chunks in (REPLY[:3], REPLY[3:4], REPLY[4:]):
            take_a_while()
            sent.append(server.send(b"".join(map(encode_chunk, chunks))))
            program.out.until(f'"type":"{chunks[-1]["type"]}"')
        take_a_while()
        sent.append(server.send(DONE))
        server.end()
        program.out.rest()
        assert program.status() == 0
        lines = [json.loads(line) for line in program.out.came.decode().split("\n")[:-1]]
    shown = (time.monotonic() - began) * 1000
    rows, end = lines[:-1], lines[-1]
    firsts = [row for row in rows if not row["together"]]
    assert [row["row"] for row in firsts] == [1, 4, 5, 9]
    times = [end["ms"]["headers"], *(row["ms"] for row in firsts)]
    # The request was made before it came: the server's side of the time is a part of the whole.
    assert all(ms >= at - 0.1 for ms, at in zip(times, sent, strict=True))
    assert times == sorted(times)
    assert times[-1] <= end["ms"]["total"] <= shown
    assert {row["ms"] for row in rows[:3]} == {times[1]}
    assert (end["pieces"], end["chunks"]) == (4, 9)


def test_chunks_in_one_piece_came_together_whatever_their_coding() -> None:
    """Each is a chunk of HTTP's too, as servers send them; a proxy has put them together."""
    events = [encode_chunk(chunk) for chunk in text_reply(100 * "word ")]
    coded = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in [*events, DONE])
    head = HEAD[:-2].encode() + b"transfer-encoding: chunked\r\n\r\n"
    with Stepwise() as server, Program("inspect", server.url, "--json") as program:
        assert server.asked.wait(20)
        server.send(head + coded + b"0\r\n\r\n")
        end = json.loads(program.out.rest().split("\n")[-2])
        assert program.status() == 0
    assert (end["chunks"], end["pieces"]) == (107, 1)


def body_of(chunks: Iterable[Any]) -> bytes:
    return b"".join([*map(encode_chunk, chunks), DONE])


def inspected(*pieces: tuple[bytes, float], headers: Any = None) -> tuple[Inspection, list[Row]]:
    """A reply that came in pieces at some times, its headers after 0.1 s."""
    seen = Inspection("Hi", "auto")
    seen.answered(200, HEADERS if headers is None else headers, 0.1)
    rows = [row for piece, at in pieces for row in seen.take(piece, at)]
    rows += seen.ended(pieces[-1][1])
    return seen, rows


def test_a_gap_is_shown_where_one_feels_it() -> None:
    from usechat.cli.inspect.table import Table
    from usechat.cli.output import Output

    seen, rows = inspected(
        (body_of(REPLY[:2])[: -len(DONE)], 0.104),
        (encode_chunk(REPLY[2]), 0.15),
        (encode_chunk(REPLY[3]), 0.25),
        (body_of(REPLY[4:]), 1.75),
    )
    screen = io.StringIO()
    Table(Output(screen)).rows(seen, rows)
    shown = [line[5:20].split() for line in screen.getvalue().split("\n")[3:-1]]
    assert shown == [["104"], [], ["150"], ["250", "+100"], ["1750", "+1500"], [], [], [], []]
    assert (seen.tally.first_text, seen.tally.pieces) == (0.25, 4)


LONG = text_reply("One two three four five six", message_id="m")


@pytest.mark.parametrize(
    ("chunks", "at", "is_odd"), [(LONG, 0.7, True), (LONG, 0.5, False), (REPLY, 9.0, False)]
)
def test_a_reply_in_one_piece_long_after_its_headers(chunks: Any, at: float, is_odd: bool) -> None:
    seen, _ = inspected((body_of(chunks), at))
    said = [note for note in notes_of(seen) if "at once" in note]
    assert bool(said) == is_odd
    packed, _ = inspected((body_of(LONG), at), headers={**HEADERS, "content-encoding": "gzip"})
    assert ("compression (content-encoding: gzip)" in "".join(notes_of(packed))) == (at > 0.5)
    assert (faults_of(seen), status_of(seen, [])) == ([], 0)


def test_a_reply_in_two_pieces_is_not_buffered() -> None:
    body = body_of(LONG)
    seen, _ = inspected((body[:200], 2.0), (body[200:], 2.1))
    assert notes_of(seen) == []
    soon, _ = inspected((body[:200], 2.0), (body[200:], 2.002))
    assert "everything came at once, 1900 ms after the headers" in notes_of(soon)[0]


def test_rows_come_when_the_protocol_is_known_with_their_own_times() -> None:
    body = body_of(REPLY)
    seen = Inspection("Hi", "auto")
    seen.answered(200, EVENTS, 0.1)
    assert seen.take(b": ping\n\n" + body[:9], 0.2) == []
    rows = seen.take(body[9:], 0.3)
    assert [row.number for row in rows] == list(range(1, 10))
    assert {row.seconds for row in rows} == {0.3}
    assert seen.heartbeats == 1


# -- Ctrl-C, pipes and terminals -------------------------------------------------------------


def test_ctrl_c_shows_what_has_come() -> None:
    with (
        FakeServer([[*BEGIN, b": ping\n\n", HANG]]) as server,
        Program("inspect", server.url) as program,
    ):
        program.out.until('"Hello "')
        program.interrupt()
        out = program.out.rest()
        assert (program.status(), program.err.rest()) == (130, "")
        server.wait_disconnect()
    assert "outcome   stopped (Ctrl-C)\nchunks    4 in " in out
    assert "has no objection so far." in out
    assert "neither finish" not in out


def test_ctrl_c_before_the_headers() -> None:
    with FakeServer([HANG]) as server, Program("inspect", server.url, "--json") as program:
        server.wait_request()
        program.interrupt()
        end = json.loads(program.out.rest())
        assert (program.status(), program.err.rest()) == (130, "")
        server.wait_disconnect()
    assert (end["outcome"], end["status"], end["chunks"]) == ("stopped", None, 0)


def test_a_pipe_that_is_closed() -> None:
    # More than a pipe holds: the program is in the middle of writing it.
    reply = text_reply(5000 * "word ")
    with FakeServer([[*reply, HANG]]) as server:
        command = [sys.executable, "-W", "default", "-m", "usechat.cli", "inspect", server.url]
        line = f"set -o pipefail; {shlex.join(command)} | head -1"
        done = subprocess.run(
            ["bash", "-c", line], cwd=ROOT, env=environment(), capture_output=True, text=True
        )
        server.wait_disconnect()
    assert (done.returncode, done.stderr) == (141, "")
    assert done.stdout == f"POST {server.url}\n"


def test_a_narrow_terminal() -> None:
    text = "日本語 🌍 " * 20
    reply = [*REPLY[:3], {"type": "text-delta", "id": "text-1", "delta": text}, {"type": "x" * 99}]
    with FakeServer([reply]) as server, Terminal("inspect", server.url, env={"COLUMNS": "40"}) as t:
        screen = re.sub(r"\x1b\[\d*m", "", t.screen.rest()).partition("outcome")[0]
        assert t.status() == 3
    lines = screen.split("\r\n")
    assert max(map(width, lines)) == 39
    assert any(re.fullmatch(r"    4 +\d* text-delta text-1 \"日本\.\.\.", line) for line in lines)


def test_a_terminal_gets_no_control_characters() -> None:
    reply = [*REPLY[:3], {"type": "text-delta\x9b31m", "id": "\x1b]0;x\x07"}, *REPLY[3:]]
    with FakeServer([reply]) as server, Terminal("inspect", server.url) as terminal:
        screen = terminal.screen.rest()
        assert terminal.status() == 3
    assert set(re.findall(r"\x1b[^m]*m", screen)) == {"\x1b[2m", "\x1b[31m", "\x1b[0m"}
    assert not set(screen) & {"\x9b", "\x07"}
    row = next(line for line in screen.split("\r\n") if "text-delta\ufffd31m" in line)
    assert row.startswith("\x1b[31m!   4 ")


# -- the pieces ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunk", "shown"),
    [
        (None, ""),
        ("data\nin lines", "data in lines"),
        ({"type": "start-step"}, ""),
        (
            {"type": "text-delta", "delta": "a\n\u2028b", "id": "t 1"},
            '"t 1" "a\\n\u2028b"',
        ),
        (
            {
                "type": "tool-input-available",
                "dynamic": True,
                "input": {"a": 1},
                "toolName": "w",
                "toolCallId": "c",
            },
            'c w {"a":1} dynamic=true',
        ),
        ({"type": "finish", "finishReason": "stop"}, "finishReason=stop"),
        ({"type": "data-x", "data": None, "transient": True}, "null transient=true"),
        ({"type": "start", "messageId": "", "messageMetadata": [1]}, '"" messageMetadata=[1]'),
    ],
)
def test_chunks_in_a_line(chunk: Any, shown: str) -> None:
    assert content_of(chunk) == shown


def test_texts_are_cut_by_the_columns_they_take() -> None:
    assert fit("abcdef", 6) == "abcdef"
    assert fit("abcdefg", 6) == "abc..."
    assert fit("日本語日", 7) == "日本..."
    assert fit("e\u0301e\u0301e\u0301", 3) == "e\u0301e\u0301e\u0301"


def test_headers_that_may_be_secret() -> None:
    headers = {"set-cookie": "a", "location": "https://u:p@x/y?z", "etag": "e"}
    assert shown_headers(headers) == {
        "set-cookie": "(not shown)",
        "location": "https://x/y",
        "etag": "e",
    }


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_heartbeats_are_counted_wherever_the_stream_is_cut(end: bytes) -> None:
    body = b": a||data: 1|: b|data: 2||||:|event: x||data: 3".replace(b"|", end)
    for pieces in [[body], *every_split(body), *([[body[i : i + 1] for i in range(len(body))]])]:
        pulse = Pulse("ui")
        for piece in pieces:
            pulse.feed(piece)
        assert (pulse.heartbeats, pulse.is_cut) == (5, True), pieces


def test_text_has_no_heartbeats() -> None:
    pulse = Pulse("text")
    pulse.feed(b": one\n\n\n")
    assert (pulse.heartbeats, pulse.is_cut) == (0, False)


def test_a_protocol_that_is_known_has_its_decoder() -> None:
    names = ("ui", "text", "json-sse", "data-stream")
    assert [decoder_of(name).protocol for name in names] == list(names)
