"""The backends of the live tests: what each is, how it is started, what it can do.

To add one, write a program that prints {"port": N} once it listens on 127.0.0.1, ends with its
stdin, and writes to stderr only what is a fault of its own. It answers the routes at the head of
`node/common.mjs`, and the words of ``SCRIPTED`` as that script does. In Node it gets a folder with
package.json and package-lock.json, versions exact, and a ``NodeBackend`` below; in Python it is a
file of `python/` and a ``PythonBackend`` in `python_backends.py`. What it cannot do is left out of
``can``: a scenario of `test_backends.py` is collected only for the backends that have it there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import python_backends
from live_server import find_node, install
from python_backends import BASICS, SCRIPTED, TOOLS, PythonBackend, Said


class NodeBackend(NamedTuple):
    """A package of npm with a scripted model, a folder of its own.

    Attributes:
        name: of the backend, for people.
        package: the package on npm that it is about.
        can: the scenarios that it can do.
        options: of the session that talks to it.
        always: whether it runs without ``USECHAT_LIVE=all`` too.
        said: the words.
        program: the file in its folder.
        path: of its chat.
        slow_path: the same.
    """

    name: str
    package: str
    can: frozenset[str]
    options: Mapping[str, Any] = MappingProxyType({})
    always: bool = False
    said: Mapping[str, Said] = MappingProxyType(
        {**SCRIPTED, "resume": Said("slow", "One two three four five")}
    )
    program: str = "server.mjs"
    path: str = "/api/chat"
    slow_path: str = "/api/chat"

    @property
    def folder(self) -> Path:
        """Where the program and its packages are."""
        return Path(__file__).parent / self.name

    @property
    def version(self) -> str:
        """The version that is pinned."""
        package = json.loads((self.folder / "package.json").read_text("utf-8"))
        return str(package["dependencies"][self.package])

    def command(self) -> list[str]:
        """What starts the program, its packages installed; skips the test without Node."""
        node, npm = find_node()
        install(npm, self.folder)
        return [node, self.program]


Backend: TypeAlias = NodeBackend | PythonBackend

_UI = BASICS | TOOLS | {"resume"}

AI7 = NodeBackend("ai7", "ai", _UI | {"approval"}, always=True)

BACKENDS: tuple[Backend, ...] = (
    # It has no approvals and no resume of its own.
    NodeBackend("ai4", "ai", BASICS | TOOLS, MappingProxyType({"request_format": "data-stream"})),
    NodeBackend("ai5", "ai", _UI, always=True),
    NodeBackend("ai6", "ai", _UI | {"approval"}, always=True),
    AI7,
    # The answer to an approval is lost in its conversion of messages; it has no resume of its own.
    NodeBackend("langchain", "@ai-sdk/langchain", BASICS | TOOLS),
    *python_backends.BACKENDS,
)
