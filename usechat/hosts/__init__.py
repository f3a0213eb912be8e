"""One adapter for each toolkit, imported when it is asked for and not before.

>>> from usechat import ChatSession, hosts
>>> chat = ChatSession(url, dispatch=hosts.tk.dispatcher(root))  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from usechat.hosts import tk

__all__ = ["tk"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
