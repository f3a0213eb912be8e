"""POST /api/stream {"message": "..."}: an OpenAI chat completion as SSE. Needs OPENAI_API_KEY."""

import json
import os

import uvicorn
from openai import AsyncOpenAI
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.responses import JSONResponse

client = AsyncOpenAI()  # takes OPENAI_API_KEY and OPENAI_BASE_URL from the environment
options = {"model": os.environ.get("OPENAI_MODEL", "gpt-4.1-mini"), "stream": True}


async def events(messages):
    end = json.dumps({"error": "OpenAI's reply broke off."})
    try:
        async with await client.chat.completions.create(messages=messages, **options) as chunks:
            async for chunk in chunks:
                for choice in chunk.choices:
                    if choice.delta.content:
                        yield json.dumps({"text": choice.delta.content})
                    end = "[DONE]" if choice.finish_reason else end
    except Exception as error:  # its text may quote the key; its kind does not
        end = json.dumps({"error": f"OpenAI: {getattr(error, 'status_code', 'request failed')}"})
    yield end


async def stream(request):
    try:
        messages = [{"role": "user", "content": (await request.json())["message"]}]
    except (ValueError, KeyError, TypeError):
        return JSONResponse({"error": 'Send {"message": "..."}.'}, 400)
    return EventSourceResponse(events(messages))


app = Starlette()
app.add_route("/api/stream", stream, ["POST"])
if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
