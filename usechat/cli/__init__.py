"""The chat in the terminal: ``usechat``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import anyio

from usechat.cli.arguments import ChatOptions, InspectOptions, ServeOptions, parse
from usechat.cli.chat import converse
from usechat.cli.endpoint import endpoint, open_chat, open_transport
from usechat.cli.inspect import inspect_reply
from usechat.cli.interrupts import Interrupts
from usechat.cli.notes import notes_to
from usechat.cli.once import INTERRUPTED, send_once
from usechat.cli.output import Output, OutputClosed, OutputError
from usechat.cli.prompt import read_message
from usechat.errors import UseChatError

# What the shell makes of a program that SIGPIPE ended.
_NOBODY_READS = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: its arguments; None: those of the process.

    Returns:
        The exit status; ``usechat --help`` says what they mean.

    Raises:
        SystemExit: argparse's way to end after ``--help`` and errors of usage.
    """
    out, err = Output(sys.stdout), Output(sys.stderr)
    try:
        options = _options(sys.argv[1:] if argv is None else argv, out)
        if isinstance(options, ServeOptions):
            return _serve(options, out)
        if isinstance(options, InspectOptions):
            return _inspect(options, out)
        return _chat(options, out, err)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OutputClosed:
        return _NOBODY_READS
    except (OutputError, UseChatError) as error:
        err.complain(str(error))
        return 1


def _options(argv: Sequence[str], out: Output) -> ChatOptions | InspectOptions | ServeOptions:
    try:
        return parse(argv)
    finally:
        out.flush()  # argparse leaves its help in the stream's buffer


def _chat(options: ChatOptions, out: Output, err: Output) -> int:
    text = None if options.message is None else read_message(options.message)
    with endpoint(options) as url, Interrupts() as interrupts:

        async def run() -> int:
            async with open_chat(options, url) as chat:
                if text is None:
                    with notes_to(out.note):
                        return await converse(chat, out, interrupts, url)
                with notes_to(err.complain):
                    return await send_once(chat, text, out, err, interrupts, json=options.json)

        return anyio.run(run)


def _inspect(options: InspectOptions, out: Output) -> int:
    text = read_message(options.message or "")
    with endpoint(options) as url, Interrupts() as interrupts:

        async def run() -> int:
            async with open_transport(options, url, text) as transport:
                # The log's words on what is not as it should be are among the findings.
                with notes_to(lambda _: None):
                    return await inspect_reply(transport, options, url, text, out, interrupts)

        return anyio.run(run)


def _serve(options: ServeOptions, out: Output) -> int:
    from usechat.server import serve
    from usechat.server.extras import extras_needed

    with extras_needed():
        import uvicorn  # noqa: F401  (so that nothing is promised that cannot be kept)

    for line in options.urls():
        out.line(line)
    try:
        serve(options.host, options.port, options.delay)
    except SystemExit:  # uvicorn's, with a status that means something else here; it said why
        return 1
    return 0
