#!/usr/bin/env python3
"""Plays scenarios against AsyncChatSession or ChatSession and writes a trace of each.

    python tests/conformance/play.py < scenarios.jsonl > traces.jsonl
    python tests/conformance/play.py --threaded < scenarios.jsonl > traces.jsonl
    python tests/conformance/play.py --partial-json < texts.jsonl > values.jsonl

A scenario is a chat with a scripted server and a list of actions; a trace is all that a caller can
observe. The session is the public one, with the real HTTP transport over a scripted httpx
transport. The network moves only when a step lets it, so that nothing depends on time.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import anyio

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from async_player import AsyncPlayer
from network import Network
from threaded_network import ThreadedNetwork
from threaded_player import ThreadedPlayer

from usechat.engine.partial_json import UNDEFINED, parse_partial_json
from usechat.model.json import dumps


def trace_of(scenario: dict, host: str = "asyncio") -> dict:
    """Play one scenario.

    Args:
        scenario: as it stands in a line of the file.
        host: ``asyncio`` or ``trio``, for AsyncChatSession; ``thread``, for ChatSession.
    """
    script = scenario.get("replies", []), scenario.get("init", {}).get("protocol", "ui")
    if host == "thread":
        return ThreadedPlayer(scenario, ThreadedNetwork(*script)).play()
    return anyio.run(AsyncPlayer(scenario, Network(*script)).play, backend=host)


def partial_json(text: str | None) -> dict:
    """What the begin of a JSON text is read as.

    Args:
        text: the begin; None stands for JavaScript's undefined.
    """
    value = UNDEFINED if text is None else parse_partial_json(text)
    return {} if value is UNDEFINED else {"value": json.loads(dumps(value))}


def main() -> None:
    play = trace_of
    if "--partial-json" in sys.argv[1:]:
        play = partial_json
    elif "--threaded" in sys.argv[1:]:
        play = partial(trace_of, host="thread")
    for line in sys.stdin:
        if line.strip():
            print(json.dumps(play(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
