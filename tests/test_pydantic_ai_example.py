"""The pydantic-ai example as its user runs it: without a key, and with one."""

from __future__ import annotations

import importlib.util
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

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from usechat import ChatSession, ServerError

EXAMPLE = Path(__file__).parent.parent / "examples" / "pydantic_ai_server.py"
KEY = "sk-test-0123456789abcdef"

# Found, not imported: the tests need it in another process only, and it takes a second.
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pydantic_ai") is None,
    reason="needs pydantic-ai: pip install 'pydantic-ai-slim[ui,openai]'",
)


@contextmanager
def serving(**env: str) -> Iterator[tuple[str, list[str]]]:
    """Run the example; gives the URL of its chat and, once it is over, what it wrote."""
    settings = {name: value for name, value in os.environ.items() if "OPENAI" not in name}
    log: list[str] = []
    with subprocess.Popen(
        [sys.executable, EXAMPLE.name],
        cwd=EXAMPLE.parent,
        env={**settings, "PORT": "0", **env},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stderr
        try:
            for line in process.stderr:
                log.append(line)
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    break
            assert found, "".join(log)
            yield f"{found[0]}/api/chat", log
        finally:
            process.terminate()
            log.append(process.stderr.read())


class FakeOpenAI:
    """Calls the tool once, then tells of it; a question with "fail" in it fails."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.app = Starlette(routes=[Route("/v1/chat/completions", self.answer, methods=["POST"])])

    async def answer(self, request: Request) -> StreamingResponse:
        body = await request.json()
        self.requests.append((request.headers["authorization"], body))
        last = body["messages"][-1]
        return StreamingResponse(
            self.stream(self.deltas(last)),
            400 if "fail" in str(last["content"]) else 200,
            media_type="text/event-stream",
        )

    def deltas(self, last: dict[str, Any]) -> list[dict[str, Any]]:
        if last["role"] == "tool":
            return [{"content": "It is clear \u2028"}, {"content": "in Oslo \U0001f30d."}]
        function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
        call = {"index": 0, "id": "call-1", "type": "function", "function": function}
        return [{"role": "assistant", "tool_calls": [call]}]

    async def stream(self, deltas: list[dict[str, Any]]) -> AsyncIterator[str]:
        reason = "tool_calls" if "tool_calls" in deltas[0] else "stop"
        for delta in [*deltas, {}]:
            choice = {"index": 0, "delta": delta, "finish_reason": None if delta else reason}
            chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
            yield f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n"
        yield "data: [DONE]\n\n"


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


def test_without_a_key_its_test_model_calls_the_tool() -> None:
    with serving() as (url, _), ChatSession(url) as chat:
        turn = chat.send_message("How is the weather?").wait()

        assert turn.outcome == "completed"
        (call,) = turn.message.tool_parts
        assert (call.tool_name, call.state) == ("weather", "output-available")
        assert json.loads(turn.text) == {"weather": call.output}
        assert chat.send_message("And now?").wait().outcome == "completed"


def test_with_a_key_openai_answers() -> None:
    fake = FakeOpenAI()
    with (
        served(fake.app) as openai,
        serving(OPENAI_API_KEY=KEY, OPENAI_BASE_URL=openai) as (url, log),
        ChatSession(url) as chat,
    ):
        turn = chat.send_message("How is the weather in Oslo?").wait()
        assert turn.text == "It is clear \u2028in Oslo \U0001f30d."
        assert turn.finish_reason == "stop"
        (call,) = turn.message.tool_parts
        assert call.input == {"city": "Oslo"}
        assert call.output == {"city": "Oslo", "degrees": 21, "sky": "clear"}

        failed = chat.send_message("Please fail").wait()
        assert isinstance(failed.error, ServerError)
        assert KEY not in failed.error.error_text
    assert KEY not in "".join(log)
    assert [authorization for authorization, _ in fake.requests] == [f"Bearer {KEY}"] * 3
    sent = fake.requests[0][1]
    assert sent["messages"][-1] == {"role": "user", "content": "How is the weather in Oslo?"}
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["weather"]


def test_it_fits_one_screen() -> None:
    assert len(EXAMPLE.read_text("utf-8").split("\n")) <= 42
