"""The seam: what a session needs of whatever brings it replies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from usechat.engine.exchange import ChatRequest
from usechat.model.chunks import UIMessageChunk


@runtime_checkable
class ChatTransport(Protocol):
    """Brings replies. Implement this to chat over something else than HTTP.

    A reply is an async iterator of lists of chunks, each list what one read brought; an async
    generator will do. Where it has an attribute ``response`` (a ``Response``), ``on_response``
    gets it. It is closed by ``aclose``, in the task that read it. An error of ours that it raises
    ends the exchange; anything else does so as the cause of a ``TransportError``.

    These attributes may stand beside the methods: ``strict`` (read as the SDK reads, False),
    ``require_finish`` (a reply without its end is incomplete, True), ``resume_stream_is_replay``
    (a resumed reply comes from its begin, True).
    """

    async def send_messages(self, request: ChatRequest) -> AsyncIterator[list[UIMessageChunk]]:
        """Ask for a reply; return it when its headers are there.

        Args:
            request: what to send.

        Raises:
            TransportError: there is no reply.
        """
        ...

    async def reconnect_to_stream(
        self, request: ChatRequest
    ) -> AsyncIterator[list[UIMessageChunk]] | None:
        """Ask for the reply that is running; None if none is.

        Args:
            request: whose ``chat_id`` says which.

        Raises:
            TransportError: the endpoint cannot be asked.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what the transport has opened."""
        ...
