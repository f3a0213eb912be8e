"""The demo endpoint of usechat, which has its own words, with the log of the other servers.

POST /api/chat              no pause between the words
POST /paced/api/chat        a pause before each, for what has to happen in the middle of a reply
"""

from __future__ import annotations

import scripted
from starlette.applications import Starlette
from starlette.routing import Mount

from usechat.server import create_app


def on_reply_end(chat_id: str, outcome: str) -> None:
    if outcome == "stopped":
        recorder.log.abort(chat_id, outcome)


app = Starlette(
    routes=[
        Mount("/paced", create_app(delay=0.02, on_reply_end=on_reply_end)),
        Mount("/", create_app(delay=0, on_reply_end=on_reply_end)),
    ]
)
recorder = scripted.Recorder(app)

if __name__ == "__main__":
    scripted.serve(recorder.routed)
