"""Model text as Markdown that is safe to render.

Markdown lets HTML through. So code is written anew as HTML of our own, with all of it that is no
letter, digit or space as entities. Outside of code there is no ``<`` and no ``"``, no entity but
ours, no backtick, no image, and no link to a scheme that runs something. None of this rests on
how a renderer divides the text into blocks: where it finds code elsewhere than we do, the text
looks odd, and nothing runs.

Source: CommonMark 0.31.2; JupyterLab 4, packages/rendermime/src/latex.ts: it takes maths out of
the text before it reads the Markdown, and puts it back into the HTML, into attributes too.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from urllib.parse import quote

# Browsers skip them in the scheme of a link.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_ENTITIES = {i: f"&#{i};" for i in range(128) if not (chr(i).isalnum() or chr(i) == " ")}

# ------------------------------------------------------------------------- within a block

_WORDS = {"<": "&lt;", "&": "&amp;", '"': "&quot;"}
_TOKEN = re.compile(
    r"""
    (?P<escape>\\[!-/:-@\[-`{-~])
  | (?P<code>`+)
  | (?P<maths>\$\$?)
  | (?P<image>!(?=[\[<]))
  | (?P<target>\](?=[(:]))
  | (?P<autolink><https?://[\w.~:/?\#@!*+,;=%&-]+>)
  | (?P<special>[<&"]|~{3,})
    """,
    re.VERBOSE,
)
# No quotes: nothing that JupyterLab takes for maths can end an attribute.
_MATHS = re.compile(
    r"""
    \$\$ (?:[^$`"\\]|\\[^"`])+ \$\$
  | \$ (?=[^\s$]) (?:[^$`"\\]|\\[^"`])+ (?<=\S)\$ (?!\d)
    """,
    re.VERBOSE,
)
_GAP = re.compile(r"[\s>]*")
# How the target of a link begins that may stay: with a scheme that runs nothing, or with none.
_HARMLESS = re.compile(
    r"""
    https?: | mailto:
  | (?:[^\s:&<>/?\#()\[\]"$`] | &(?!\#|\w*;))* (?:[/?\#()\[\]"$`\s]|\Z)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_IN_BRACKETS = re.compile(r"[ \t]*<([^<>\n]*)>(?=[ \t]*(?:[)\n]|\Z))")
_TITLED = re.compile(
    r"""
    [ \t]* ((?:[^\s()\[\]<>"`$\\] | \([^\s()\[\]<>"`$\\]*\))+)
    [ \t]+ "([^"\n`$\\]*)" (?=[ \t]*(?:[)\n]|\Z))
    """,
    re.VERBOSE,
)


def printable(text: str) -> str:
    """The text without control characters and halves of characters: they are U+FFFD.

    Args:
        text: any text.
    """
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _CONTROLS.sub("\ufffd", text)


def encoded(text: str) -> str:
    """The text, to be read as it is: nothing of it is Markdown, HTML or maths.

    Args:
        text: any text.
    """
    return text.translate(_ENTITIES)


def code(text: str) -> str:
    """The text as code within a line.

    Args:
        text: any text.
    """
    return f"<code>{encoded(text)}</code>"


def _quoted(url: str) -> str:
    return quote(url, safe="-._~:/?#@!*+,;=%&")


def linked(text: str, url: str) -> str:
    """A link.

    Args:
        text: what is shown of it.
        url: where to; the scheme must be known to be harmless.
    """
    return f"[{encoded(text)}]({_quoted(url).replace('&', '&amp;')})"


class _Inline:
    """Makes the text of one block safe, from its begin to its end.

    Args:
        text: its lines.
        table: whether it is a row of a table, where ``\\|`` is a bar in code too.
    """

    def __init__(self, text: str, table: bool) -> None:
        self._text = text
        self._table = table
        self._at = 0
        self._maths_end = 0
        self._ticks: defaultdict[int, list[int]] = defaultdict(list)
        for run in re.finditer("`+", text):
            self._ticks[len(run[0])].append(run.start())

    def safe(self) -> str:
        """The safe text."""
        made: list[str] = []
        while token := _TOKEN.search(self._text, self._at):
            made.append(self._text[self._at : token.start()])
            self._at = token.end()
            make: Callable[[str], str] = getattr(self, f"_{token.lastgroup}")
            made.append(make(token[0]))
        made.append(self._text[self._at :])
        return "".join(made)

    @property
    def _in_maths(self) -> bool:
        return self._at <= self._maths_end

    def _escape(self, token: str) -> str:
        if self._in_maths and token[1] == "&":
            return r"\& "
        return encoded(token[1]) if token[1] in '!"&<`' else token

    def _code(self, token: str) -> str:
        starts = self._ticks[len(token)]
        index = bisect_left(starts, self._at)
        if index == len(starts):
            return encoded(token)
        first, *rest = self._text[self._at : starts[index]].split("\n")
        self._at = starts[index] + len(token)
        text = " ".join([first, *(line.lstrip(" \t>") for line in rest)])
        if text[0] == text[-1] == " " and text.strip(" "):
            text = text[1:-1]
        return code(text.replace(r"\|", "|") if self._table else text)

    def _maths(self, token: str) -> str:
        if self._in_maths:
            return token
        if maths := _MATHS.match(self._text, self._at - len(token)):
            self._maths_end = maths.end()
        # A lone "$" could begin what JupyterLab takes for maths, up to within our HTML.
        return token if maths or len(token) == 2 else encoded(token)

    def _image(self, token: str) -> str:
        return "! " if self._in_maths else encoded(token)

    def _target(self, token: str) -> str:
        opening = self._text[self._at]
        after = self._at + 1
        space = " " if opening == ":" else ""
        if found := _IN_BRACKETS.match(self._text, after):
            url = _quoted(found[1])
            if _HARMLESS.match(url):
                self._at = found.end()
                return f"]{opening}{space}{url.replace('&', '&amp;')}"
        elif self._harmless(after):
            if found := _TITLED.match(self._text, after):
                self._at = found.end()
                url = _quoted(found[1]).replace("&", "&amp;")
                return f"]{opening}{space}{url} '{encoded(found[2])}'"
            return token
        self._at = after
        return f"] {opening}" if after <= self._maths_end else f"]{encoded(opening)}"

    def _harmless(self, at: int) -> bool:
        gap = _GAP.match(self._text, at)
        # Where nothing follows, a renderer may find the target in what we hold for another block.
        return bool(gap and gap.end() < len(self._text) and _HARMLESS.match(self._text, gap.end()))

    def _autolink(self, token: str) -> str:
        return linked(token[1:-1], token[1:-1])

    def _special(self, token: str) -> str:
        # "&" parts the cells of a matrix; with a space behind it, it is no entity.
        words = {"<": r"\lt ", "&": "& "} if self._in_maths else _WORDS
        return words.get(token) or encoded(token)


# -------------------------------------------------------------------------------- blocks

_QUOTE = re.compile(r"((?: {0,3}>)*)( ?)")
_MARKER = r"(?:[-+*]|\d{1,9}[.)])"
_ITEM = re.compile(rf"([ \t]*)({_MARKER})([ \t]+|$)")
_FENCE = re.compile(
    rf"(?P<lead>[ \t]*(?:{_MARKER}[ \t]+)*)(?P<fence>`{{3,}}(?=[^`]*$)|~{{3,}})(?P<info>.*)$"
)
# Lines that begin a block in the midst of others, and those that are one all alone.
_BEGINS = re.compile(rf"[ \t]*(?:(?:{_MARKER}|\#{{1,6}})(?:[ \t]|$)|\||[-=]+[ \t]*$)")
_ALONE = re.compile(r"[ \t]*(?:\#{1,6}(?:[ \t]|$)|[-=]+[ \t]*$)")


def _width(line: str) -> int:
    """How many columns a line is indented."""
    return len(line[: len(line) - len(line.lstrip(" \t"))].expandtabs(4))


def _dedented(line: str, columns: int) -> str:
    """The line without up to so many columns of its indentation."""
    if not columns:
        return line
    text = line.lstrip(" \t")
    return line[: len(line) - len(text)].expandtabs(4)[columns:] + text


def _pre(lines: list[str], language: str = "") -> str:
    # One line, so that it stays whole in lists and block quotes. No quotes: see _MATHS.
    name = f" class=language-{language}" if language else ""
    return f"<pre><code{name}>" + encoded("\n".join(lines)) + "</code></pre>"


class _Blocks:
    """Finds the code blocks of a text, and makes what stands between them safe.

    Args:
        lines: the text's.
    """

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0
        self._made: list[str] = []
        self._open: list[str] = []
        self._depth = 0
        self._items: list[int] = []
        """Where the contents of the list items begin that are open, in columns."""

    def safe(self) -> list[str]:
        """The safe lines."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            prefix = _QUOTE.match(line)
            assert prefix
            if prefix[1].count(">") != self._depth:
                self._close()
                self._items.clear()
                self._depth = prefix[1].count(">")
            inside = line[prefix.end() :] if self._depth else line
            lead = prefix[0] if self._depth else ""
            if not inside.strip(" \t"):
                self._close()
                self._made.append(line)
                self._at += 1
            elif not self._block_of_code(lead, inside):
                self._text(line, inside)
                self._at += 1
        self._close()
        return self._made

    def _close(self) -> None:
        if self._open:
            table = "|" in self._open[0] and self._open[0].lstrip(" \t>")[0] == "|"
            self._made.append(_Inline("\n".join(self._open), table).safe())
            self._open = []

    def _text(self, line: str, inside: str) -> None:
        if _BEGINS.match(inside):
            self._close()
        if not self._open:
            self._item(inside)
        self._open.append(line)
        if _ALONE.match(inside):
            self._close()

    def _item(self, line: str) -> None:
        """Note which list items are open from this line on."""
        column = _width(line)
        while self._items and column < self._items[-1]:
            self._items.pop()
        at = 0
        while item := _ITEM.match(line, at):
            at = item.end()
            column += len(item[2]) + (len(item[3]) if 0 < len(item[3]) <= 4 else 1)
            self._items.append(column)

    def _block_of_code(self, lead: str, inside: str) -> bool:
        """Take a block of code, if one begins here."""
        width = _width(inside)
        while not self._open and self._items and width < self._items[-1]:
            self._items.pop()
        base = self._items[-1] if self._items else 0
        if width >= base + 4:
            if self._open:
                return False
            self._indented(lead, base)
            return True
        if not (fence := _FENCE.match(inside)):
            return False
        self._close()
        self._item(inside)
        self._fenced(lead, fence)
        return True

    def _contents(self, at: int) -> str | None:
        """A line without the marks of the block quotes; None if it is in fewer of them."""
        line = self._lines[at]
        if not self._depth:
            return line
        prefix = _QUOTE.match(line)
        assert prefix
        if prefix[1].count(">") < self._depth:
            return None
        return line[prefix.end() :]

    def _indented(self, lead: str, base: int) -> None:
        found: list[str] = []
        at = self._at
        while at < len(self._lines):
            line = self._contents(at)
            if line is None or (line.strip(" \t") and _width(line) < base + 4):
                break
            found.append(_dedented(line, base + 4))
            at += 1
        while not found[-1].strip(" \t"):
            found.pop()
        self._at += len(found)
        self._made.append(lead + " " * base + _pre(found))

    def _fenced(self, lead: str, fence: re.Match[str]) -> None:
        columns = len(fence["lead"].expandtabs(4))
        closing = re.compile(rf"[ \t]*{fence['fence'][0]}{{{len(fence['fence'])},}}[ \t]*$")
        found: list[str] = []
        self._at += 1
        while self._at < len(self._lines):
            line = self._contents(self._at)
            if line is None:
                break
            self._at += 1
            if closing.match(line) and _width(line) <= columns + 3:
                break
            found.append(_dedented(line, columns))
        else:  # not closed, or not yet: the end of its last line is no line of its own
            if found and not found[-1]:
                found.pop()
        words = fence["info"].split()
        language = re.sub(r"[^A-Za-z0-9_+-]", "", words[0]) if words else ""
        self._made.append(lead + fence["lead"] + _pre(found, language))


def safe_markdown(text: str) -> str:
    """The text as Markdown that looks the same, and of which nothing becomes HTML or runs.

    Code is shown exactly, as HTML of our own. Images become links, links to other schemes than
    http, https and mailto become text. Maths between dollars stays maths.

    Args:
        text: Markdown from a model; it may break off anywhere.
    """
    text = printable(text.replace("\r\n", "\n").replace("\r", "\n"))
    return "\n".join(_Blocks(text.split("\n")).safe())
