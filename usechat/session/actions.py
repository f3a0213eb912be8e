"""What users of a session can do: the actions of useChat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import NoneType
from typing import Any, TypeVar, overload

from typing_extensions import TypedDict, Unpack

from usechat.engine.answers import ApprovalResponse, ToolOutput
from usechat.engine.exchange import RequestOptions, Steps, TurnState
from usechat.errors import ChatBusyError, InvalidArgumentError
from usechat.model.messages import UIMessage
from usechat.session.base import SessionBase
from usechat.session.checks import checked_messages
from usechat.session.files import FileInput
from usechat.session.observers import must_be_plain
from usechat.session.toolbox import calling_tool
from usechat.session.user_input import plain, text_of_input, user_message
from usechat.tools.tool import NeedsApprovalFunction, Tool, as_tool
from usechat.transport.options import Body, Headers

TurnT = TypeVar("TurnT")
F = TypeVar("F", bound=Callable[..., Any])

MessageInput = str | UIMessage | Mapping[str, Any] | None
"""A message: text, a message, its wire form, or None."""

_UNSET: Any = object()


class RequestArguments(TypedDict, total=False):
    """What every action takes that can open a request.

    Attributes:
        headers: for the requests of its turn; a name given here wins.
        body: fields for the bodies of its requests.
        request_metadata: for the prepare hooks; never sent by itself.
    """

    headers: Headers | None
    body: Body | None
    request_metadata: Any


class SendArguments(RequestArguments, total=False):
    """What ``send_message`` takes beside the message; see there."""

    files: Iterable[FileInput] | FileInput | None
    metadata: Any
    message_id: str | None


class ToolOptions(TypedDict, total=False):
    """What ``chat.tool`` takes beside the function; see ``Tool``."""

    name: str | None
    description: str | None
    timeout: float | None
    needs_approval: bool | NeedsApprovalFunction


class Actions(SessionBase[TurnT]):
    """The actions of a chat. Each is a plain function: the state has changed when it returns."""

    def _begin(self, resume: bool) -> None:
        self._resumed = self.resume_stream() if resume else None

    @property
    def resumed(self) -> TurnT | None:
        """The turn that ``resume=True`` began; None without."""
        return self._resumed

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools that run on this side."""
        return tuple(self._toolbox)

    @overload
    def tool(self, fn: F) -> F: ...

    @overload
    def tool(self, **options: Unpack[ToolOptions]) -> Callable[[F], F]: ...

    def tool(self, fn: F | None = None, **options: Unpack[ToolOptions]) -> F | Callable[[F], F]:
        """Let the model call a function; a decorator, with options or without.

        Args:
            fn: a function, or a ``Tool``; it takes the place of one that has its name.
            options: see ``ToolOptions``.

        Raises:
            InvalidArgumentError: it cannot be a tool.
        """

        def add(function: F) -> F:
            tool = Tool(function, **options) if options else as_tool(function)
            self._alone(lambda: self._toolbox.add(tool))
            return function

        return add if fn is None else add(fn)

    def send_message(
        self,
        message: MessageInput = None,
        *,
        files: Iterable[FileInput] | FileInput | None = None,
        metadata: Any = None,
        message_id: str | None = None,
        **request: Unpack[RequestArguments],
    ) -> TurnT:
        """Send a message; without one and without files, the history as it is.

        Args:
            message: text, a message, or a mapping of ``sendMessage``'s forms.
            files: parts, paths, bytes or URLs; they stand before the text.
            metadata: the message's own, stored with it.
            message_id: a user's message to replace; what follows it is dropped.
            request: see ``RequestArguments``.

        Raises:
            ChatBusyError: a turn runs, and ``when_busy`` does not allow another.
            InvalidArgumentError: it is no message, or there is none to replace.
        """
        fields, edit = user_message(message, files, metadata, message_id)
        return self._act(self._engine.send_message(fields, edit, _options(request)))

    def submit(
        self,
        **request: Unpack[RequestArguments],
    ) -> TurnT | None:
        """Send the text box and empty it. With nothing in it, or while busy, do nothing.

        Args:
            request: see ``RequestArguments``.
        """
        text = self._take_input()
        if not text:
            return None
        try:
            return self.send_message(text, **request)
        except Exception as error:
            self.input = text
            if isinstance(error, ChatBusyError):  # as many wait as may
                return None
            raise

    def _take_input(self) -> str:
        """Empty the text box, and return what is to be sent of it: twice the same never is."""
        engine = self._engine

        def take() -> str:
            text = self._input
            unable = engine.closed or (engine.busy and engine.when_busy == "reject")
            if unable or not text.strip():
                return ""
            self._put_input("")
            return text

        text = self._alone(take)
        self._deliver()
        return text

    def handle_submit(self, *_: object) -> TurnT | None:
        """``submit()``, as the callback of a button or a key.

        Args:
            _: whatever the toolkit passes.
        """
        return self.submit()

    def handle_input_change(self, value: Any) -> None:
        """Take over what the text box reports.

        Args:
            value: the text, or the toolkit's event.

        Raises:
            InvalidArgumentError: there is no text in it.
        """
        self.input = text_of_input(value)

    def regenerate(
        self,
        message_id: str | None = None,
        **request: Unpack[RequestArguments],
    ) -> TurnT:
        """Ask for a reply again; also the Retry after an error.

        Args:
            message_id: an assistant's message, dropped with all that follows, or a user's, which
                stays; None: the last one.
            request: see ``RequestArguments``.

        Raises:
            InvalidArgumentError: there is no such message.
        """
        return self._act(self._engine.regenerate(message_id, _options(request)))

    def resume_stream(
        self,
        **request: Unpack[RequestArguments],
    ) -> TurnT:
        """Go on with the reply that is running on the server, if there is one.

        Args:
            request: see ``RequestArguments``.
        """
        return self._act(self._engine.resume_stream(_options(request)))

    def add_tool_output(
        self,
        tool_call_id: str,
        output: Any = _UNSET,
        *,
        error_text: str | None = None,
        **request: Unpack[RequestArguments],
    ) -> TurnT:
        """Answer a tool call, with an output or an error. An unknown call changes nothing.

        Args:
            tool_call_id: the call.
            output: a JSON value.
            error_text: what went wrong, for the model, where there is no output.
            request: see ``RequestArguments``.

        Raises:
            InvalidArgumentError: there is neither an output nor an error, or both; or the output
                is no JSON value.
        """
        if (output is _UNSET) == (error_text is None):
            raise InvalidArgumentError("Give either the output of the tool or error_text=.")
        answer = (
            ToolOutput.available(tool_call_id, plain(output))
            if error_text is None
            else ToolOutput.error(tool_call_id, plain(error_text))
        )
        return self._act(self._engine.add_answer(answer, _options(request)))

    def add_tool_approval_response(
        self,
        approval_id: str,
        approved: bool,
        reason: str | None = None,
        **request: Unpack[RequestArguments],
    ) -> TurnT:
        """Answer an approval that a tool call asks for. An unknown one changes nothing.

        Args:
            approval_id: the approval, ``part.approval.id``.
            approved: yes or no.
            reason: why, for the model.
            request: see ``RequestArguments``; not used where the call joins others that run.
        """
        if not isinstance(approved, bool):
            raise InvalidArgumentError(f"approved={approved!r}: expected True or False.")
        if not isinstance(reason, (str, NoneType)):
            raise InvalidArgumentError(f"reason={reason!r}: expected text or None.")
        answer = ApprovalResponse(approval_id, approved, reason)
        return self._act(self._engine.add_answer(answer, _options(request)))

    def stop(self) -> None:
        """End the running turn. What came stays."""
        self._run(self._engine.stop())

    def set_messages(
        self,
        messages: Iterable[UIMessage | Mapping[str, Any]]
        | Callable[[tuple[UIMessage, ...]], Iterable[UIMessage | Mapping[str, Any]]],
    ) -> None:
        """Put other messages in place of all; ends the running turn first.

        Args:
            messages: the new ones, or a function that makes them of those that are there.

        Raises:
            InvalidArgumentError: one of them is no message.
        """
        if not callable(messages):
            self._run(self._engine.set_messages(checked_messages(messages)))
            return
        must_be_plain(messages, "set_messages")
        while True:
            before = self.messages
            made = checked_messages(messages(before))
            # Somebody else may have changed them meanwhile: then the function is asked again.
            if self._run(self._engine.set_messages(made, before)):
                return

    def clear_error(self) -> None:
        """From ``error`` back to ``ready``."""
        self._change(self._engine.clear_error)

    def clear(self) -> None:
        """Begin a new chat: stop, forget all messages, take a new id."""
        self._run(self._engine.clear())

    def remove_queued_message(self, message_id: str) -> None:
        """Take a message out of the queue. An unknown one changes nothing.

        Args:
            message_id: its id.
        """
        self._change(lambda: self._engine.remove_queued_message(message_id))

    def send_queued_message_now(self, message_id: str) -> TurnT:
        """Stop what runs and send a message that waits; the others follow it.

        Args:
            message_id: its id; an unknown one changes nothing.
        """
        return self._act(self._engine.send_queued_message_now(message_id))

    def _act(self, steps: Steps[TurnState]) -> TurnT:
        turn = self._run(steps)
        if turn.caller is None:
            turn.caller = calling_tool()
        return self._look(lambda: self._turn(turn))


def _options(request: RequestArguments) -> RequestOptions:
    unknown = request.keys() - RequestArguments.__annotations__.keys()
    if unknown:
        raise TypeError(f"unexpected keyword argument: {', '.join(sorted(unknown))}")
    return RequestOptions(
        request.get("headers"), request.get("body"), request.get("request_metadata")
    )
