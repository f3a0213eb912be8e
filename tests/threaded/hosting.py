"""Hosts, servers and replies for tests of ``ChatSession``; whoever waits, waits for an event."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from time import monotonic
from typing import Any, TypeVar

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.session.servers import Handler, Server, serve
from usechat import ChatRequest, ChatSession, TextDelta, Turn
from usechat.testing import HANG, ScriptedTransport, text_reply

T = TypeVar("T")

PATIENCE = 10  # seconds; whoever waits longer waits for something that does not come
Fn = Callable[[], object]


def told(event: threading.Event, what: str = "it") -> None:
    """Wait for an event; fail if it does not come."""
    assert event.wait(PATIENCE), f"{what} did not happen"


class Asked(threading.Thread):
    """A function that runs in a thread of its own."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__(name="asked", daemon=True)
        self._made: Future[Any] = Future()
        self._function = function
        self.start()

    def run(self) -> None:
        try:
            self._made.set_result(self._function())
        except BaseException as error:
            self._made.set_exception(error)

    def answer(self, limit: float = PATIENCE) -> Any:
        """What the function gave; it must not hang."""
        try:
            return self._made.result(limit)
        finally:
            self.join(limit)


def elsewhere(function: Callable[[], T]) -> T:
    """Call a function on another thread, and wait for what it gives."""
    made: T = Asked(function).answer()
    return made


def everywhere(count: int, function: Callable[[int], Any]) -> list[Any]:
    """Call a function on many threads at the same moment; what each gave."""
    ready = threading.Barrier(count)

    def call(index: int) -> Any:
        ready.wait(PATIENCE)
        return function(index)

    asked = [Asked(lambda index=index: call(index)) for index in range(count)]  # type: ignore[misc]
    return [one.answer() for one in asked]


class Host:
    """A loop that runs what is dispatched to it. By itself in a thread, or when ``pump`` is called.

    Attributes:
        given: how many functions were dispatched.
        waiting: how many of them have not begun.
        most: how many waited or ran at the same time, at most.
        errors: what they raised.
    """

    def __init__(self, *, thread: bool = True) -> None:
        self.given = self.waiting = self.most = 0
        self.running = 0
        self.errors: list[BaseException] = []
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[Fn, bool] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="host", daemon=True)
        if thread:
            self.thread.start()
        else:
            self.host_thread = threading.get_ident()

    def __call__(self, fn: Fn) -> None:
        with self._lock:
            self.given += 1
            self.waiting += 1
            self.most = max(self.most, self.waiting)
        self._queue.put((fn, True))

    def _do(self, fn: Fn, dispatched: bool) -> None:
        with self._lock:
            self.waiting -= dispatched
            self.running += 1
            assert self.running == 1
        try:
            fn()
        except BaseException as error:
            self.errors.append(error)
        finally:
            with self._lock:
                self.running -= 1

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            self._do(*work)
            del work

    def run(self, function: Callable[[], T]) -> Future[T]:
        """Call a function of the test's on the host's thread; its answer comes later."""
        made: Future[T] = Future()

        def call() -> None:
            try:
                made.set_result(function())
            except BaseException as error:
                made.set_exception(error)

        self._queue.put((call, False))
        return made

    def ask(self, function: Callable[[], T]) -> T:
        """Call a function of the test's on the host's thread, and wait for what it gives."""
        return self.run(function).result(PATIENCE)

    def pump(self, until: Callable[[], object]) -> None:
        """Run what comes, on this thread, until something is so."""
        limit = monotonic() + PATIENCE
        while not until():
            try:
                work = self._queue.get(timeout=max(0.0, limit - monotonic()))
            except queue.Empty:
                raise TimeoutError("what the host waits for did not happen") from None
            assert work is not None
            self._do(*work)

    def next(self) -> Fn:
        """The next function, not run."""
        work = self._queue.get(timeout=PATIENCE)
        assert work is not None
        with self._lock:
            self.waiting -= 1
        return work[0]

    def end(self) -> None:
        self._queue.put(None)
        if self.thread.ident is not None:
            self.thread.join(PATIENCE)


@contextmanager
def hosted(*replies: Any, **options: Any) -> Iterator[tuple[ChatSession, Host]]:
    """A session made on the thread of its host, which runs by itself."""
    host = Host()
    try:
        transport = replies[0] if hasattr(replies[0], "send_messages") else scripted(*replies)
        chat = host.ask(lambda: ChatSession(transport, dispatch=host, **options))
        with chat:
            yield chat, host
    finally:
        host.end()
    assert host.errors == []
    assert host.most <= 1


def scripted(*replies: Any) -> ScriptedTransport:
    return ScriptedTransport(replies)


def chatting(*replies: Any, **options: Any) -> ChatSession:
    """A session without a host of its own, on replies that need no network."""
    return ChatSession(scripted(*replies), **options)


def hangs_for(text: str) -> Callable[[ChatRequest], Any]:
    """A reply that does not come for one text: a turn stopped at once may never ask for its own."""
    return lambda request: HANG if request.messages[-1].text == text else GREETING


class Gate:
    """A place in a reply where it waits until a test opens it, from any thread."""

    def __init__(self) -> None:
        self._opened: Future[None] = Future()
        self.reached = threading.Event()

    def open(self) -> None:
        self._opened.set_result(None)

    async def wait(self) -> None:
        self.reached.set()
        await asyncio.shield(asyncio.wrap_future(self._opened))


class Paced:
    """A transport whose replies are lists of chunks, lists of chunks in one read, and gates.

    Attributes:
        read: how many characters of deltas have been asked for.
        closed: how many replies have been closed.
    """

    def __init__(self, *replies: Any) -> None:
        self._replies = list(replies)
        self.requests: list[ChatRequest] = []
        self.read = self.closed = 0

    async def send_messages(self, request: ChatRequest) -> AsyncIterator[Any]:
        self.requests.append(request)
        return self._reply(self._replies.pop(0))

    async def _reply(self, reply: Any) -> AsyncIterator[Any]:
        try:
            for item in reply:
                await anyio.lowlevel.checkpoint()
                if isinstance(item, Gate):
                    await item.wait()
                elif item is HANG:
                    await anyio.sleep_forever()
                else:
                    chunks = [item] if isinstance(item, dict) else item
                    self.read += sum(len(chunk.get("delta", "")) for chunk in chunks)
                    yield chunks
        finally:
            self.closed += 1

    async def reconnect_to_stream(self, request: ChatRequest) -> None:
        return None

    async def aclose(self) -> None: ...


def gated(text: str = "Hello there") -> tuple[list[Any], Gate]:
    """A reply that waits after its first word, and what lets it go on."""
    gate = Gate()
    reply: list[Any] = [{"type": "start"}, *text_reply(text)[1:]]
    return [*reply[:4], gate, *reply[4:]], gate


def delta(text: str) -> dict[str, Any]:
    return {"type": "text-delta", "id": "t", "delta": text}


def deltas(pieces: list[Any], message_id: str = "m1") -> list[Any]:
    """A reply of one text part, whose deltas (or lists of them, or gates) are given."""
    return [
        {"type": "start", "messageId": message_id},
        {"type": "text-start", "id": "t"},
        *pieces,
        {"type": "text-end", "id": "t"},
        {"type": "finish", "finishReason": "stop"},
    ]


def text_came(chat: ChatSession) -> threading.Event:
    """An event that says that text has come, from now on."""
    came = threading.Event()
    chat.on(TextDelta, lambda _: came.set())
    return came


class Serving:
    """A server in a loop of its own; its handlers are async functions of the test."""

    def __init__(self, server: Server, portal: BlockingPortal) -> None:
        self._server = server
        self._portal = portal
        self.url = server.url

    @property
    def exchanges(self) -> list[Any]:
        return self._server.exchanges

    def all_closed(self) -> None:
        """Wait until no client is connected any more."""
        self._portal.call(self._server.all_closed)


@contextmanager
def serving(handler: Handler) -> Iterator[Serving]:
    """A server on a real socket, in a thread of its own."""
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(serve(handler)) as server,
    ):
        yield Serving(server, portal)


def assert_usable(chat: ChatSession) -> None:
    """After whatever happened the session serves a good reply, exactly."""
    before = len(chat.messages)
    turn: Turn = chat.send_message("Again").wait()
    assert (turn.outcome, turn.text, turn.error) == ("completed", "Hello there", None)
    assert (chat.status, chat.error) == ("ready", None)
    assert len(chat.messages) == before + 2
    assert "".join(turn) == turn.text


# Without an id of its own: the session makes one for each.
GREETING: list[Any] = [{"type": "start"}, *text_reply("Hello there")[1:]]
