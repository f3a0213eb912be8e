"""``usechat --openai``: a model in the terminal, without an endpoint."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cli_program import Program, Terminal

from usechat.cli import main
from usechat.cli.arguments import ChatOptions, parse
from usechat.cli.inspect.clients import decoder_of
from usechat.testing import FakeReply, FakeServer

sys.path.insert(0, str(Path(__file__).parent / "transport"))

from openai_server import KEY, TEXT, OpenAIServer, running_openai

EVENTS = {"content-type": "text/event-stream"}


class Result(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[OpenAIServer, str]]:
    with running_openai() as running:
        yield running


@pytest.fixture
def base(served: tuple[OpenAIServer, str]) -> str:
    served[0].bodies.clear()
    return served[1]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the program in this process."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def run(*arguments: str) -> Result:
        try:
            status = main(arguments)
        except SystemExit as end:
            status = int(str(end.code))
        return Result(status, *capsys.readouterr())

    return run


def authorized(base: str) -> list[str]:
    return ["--openai", "m", "--base-url", base, "--header", f"Authorization: Bearer {KEY}"]


def test_a_model_answers(base: str, served: tuple[OpenAIServer, str], run: Run) -> None:
    body = ["--body", '{"temperature": 0}']
    assert run(*authorized(base), "-m", "text", *body) == (0, TEXT, "")
    assert served[0].bodies == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "text"}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0,
        }
    ]


def test_events_of_a_model(base: str, run: Run) -> None:
    result = run(*authorized(base), "-m", "length", "--json")
    end = json.loads(result.out.strip().split("\n")[-1])
    assert (result.status, end["outcome"], end["finishReason"]) == (0, "completed", "length")


def test_a_call_waits_for_its_output(base: str, run: Run) -> None:
    result = run(*authorized(base), "-m", "one tool")
    assert (result.status, result.out) == (3, "Let me look.")
    assert "waits for the output of weather" in result.err


def test_the_environments_key_goes_nowhere_else(base: str, run: Run) -> None:
    result = run("--openai", "m", "--base-url", base, "-m", "text")
    assert (result.status, result.out) == (1, "")
    assert (
        "401 Unauthorized: You didn't provide an API key. Give a key by OPENAI_API_" in result.err
    )
    assert "or --header 'Authorization: Bearer KEY'." in result.err
    assert KEY not in result.err


def test_a_wrong_key_says_where_it_is_from(base: str, run: Run) -> None:
    wrong = ["--header", "Authorization: Bearer sk-wrong-9876543210"]
    result = run("--openai", "m", "--base-url", base, "-m", "text", *wrong)
    assert "provided: ***. Is the key right? It is from OPENAI_API_KEY (for https://" in result.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_ctrl_c_stops_the_model(base: str, served: tuple[OpenAIServer, str]) -> None:
    with Program(*authorized(base), "-m", "endless") as program:
        program.out.until("Hello there")
        program.interrupt()
        assert (program.status(), program.err.rest()) == (130, "")
    assert served[0].left.acquire(timeout=10)


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of Unix")
def test_a_chat_in_which_the_user_is_the_tool(base: str) -> None:
    with Terminal(*authorized(base)) as terminal:
        terminal.see(f"with {base}.")
        terminal.say("one tool")
        terminal.say("rain", after="Output for weather")
        terminal.see("I am told: rain")
        terminal.say("/quit")
        assert terminal.process.wait(10) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--base-url", "http://localhost/v1"], "--base-url needs --openai"),
        (["--openai", "m", "http://localhost/v1"], "--openai asks a model and no endpoint"),
        (["--openai", "m", "--protocol", "ui"], "--openai says the protocol"),
        (["--openai", ""], "model: expected a name, got ''"),
        (["--openai", "m", "--base-url", "localhost"], "is not a whole URL"),
        (["--protocol", "openai"], "--protocol openai needs a URL"),
        (["inspect", "--protocol", "openai"], "--protocol openai needs a URL"),
    ],
)
def test_what_does_not_go_together(arguments: list[str], said: str, run: Run) -> None:
    result = run(*arguments)
    assert result.status == 2
    assert said in result.err


def test_openais_own_api_is_the_default() -> None:
    assert parse(["--openai", "gpt-5"]) == ChatOptions(openai="gpt-5")


CHOICE = {"index": 0, "delta": {"content": "Hi"}}


@pytest.mark.parametrize(
    ("reason", "said"),
    [("stop", "it is OpenAI's own stream"), (None, "neither a finish reason nor [DONE] ends it")],
)
def test_a_stream_that_an_endpoint_passes_on(reason: str | None, said: str, run: Run) -> None:
    event = f"data: {json.dumps({'choices': [{**CHOICE, 'finish_reason': reason}]})}\n\n".encode()
    with FakeServer([FakeReply(event, headers=EVENTS)]) as server:
        result = run("inspect", server.url, "--protocol", "openai")
    assert result.status == 3
    assert said in result.out
    assert decoder_of("openai").protocol == "openai"
