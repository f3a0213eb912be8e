"""usechat does what the JavaScript SDK does, scenario by scenario."""

from __future__ import annotations

import gzip
import io
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import compare  # noqa: E402
import play  # noqa: E402


def lines(name: str) -> list[Any]:
    with gzip.open(HERE / "data" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def excluded() -> set[str]:
    text = (HERE / "exclusions.txt").read_text(encoding="utf-8")
    return {line.split("#")[0].strip() for line in text.split("\n")} - {""}


TRACES = {trace["name"]: trace for trace in [*lines("traces"), *lines("random_traces")]}
JUDGED = [s for s in lines("scenarios") if s["name"] not in excluded()]
RANDOM = [s for s in lines("random_scenarios") if not compare.shows_fault(TRACES[s["name"]])]


@pytest.fixture(params=["asyncio", "trio", "thread"])
def host(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where a scenario is played: AsyncChatSession on two backends, and ChatSession."""
    before = set(threading.enumerate())
    yield request.param
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    assert left in ([], ["usechat"])  # the one that reads for all sessions stays


def differences(scenario: dict[str, Any], host: str) -> list[str]:
    """The levels on which our trace of a scenario differs from the SDK's."""
    want = TRACES[scenario["name"]]
    # The SDK guesses from the wording whether a connection broke; here it is always told.
    guessed = any(e["e"] == "error" and e.get("name") == "TypeError" for e in want["events"])
    have = json.loads(json.dumps(play.trace_of(scenario, host)))
    wanted, had = compare.view(want, guessed), compare.view(have, guessed)
    return [level for level in compare.LEVELS if not compare.same(wanted[level], had[level])]


def test_no_scenario_is_missing() -> None:
    assert len(JUDGED) == 492
    assert len(RANDOM) > 430


@pytest.mark.parametrize("scenario", JUDGED, ids=[s["name"] for s in JUDGED])
def test_scenario(scenario: dict[str, Any], host: str) -> None:
    assert differences(scenario, host) == []


@pytest.mark.parametrize("scenario", RANDOM, ids=[s["name"] for s in RANDOM])
def test_random_scenario(scenario: dict[str, Any], host: str) -> None:
    assert differences(scenario, host) == []


def test_a_difference_is_seen(host: str) -> None:
    """The comparison itself can fail."""
    scenario = next(s for s in JUDGED if s["name"] == "text/basic")
    changed = json.loads(json.dumps(scenario).replace("delta", "Delta"))
    assert differences(changed, host)


@pytest.mark.parametrize("arguments", [[], ["--threaded"]])
def test_the_command_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = json.dumps(JUDGED[0])
    monkeypatch.setattr(sys, "argv", ["play.py", *arguments])
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{scenario}\n\n{scenario}\n"))
    play.main()
    traces = [json.loads(line) for line in capsys.readouterr().out.split("\n")[:-1]]
    assert [trace["name"] for trace in traces] == [JUDGED[0]["name"]] * 2


def test_partial_json() -> None:
    texts, values = lines("partial_json"), lines("partial_json_values")
    assert len(texts) == 300
    for text, want in zip(texts, values, strict=True):
        have = play.partial_json(text)
        assert ("value" in have) == ("value" in want), text
        assert compare.same(have.get("value"), want.get("value")), text
