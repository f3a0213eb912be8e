"""For tests of programs that use usechat: a transport and a server that follow a script.

``ScriptedTransport`` needs no network and no server: it hands a session the chunks that a test
wrote down. ``FakeServer`` is a real HTTP server on the loopback interface, for tests that go
through the whole client. ``every_split`` and ``byte_by_byte`` cut a stream in pieces.
"""

from usechat.testing.script import CUT, HANG, RESET, Marker, text_reply
from usechat.testing.server import FakeReply, FakeRequest, FakeServer
from usechat.testing.split import byte_by_byte, every_split
from usechat.testing.transport import ScriptedReply, ScriptedTransport

__all__ = [
    "CUT",
    "HANG",
    "RESET",
    "FakeReply",
    "FakeRequest",
    "FakeServer",
    "Marker",
    "ScriptedReply",
    "ScriptedTransport",
    "byte_by_byte",
    "every_split",
    "text_reply",
]
