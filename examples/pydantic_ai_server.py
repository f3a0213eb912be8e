"""POST /api/chat: a pydantic-ai agent with a tool, for usechat and the AI SDK's useChat.

Needs: pip install 'pydantic-ai-slim[ui,openai]>=2' uvicorn. Without OPENAI_API_KEY in the
environment pydantic-ai's TestModel answers: it calls each tool once and tells what they gave.
"""

import os

import uvicorn
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_ai.ui.vercel_ai import VercelAIAdapter
from starlette.applications import Starlette
from starlette.routing import Route

model = "openai-chat:gpt-4.1-mini" if os.environ.get("OPENAI_API_KEY") else TestModel()
agent = Agent(model, instructions="You are a weather forecaster. Be brief.")


@agent.tool_plain
def weather(city: str) -> dict:
    """The weather in a city now."""
    return {"city": city, "degrees": 21, "sky": "clear"}


async def chat(request):
    # sdk_version 6 or 7: the client is asked to approve tools that are marked requires_approval
    return await VercelAIAdapter.dispatch_request(request, agent=agent, sdk_version=7)


app = Starlette(routes=[Route("/api/chat", chat, methods=["POST"])])
if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
