"""Tools that run on this side, as a model is told of them."""

from __future__ import annotations

from dataclasses import dataclass

from usechat.model.parts import JSONObject


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """What a model needs to know of a tool.

    Attributes:
        name: what the model calls it.
        description: what it does, and when to use it.
        input_schema: the JSON schema of its input, an object.
    """

    name: str
    description: str
    input_schema: JSONObject
