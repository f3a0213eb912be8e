"""The command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import usechat
from usechat.errors import InvalidArgumentError
from usechat.model.json import loads
from usechat.transport.http import HttpTransport
from usechat.transport.openai import BASE_URL, OpenAITransport
from usechat.transport.options import Protocol

_ABOUT = """\
Chat with an endpoint that speaks the AI SDK's protocol, in the terminal.

Without a URL a demo endpoint is started on this machine: an assistant of
rules, which needs no key and no network. Send "help" to see what it can show.

With --openai there is no endpoint: the model itself is asked, by the API of
OpenAI, which Ollama, vLLM and LM Studio speak too.
"""

_MORE = """\
usechat inspect shows a reply chunk by chunk, and what is wrong with it;
usechat serve is the demo endpoint alone. Both have a --help of their own.

examples:
  usechat                                              chat with the demo
  usechat http://localhost:3000/api/chat               chat with an endpoint
  usechat http://localhost:3000/api/chat -m "Hello"    print one reply
  usechat URL -m - < question.txt                      the message from a file
  usechat URL -m "Hello" --json | jq -c .event         one event a line
  usechat inspect URL -m "Hello"                       what is in the reply
  usechat URL --header "Authorization: Bearer $TOKEN" --body '{"model": "x"}'
  usechat --openai gpt-5                               with OPENAI_API_KEY set
  usechat --openai llama3.2 --base-url http://localhost:11434/v1

exit status with -m:
  0    the reply is complete
  1    an error; standard error says which
  2    the command line cannot be used
  3    the reply is incomplete, or waits for an approval or a tool's output
  130  Ctrl-C stopped the reply
  141  nobody reads the output any more; the reply was stopped
The chat itself ends with 0.

output:
  -m prints the reply's text, as UTF-8 and unchanged. On a terminal it is in the
  terminal's encoding, without control characters, and ends with a new line.
  --json prints an object a line: "event" is the name of one of usechat's
  events, its other fields are the event's, in camelCase; PartAdded, PartUpdated
  and PartDone have the "part" as it is then, MessageAdded the message's "role",
  MetadataChanged its "metadata", TurnFinished the "outcome". The last line is
  {"event": "end", "outcome": ..., "finishReason": ..., "error": ...,
  "message": ...}.
"""

_INSPECT_ABOUT = """\
Show what an endpoint replies: the response's headers, what the reply is in and
what tells so, each chunk with its time, what a strict client (useChat of ai 7)
rejects, and what a session of usechat makes of it.

Without a URL the reply is that of the demo endpoint.
"""

_INSPECT_MORE = """\
examples:
  usechat inspect http://localhost:3000/api/chat -m "Hello"
  usechat inspect -m reasoning                         the demo's reply
  usechat inspect URL --json | jq -c 'select(.faults != [])'

exit status:
  0    the reply is complete, and a strict client rejects nothing
  1    there is no reply; it says why
  2    the command line cannot be used
  3    the reply has faults, or is not complete
  130  Ctrl-C stopped the reply
  141  nobody reads the output any more; the reply was stopped

output:
  A row is a chunk. "ms" is the time since the request was made, once for chunks
  that came together; "gap" is how long nothing came before, if a tenth of a
  second or more. Rows with ! are those that a strict client rejects.
  --json prints an object a line: {"event": "chunk", "row": ..., "ms": ...,
  "together": ..., "type": ..., "chunk": ..., "faults": [...]}. What cannot be
  read has the type "?" and its text as "chunk". The last line has the event
  "end" and everything else. Of headers that set cookies no value is shown.
"""

_SERVE_ABOUT = "Serve the demo endpoint alone, until Ctrl-C."


@dataclass(frozen=True)
class ChatOptions:
    """What ``usechat`` is to do.

    Attributes:
        url: the endpoint; None: the demo's own.
        message: what to send; ``-``: standard input; None: chat.
        headers: for every request.
        body: fields for every request's body.
        protocol: how replies are read.
        json: whether to print events instead of text.
        openai: the model to ask, without an endpoint; None: there is one.
        base_url: where the model's API is; None: OpenAI's own.
    """

    url: str | None = None
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    protocol: Protocol = "auto"
    json: bool = False
    openai: str | None = None
    base_url: str | None = None


@dataclass(frozen=True)
class InspectOptions(ChatOptions):
    """What ``usechat inspect`` is to do."""


@dataclass(frozen=True)
class ServeOptions:
    """What ``usechat serve`` is to do.

    Attributes:
        host: the address to listen at.
        port: the port; 0: a free one.
        delay: seconds before a word.
    """

    host: str
    port: int
    delay: float

    def urls(self) -> list[str]:
        """Lines that say where the endpoint is."""
        if not self.port:
            return ["The demo endpoint takes a free port; the server's first lines say which."]
        host = f"[{self.host}]" if ":" in self.host else self.host
        base = f"http://{host}:{self.port}"
        return [
            f"{base}/api/chat                 the UI message stream; ?protocol=text: bare text",
            f"{base}/api/chat/{{id}}/stream     GET: the reply that runs for a chat",
            f'{base}/api/stream               {{"message": "..."}}: data: {{"text": "..."}}',
        ]


def parse(argv: Sequence[str]) -> ChatOptions | InspectOptions | ServeOptions:
    """Read the command line.

    Args:
        argv: the arguments, without the program's name.

    Raises:
        SystemExit: there is nothing to do, after ``--help`` and the like (0) or a fault (2).
    """
    if argv and argv[0] == "serve":
        return ServeOptions(**vars(_serve_parser().parse_args(argv[1:])))
    if argv and argv[0] == "inspect":
        parser = _inspect_parser()
        given = parser.parse_args(argv[1:])
        _check_protocol(parser, given)
        return InspectOptions(**{**vars(given), "headers": dict(given.headers)})
    parser = _chat_parser()
    given = parser.parse_args(argv)
    if given.json and given.message is None:
        parser.error("--json needs -m")
    _check_model(parser, given)
    _check_protocol(parser, given)
    return ChatOptions(**{**vars(given), "headers": dict(given.headers)})


def _check_model(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Refuse what does not go together with a model, or without one."""
    if given.openai is None:
        if given.base_url is not None:
            parser.error("--base-url needs --openai")
        return
    if given.url is not None:
        parser.error("--openai asks a model and no endpoint: give no URL, see --base-url")
    if given.protocol != "auto":
        parser.error("--openai says the protocol: give no --protocol")
    try:
        OpenAITransport(given.openai, base_url=given.base_url or BASE_URL)
    except InvalidArgumentError as error:
        parser.error(str(error))


def _check_protocol(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    if given.url is None and given.protocol == "openai":
        parser.error("--protocol openai needs a URL: the demo does not speak it")


def _chat_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="usechat",
        usage="usechat [URL] [-m TEXT] [options]\n"
        "       usechat --openai MODEL [--base-url URL] [-m TEXT] [options]\n"
        "       usechat inspect [URL] [-m TEXT] [options]\n"
        "       usechat serve [options]",
        description=_ABOUT,
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("url", metavar="URL", nargs="?", type=_checked(_url), help="the endpoint to chat with")
    add(
        "-m",
        "--message",
        metavar="TEXT",
        help="send this, print the reply as it streams, and exit; - reads it from standard input",
    )
    _add_request(parser)
    add(
        "--openai",
        metavar="MODEL",
        help="ask this model itself, by the API of OpenAI; the key is OPENAI_API_KEY's",
    )
    add(
        "--base-url",
        metavar="URL",
        help=f"with --openai: where the API is (default: {BASE_URL}); "
        "OPENAI_API_KEY is not sent there, a key is given by --header",
    )
    add("--json", action="store_true", help="with -m: print events, an object a line")
    add("--version", action="version", version=f"usechat {usechat.__version__}")
    return parser


def _inspect_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="usechat inspect",
        usage="usechat inspect [URL] [-m TEXT] [options]",
        description=_INSPECT_ABOUT,
        epilog=_INSPECT_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("url", metavar="URL", nargs="?", type=_checked(_url), help="the endpoint to inspect")
    add(
        "-m",
        "--message",
        metavar="TEXT",
        default="Hello",
        help="what to send (default: Hello); - reads it from standard input",
    )
    _add_request(parser)
    add("--json", action="store_true", help="print an object a line")
    return parser


def _add_request(parser: argparse.ArgumentParser) -> None:
    """What goes with a request, and how its reply is read."""
    add = parser.add_argument
    add(
        "--header",
        dest="headers",
        metavar="'NAME: VALUE'",
        type=_checked(_header),
        action="append",
        default=[],
        help="a header for every request; may be given several times",
    )
    add(
        "--body",
        metavar="JSON",
        type=_checked(_body),
        default={},
        help="an object whose fields go into every request's body; @FILE reads it from a file",
    )
    add(
        "--protocol",
        choices=get_args(Protocol),
        default="auto",
        help="how replies are read: auto, found out from what comes (the default); ui, the UI "
        "message stream of the AI SDK 5 to 7; data-stream, what the AI SDK 4 sends (requests are "
        'in its form too); text, nothing but text; json-sse, data: {"text": "..."} events (this '
        "one also sends the text as the body's \"message\"); openai, the stream of OpenAI's API, "
        "passed on by an endpoint",
    )


def _serve_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="usechat serve", description=_SERVE_ABOUT)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="the address to listen at (default: 127.0.0.1)")
    add("--port", type=_checked(_port), default=8000, help="default: 8000; 0 takes a free one")
    add(
        "--delay",
        metavar="SECONDS",
        type=_checked(_delay),
        default=0.03,
        help="before each word of a reply (default: 0.03)",
    )
    return parser


def _checked(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse say what a value's reader says; of a ValueError it would say nothing."""

    def checked(text: str) -> Any:
        try:
            return read(text)
        except (ValueError, OSError) as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


def _url(text: str) -> str:
    HttpTransport(text)  # says what is wrong with it
    return text


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    # The value may be a secret: it is not repeated.
    if not colon or not name.strip():
        raise InvalidArgumentError("a header is written 'Name: value'")
    return name.strip(), value.strip()


def _body(text: str) -> dict[str, Any]:
    source = Path(text[1:]).read_text("utf-8") if text.startswith("@") else text
    try:
        value = loads(source)
    except ValueError as error:
        raise InvalidArgumentError(f"this is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidArgumentError("the body is a JSON object, {...}")
    return value


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= 65535:
        raise InvalidArgumentError(f"{text!r} is no port: expected 0 to 65535")
    return port


def _delay(text: str) -> float:
    delay = float(text)
    if not (math.isfinite(delay) and delay >= 0):
        raise InvalidArgumentError(f"{text!r}: expected a number of seconds")
    return delay
