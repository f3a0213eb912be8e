"""Chunks of the pieces that a function gives: text, chunks in wire form, models, lists of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from usechat.errors import InvalidArgumentError, StreamProtocolError
from usechat.model.chunk_validation import validate_chunk
from usechat.model.chunks import STREAM_DONE, UIMessageChunk
from usechat.model.json import dumps, loads
from usechat.model.messages import where_wrong
from usechat.wire.event_stream import shown
from usechat.wire.ui_message_stream import UIMessageStreamDecoder


class ReplyFrame:
    """Makes chunks of what the function gives, with what belongs around its text."""

    def __init__(self) -> None:
        self._count = 0  # items
        self._texts = 0
        self._text_id: str | None = None  # of our open part
        self._gave_text = False
        self._started = False
        self._in_step = False
        self._ended = False
        self._models = UIMessageStreamDecoder()

    def take(self, item: Any, chunks: list[UIMessageChunk]) -> None:
        """The chunks of an item.

        Args:
            item: what the function gave.
            chunks: gets them, those too that come before what is refused.

        Raises:
            StreamProtocolError: it is no text and no chunk.
        """
        self._take(item, chunks)
        self._count += 1

    def end(self) -> list[UIMessageChunk]:
        """What is missing at the end, when the function has given text."""
        chunks = self._end_text()
        if self._gave_text and not self._ended:
            chunks += self._end_step()
            chunks.append({"type": "finish"})
        return chunks

    def _take(self, item: Any, chunks: list[UIMessageChunk]) -> None:
        if isinstance(item, str):
            chunks += self._text(item)
        elif isinstance(item, (list, tuple)):
            for one in item:
                self._take(one, chunks)
        else:
            for read in self._read(item):
                chunks += self._passed(read)

    def _text(self, text: str) -> list[UIMessageChunk]:
        chunks = self._begin()
        if not text:
            return chunks
        if self._text_id is None:
            self._texts += 1
            # Not an id that a function's own text may have.
            self._text_id = f"usechat-text-{self._texts}"
            chunks.append({"type": "text-start", "id": self._text_id})
        chunks.append({"type": "text-delta", "id": self._text_id, "delta": text})
        return chunks

    def _begin(self) -> list[UIMessageChunk]:
        chunks: list[UIMessageChunk] = []
        self._gave_text = True
        if not self._started:
            self._started = True
            chunks.append({"type": "start"})
        if not self._in_step:
            self._in_step = True
            chunks.append({"type": "start-step"})
        return chunks

    def _end_text(self) -> list[UIMessageChunk]:
        text_id, self._text_id = self._text_id, None
        return [] if text_id is None else [{"type": "text-end", "id": text_id}]

    def _end_step(self) -> list[UIMessageChunk]:
        was, self._in_step = self._in_step, False
        return [{"type": "finish-step"}] if was else []

    def _passed(self, chunk: UIMessageChunk) -> list[UIMessageChunk]:
        """A chunk of the function's own, with what it needs before it."""
        chunks = self._end_text()
        kind = chunk["type"]
        if kind == "start":
            self._started = True
        elif kind == "start-step":
            self._in_step = True
        elif kind == "finish-step":
            self._in_step = False
        elif kind in ("finish", "abort", "[DONE]"):
            if self._gave_text:
                chunks += self._end_step()
            self._ended = True
        return [*chunks, chunk]

    def _read(self, item: Any) -> list[UIMessageChunk]:
        """A chunk, a copy of what the function may go on to change; none of a kind not known."""
        try:
            if isinstance(item, BaseModel):
                return self._model(item)
            if isinstance(item, Mapping):
                value = loads(dumps(item).decode())
                return [STREAM_DONE if value == STREAM_DONE else validate_chunk(value)]
        except ValidationError as error:
            raise self._refused(item, where_wrong(error)) from error
        except (InvalidArgumentError, StreamProtocolError) as error:
            raise self._refused(item, str(error)) from error
        raise self._refused(item, f"{type(item).__name__} is neither text nor a mapping")

    def _model(self, model: BaseModel) -> list[UIMessageChunk]:
        """What a model would be over the wire: pydantic-ai's leave out a tool's output of None."""
        dumped = model.model_dump(by_alias=True, exclude_none=True)
        if dumped == {"type": "done"}:  # pydantic-ai's [DONE]
            return [STREAM_DONE]
        return self._models.read_one(dumps(dumped).decode())

    def _refused(self, item: Any, why: str) -> StreamProtocolError:
        return StreamProtocolError(
            f"The function gave something that is no chunk ({why}): {shown(repr(item))}",
            chunk=shown(repr(item)),
            position=self._count,
        )
