"""The other half of a chat, small: a demo endpoint, made of the encoders of ``usechat.wire``.

Nothing is imported until it is asked for: ``reply`` needs usechat alone, the rest the packages
of ``pip install 'usechat[server]'``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from usechat.server.app import create_app
    from usechat.server.demo import reply
    from usechat.server.run import running_demo, serve

__all__ = ["create_app", "reply", "running_demo", "serve"]

_HOMES = {"create_app": "app", "reply": "demo", "running_demo": "run", "serve": "run"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from usechat.server.extras import extras_needed

    with extras_needed():
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
