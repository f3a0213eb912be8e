"""pydantic-ai with a scripted model: all its variants in one process, a path each.

POST /5/api/chat, /6/api/chat, /7/api/chat    VercelAIAdapter for that version of the SDK
POST /web/api/chat                            Agent.to_web, whose app has the chat there
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import scripted
from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.messages import ModelMessage, ModelRequest, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import ExternalToolset
from pydantic_ai.ui.vercel_ai import VercelAIAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route


async def stream(
    messages: list[ModelMessage], info: AgentInfo
) -> AsyncIterator[str | DeltaToolCalls]:
    index = 0
    said = scripted.model(
        len(messages), question(messages), results(messages), all_results(messages)
    )
    async for piece in said:
        if isinstance(piece, str):
            yield piece
            continue
        first, rest = piece.pieces
        yield {index: DeltaToolCall(piece.name, first, tool_call_id=piece.id)}
        yield {index: DeltaToolCall(json_args=rest)}
        index += 1


def question(messages: list[ModelMessage]) -> str:
    prompts = [
        part.content
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, UserPromptPart)
    ]
    return str(prompts[-1])


def results(messages: list[ModelMessage]) -> list[dict[str, Any]]:
    last = messages[-1].parts
    if any(isinstance(part, UserPromptPart) for part in last):
        return []
    return [result(part) for part in last if isinstance(part, ToolReturnPart)]


def all_results(messages: list[ModelMessage]) -> list[dict[str, Any]]:
    parts = [part for message in messages for part in message.parts]
    return [result(part) for part in parts if isinstance(part, ToolReturnPart)]


def result(part: ToolReturnPart) -> dict[str, Any]:
    if part.outcome == "denied":
        return scripted.denied(str(part.content))
    return scripted.result(part.content)


location = ToolDefinition(
    name="location",
    description="Runs in the client.",
    parameters_json_schema={"type": "object", "properties": {"precise": {"type": "boolean"}}},
)
agent = Agent(
    FunctionModel(stream_function=stream),
    output_type=[str, DeferredToolRequests],
    toolsets=[ExternalToolset([location])],
)
agent.tool_plain(scripted.weather)
agent.tool_plain(scripted.delete_file, name="deleteFile", requires_approval=True)


def adapter(sdk_version: Literal[5, 6, 7]) -> Mount:
    async def chat(request: Request) -> Response:
        own = [
            ToolDefinition(
                name=tool["name"],
                description=tool["description"],
                parameters_json_schema=tool["inputSchema"],
            )
            for tool in (await request.json()).get("tools", [])
        ]
        return await VercelAIAdapter.dispatch_request(
            request, agent=agent, sdk_version=sdk_version, toolsets=[ExternalToolset(own)]
        )

    return Mount(f"/{sdk_version}", routes=[Route("/api/chat", chat, methods=["POST"])])


if __name__ == "__main__":
    scripted.run(
        Starlette(routes=[adapter(5), adapter(6), adapter(7), Mount("/web", agent.to_web())])
    )
