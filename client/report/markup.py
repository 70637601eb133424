"""HTML and SVG, made so that a text from outside can never become an element: every text is escaped but Markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_VOID = {"br", "img", "link", "meta"}
"""Elements of HTML that hold nothing.

https://html.spec.whatwg.org/multipage/syntax.html#void-elements
"""


class Markup(str):
    """A text that is HTML already."""

    __slots__ = ()


def element(name: str, *inside: str | None, **attributes: object) -> Markup:
    """Make an element; text inside is escaped, None left out.

    An attribute's name has `_` for each `-` and may end in `_` (`class_`); one that is None or False is left out.
    """
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    spelled = "".join(
        f" {key}" if value is True else f' {key}="{_plain(str(value))}"'
        for key, value in given.items()
        if value is not None and value is not False
    )
    return Markup(f"<{name}{spelled}>" if name in _VOID else f"<{name}{spelled}>{joined(*inside)}</{name}>")


def joined(*parts: str | None) -> Markup:
    """Put parts one after the other; text is escaped, None left out."""
    return Markup("".join(_escaped(part) for part in parts if part is not None))


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """Make a table that scrolls sideways by itself where the page is too narrow; the first cell of a row names it."""
    head = element("tr", *(element("th", column, scope="col") for column in columns))
    body = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows
    ]
    made = element("table", element("caption", caption), element("thead", head), element("tbody", *body))
    return element("div", made, class_="wide", tabindex=0, role="region", aria_label=caption)


def _escaped(part: str) -> str:
    return part if isinstance(part, Markup) else _plain(part)


def _plain(text: str) -> str:
    """Escape, and keep what steers a terminal or turns the direction of the writing round off the page too."""
    shown = (each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text)
    return escape("".join(shown))
