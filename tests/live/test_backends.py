"""One set of scenarios against all sorts of real servers, the protocol detected.

Each looks at both ends: what the client shows, and what the server's log says it received.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from backends import BACKENDS, Backend, NodeBackend
from live_server import REPLY_SECONDS, LiveServer
from python_backends import DEMO

from usechat import (
    AsyncChatSession,
    ChatSession,
    ServerError,
    TextDelta,
    last_assistant_message_is_complete_with_approval_responses,
    last_assistant_message_is_complete_with_tool_calls,
)

pytestmark = [pytest.mark.anyio, pytest.mark.live]

PLACE = {"place": "Osl\u00f3"}


def that_can(scenario: str) -> pytest.MarkDecorator:
    """The backends that can do a scenario."""
    able = [backend for backend in BACKENDS if scenario in backend.can]
    return pytest.mark.parametrize("backend", able, ids=lambda backend: backend.name)


def chat_with(live: LiveServer, backend: Backend, **options: Any) -> AsyncChatSession:
    return AsyncChatSession(live.base + backend.path, **{**backend.options, **options})


def user_texts(body: dict[str, Any]) -> list[str]:
    """The texts of the user messages that a request carried."""
    asked = [message for message in body["messages"] if message["role"] == "user"]
    return ["".join(p["text"] for p in m["parts"] if p["type"] == "text") for m in asked]


def runs_of(backend: Backend, tool: str) -> list[str]:
    """What the log has of a tool that ran once; the demo's script only says that it did."""
    return [] if backend.said is DEMO else [tool]


def has_value(body: Any, value: Any) -> bool:
    """Whether a JSON value is anywhere in another: each protocol has its own place for it."""
    if body == value:
        return True
    inner = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    return any(has_value(each, value) for each in inner)


@that_can("text")
async def test_a_text_arrives_exactly(live: LiveServer, backend: Backend) -> None:
    said = backend.said["text"]
    async with chat_with(live, backend) as chat:
        turn = chat.send_message(said.ask)
        pieces = [piece async for piece in turn]

        assert "".join(pieces) == turn.text == chat.messages[-1].text == said.text
        assert (turn.outcome, turn.error, chat.status) == ("completed", None, "ready")
        assert turn.finish_reason in ("stop", None)
        assert [message.role for message in chat.messages] == ["user", "assistant"]
        (body,) = (await live.log()).bodies
        assert user_texts(body) == [said.ask]
        assert body["id"] == chat.id


@that_can("text")
async def test_odd_characters_reach_the_server(live: LiveServer, backend: Backend) -> None:
    odd = backend.said["text"].text
    async with chat_with(live, backend) as chat:
        turn = await chat.send_message(odd)

        assert turn.outcome == "completed"
        assert user_texts((await live.log()).bodies[0]) == [odd]


@that_can("server tool")
async def test_a_tool_of_the_server(live: LiveServer, backend: Backend) -> None:
    said = backend.said["server tool"]
    async with chat_with(live, backend) as chat:
        turn = await chat.send_message(said.ask)

        (part,) = turn.message.tool_parts
        assert (part.tool_name, part.state) == (said.tool, "output-available")
        assert part.input
        assert part.output
        assert turn.text == said.text
        assert (turn.outcome, turn.pending) == ("completed", ())
        log = await live.log()
        assert len(log.bodies) == 1
        assert [run["name"] for run in log.tool_runs] == runs_of(backend, said.tool)


@that_can("client tool")
async def test_a_tool_of_the_client(live: LiveServer, backend: Backend) -> None:
    said = backend.said["client tool"]
    goes_on = last_assistant_message_is_complete_with_tool_calls
    async with chat_with(live, backend, send_automatically_when=goes_on) as chat:
        asked = await chat.send_message(said.ask)
        assert asked.outcome == "completed"
        (part,) = asked.pending
        assert (part.tool_name, part.state) == (said.tool, "input-available")

        answered = await chat.add_tool_output(part.tool_call_id, PLACE)
        assert (answered.outcome, answered.error) == ("completed", None)
        assert answered.text == said.text
        assert [message.role for message in chat.messages] == ["user", "assistant"]
        (done,) = chat.messages[-1].tool_parts
        assert (done.state, done.output) == ("output-available", PLACE)
        log = await live.log()
        assert (len(log.bodies), log.tool_runs) == (2, [])
        assert has_value(log.bodies[1]["messages"], PLACE)


@that_can("approval")
@pytest.mark.parametrize("approved", [True, False], ids=["yes", "no"])
async def test_an_approval(live: LiveServer, backend: Backend, approved: bool) -> None:
    said = backend.said["approval"]
    goes_on = last_assistant_message_is_complete_with_approval_responses
    async with chat_with(live, backend, send_automatically_when=goes_on) as chat:
        asked = await chat.send_message(said.ask)
        (part,) = asked.pending
        assert (part.tool_name, part.state) == (said.tool, "approval-requested")
        assert part.approval is not None

        reason = None if approved else "too risky"
        turn = await chat.add_tool_approval_response(part.approval.id, approved, reason)
        assert (turn.outcome, turn.error, turn.pending) == ("completed", None, ())
        assert turn.text == (said.yes if approved else said.no)
        (settled,) = chat.messages[-1].tool_parts
        assert settled.state == ("output-available" if approved else "output-denied")
        log = await live.log()
        assert len(log.bodies) == 2
        ran = runs_of(backend, said.tool) if approved else []
        assert [run["name"] for run in log.tool_runs] == ran


@that_can("error")
async def test_an_error_in_mid_text(live: LiveServer, backend: Backend) -> None:
    said = backend.said["error"]
    async with chat_with(live, backend) as chat:
        turn = await chat.send_message(said.ask)

        assert (turn.outcome, turn.text) == ("error", said.text)
        assert isinstance(turn.error, ServerError)
        assert said.error in turn.error.error_text
        assert (chat.status, chat.error) == ("error", turn.error)
        after = await chat.send_message("and now?")
        assert (after.outcome, chat.status) == ("completed", "ready")


@that_can("stop")
async def test_a_stop_is_seen_by_the_server(live: LiveServer, backend: Backend) -> None:
    said = backend.said["stop"]
    async with chat_with(live, backend, throttle=0) as chat:
        heard = ""

        def listen(event: TextDelta) -> None:
            nonlocal heard
            heard += event.text
            if heard == said.text:
                chat.stop()

        with chat.on(TextDelta, listen):
            turn = await chat.send_message(said.ask)

        assert (turn.outcome, turn.text) == ("stopped", said.text)
        assert (await live.wait_abort())["chatId"] in (chat.id, None)
        after = await chat.send_message("go on")
        assert (after.outcome, chat.status, chat.error) == ("completed", "ready", None)


@that_can("edit")
async def test_an_edit_cuts_the_history(live: LiveServer, backend: Backend) -> None:
    async with chat_with(live, backend) as chat:
        await chat.send_message("one")
        await chat.send_message("two")
        first = chat.messages[0]

        turn = await chat.send_message("uno", message_id=first.id)

        assert turn.outcome == "completed"
        assert [message.role for message in chat.messages] == ["user", "assistant"]
        assert (chat.messages[0].id, chat.messages[0].text) == (first.id, "uno")
        asked = [user_texts(body) for body in (await live.log()).bodies]
        assert asked == [["one"], ["one", "two"], ["uno"]]


@that_can("regenerate")
async def test_regenerate_gives_another_answer(live: LiveServer, backend: Backend) -> None:
    said = backend.said["regenerate"]
    async with chat_with(live, backend) as chat:
        first = await chat.send_message(said.ask)
        second = await chat.regenerate()

        assert second.outcome == "completed"
        assert second.message.id != first.message.id
        assert chat.messages == (chat.messages[0], second.message)
        asked = [user_texts(body) for body in (await live.log()).bodies]
        assert asked == [[said.ask], [said.ask]]
        if said.text:
            assert (first.text, second.text) == (said.text.format(1), said.text.format(2))


@that_can("resume")
async def test_a_second_session_resumes(live: LiveServer, backend: Backend) -> None:
    said = backend.said["resume"]
    url = live.base + backend.slow_path
    with anyio.fail_after(REPLY_SECONDS):  # a server that sends nothing would not end it
        async with AsyncChatSession(url, throttle=0) as first, anyio.create_task_group() as tasks:
            begun = anyio.Event()
            first.on(TextDelta, lambda _: begun.set())
            question = first.send_message(said.ask)
            tasks.start_soon(question.wait)
            await live.release(1)
            await begun.wait()

            history = [first.messages[0]]
            async with AsyncChatSession(url, id=first.id, messages=history, resume=True) as second:
                assert second.resumed is not None
                resumed = second.resumed
                pieces = []
                async for piece in resumed:
                    if not pieces:  # not earlier: the reply must still run when it is asked for
                        tasks.start_soon(live.release, len(said.text.split()))
                    pieces.append(piece)
                assert pieces, "there was nothing to resume"
                await question

                assert (resumed.outcome, question.outcome) == ("completed", "completed")
                assert "".join(pieces) == resumed.text == question.text
                assert said.text in (resumed.text, "")
                assert [message.text for message in second.messages] == [said.ask, resumed.text]


@that_can("text")
def test_a_chat_session(live: LiveServer, backend: Backend) -> None:
    url, said = live.base + backend.path, backend.said
    goes_on = last_assistant_message_is_complete_with_tool_calls
    with ChatSession(url, send_automatically_when=goes_on, **backend.options) as chat:
        assert "".join(chat.send_message(said["text"].ask)) == said["text"].text
        if "client tool" in backend.can:
            chat.clear()
            (part,) = chat.send_message(said["client tool"].ask).wait().pending
            answered = chat.add_tool_output(part.tool_call_id, PLACE)
            assert answered.result().text.endswith(said["client tool"].text)
        chat.clear()
        with chat.stream(said["stop"].ask) as turn:
            assert next(iter(turn))
        assert turn.outcome == "stopped"


def test_the_readme_names_the_versions_that_run() -> None:
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text("utf-8")
    table = readme.split("| Backend | Versions run |")[1].split("\n\n")[0]
    for backend in BACKENDS:
        if isinstance(backend, NodeBackend):
            assert backend.version in table
        elif backend.package:
            assert backend.package.removesuffix("-slim") in table.lower()
