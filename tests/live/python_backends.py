"""The Python servers of the live tests: what each is, what it can do, and in which words.

A program may serve several backends, each at a path of its own: it is started once for all.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

FOLDER = Path(__file__).parent / "python"

ODD = (
    "a\u2028b\u2029c\u0085d\u000be\u000cf\u001cg\r\nh\ri\n\nj e\u0301 \u00e9 \u65e5\u672c\u8a9e "
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f600 \"double\" 'single' \\back\\ "
    '\ufeff\u0000\u007f data: [DONE]\n\ndata: {"type":"error"} \u202eend'
)
"""The reply to "text", as `python/scripted.py` has it."""

DEMO_ODD = (
    "Emoji \U0001f30d \U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 "
    "\U0001f1f3\U0001f1f4, combining e\u0301 n\u0303 a\u0328\u0301, "
    "Hebrew \u05e9\u05dc\u05d5\u05dd, Chinese \u4f60\u597d, "
    "Arabic \u0645\u0631\u062d\u0628\u0627, "
    "U+2028 [\u2028] U+2029 [\u2029] U+0085 [\u0085] a null [\u0000] a tab [\t] "
    "quotes \" ' \\ and data: [DONE] at the end."
)
"""The demo's reply to "odd"."""


class Said(NamedTuple):
    """What a scenario says to a backend, and what it gets.

    Attributes:
        ask: what the user writes.
        text: the text of the reply, or as much of it as comes.
        tool: the name of the tool that is called.
        error: what the server says of an error.
        yes, no: the text after an approval and after a denial for the reason "too risky".
    """

    ask: str
    text: str = ""
    tool: str = ""
    error: str = ""
    yes: str = ""
    no: str = ""


_TOLD = 'The tool said [{"type":"json","value":%s}].'

SCRIPTED: Mapping[str, Said] = MappingProxyType(
    {
        "text": Said("text", ODD),
        "server tool": Said(
            "server tool",
            "Looking it up.\n\n" + _TOLD % '{"city":"Osl\u00f3","degrees":-3.5}',
            "weather",
        ),
        "client tool": Said("client tool", _TOLD % '{"place":"Osl\u00f3"}', "location"),
        "approval": Said(
            "approval",
            tool="deleteFile",
            yes=_TOLD % '{"deleted":"a b.txt"}',
            no='The tool said [{"type":"execution-denied","reason":"too risky"}].',
        ),
        "error": Said("error", "Half a sen", error="The server says: provider exploded"),
        "stop": Said("stall", "Once upon a time"),
        "regenerate": Said("count", "Answer {}."),
    }
)
"""The words of `python/scripted.py`; the client tool is answered ``{"place": "Osl\u00f3"}``."""

DEMO: Mapping[str, Said] = MappingProxyType(
    {
        "text": Said("odd", DEMO_ODD),
        "server tool": Said(
            "server tool",
            "I look up the weather in Oslo.\n\nIt is 28 degrees in Oslo, with a clear sky.",
            "get_weather",
        ),
        "client tool": Said(
            "client tool", 'Your clock says {"place":"Osl\u00f3"}.', "get_local_time"
        ),
        "approval": Said(
            "approval",
            "I can delete the old logs, but only if you allow it.",
            tool="delete_files",
            yes="Done, with your approval: 3 files are gone.",
            no="You denied it (too risky), so nothing was deleted.",
        ),
        "error": Said(
            "error",
            "This reply breaks off in the middle of ",
            error="The demo failed, as you asked.",
        ),
        "stop": Said("stall", "Now nothing comes any more, until you stop me "),
        "regenerate": Said("hello"),
        "resume": Said("long 60"),
    }
)
"""The demo's words; its replies to "client tool" and to an approval follow an introduction."""

TOOLS = frozenset({"server tool", "client tool"})
BASICS = frozenset({"text", "error", "stop", "edit", "regenerate"})


class PythonBackend(NamedTuple):
    """A backend that a program of `python/` serves.

    Attributes:
        name: of the backend, for people.
        package: the package on PyPI that it is about; empty where it is our own code.
        program: the file in `python/`.
        path: of its chat.
        can: the scenarios that it can do.
        options: of the session that talks to it.
        said: the words.
        always: whether it runs without ``USECHAT_LIVE=all`` too.
        slow_path: where its replies take some time, for what happens in the middle of one.
    """

    name: str
    package: str
    program: str
    path: str
    can: frozenset[str]
    options: Mapping[str, Any] = MappingProxyType({})
    said: Mapping[str, Said] = SCRIPTED
    always: bool = False
    slow_path: str = ""

    @property
    def version(self) -> str | None:
        """The version that is installed, None where it is missing."""
        try:
            return importlib.metadata.version(self.package or "usechat")
        except importlib.metadata.PackageNotFoundError:
            return None

    @property
    def folder(self) -> Path:
        """Where the program is."""
        return FOLDER

    def command(self) -> list[str]:
        """What starts the program; skips the test where its package is missing."""
        if self.version is None:
            pytest.skip(f"needs the package {self.package}")
        return [sys.executable, self.program]


def _pydantic_ai(name: str, path: str, can: frozenset[str]) -> PythonBackend:
    program = "pydantic_ai_server.py"
    return PythonBackend(name, "pydantic-ai-slim", program, path, can, always=True)


_PYDANTIC_AI = BASICS | TOOLS | {"approval"}
_UNFINISHED = MappingProxyType({"require_finish": False})

BACKENDS: tuple[PythonBackend, ...] = (
    # For SDK 5 it sends no approvals: the call just stays unanswered.
    _pydantic_ai("pydantic-ai-sdk5", "/5/api/chat", BASICS | TOOLS),
    _pydantic_ai("pydantic-ai-sdk6", "/6/api/chat", _PYDANTIC_AI),
    _pydantic_ai("pydantic-ai-sdk7", "/7/api/chat", _PYDANTIC_AI),
    _pydantic_ai("pydantic-ai-web", "/web/api/chat", _PYDANTIC_AI),
    # It has no event for approvals.
    PythonBackend(
        "fastapi-ai-sdk",
        "fastapi-ai-sdk",
        "fastapi_ai_sdk_server.py",
        "/api/chat",
        BASICS | TOOLS,
    ),
    # A call's input never ends, so a client tool cannot be answered; approvals are unknown to it.
    PythonBackend(
        "assistant-stream",
        "assistant-stream",
        "assistant_stream_server.py",
        "/api/chat",
        BASICS | {"server tool"},
        _UNFINISHED,
    ),
    PythonBackend(
        "fastapi-by-hand",
        "fastapi",
        "fastapi_server.py",
        "/api/chat",
        BASICS | TOOLS | {"approval"},
        _UNFINISHED,
    ),
    # Its answers to a question are all the same, so that only the ids tell a regenerated one.
    PythonBackend(
        "usechat-demo",
        "",
        "demo_server.py",
        "/api/chat",
        BASICS | TOOLS | {"approval", "resume"},
        said=DEMO,
        slow_path="/paced/api/chat?resumable=1",
    ),
)
"""Nobody but the demo can resume: with ``?resumable=1``, for mid-reply at `/paced/api/chat`."""
