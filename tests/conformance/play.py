#!/usr/bin/env python3
"""Plays scenarios against AsyncChatSession and writes a trace of each.

    python tests/conformance/play.py < scenarios.jsonl > traces.jsonl
    python tests/conformance/play.py --partial-json < texts.jsonl > values.jsonl

A scenario is a chat with a scripted server and a list of actions; a trace is all that a caller can
observe. The session is the public one, with the real HTTP transport over a scripted httpx
transport. The network moves only when a step lets it, so that nothing depends on time.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anyio

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from network import Network
from player import Player

from usechat.engine.partial_json import UNDEFINED, parse_partial_json
from usechat.model.json import dumps


def trace_of(scenario: dict, backend: str = "asyncio") -> dict:
    """Play one scenario.

    Args:
        scenario: as it stands in a line of the file.
        backend: ``asyncio`` or ``trio``.
    """
    network = Network(scenario.get("replies", []), scenario.get("init", {}).get("protocol", "ui"))
    return anyio.run(Player(scenario, network).play, backend=backend)


def partial_json(text: str | None) -> dict:
    """What the begin of a JSON text is read as.

    Args:
        text: the begin; None stands for JavaScript's undefined.
    """
    value = UNDEFINED if text is None else parse_partial_json(text)
    return {} if value is UNDEFINED else {"value": json.loads(dumps(value))}


def main() -> None:
    play = partial_json if "--partial-json" in sys.argv[1:] else trace_of
    for line in sys.stdin:
        if line.strip():
            print(json.dumps(play(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
