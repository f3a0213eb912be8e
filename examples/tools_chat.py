"""A model that calls functions of this program: python tools_chat.py [URL]

Without a URL the demo does as told: call timer({"seconds": 3}), save({"name": "a", "text": "b"})
"""

import asyncio
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from usechat import ChatSession, PartUpdated, Tool
from usechat.server import running_demo


async def timer(seconds: int):
    """Wait for some seconds."""
    for left in range(seconds, 0, -1):
        yield f"{left} s left"  # shows while it runs; the last that is yielded is the output
        await asyncio.sleep(1)
    yield "the time is over"


def save(name: str, text: str) -> str:
    """Write a text to a file."""
    return f"{Path(name).write_text(text, encoding='utf-8')} characters in {name}"


def show(event):  # on a thread of the chat's own
    part = chat.last_message.parts[event.part_index]
    if getattr(part, "preliminary", False):
        print(f"{part.tool_name}: {part.output}")


with suppress(EOFError, KeyboardInterrupt), ExitStack() as stack:
    url = sys.argv[1] if sys.argv[1:] else stack.enter_context(running_demo()) + "/api/chat"
    chat = stack.enter_context(ChatSession(url, tools=[timer, Tool(save, needs_approval=True)]))
    chat.on(PartUpdated, show)
    while question := input("> "):
        turn = chat.send_message(question)
        while asked := [part for part in turn.wait().pending if part.state == "approval-requested"]:
            for part in asked:
                yes = input(f"{part.tool_name} {part.input}? [y/n] ") == "y"
                turn = chat.add_tool_approval_response(part.approval.id, yes)
        print(turn.error or turn.message.text)
