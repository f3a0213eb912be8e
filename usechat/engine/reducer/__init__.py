"""Chunks to changes of the draft: a small handler for each chunk type, in one table.

Source: ai 7.0.173, src/ui/process-ui-message-stream.ts. A handler changes the draft, says what it
did, and raises ``StreamProtocolError`` or ``ServerError``; it knows nothing of the message list.
"""

from __future__ import annotations

from usechat.engine.reducer.table import HANDLERS, Handler, handler_of

__all__ = ["HANDLERS", "Handler", "handler_of"]
