"""A FastAPI route written by hand, as many are: it streams the UI protocol and never says the end.

No `finish`, no `[DONE]`, no header but the content type: the body just stops.

    POST /api/chat
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import scripted
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def events(messages: list[dict[str, Any]]) -> AsyncIterator[str]:
    yield event({"type": "start", "messageId": scripted.reply_id(messages)})
    try:
        async for chunk in scripted.reply(messages):
            yield event(chunk)
    except scripted.ScriptedError as error:
        yield event({"type": "error", "errorText": str(error)})


def event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"


@app.post("/api/chat")
async def chat(body: dict[str, Any]) -> StreamingResponse:
    return StreamingResponse(events(body["messages"]), media_type="text/event-stream")


if __name__ == "__main__":
    scripted.run(app)
