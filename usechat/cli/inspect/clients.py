"""The two clients that an inspected reply is given to: one as a session is, one as strict as ai 7.

Source: ai 7.0.173; what it reads, the wire's and the engine's strict modes read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usechat.engine.engine import ChatEngine
from usechat.engine.exchange import Callbacks, ChatRequest, Exchange, RequestOptions, Steps
from usechat.errors import ServerError, StreamProtocolError
from usechat.model.chunks import UIMessageChunk
from usechat.model.ids import generate_id
from usechat.transport.options import Protocol
from usechat.wire.auto import AutoDecoder, Detection
from usechat.wire.data_stream import DataStreamDecoder
from usechat.wire.decoder import Decoder
from usechat.wire.json_sse import JSONSSEDecoder
from usechat.wire.openai import OpenAIDecoder
from usechat.wire.text_stream import TextStreamDecoder
from usechat.wire.ui_message_stream import UIMessageStreamDecoder


def decoder_of(protocol: str) -> Decoder:
    """What reads a protocol that is known.

    Args:
        protocol: its name; not ``auto``.
    """
    if protocol == "text":
        return TextStreamDecoder()
    if protocol == "json-sse":
        return JSONSSEDecoder()
    if protocol == "openai":
        return OpenAIDecoder()
    return DataStreamDecoder() if protocol == "data-stream" else UIMessageStreamDecoder()


class Client:
    """A chat whose first message has been sent.

    Args:
        text: the message.
        strict: read as ai 7 does.

    Attributes:
        exchange: the request and its reply.
    """

    def __init__(self, text: str, strict: bool = False) -> None:
        self.engine = ChatEngine(
            chat_id=None,
            messages=(),
            generate_id=generate_id,
            callbacks=Callbacks(),
            when_busy="reject",
            queue_limit=1,
            max_steps=None,
        )
        self.engine.strict = strict
        fields: dict[str, Any] = {"parts": [{"type": "text", "text": text}]}
        _run(self.engine.send_message(fields, None, RequestOptions()))
        assert self.engine.exchange is not None
        self.exchange: Exchange = self.engine.exchange

    @property
    def request(self) -> ChatRequest:
        """What is sent."""
        return self.exchange.request

    def receive(self, chunk: UIMessageChunk) -> None:
        """Apply a chunk.

        Args:
            chunk: a valid chunk.

        Raises:
            StreamProtocolError: it does not fit what came before.
            ServerError: it is an error of the server's.
        """
        _run(self.engine.receive(self.exchange, chunk))


class StrictClient(Client):
    """Reads as ai 7 does, but goes on after what ends the reply there.

    Args:
        text: the message.

    Attributes:
        failed: whether the server has reported an error, after which nothing counts.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text, strict=True)
        self.failed = False

    def objection(self, chunk: UIMessageChunk) -> str | None:
        """Apply a chunk; what ai 7 has against it, if anything.

        Args:
            chunk: a valid chunk.
        """
        try:
            self.receive(chunk)
        except ServerError:
            self.failed = True
            return "the server reports an error, which ends the reply"
        except StreamProtocolError as error:
            # What the forgiving reading makes of it is there for the chunks after it.
            self.exchange.strict = False
            self.receive(chunk)
            self.exchange.strict = True
            return str(error)
        return None


class SessionClient(Client):
    """Reads as a session of usechat's does.

    Args:
        text: the message.
        protocol: as the command line has it.
        status: of the response.
        headers: of the response, names in lower case.
    """

    def __init__(
        self, text: str, protocol: Protocol, status: int, headers: Mapping[str, str]
    ) -> None:
        super().__init__(text)
        self._detector = AutoDecoder(status, headers)
        self._decoder: Decoder = self._detector if protocol == "auto" else decoder_of(protocol)
        self._apply(self._decoder.open())

    @property
    def protocol(self) -> str | None:
        """What the reply is read as; None where that is not known yet."""
        return self._decoder.protocol

    @property
    def detection(self) -> Detection | None:
        """What the reply was found to be in, also where the command line says what to read."""
        return self._detector.detection

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body.

        Args:
            piece: bytes as they came.
        """
        if self._detector is not self._decoder and self.detection is None:
            self._detector.feed(piece)
        self._apply(self._decoder.feed(piece))

    def close(self) -> None:
        """The body ended cleanly."""
        if self._detector is not self._decoder and self.detection is None:
            self._detector.close()
        self._apply(self._decoder.close())
        _run(self.engine.finish(self.exchange))

    def fail(self, error: Exception) -> None:
        """The reply failed.

        Args:
            error: one of ours.
        """
        _run(self.engine.fail(self.exchange, error))

    def stop(self) -> None:
        """Somebody does not want more of it."""
        _run(self.engine.stop())

    def _apply(self, chunks: list[UIMessageChunk]) -> None:
        try:
            for chunk in chunks:
                self.receive(chunk)
        except (ServerError, StreamProtocolError) as error:
            self.fail(error)
        if self._decoder.error is not None:
            self.fail(self._decoder.error)


def _run(steps: Steps[Any] | None) -> None:
    """Do what the engine has to do; there are no functions of the user's in between."""
    for _ in steps or ():
        pass
