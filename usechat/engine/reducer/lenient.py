"""What to do with a chunk that refers to something that is not there."""

from __future__ import annotations

import logging

from usechat.engine.exchange import Exchange
from usechat.errors import StreamProtocolError

logger = logging.getLogger("usechat")


def missing(exchange: Exchange, kind: str, chunk_id: str, before: str) -> None:
    """Refuse the chunk in strict mode, as the SDK does; else say so once a kind in the log.

    Args:
        exchange: the exchange.
        kind: the chunk's type.
        chunk_id: what it refers to.
        before: the chunk type that should have come before it.

    Raises:
        StreamProtocolError: in strict mode.
    """
    if exchange.strict:
        raise StreamProtocolError(
            f'Received {kind} for "{chunk_id}", which is not there: '
            f"the server must send {before} before it.",
            position=exchange.received,
        )
    skip_once(exchange, kind, f"it came without a {before}")


def skip_once(exchange: Exchange, kind: str, why: str) -> None:
    """Say in the log, once an exchange, that chunks of a kind are not read as they should be.

    Args:
        exchange: the exchange.
        kind: the chunk's type.
        why: what is wrong with it.
    """
    if kind not in exchange.skipped:
        exchange.skipped.add(kind)
        logger.warning("A %s chunk is out of order: %s.", kind, why)
