"""``usechat -m``: one message, its reply, and an exit status that says how it went."""

from __future__ import annotations

from contextlib import suppress

from usechat.cli.interrupts import Interrupts
from usechat.cli.jsonl import end_line, event_line
from usechat.cli.output import Output
from usechat.cli.parts import call_of
from usechat.cli.printer import follow
from usechat.errors import UseChatError
from usechat.session.aio import AsyncChatSession
from usechat.session.async_turn import AsyncTurn

COMPLETED = 0
FAILED = 1
UNFINISHED = 3
INTERRUPTED = 130


async def send_once(
    chat: AsyncChatSession,
    text: str,
    out: Output,
    err: Output,
    interrupts: Interrupts,
    *,
    json: bool,
) -> int:
    """Send a message and print what comes.

    Args:
        chat: a new chat.
        text: the message.
        out: gets the reply.
        err: gets what is wrong with it.
        interrupts: Ctrl-C stops the reply.
        json: print events instead of text.

    Returns:
        The exit status.
    """
    interrupted = False

    def stop() -> None:
        nonlocal interrupted
        interrupted = True
        chat.stop()

    with interrupts.stopping(stop):
        turn = chat.send_message(text)
        if json:
            await _print_events(chat, turn, out)
        else:
            await _print_text(turn, out)
    if out.is_terminal:
        out.fresh_line()
    if turn.outcome == "stopped" and interrupted:
        return INTERRUPTED
    wrong = _wrong(turn)
    if wrong:
        err.complain(wrong)
    if turn.outcome == "error":
        return FAILED
    return UNFINISHED if wrong else COMPLETED


async def _print_text(turn: AsyncTurn, out: Output) -> None:
    with suppress(UseChatError):  # the turn's own; the caller looks at it
        async for piece in turn:
            out.write(piece)


async def _print_events(chat: AsyncChatSession, turn: AsyncTurn, out: Output) -> None:
    await follow(turn, lambda event: out.line(event_line(event, lambda: chat.messages)))
    out.line(end_line(turn))


def _wrong(turn: AsyncTurn) -> str | None:
    """What keeps a reply from being complete, in words."""
    if turn.error is not None:
        return str(turn.error)
    if turn.outcome == "stopped":
        return "The server stopped the reply."
    if turn.outcome == "incomplete" and turn.message is None:
        return "The answer holds no reply. Is this a chat endpoint? See --protocol."
    if turn.outcome == "incomplete":
        return "The reply is incomplete: it ended without its end."
    waiting = [
        f"{'approval' if part.state == 'approval-requested' else 'the output'} of {call_of(part)}"
        for part in turn.pending
    ]
    if waiting:
        return f"The reply waits for {', and for '.join(waiting)}. Chat without -m to answer."
    return None
