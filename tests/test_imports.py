"""What an import loads, and what waits until somebody asks for it."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import usechat


def printed(code: str) -> str:
    """What a program prints that runs in a process of its own."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def loaded(statement: str) -> set[str]:
    """The modules that a statement loads."""
    return set(printed(f"import sys\n{statement}\nprint(*sys.modules)").split())


def test_the_package_alone_loads_nothing() -> None:
    names = loaded("import usechat")
    assert {name for name in names if name.startswith("usechat.")} == set()
    assert names & {"httpx", "httpx_sse", "anyio", "asyncio", "pydantic"} == set()


@pytest.mark.parametrize(
    ("name", "foreign"),
    [
        ("ChatSession", {"usechat.session.aio", "usechat.session.async_turn"}),
        ("AsyncChatSession", {"usechat.session.threaded", "usechat.session.loop_thread"}),
        ("UIMessage", {"usechat.engine", "usechat.session", "usechat.transport", "httpx"}),
        ("HttpTransport", {"usechat.session", "usechat.tools"}),
    ],
)
def test_a_name_loads_what_it_needs(name: str, foreign: set[str]) -> None:
    names = loaded(f"from usechat import {name}")
    assert f"{getattr(usechat, name).__module__}" in names
    own = {"usechat.transport.asgi", "usechat.transport.direct", "usechat.transport.stream_chat"}
    assert names & (foreign | own | {"httpx_sse", "tkinter", "trio"}) == set()


def test_a_star_brings_every_name_and_no_toolkit_server_or_terminal() -> None:
    code = """
        import sys
        from usechat import *
        import usechat
        print(sorted(set(usechat.__all__) - set(globals())))
        heavy = {'starlette', 'uvicorn', 'sse_starlette', 'tkinter', 'PySide6', 'textual',
            'argparse', 'openai', 'trio', 'pytest', 'usechat.server', 'usechat.cli',
            'usechat.testing', 'usechat.hosts'}
        print(sorted(heavy & set(sys.modules)))
    """
    assert printed(code).split("\n") == ["[]", "[]"]


def test_programs_find_what_type_checkers_see() -> None:
    tree = ast.parse(Path(usechat.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.asname or alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == usechat._MODULES
    assert list(usechat._MODULES) == sorted(usechat._MODULES)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'usechat' has no attribute 'Chat'"):
        usechat.Chat  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Chat' from 'usechat'"):
        from usechat import Chat  # noqa: F401


def test_threads_that_ask_at_once_get_the_same() -> None:
    code = """
        import sys
        from concurrent.futures import ThreadPoolExecutor
        from threading import Barrier
        import usechat

        sys.setswitchinterval(1e-6)
        together = Barrier(8)

        def ask(number):
            together.wait()
            names = usechat.__all__ if number % 2 else reversed(usechat.__all__)
            return {name: getattr(usechat, name) for name in names}

        with ThreadPoolExecutor(8) as pool:
            first, *others = pool.map(ask, range(8))
        print(all(found == first for found in others))
    """
    assert printed(code) == "True"


def test_a_session_without_messages_builds_no_validators() -> None:
    code = """
        from usechat import AsyncChatSession, ChatSession
        from usechat.engine.draft import _validator_of_parts
        from usechat.model.chunk_validation import _validators

        with ChatSession("http://localhost:1/api/chat") as chat:
            chat.messages, AsyncChatSession("http://localhost:1/api/chat").messages
        print(_validators.cache_info().currsize, _validator_of_parts.cache_info().currsize)
    """
    assert printed(code) == "0 0"


def test_threads_that_validate_at_once() -> None:
    """The first reply of two sessions, one read on the library's thread, one on the host's."""
    code = """
        import sys
        from concurrent.futures import ThreadPoolExecutor
        from threading import Barrier
        from pydantic import ValidationError
        from usechat.engine.draft import DraftPart
        from usechat.model.chunk_validation import validate_chunk, validate_chunks

        sys.setswitchinterval(1e-6)
        together = Barrier(8)
        good = {"type": "text-delta", "id": "t", "delta": "Hi"}
        data = {"type": "data-x", "data": 1}

        def refused(function, value):
            try:
                function(value)
            except ValidationError as error:
                return error.errors(include_url=False)[0]["loc"]

        def read(number):
            together.wait()
            assert validate_chunks([good, good]) == [good, good]
            assert validate_chunk(data) == data
            return (
                refused(validate_chunk, {"type": "text-delta", "id": "t"}),
                refused(validate_chunks, [good, {"type": "finish", "finishReason": 1}]),
                DraftPart({"type": "text", "text": "Hi"}).build().text,
            )

        with ThreadPoolExecutor(8) as pool:
            print(*set(pool.map(read, range(8))))
    """
    assert printed(code) == "(('text-delta', 'delta'), (1, 'finish', 'finishReason'), 'Hi')"
