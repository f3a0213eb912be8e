"""assistant-stream: the data stream of SDK 4 without its header and without `d:` at the end.

A call has no end either (`b:`, `c:`, then at most `a:`), so that the client cannot know when the
input of a client tool is whole; approvals are unknown to it. That the client is gone it tells by
an event only: the task that it cancels for it never is, under Starlette's cancellation.

    POST /api/chat
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import anyio
import scripted
from assistant_stream import RunController, create_run
from assistant_stream.serialization import DataStreamResponse
from fastapi import FastAPI

app = FastAPI()


async def answer(controller: RunController, messages: list[dict[str, Any]]) -> None:
    message_id = scripted.reply_id(messages)
    call = None
    async for chunk in scripted.reply(messages):
        if call:  # its chunks take a way of their own: what comes next would overtake them
            await anyio.wait_all_tasks_blocked()
        kind = chunk["type"]
        if kind == "start-step":
            controller.add_step_start(message_id)
        elif kind == "text-delta":
            controller.append_text(chunk["delta"])
        elif kind == "tool-input-start":
            call = await controller.add_tool_call(chunk["toolName"], chunk["toolCallId"])
        elif kind == "tool-input-delta" and call:
            call.append_args_text(chunk["inputTextDelta"])
        elif kind == "tool-output-available" and call:
            call.set_response(chunk["output"])
        elif kind == "finish-step":
            controller.add_step_finish("stop")


@app.post("/api/chat")
async def chat(body: dict[str, Any]) -> DataStreamResponse:
    async def run(controller: RunController) -> None:
        answering = asyncio.create_task(answer(controller, body["messages"]))
        leaving = asyncio.create_task(controller.cancelled_event.wait())
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        answering.cancel()
        with suppress(asyncio.CancelledError):
            await answering

    return DataStreamResponse(create_run(run))


if __name__ == "__main__":
    scripted.run(app)
