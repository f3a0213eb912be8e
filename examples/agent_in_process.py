"""A pydantic-ai agent with a tool as the backend of a chat, in this process: no server.

Needs: pip install usechat 'pydantic-ai-slim[ui,openai]>=2'. Without OPENAI_API_KEY in the
environment a scripted model answers.
"""

import os
import sys

from pydantic_ai import Agent
from pydantic_ai.models.function import DeltaToolCall, FunctionModel
from pydantic_ai.ui.vercel_ai import VercelAIAdapter

from usechat import ChatSession, DirectTransport


async def scripted(messages, info):
    """A model that calls the tool, then says what it gave."""
    last = messages[-1].parts[-1]
    if last.part_kind == "tool-return":
        for word in f"It is {last.content['sky']}, {last.content['degrees']} degrees.".split():
            yield f"{word} "
    else:
        yield {0: DeltaToolCall("weather", '{"city": "Oslo"}')}


with_key = os.environ.get("OPENAI_API_KEY")
model = "openai-chat:gpt-4.1-mini" if with_key else FunctionModel(stream_function=scripted)
agent = Agent(model, instructions="You are a weather forecaster. Be brief.")


@agent.tool_plain
def weather(city: str) -> dict:
    """The weather in a city now."""
    return {"city": city, "degrees": 21, "sky": "clear"}


def backend(request):
    asked = VercelAIAdapter.build_run_input(request.ui_body())
    return VercelAIAdapter(agent, asked, sdk_version=7).run_stream()


with ChatSession(DirectTransport(backend)) as chat:
    question = " ".join(sys.argv[1:]) or "How is the weather in Oslo?"
    for piece in chat.send_message(question):
        print(piece, end="", flush=True)
    print()
