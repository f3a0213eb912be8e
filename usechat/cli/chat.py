"""The chat in the terminal: the prompt, the commands, and the answers that tools wait for.

The prompt is read while nothing runs, on the thread of the loop: the line editor and Ctrl-C are
the main thread's, and a session lives in one loop.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import usechat
from usechat.cli.interrupts import Interrupts
from usechat.cli.output import Output
from usechat.cli.parts import call_of, whole_input
from usechat.cli.printer import Printer, follow
from usechat.cli.prompt import Prompt
from usechat.errors import InvalidArgumentError
from usechat.model.json import loads
from usechat.model.parts import DynamicToolPart, ToolPart
from usechat.session.aio import AsyncChatSession
from usechat.session.async_turn import AsyncTurn
from usechat.transport.failures import place

_HELP = """\
Type a message and press Enter. The demo tells what it can show when it reads "help".

  /regenerate  ask for the last reply again, also after an error
  /answer      be asked again for what a tool call waits for
  /clear       begin a new chat
  /quit        leave; so does Ctrl-D
  /help        this

Ctrl-C stops a reply that streams. At the prompt it drops the line; pressed twice it leaves.
A line that begins with a space is sent as it is, also if a / follows.
"""


async def converse(chat: AsyncChatSession, out: Output, interrupts: Interrupts, url: str) -> int:
    """Chat until the user leaves.

    Args:
        chat: a new chat.
        out: the terminal.
        interrupts: Ctrl-C stops replies and drops lines.
        url: the endpoint, to be shown.

    Returns:
        The exit status.
    """
    out.line(f"usechat {usechat.__version__}, with {place(url)}. /help tells more, Ctrl-D leaves.")
    with interrupts.ignored():
        await _Conversation(chat, out, interrupts).run()
    return 0


class _Leave(Exception):
    """The user wants to go."""


class _Conversation:
    def __init__(self, chat: AsyncChatSession, out: Output, interrupts: Interrupts) -> None:
        self._chat = chat
        self._out = out
        self._interrupts = interrupts
        self._printer = Printer(out, lambda: chat.messages)
        self._prompt = Prompt(out, interrupts)
        self._commands: dict[str, Callable[[], AsyncTurn | None]] = {
            "/help": self._help,
            "/regenerate": chat.regenerate,
            "/answer": self._answer_again,
            "/stop": self._stop,
            "/clear": self._clear,
            "/quit": self._quit,
        }

    async def run(self) -> None:
        with suppress(_Leave):
            while True:
                turn = self._act(self._line())
                while turn is not None:
                    await self._follow(turn)
                    turn = self._answer() if turn.outcome == "completed" else None

    def _line(self) -> str:
        """What the user says next."""
        leaves = False
        while True:
            self._out.write("\n")
            try:
                return self._read("you> ")
            except KeyboardInterrupt:
                if leaves:
                    raise _Leave from None
                leaves = True
                self._out.note("Ctrl-C again, Ctrl-D or /quit leaves")

    def _read(self, question: str) -> str:
        try:
            return self._prompt.read(question)
        except EOFError:
            raise _Leave from None

    def _act(self, line: str) -> AsyncTurn | None:
        """Do what a line says."""
        if not line.startswith("/"):
            return self._chat.send_message(line) if line.strip() else None
        name = line.split()[0]
        command = self._commands.get(name)
        if command is None:
            self._out.note(f"There is no command {name}. /help lists them.")
            return None
        try:
            return command()
        except InvalidArgumentError as error:
            self._out.note(str(error))
            return None

    async def _follow(self, turn: AsyncTurn) -> None:
        with self._interrupts.stopping(self._chat.stop):
            await follow(turn, self._printer.show)
        self._printer.end(turn)

    # --------------------------------------------------------------- answers

    def _answer(self) -> AsyncTurn | None:
        """Ask for what the last message waits for, if it waits for something."""
        last = self._chat.last_message
        if last is None or not last.pending:
            return None
        part = last.pending[0]
        try:
            if part.state == "approval-requested":
                return self._approve(part)
            return self._give_output(part)
        except KeyboardInterrupt:
            self._out.note("left unanswered; /answer asks again")
            return None

    def _approve(self, part: ToolPart | DynamicToolPart) -> AsyncTurn:
        assert part.approval is not None
        whole = whole_input(part)
        if whole is not None:
            self._out.line(whole, "item")  # nobody should approve what is cut off
        said = self._read(f"Approve {call_of(part)}? [y/N] ")
        approved = said.strip().lower() in ("y", "yes")
        return self._chat.add_tool_approval_response(part.approval.id, approved)

    def _give_output(self, part: ToolPart | DynamicToolPart) -> AsyncTurn:
        said = self._read(f"Output for {call_of(part)} (empty: answer with an error): ")
        if not said.strip():
            return self._chat.add_tool_output(
                part.tool_call_id, error_text="The user gave no output."
            )
        try:
            output = loads(said)
        except ValueError:
            output = said
        return self._chat.add_tool_output(part.tool_call_id, output)

    # -------------------------------------------------------------- commands

    def _help(self) -> None:
        self._out.write(_HELP)

    def _answer_again(self) -> AsyncTurn | None:
        last = self._chat.last_message
        if last is None or not last.pending:
            self._out.note("Nothing waits for an answer.")
        return self._answer()

    def _stop(self) -> None:
        self._out.note("Nothing runs. Ctrl-C stops a reply.")

    def _clear(self) -> None:
        self._chat.clear()
        self._out.note("a new chat")

    def _quit(self) -> None:
        raise _Leave
