"""A reply that goes on after its connection broke."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable

import anyio

from usechat.engine.exchange import Response
from usechat.errors import ChatTimeoutError, ConnectionBrokenError, HTTPStatusError, TransportError
from usechat.model.chunks import UIMessageChunk
from usechat.transport.options import Reconnect
from usechat.transport.reply import HttpReply
from usechat.wire.catch_up import CatchUp

logger = logging.getLogger("usechat")

_BROKEN = (ConnectionBrokenError, ChatTimeoutError)
# What a server or a proxy says that may say something else a moment later.
_PASSING = (408, 425, 429)


class ReconnectingReply:
    """The chunks of a reply, a list for each read, over as many connections as it takes.

    What a further connection brings again is left out; a clean end without the protocol's own end
    is a broken connection too.

    Args:
        ask: asks for the rest, given the id of the last event; None: there is none.
        policy: how often and how soon.
        replays: whether the rest comes from the reply's begin; None: the rest shows it.
        require_finish: whether a reply has its own end.

    Attributes:
        response: the head of the first response.
    """

    def __init__(
        self,
        ask: Callable[[str | None], Awaitable[HttpReply | None]],
        policy: Reconnect,
        replays: bool | None,
        require_finish: bool,
    ) -> None:
        self.response: Response | None = None
        self._ask = ask
        self._policy = policy
        self._replays = replays
        self._require_finish = require_finish
        self._reply: HttpReply | None = None
        self._seen = CatchUp()
        self._failures = 0  # in a row
        self._first_id: str | None = None
        self._last_id: str | None = None  # on the connections before this one
        self._is_new = False  # nothing has come of this connection

    def __aiter__(self) -> ReconnectingReply:
        return self

    async def __anext__(self) -> list[UIMessageChunk]:
        while True:
            assert self._reply is not None
            failure: TransportError | None = None
            try:
                new = self._take(await anext(self._reply), self._reply)
                if new:
                    return new
                continue
            except StopAsyncIteration:
                pass
            except _BROKEN as error:
                failure = error
            if not await self._goes_on(failure):
                raise StopAsyncIteration from failure

    async def read_into(
        self, take: Callable[[list[UIMessageChunk]], bool], pause: Callable[[], Awaitable[None]]
    ) -> bool:
        """As ``HttpReply.read_into``.

        Args:
            take: gets the chunks; it says whether to go on.
            pause: awaited where no read is under way.
        """

        def take_new(chunks: list[UIMessageChunk]) -> bool:
            assert self._reply is not None
            new = self._take(chunks, self._reply)
            return take(new) if new else True

        while True:
            assert self._reply is not None
            failure: TransportError | None = None
            try:
                if not await self._reply.read_into(take_new, pause):
                    return False
            except _BROKEN as error:
                failure = error
            if not await self._goes_on(failure):
                return True

    async def aclose(self) -> None:
        """End the response that is open, wherever it is."""
        if self._reply is not None:
            await self._reply.aclose()

    def begin(self, reply: HttpReply) -> None:
        """Read a connection from now on.

        Args:
            reply: what it brings.
        """
        before, self._reply = self._reply, reply
        self._is_new = True
        if before is None:
            self.response = reply.response
            return
        protocol, replays = before.protocol, self._replays
        if protocol == "text" and replays is None:
            replays = False  # as in the SDK
        if protocol == "ui":
            replays = None  # it always shows
        self._last_id = before.last_event_id
        if protocol == "ui" or (protocol is not None and replays is False):
            reply.take_over(before)
        self._seen.reconnected(replays)

    def _take(self, chunks: list[UIMessageChunk], reply: HttpReply) -> list[UIMessageChunk]:
        if self._is_new:
            self._is_new = False
            chunks = self._begin_with(chunks, reply.first_event_id)
        new = self._seen.take(chunks)
        if self._seen.advanced:
            self._failures = 0
        return new

    def _begin_with(
        self, chunks: list[UIMessageChunk], event_id: str | None
    ) -> list[UIMessageChunk]:
        """The first chunks of a connection, as the ids of their events have them."""
        if self._first_id is None:
            self._first_id = event_id
        elif event_id == self._first_id:
            self._seen.reconnected(True)
        elif event_id is not None:
            # It goes on, unless the server gives other ids each time and begins again.
            self._seen.reconnected(None, first_tells=False)
            if event_id == self._last_id:
                return chunks[1:]  # the last event once more
        return chunks

    async def _goes_on(self, failure: TransportError | None) -> bool:
        """Whether there is another connection where one has ended, cleanly or by a failure."""
        if self._seen.ended or (failure is None and not self._require_finish):
            return False
        if failure is not None:
            await self.mend(failure)
            return True
        try:
            await self.mend(ConnectionBrokenError("The reply ended without its end."))
        except _BROKEN as error:
            if isinstance(error.__cause__, _BROKEN):
                raise
            return False  # there is no rest to be had: that was all
        return True

    async def mend(self, error: TransportError) -> None:
        """Go on with another connection.

        Args:
            error: why there has to be one.

        Raises:
            ConnectionBrokenError: there is no rest to be had.
        """
        await self.aclose()
        cause: TransportError = error
        while self._failures < self._policy.attempts:
            self._failures += 1
            wait = self._wait()
            logger.warning(
                "%s Reconnecting in %.1f s (%d of %d).",
                _without_body(cause),
                wait,
                self._failures,
                self._policy.attempts,
            )
            await anyio.sleep(wait)
            try:
                reply = await self._ask(self._last_event_id)
            except _BROKEN as again:
                cause = again
            except HTTPStatusError as again:
                if again.status_code < 500 and again.status_code not in _PASSING:
                    raise ConnectionBrokenError(
                        f"{error} The reply cannot be resumed: {again}"
                    ) from again
                cause = again
            else:
                if reply is None:
                    raise ConnectionBrokenError(
                        f"{error} The server has no running reply to go on with."
                    )
                await _refuse_page(reply, error)
                self.begin(reply)
                return
        more = "Reconnecting brought no more." if cause is error else f"Then: {cause}"
        raise ConnectionBrokenError(f"{error} {more}") from cause

    @property
    def _last_event_id(self) -> str | None:
        return None if self._reply is None else self._reply.last_event_id

    def _wait(self) -> float:
        doubled = self._policy.delay * 2.0 ** min(self._failures - 1, 99)
        longest = min(doubled, self._policy.max_delay)
        # So that the clients of a server that was restarted do not all come at once.
        return longest * (1 - random.random() / 2)  # noqa: S311


def _without_body(cause: TransportError) -> str:
    """What went wrong, for the log: what a server says may repeat a header of the request."""
    if isinstance(cause, HTTPStatusError):
        return f"The server answered {cause.status_code}."
    return str(cause)


async def _refuse_page(reply: HttpReply, error: TransportError) -> None:
    """Refuse an answer that can be no reply: a login page, say."""
    content_type = reply.response.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() in ("text/html", "application/json"):
        await reply.aclose()
        raise ConnectionBrokenError(
            f"{error} The reply cannot be resumed: that was answered with {content_type}."
        )
