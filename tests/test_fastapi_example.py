"""The FastAPI examples as their user runs them: the server, and the client that talks to it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from usechat import ChatSession, HTTPStatusError, ServerError, TextDelta

EXAMPLES = Path(__file__).parent.parent / "examples"
SERVER = EXAMPLES / "fastapi_server.py"
CLIENT = EXAMPLES / "fastapi_client.py"

# Found, not imported: the tests need it in another process only.
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("fastapi") is None, reason="needs FastAPI: pip install fastapi"
)


@contextmanager
def serving(*command: str) -> Iterator[str]:
    """Run the server; gives the URL of its chat."""
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=EXAMPLES,
        env={**os.environ, "PORT": "0"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stderr
        lines: list[str] = []
        try:
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    break
            assert found, "".join(lines)
            yield f"{found[0]}/api/chat"
        finally:
            process.terminate()
            process.stderr.read()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(SERVER.name) as url:
        yield url


def test_the_client_prints_what_its_comment_says(url: str) -> None:
    source = CLIENT.read_text("utf-8")
    comment = source.partition("# It prints, the answers word by word:\n#\n")[2]
    run = subprocess.run(
        [sys.executable, CLIENT.name, url], cwd=EXAMPLES, capture_output=True, text=True, check=True
    )
    assert run.stdout == re.sub(r"^# ?", "", comment, flags=re.MULTILINE)
    assert run.stderr == ""


@pytest.mark.parametrize("strict", [False, True])
def test_an_answer_comes_word_by_word(url: str, strict: bool) -> None:
    with ChatSession(url, strict=strict) as chat:
        turn = chat.send_message("odd \u2028  \u65e5\u672c \U0001f600\n")
        pieces = list(turn)

        assert "".join(pieces) == (
            'You said "odd \u2028  \u65e5\u672c \U0001f600\n". That was question 1.'
        )
        assert len(pieces) > 1
        assert (turn.outcome, turn.finish_reason) == ("completed", "stop")


def test_the_next_question_and_another_answer(url: str) -> None:
    with ChatSession(url) as chat:
        chat.send_message("one").wait()
        assert chat.send_message("two").result().text == 'You said "two". That was question 2.'
        assert chat.regenerate().result().text == 'You said "two". That was question 2.'
        assert len(chat.messages) == 4


def test_a_stop_keeps_what_came(url: str) -> None:
    with ChatSession(url, throttle=0) as chat:
        with chat.on(TextDelta, lambda _: chat.stop()):
            turn = chat.send_message("a b c d e f g h").wait()

        assert turn.outcome == "stopped"
        assert 'You said "a b c d e f g h". That was question 1.'.startswith(turn.text)
        assert chat.send_message("more").result().text.endswith("question 2.")


def test_a_model_that_fails_is_an_error_that_tells_little(url: str) -> None:
    answer = {"id": "m1", "role": "assistant", "parts": [{"type": "text", "text": "Hm?"}]}
    with ChatSession(url, messages=[answer]) as chat:  # no question: the rule fails
        turn = chat.send_message(None).wait()

        assert isinstance(turn.error, ServerError)
        assert turn.error.error_text == "The model failed: IndexError"


@pytest.mark.parametrize("body", [{}, {"messages": []}, {"messages": [{"role": "user"}]}, []])
def test_a_bad_request_is_told_what_is_wrong(url: str, body: Any) -> None:
    answer = httpx.post(url, json=body, trust_env=False)
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_a_wrong_path_is_an_error_of_the_session(url: str) -> None:
    with ChatSession(f"{url}s") as chat:
        turn = chat.send_message("Hello").wait()
        assert isinstance(turn.error, HTTPStatusError)
        assert turn.error.status_code == 404


def test_it_runs_with_uvicorn_too() -> None:
    with (
        serving("-m", "uvicorn", "fastapi_server:app", "--port", "0") as url,
        ChatSession(url) as chat,
    ):
        assert chat.send_message("Hello").result().text.startswith('You said "Hello".')


@pytest.mark.parametrize("example", [SERVER, CLIENT], ids=lambda path: path.stem)
def test_they_fit_one_screen(example: Path) -> None:
    assert len(example.read_text("utf-8").split("\n")) <= 53
