"""Messages as Markdown: it looks as the model wrote it, and nothing of it runs."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from usechat.model.markdown import markdown_of_message, markdown_of_messages, safe_markdown
from usechat.model.messages import UIMessage

# Its own check of links is off: other renderers have none.
RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
RENDERER.validateLink = lambda url: True  # type: ignore[method-assign]

TAGS = set(
    re.findall(
        r"\w+",
        "p h1 h2 h3 h4 h5 h6 ul ol li em strong s a code pre blockquote hr br "
        "table thead tbody tr th td",
    )
)


class Page(HTMLParser):
    """What a browser makes of it: the text, the tags, and what must not be there."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.codes: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.faults: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "code":
            self.codes.append("")
        if tag not in TAGS:
            self.faults.append(tag)
        for name, value in attrs:
            self.attribute(tag, name, value or "")

    def attribute(self, tag: str, name: str, value: str) -> None:
        allowed = {"a": {"href", "title"}, "code": {"class"}, "ol": {"start"}}
        aligned = tag in ("th", "td") and name == "style" and value.startswith("text-align:")
        if name not in allowed.get(tag, set()) and not aligned:
            self.faults.append(f"{tag} {name}={value}")
        if name == "href":
            self.links.append(value)
            scheme = re.match(r"([a-z][a-z0-9+.-]*):", re.sub(r"[\x00-\x20]", "", value), re.I)
            if scheme and scheme[1].lower() not in ("http", "https", "mailto"):
                self.faults.append(value)

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.lasttag == "code" and self.codes:
            self.codes[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.lasttag = ""

    def handle_comment(self, data: str) -> None:
        self.faults.append(data)

    def handle_decl(self, decl: str) -> None:
        self.faults.append(decl)

    def handle_pi(self, data: str) -> None:
        self.faults.append(data)

    def unknown_decl(self, data: str) -> None:
        self.faults.append(data)


def shown(text: str) -> Page:
    page = Page(RENDERER.render(safe_markdown(text)))
    assert page.faults == []
    return page


def message(*parts: dict[str, Any], role: str = "assistant") -> UIMessage:
    return UIMessage.model_validate({"id": "m", "role": role, "parts": list(parts)})


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


# ------------------------------------------------------------------------------ what is kept


@pytest.mark.parametrize(
    ("source", "tags"),
    [
        ("# Head\n\n## Sub", {"h1", "h2"}),
        ("Head\n====\nSub\n---\n", {"h1", "h2"}),
        ("- a\n  - b\n1. c", {"ul", "li", "ol"}),
        ("*a* **b** ~~c~~", {"p", "em", "strong", "s"}),
        ("> quote\n> more", {"blockquote", "p"}),
        ("| a | b |\n|:--|--:|\n| 1 | 2 |", {"table", "thead", "tbody", "tr", "th", "td"}),
        ("a\n\n***\n\nb  \nc", {"p", "hr", "br"}),
    ],
)
def test_formatting_stays(source: str, tags: set[str]) -> None:
    assert shown(source).tags == tags
    assert safe_markdown(source) == source


@pytest.mark.parametrize(
    "source",
    ["a < b & c > d", '<b onclick="x">', "&lt; &amp; &#60;", "<!-- c -->", "<?p?>", 'say "hi"\''],
)
def test_text_is_shown_as_written(source: str) -> None:
    assert shown(source).text.strip() == source


@pytest.mark.parametrize(
    ("source", "seen"),
    [(r"\<b> \& \`c` \!", "<b> & `c` !"), (r"\\<b> \*", r"\<b> *"), ("~~~~x`", "~~~~x`")],
)
def test_escapes(source: str, seen: str) -> None:
    assert shown("a " + source).text.strip() == "a " + seen


# -------------------------------------------------------------------------------------- code


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ("`List<int>` and `a && b`", ["List<int>", "a && b"]),
        ("`` a`b ``", ["a`b"]),
        ("`  `", ["  "]),
        ("`a\nb`", ["a b"]),
        ("> `a\n> b`", ["a b"]),
        ("`$x$ [y](z) *w* \\`", ["$x$ [y](z) *w* \\"]),
        ("`a\n- b`", []),
        ("`a\n\nb`", []),
        ("| a |\n|---|\n| `x\\|y` |", ["x|y"]),
        ("x `a\\|b`", ["a\\|b"]),
    ],
)
def test_code_in_a_line(source: str, codes: list[str]) -> None:
    assert shown(source).codes == codes


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ("```py\nx < 1\n\n\ty && z\n```\nafter", ["x < 1\n\n\ty && z"]),
        ("~~~\n```\n~~~", ["```"]),
        ("````\n```\n````", ["```"]),
        ("```\n    ```\n```", ["    ```"]),
        ("text\n```\ncode\n```", ["code"]),
        ("```html\n<script>\n", ["<script>"]),
        ("```", [""]),
        ("- item\n  ```\n  a\n\n    b\n  ```\n  after", ["a\n\n  b"]),
        ("- ```\n  a\n  ```", ["a"]),
        ("1. x\n\t```\n\ta\n\t```", ["a"]),
        ("> ```\n> <a>\n>\n> b\n> ```\n> c", ["<a>\n\nb"]),
        ("> ```\n> a\nb", ["a"]),
        ("> a\n>> ```\n>> b\n> c", ["b"]),
        ("a\n\n    <b>\n\n      c\n\nd", ["<b>\n\n  c"]),
        ("- - a\n\n          <b>\n\nc\n\n    <d>", ["  <b>", "<d>"]),
        (">     <b>\n> c", ["<b>"]),
        (">     <b>\nc", ["<b>"]),
        ("    <b>", ["<b>"]),
        ("a\n    `b`", ["b"]),
        ("``` a`b`", ["b"]),
    ],
)
def test_blocks_of_code(source: str, codes: list[str]) -> None:
    assert shown(source).codes == codes


def test_a_block_in_an_item_stays_in_it() -> None:
    html = RENDERER.render(safe_markdown("1. a\n\n   ```\n   x\n\n   y\n   ```\n2. b\n- c\nd"))
    assert html.count("<ol>") == 1
    assert html.index("<pre>") < html.index("</li>")


@pytest.mark.parametrize(
    ("info", "name"),
    [("c++", "c++"), ('py" onclick="x', "py"), ("{.a=b}", "ab"), ("", ""), ("<>", "")],
)
def test_the_language_is_a_class(info: str, name: str) -> None:
    made = safe_markdown(f"```{info}\nx\n```")
    assert made == f"<pre><code{f' class=language-{name}' if name else ''}>x</code></pre>"


# ------------------------------------------------------------------------------------- links


@pytest.mark.parametrize(
    ("source", "links"),
    [
        ("[a](https://h/p?q=1&r=2#s)", ["https://h/p?q=1&r=2#s"]),
        ("[a](HTTP://h) [b](mailto:x@y) [c](#d) [e](f/g:h) [i](j.md)", None),
        ('[a](http://h "T & <t>")', ["http://h"]),
        ("[a](<b c.md>)", ["b%20c.md"]),
        ("[a][b]\n\n[b]: http://h", ["http://h"]),
        ('[a][b]\n\n[b]: http://h?x&y "T"', ["http://h?x&y"]),
        ("[a][b]\n\n[b]: <http://h>", ["http://h"]),
        ("<https://h/?a=1&b=2>", ["https://h/?a=1&b=2"]),
        ("[a](Q&A.md)", ["Q&A.md"]),
        ("![alt](http://h/i.png)", ["http://h/i.png"]),
        ("!<https://h>", ["https://h"]),
    ],
)
def test_links_stay(source: str, links: list[str] | None) -> None:
    page = shown(source)
    assert len(page.links) == 5 if links is None else page.links == links


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "  javascript:alert(1)",
        "\njavascript:alert(1)",
        "\\javascript:alert(1)",
        "javascript\\:alert(1)",
        "javascript&colon;alert(1)",
        "&#106;avascript:alert(1)",
        "java&Tab;script:alert(1)",
        "<javascript:alert(1)>",
        "<java\tscript:alert(1)>",
        "\x01javascript:alert(1)",
        'javascript:alert(1) "title"',
        "vbscript:x",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "`javascript:x`",
        "blob:x",
    ],
)
@pytest.mark.parametrize(
    "form", ["[a]({})", "![a]({})", "[a]\n\n[a]: {}", "> [a](\n{}) b", "> [a](\n> {})"]
)
def test_no_link_runs(form: str, target: str) -> None:
    source = form.format(target)
    for link in shown(source).links:
        assert ":" not in link


def test_a_dead_link_is_shown_as_written() -> None:
    source = "[a](javascript:x) and [b]: note: c"
    assert shown(source).text.strip() == source


# ------------------------------------------------------------------------------------- maths


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("$x_1 < y$", r"$x_1 \lt  y$"),
        ("$$\na &= b \\\\\nc & d \\& e\n$$", "$$\na & = b \\\\\nc &  d \\&  e\n$$"),
        ("`$a$` $b$", "<code>&#36;a&#36;</code> $b$"),
        ("$5 and $6", "&#36;5 and &#36;6"),
        (r"\$5", r"\$5"),
        ("$n![k](\\a:b)$", "$n! [k] (\\a:b)$"),
        ('$"$', "&#36;&quot;&#36;"),
        ("$$ `", "$$ &#96;"),
    ],
)
def test_maths(source: str, made: str) -> None:
    assert safe_markdown(source) == made


# ----------------------------------------------------------------------------------- hostile

HOSTILE = re.findall(
    r"[^¦]+",
    "<script>alert(1)</script>¦<img src=x onerror=alert(1)>¦<!--¦-->¦<¦>¦&¦&lt;¦&#60;¦&colon;¦`¦``"
    "¦```¦````¦~~~¦\n¦\n\n¦    ¦\t¦- ¦1. ¦> ¦# ¦[x](¦](¦[¦]¦(¦)¦![¦!¦javascript:¦java\\script:"
    '¦data:¦[x]: ¦]:\n¦<javascript:x>¦http://a/?b&c¦ "t"¦"¦\'¦ onmouseover=alert(1) ¦$¦$$¦\\\\('
    "¦\\¦\\`¦\\<¦\\&¦\\$¦{¦}¦\\begin{a}¦@@0@@¦a¦b ¦*¦_¦~~¦---¦===¦</code>¦</pre>¦\r¦\x00¦\xa0"
    "¦\u2028¦é¦<https://a.b/>¦\n> ¦\n  ¦\n- ¦\ud83d¦|¦|---|---|\n",
)


@settings(max_examples=400, derandomize=True)
@given(st.lists(st.sampled_from(HOSTILE), max_size=25).map("".join) | st.text(max_size=40))
def test_hostile_text(source: str) -> None:
    made = safe_markdown(source)
    made.encode()
    assert not re.search(r'["`]|!\[|<(?!/?code>|/?pre>|code class=language-[\w+-]+>)', made, re.A)
    assert Page(RENDERER.render(made)).faults == []


@pytest.mark.parametrize(
    "piece",
    re.findall(
        "[^¦]+",
        '`¦[¦](¦](a ¦](<¦](a "¦$¦$a¦$$ ¦\\¦<¦<http://¦&a¦~¦>¦- ¦> ¦ ¦\n¦\n ¦```\n¦` `` '
        "¦a\n    ¦]:¦!¦|¦- a\n",
    ),
)
def test_time_is_linear(piece: str) -> None:
    def taken(size: int) -> float:
        source = piece * (size // len(piece))
        times = []
        for _ in range(3):
            start = time.process_time()
            safe_markdown(source)
            times.append(time.process_time() - start)
        return min(times)

    assert taken(40_000) < 20 * taken(5_000) + 0.01  # squared, it would be 64 times


def test_runs_of_backticks_of_all_lengths() -> None:
    source = " ".join("`" * n for n in range(1, 600))
    assert "`" not in safe_markdown(source)


# ---------------------------------------------------------------------------------- messages


def test_a_message() -> None:
    made = markdown_of_message(
        message(
            {"type": "step-start"},
            {"type": "reasoning", "text": "Hm <b>\n\n```\nx\n```"},
            {"type": "reasoning", "text": ""},
            text("Hello "),
            text("**you**"),
            {"type": "step-start"},
            text("Bye"),
        )
    )
    assert made == (
        "**assistant**\n\n> *reasoning*\n>\n> Hm &lt;b>\n>\n> <pre><code>x</code></pre>\n\n"
        "Hello **you**\n\nBye"
    )


TOOL = {"type": "tool-weather", "toolCallId": "c", "input": {"city": "<b>"}}


@pytest.mark.parametrize(
    ("part", "seen"),
    [
        ({**TOOL, "state": "input-available"}, 'Tool weather (input-available): {"city":"<b>"}'),
        (
            {**TOOL, "state": "output-available", "output": "x" * 300},
            'Tool weather (output-available): {"city":"<b>"} → "' + "x" * 196 + "...",
        ),
        (
            {**TOOL, "state": "output-error", "input": None, "errorText": "no\n*luck*"},
            "Tool weather (output-error) → no *luck*",
        ),
        (
            {**TOOL, "type": "dynamic-tool", "toolName": "`t`", "state": "output-denied"},
            'Tool `t` (output-denied): {"city":"<b>"}',
        ),
        (
            {"type": "file", "url": "data:image/png;base64,AA==", "mediaType": "image/png"},
            "File (image/png)",
        ),
        (
            {"type": "file", "url": "http://h", "mediaType": "a/b", "filename": "![x](y)"},
            "File ![x](y) (a/b)",
        ),
        ({"type": "reasoning-file", "url": "http://h", "mediaType": "a/b"}, "File (a/b)"),
        (
            {"type": "source-document", "sourceId": "s", "mediaType": "a/b", "title": "T"},
            "Source: T (a/b)",
        ),
        (
            {"type": "source-url", "sourceId": "s", "url": "javascript:x", "title": "T"},
            "Source: T (javascript:x)",
        ),
        ({"type": "custom", "kind": "p.<k>"}, "(p.<k>)"),
        ({"type": "data-x", "data": [1, "\ud83d"]}, 'Data x: [1,"\\ud83d"]'),
        ({"type": "new<>", "more": 1}, "(new<>)"),
        (
            {"type": "steering-message", "id": "s", "parts": [text("Stop <b>"), {"type": "x"}]},
            "user\nStop <b>",
        ),
    ],
)
def test_parts(part: dict[str, Any], seen: str) -> None:
    page = Page(RENDERER.render(markdown_of_message(message(part))))
    assert page.faults == []
    assert page.links == []
    assert re.sub(r"\n+", "\n", page.text).strip() == f"assistant\n{seen}"


def test_sources_are_links() -> None:
    part = {"type": "source-url", "sourceId": "s", "url": "https://h/?a=(1)&b=\"'$`"}
    page = Page(RENDERER.render(markdown_of_message(message(part, {**part, "title": "[T](x)"}))))
    assert page.faults == []
    assert page.links == ["https://h/?a=%281%29&b=%22%27%24%60"] * 2
    assert "Source: [T](x)" in page.text


def test_what_json_cannot_say_is_named() -> None:
    part = {**TOOL, "state": "input-available", "input": object()}
    assert "(object)" in Page(RENDERER.render(markdown_of_message(message(part)))).text


def test_messages_in_order() -> None:
    chat = [message(text("Hi"), role="user"), message(text("```\nHo")), message(role="system")]
    assert markdown_of_messages(chat) == (
        "**user**\n\nHi\n\n**assistant**\n\n<pre><code>Ho</code></pre>\n\n**system**"
    )
    assert markdown_of_messages(()) == ""


def test_a_notebook_shows_markdown_and_no_metadata() -> None:
    shown = UIMessage(id="m", role="user", parts=(), metadata={"secret": 1})
    assert shown._repr_markdown_() == "**user**"
