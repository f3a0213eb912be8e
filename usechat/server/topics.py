"""What the demo assistant can show: a small script each, in a table; pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from usechat.model.json import dumps, loads
from usechat.server.script import (
    SILENCE,
    Chunk,
    Message,
    Pen,
    Script,
    last_step_tools,
    parts_of,
    text_of,
    tool_name,
)

# A picture of one blue pixel.
_PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

_MARKDOWN = """\
# A heading

Some *emphasis*, some **weight**, `code` in a line and a [link](https://example.com/).

- one
- two
  1. nested

| part | state |
|------|-------|
| text | done  |

```python
def greet(name: str) -> str:
    return f"Hello, {name}!"
```

> A quotation, to end with."""

# What clients stumble over: characters beyond the BMP, joined emoji, combining marks, writing
# from right to left, and the separators that Python calls line ends and SSE does not.
_ODD = (
    "Emoji 🌍 👩‍👩‍👧‍👦 🇳🇴, combining e\u0301 n\u0303 a\u0328\u0301, "
    "Hebrew שלום, Chinese 你好, Arabic مرحبا, "
    "U+2028 [\u2028] U+2029 [\u2029] U+0085 [\u0085] a null [\u0000] a tab [\t] "
    "quotes \" ' \\ and data: [DONE] at the end."
)

_SENTENCES = (
    "Once there was a stream that came word by word, and nobody knew where it would end.",
    "The client read it as it came and kept what it had read.",
    "Now and then somebody scrolled back to the beginning, which had not changed.",
    "A long reply is a good moment to press stop, to see that what came is kept.",
)
_MAX_WORDS = 10_000

# A call as it is asked for, ``name()`` or ``name({...})``, and how much of a text is searched.
_CALL = re.compile(r"([\w-]{1,64})\((\{.{0,2000}?\})?\)", re.ASCII | re.DOTALL)
_MAX_CALLS_TEXT = 10_000
_HOW_TO_CALL = """\
Say which of your tools I am to call, and with what: call get_time(), call add({"a": 1, "b": 2}), \
or several at once. With the words "again and again" I call them after each answer, too."""


class Topic(NamedTuple):
    """Something to ask the demo for.

    Attributes:
        name: the word that asks for it.
        pattern: this and other words that do.
        script: what it shows.
        about: what it shows, in words.
    """

    name: str
    pattern: str
    script: Callable[[Pen], Script]
    about: str


def _reasoning(pen: Pen) -> Script:
    yield from pen.reasoning("The user wants to see reasoning. I think of it first, then I answer.")
    yield from pen.text("I thought about it, as you can see, and the answer is 42.")
    return "stop"


def _approval(pen: Pen) -> Script:
    yield from pen.text("I can delete the old logs, but only if you allow it.")
    call_id = yield from pen.tool_call("delete_files", {"path": "logs/old", "count": 3})
    yield {
        "type": "tool-approval-request",
        "approvalId": f"approval-{pen.generate_id()}",
        "toolCallId": call_id,
    }
    return "tool-calls"


def _weather(pen: Pen) -> Script:
    named = re.search(r"weather (?:in|at|for|of) (\w[\w -]{0,39})", pen.asked, re.IGNORECASE)
    city = named[1].strip() if named else "Oslo"
    yield from pen.text(f"I look up the weather in {city}.")
    call_id = yield from pen.tool_call("get_weather", {"city": city, "unit": "celsius"})
    degrees = sum(map(ord, city)) % 35
    yield {
        "type": "tool-output-available",
        "toolCallId": call_id,
        "output": {"city": city, "temperature": degrees, "sky": "clear"},
    }
    yield from pen.next_step()
    yield from pen.text(f"It is {degrees} degrees in {city}, with a clear sky.")
    return "stop"


def _time(pen: Pen) -> Script:
    yield from pen.text("Only your side knows that; I ask your clock.")
    yield from pen.tool_call("get_local_time", {"format": "HH:MM"})
    return "tool-calls"


def _call(pen: Pen) -> Script:
    return (yield from _calls_named_in(pen.asked, pen))


def _calls_named_in(text: str, pen: Pen) -> Script:
    calls = _CALL.findall(text[:_MAX_CALLS_TEXT])
    try:
        inputs = [loads(given or "{}") for _, given in calls]
    except ValueError:
        calls = []
    if not calls:
        yield from pen.text(_HOW_TO_CALL)
        return "stop"
    for (name, _), given in zip(calls, inputs, strict=True):
        yield from pen.tool_call(name, given)
    return "tool-calls"


def _data(pen: Pen) -> Script:
    yield {
        "type": "data-notification",
        "data": {"level": "info", "message": "Working on it."},
        "transient": True,
    }
    for done in range(6):
        yield {"type": "data-progress", "id": "progress-1", "data": {"done": done, "of": 5}}
    yield from pen.text("One data part went from 0 to 5; a transient one was not kept.")
    return "stop"


def _sources(pen: Pen) -> Script:
    yield {
        "type": "source-url",
        "sourceId": "source-1",
        "url": "https://html.spec.whatwg.org/multipage/server-sent-events.html",
        "title": "Server-sent events",
    }
    yield {
        "type": "source-document",
        "sourceId": "source-2",
        "mediaType": "application/pdf",
        "title": "A document",
        "filename": "document.pdf",
    }
    yield from pen.text("I have read it in a page and in a document.")
    return "stop"


def _long(pen: Pen) -> Script:
    asked = re.search(r"[0-9]+", pen.asked)
    # The digits are cut before int() reads them, which refuses thousands of them.
    count = min(int(asked[0][:9]), _MAX_WORDS) if asked else 400
    story = [word for sentence in _SENTENCES for word in sentence.split()]
    words = (story * (count // len(story) + 1))[:count]
    yield from pen.text(" ".join(words))
    return "stop"


def _error(pen: Pen) -> Script:
    yield from pen.text_broken_off("This reply breaks off in the middle of ")
    yield {"type": "error", "errorText": "The demo failed, as you asked."}
    return "error"


def _stall(pen: Pen) -> Script:
    yield from pen.text_broken_off("Now nothing comes any more, until you stop me ")
    yield SILENCE
    return "other"


def _markdown(pen: Pen) -> Script:
    yield from pen.text(_MARKDOWN)
    return "stop"


def _odd(pen: Pen) -> Script:
    yield from pen.text(_ODD)
    return "stop"


def _file(pen: Pen) -> Script:
    yield {"type": "file", "mediaType": "image/png", "url": _PNG}
    yield from pen.text("Here is a picture of one blue pixel.")
    return "stop"


def _help(pen: Pen) -> Script:
    lines = [f"- {topic.name}: {topic.about}" for topic in TOPICS]
    yield from pen.text("\n".join(["Put one of these words in your message:", "", *lines]))
    return "stop"


TOPICS: tuple[Topic, ...] = (
    Topic("call", "call", _call, "a tool of yours by its name, as in: call get_time()"),
    Topic("reasoning", r"reason\w*|think\w*", _reasoning, "reasoning before the answer"),
    Topic("approval", "approvals?|approve|delete", _approval, "a tool that needs your yes or no"),
    Topic("weather", "weather|server tools?", _weather, "a tool that runs on the server"),
    Topic("time", "time|clock|client tools?", _time, "a tool that runs on the client"),
    Topic("data", "data|progress", _data, "data parts, one updated, one transient"),
    Topic("sources", "sources?|cite", _sources, "a web page and a document as sources"),
    Topic("long", "long|story", _long, "several hundred words, or as many as you say"),
    Topic("error", "errors?|fail", _error, "an error in the middle of the text"),
    Topic("stall", "stall|silence|hang", _stall, "some words, then silence until you stop it"),
    Topic("markdown", "markdown|table|code", _markdown, "headings, lists, a table, code"),
    Topic("odd", "odd|emoji|unicode", _odd, "odd characters"),
    Topic("file", "files?|picture|image", _file, "a picture in the reply"),
    Topic("help", "help|what can (?:you|i)", _help, "this list"),
)
"""All topics; where a message has words of several, the first counts."""


def echo(pen: Pen) -> Script:
    """Answer a message that asks for no topic."""
    files = sum(part.get("type") == "file" for part in parts_of(pen.messages[-1]))
    said = f"You said: {pen.quoted}" if pen.quoted else "You said nothing"
    if files:
        said += f" ({files} file{'s' if files > 1 else ''} came with it)"
    names = ", ".join(topic.name for topic in TOPICS)
    yield from pen.text(f"{said}\n\nI am a demo without a model. You can ask me for: {names}.")
    return "stop"


def find(text: str) -> Callable[[Pen], Script]:
    """The script that a message asks for, or ``echo``.

    Args:
        text: the message's text.
    """
    for topic in TOPICS:
        if re.search(rf"\b(?:{topic.pattern})\b", text, re.IGNORECASE):
            return topic.script
    return echo


def call_again(pen: Pen) -> Script:
    """Make the calls of the last question once more, if it says "again and again"."""
    asked = next((text_of(m) for m in reversed(pen.messages) if m.get("role") == "user"), "")
    if find(asked) is _call and "again and again" in asked:
        return (yield from _calls_named_in(asked, pen))
    return "stop"


def settle(pen: Pen) -> tuple[list[Chunk], str]:
    """Go on with an assistant message whose tools have been answered.

    Returns:
        The results of the tools that were approved or denied, and what to say to all of it.
    """
    chunks: list[Chunk] = []
    words: list[str] = []
    for part in last_step_tools(pen.messages[-1]):
        if part.get("state") == "approval-responded":
            chunk, said = _settle_approval(part)
            chunks.append(chunk)
        else:
            said = _settle_output(part)
        words.append(said)
    return chunks, " ".join(words) or "There is nothing that I could go on with."


def _settle_approval(part: Message) -> tuple[Chunk, str]:
    approval = part.get("approval")
    call_id = part.get("toolCallId")
    if isinstance(approval, dict) and approval.get("approved") is True:
        output = {"deleted": 3}
        return (
            {"type": "tool-output-available", "toolCallId": call_id, "output": output},
            "Done, with your approval: 3 files are gone.",
        )
    reason = approval.get("reason") if isinstance(approval, dict) else None
    said = f"You denied it ({reason}), so" if reason else "You denied it, so"
    return {"type": "tool-output-denied", "toolCallId": call_id}, f"{said} nothing was deleted."


def _settle_output(part: Message) -> str:
    name = tool_name(part)
    if part.get("state") == "output-available":
        output = part.get("output")
        said = output if isinstance(output, str) else dumps(output).decode()
        return f"Your clock says {said}." if name == "get_local_time" else f"{name} gave {said}."
    if part.get("state") == "output-error":
        return f"{name} failed: {part.get('errorText')}."
    if part.get("state") == "output-denied":
        approval = part.get("approval")
        reason = approval.get("reason") if isinstance(approval, dict) else None
        return f"You denied {name} ({reason})." if reason else f"You denied {name}."
    return f"{name} still waits for an answer."
