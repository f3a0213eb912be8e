"""fastapi-ai-sdk: a text by its builder, all else by its events; it has none for approvals.

POST /api/chat
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import fastapi_ai_sdk as sdk
import scripted
from fastapi import FastAPI

EVENTS: dict[str, type[sdk.StreamEvent]] = {
    "start": sdk.StartEvent,
    "start-step": sdk.StartStepEvent,
    "finish-step": sdk.FinishStepEvent,
    "text-start": sdk.TextStartEvent,
    "text-delta": sdk.TextDeltaEvent,
    "text-end": sdk.TextEndEvent,
    "tool-input-start": sdk.ToolInputStartEvent,
    "tool-input-delta": sdk.ToolInputDeltaEvent,
    "tool-input-available": sdk.ToolInputAvailableEvent,
    "tool-output-available": sdk.ToolOutputAvailableEvent,
}

app = FastAPI()


async def events(messages: list[dict[str, Any]]) -> AsyncIterator[sdk.StreamEvent]:
    yield sdk.StartEvent(messageId=scripted.reply_id(messages))
    async for chunk in scripted.reply(messages):
        yield EVENTS[chunk["type"]].model_validate(chunk)


@app.post("/api/chat")
@sdk.ai_endpoint()
async def chat(body: dict[str, Any]) -> Any:
    messages = body["messages"]
    if scripted.text_of(messages[-1]) == "text":  # this way `finish` comes twice
        return sdk.AIStreamBuilder().text(scripted.ODD, chunk_size=1)
    return events(messages)


if __name__ == "__main__":
    scripted.run(app)
