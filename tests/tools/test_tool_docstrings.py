"""What a docstring says, in the styles that people write."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usechat.tools.docstring import read_docstring

NAMES = ["city", "days", "rest"]

STYLES = {
    "none": (None, "", {}),
    "text": ("Look it up.\n\n    In two parts.\n    ", "Look it up.\n\nIn two parts.", {}),
    "google": (
        """Look it up.

        Slowly.

        Args:
            city: the city,
                with its country: both.
            days (int, optional): how many

                days.
            nobody: no parameter.
            **rest: more.

        Returns:
            city: what was found.
        """,
        "Look it up.\n\nSlowly.",
        {
            "city": "the city, with its country: both.",
            "days": "how many days. nobody: no parameter.",
            "rest": "more.",
        },
    ),
    "google, two sections": (
        "A.\n\nArgs:\n  city: one\n\nKeyword Args:\n  days: two",
        "A.",
        {"city": "one", "days": "two"},
    ),
    "google without text": ("Args:\n    city: the city", "", {"city": "the city"}),
    "google, below": ("A.\n\nArgs:\n    city:\n        the city", "A.", {"city": "the city"}),
    "numpy": (
        """Look it up.

        Parameters
        ----------
        city : str
            The city,
            a name.

            Of two paragraphs.
        days, **rest : int, optional
            Numbers.
        nobody
            None.

        Returns
        -------
        city : str
            What was found.
        """,
        "Look it up.",
        {
            "city": "The city, a name. Of two paragraphs.",
            "days": "Numbers.",
            "rest": "Numbers.",
        },
    ),
    "sphinx": (
        """Look it up.

        :param city: the city,
            a name
        :param int days: how many
        :type days: int
        :returns: what
        :raises ValueError: never
        """,
        "Look it up.",
        {"city": "the city, a name", "days": "how many"},
    ),
    "no section": (
        "Args: none.\n\nParameters\nof life.",
        "Args: none.\n\nParameters\nof life.",
        {},
    ),
    "odd lines": ("A\u2028b\x85c.\n\nArgs:\n    city: d", "A\u2028b\x85c.", {"city": "d"}),
}


@pytest.mark.parametrize(("docstring", "text", "parameters"), STYLES.values(), ids=STYLES)
def test_styles(docstring: str | None, text: str, parameters: dict[str, str]) -> None:
    assert read_docstring(docstring, NAMES) == (text, parameters)


LINES = st.sampled_from(
    ["", "Args:", "  city: x", "    y", "Parameters", "-----", "city : int", ":param city: x", "A."]
)


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(LINES).map("\n".join)))
def test_anything_is_read(docstring: str) -> None:
    read = read_docstring(docstring, NAMES)
    assert set(read.parameters) <= set(NAMES)
