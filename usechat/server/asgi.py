"""The demo under uvicorn, with an end that waits for no stream."""

from __future__ import annotations

import socket
import threading

import uvicorn
from starlette.applications import Starlette


class DemoServer(uvicorn.Server):
    """A uvicorn server that tells when it is ready and that ends at once.

    Args:
        app: made by ``create_app``.
        config: uvicorn's, with this app.
    """

    def __init__(self, app: Starlette, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._replies = app.state.replies

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Break the connections off and stop the replies: uvicorn would wait for them."""
        self._replies.stop_all()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)
