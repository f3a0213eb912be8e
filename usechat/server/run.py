"""Run the demo endpoint: in the foreground, or beside a program in a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from usechat.errors import UseChatError
from usechat.server.extras import extras_needed

if TYPE_CHECKING:
    from usechat.server.asgi import DemoServer
    from usechat.server.running import OnReplyEnd


def serve(host: str = "127.0.0.1", port: int = 8000, delay: float = 0.03) -> None:
    """Serve the demo endpoint until Ctrl-C.

    Args:
        host: the address to listen at.
        port: the port; 0 takes a free one.
        delay: seconds before a word of a reply.

    Raises:
        UseChatError: the packages of ``usechat[server]`` are not installed.
    """
    server = _server(delay, None, host=host, port=port)
    with suppress(KeyboardInterrupt):
        server.run()


@contextmanager
def running_demo(*, delay: float = 0.03, on_reply_end: OnReplyEnd | None = None) -> Iterator[str]:
    """Run the demo endpoint in a thread, on a free port of the loopback address.

    Args:
        delay: seconds before a word of a reply.
        on_reply_end: as in ``create_app``; called in the server's thread.

    Yields:
        The base URL, ``http://127.0.0.1:PORT``; the server is ready.

    Raises:
        UseChatError: the packages of ``usechat[server]`` are not installed.
    """
    # Without a log configuration uvicorn leaves the program's logging alone.
    server = _server(delay, on_reply_end, log_config=None, access_log=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(
            target=_run, args=(server, listener), name="usechat-demo", daemon=True
        )
        thread.start()
        try:
            server.ready.wait()
            if not server.started:
                raise UseChatError("The demo server did not start; its log says why.")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()


def _server(delay: float, on_reply_end: OnReplyEnd | None, **options: Any) -> DemoServer:
    with extras_needed():
        import uvicorn

        from usechat.server.app import create_app
        from usechat.server.asgi import DemoServer

    app = create_app(delay=delay, on_reply_end=on_reply_end)
    config = uvicorn.Config(
        app, loop="asyncio", lifespan="off", ws="none", timeout_graceful_shutdown=1, **options
    )
    return DemoServer(app, config)


def _run(server: DemoServer, listener: socket.socket) -> None:
    try:
        with suppress(SystemExit):  # uvicorn's way to say that it cannot start
            server.run(sockets=[listener])
    finally:
        server.ready.set()  # also where it never listened: nobody may wait for ever
