"""The OpenAI example as its user runs it, against a local server that speaks OpenAI's API."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

EXAMPLE = Path(__file__).parent.parent / "examples" / "openai_stream_server.py"
KEY = "sk-test-0123456789abcdef"


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def delta(content: str | None, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish_reason}
    return event({"id": "c1", "object": "chat.completion.chunk", "created": 1, "choices": [choice]})


class FakeOpenAI:
    """What a message's text asks for is how the completion goes."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.stopped = threading.Event()
        self.app = Starlette(routes=[Route("/v1/chat/completions", self.answer, methods=["POST"])])

    async def answer(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append((request.headers["authorization"], body))
        how = body["messages"][-1]["content"]
        if how == "bad key":
            message = f"Incorrect API key provided: {KEY}"
            return JSONResponse({"error": {"message": message, "code": "invalid_api_key"}}, 401)
        return StreamingResponse(self.stream(how), media_type="text/event-stream")

    async def stream(self, how: str) -> AsyncIterator[bytes]:
        yield delta("")
        yield delta("Hel")
        yield delta("lo \u2028🌍")
        if how == "hang":
            try:
                await anyio.sleep_forever()
            finally:
                self.stopped.set()
        elif how == "fail":
            yield event({"error": {"message": f"No quota for {KEY}"}})
        elif how == "garbage":
            yield b"data: {no json\n\n"
        elif how == "broken":
            raise RuntimeError("the connection breaks")
        elif how != "cut":
            yield delta(None, "stop")
            usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
            yield event({"id": "c1", "choices": [], "usage": usage})
            yield b"data: [DONE]\n\n"


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """Serve an app in a thread; the socket listens before the server runs, so nothing waits."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def example(command: list[str], openai_url: str, **env: str) -> Iterator[tuple[str, list[str]]]:
    """Run the example; gives its URL and, once it is over, what it wrote to its log."""
    settings = {"OPENAI_BASE_URL": openai_url, "OPENAI_API_KEY": KEY, "PORT": "0", **env}
    log: list[str] = []
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=EXAMPLE.parent,
        env={**os.environ, **settings},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        assert process.stdout
        try:
            for line in process.stderr:
                log.append(line)
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    break
            assert found, "".join(log)
            yield found[0], log
        finally:
            process.terminate()
            log += [process.stderr.read(), process.stdout.read()]


@pytest.fixture(scope="module")
def openai() -> Iterator[tuple[FakeOpenAI, str]]:
    fake = FakeOpenAI()
    with served(fake.app) as url:
        yield fake, url


@pytest.fixture(scope="module")
def url(openai: tuple[FakeOpenAI, str]) -> Iterator[str]:
    with example([EXAMPLE.name], openai[1], OPENAI_MODEL="some-model") as (url, log):
        yield f"{url}/api/stream"
    assert KEY not in "".join(log)


def ask(url: str, message: str) -> list[Any]:
    answer = httpx.post(url, json={"message": message}, trust_env=False, timeout=20)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert KEY not in answer.text
    blocks = re.split(r"\r\n\r\n|\n\n", answer.text.rstrip())
    data = [block.removeprefix("data: ") for block in blocks]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


def test_a_completion_streams_as_text_and_done(url: str, openai: tuple[FakeOpenAI, str]) -> None:
    assert ask(url, "Say hello") == [{"text": "Hel"}, {"text": "lo \u2028🌍"}, "[DONE]"]
    authorization, body = openai[0].requests[-1]
    assert authorization == f"Bearer {KEY}"
    assert body == {
        "model": "some-model",
        "messages": [{"role": "user", "content": "Say hello"}],
        "stream": True,
    }


@pytest.mark.parametrize("how", ["fail", "garbage", "broken", "cut"])
def test_a_failure_in_mid_text_is_an_error_without_done(url: str, how: str) -> None:
    *texts, last = ask(url, how)
    assert texts == [{"text": "Hel"}, {"text": "lo \u2028🌍"}]
    assert list(last) == ["error"]
    assert "OpenAI" in last["error"]


def test_a_refused_key_is_an_error_that_does_not_tell_it(url: str) -> None:
    assert ask(url, "bad key") == [{"error": "OpenAI: 401"}]


def test_a_disconnect_stops_the_completion(url: str, openai: tuple[FakeOpenAI, str]) -> None:
    with httpx.stream("POST", url, json={"message": "hang"}, trust_env=False) as response:
        next(response.iter_raw())
        assert not openai[0].stopped.is_set()
    assert openai[0].stopped.wait(10)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"{}"])
def test_a_bad_request_is_told_what_to_send(url: str, body: bytes) -> None:
    answer = httpx.post(url, content=body, trust_env=False)
    assert answer.status_code == 400
    assert "message" in answer.json()["error"]


def test_it_runs_with_uvicorn_too(openai: tuple[FakeOpenAI, str]) -> None:
    command = ["-m", "uvicorn", "openai_stream_server:app", "--port", "0"]
    with example(command, openai[1]) as (base, _):
        assert ask(f"{base}/api/stream", "Say hello")[-1] == "[DONE]"


def test_it_says_at_the_start_when_there_is_no_key() -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    run = subprocess.run(
        [sys.executable, EXAMPLE], env=env, capture_output=True, text=True, check=False
    )
    assert run.returncode
    assert "OPENAI_API_KEY" in run.stderr


def test_it_fits_one_screen() -> None:
    assert len(EXAMPLE.read_text().split("\n")) <= 42
