"""POST /api/chat for usechat and the AI SDK's useChat. Needs: pip install fastapi uvicorn"""

import asyncio
import json
import os
import re
from typing import Annotated

import uvicorn
from fastapi import Body, FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel


class Message(BaseModel):
    role: str
    parts: list[dict]


async def answer(history):  # your model goes here: the history in, pieces of text out
    asked = ["".join(p.get("text", "") for p in m.parts) for m in history if m.role == "user"]
    for word in re.findall(r"\s*\S+", f'You said "{asked[-1]}". That was question {len(asked)}.'):
        await asyncio.sleep(0.03)
        yield word


def event(kind, **fields):
    return f"data: {json.dumps({'type': kind, **fields})}\n\n"


async def stream(history):
    yield event("start") + event("text-start", id="text-1")
    try:
        async for piece in answer(history):
            yield event("text-delta", id="text-1", delta=piece)
        yield event("text-end", id="text-1") + event("finish", finishReason="stop")
    except Exception as error:  # its text may hold a secret; its kind does not
        yield event("error", errorText=f"The model failed: {type(error).__name__}")
    yield "data: [DONE]\n\n"


app = FastAPI()
headers = {"x-vercel-ai-ui-message-stream": "v1", "cache-control": "no-cache"}


@app.post("/api/chat")  # the client sends the whole history each time
async def chat(messages: Annotated[list[Message], Body(embed=True, min_length=1)]):
    return StreamingResponse(stream(messages), headers=headers, media_type="text/event-stream")


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
