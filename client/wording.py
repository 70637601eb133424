"""How text and figures are written for people: what others wrote made safe for a terminal, figures short."""

from __future__ import annotations

import math
from datetime import datetime, timezone

from rich.cells import cell_len, set_cell_size

from client.standing import Standing

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_SIGNS = {
    "Running": ("▸", ">", "cyan"),
    "Rendered": ("▸", ">", "cyan"),
    "Fetching": ("▸", ">", "cyan"),
    "Success": ("✓", "+", "green"),
    "Failed": ("✗", "x", "red"),
    "Cancelled": ("□", "-", "yellow"),
    "ok": ("✓", "+", "green"),
    "costs": ("!", "!", "yellow"),
    "fails": ("✗", "x", "red"),
}
"""Beside a word that says how something stands: a sign, the same in ASCII, and a colour, which is never alone."""
_LONGEST_SECONDS = 999 * _DAY
_MOST_USD = 999_999.0


def printable(text: str, *, keep: str = "") -> str:
    """Make a space of each character that could steer a terminal, but of those in `keep`.

    Among them are the marks that change the direction of writing, by which a text can look like another.
    """
    return "".join(each if each.isprintable() or each in keep else " " for each in text)


def one_line(text: str) -> str:
    """Make one line of a text that others wrote."""
    return " ".join(printable(text).split())


def cut(text: str, width: int, mark: str = "…") -> str:
    """Shorten a text to so many cells of a terminal, of which a wide character takes two."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - len(mark), 0)).rstrip() + mark[: max(width, 0)]


def signed(word: str, *, ascii_only: bool) -> str:
    """Put its sign before a word that says how something stands."""
    sign, plain, _ = _SIGNS.get(word, ("·", ".", ""))
    return f"{plain if ascii_only else sign} {word}"


def colour(word: str) -> str:
    """Give the colour of a word that says how something stands, as rich names it."""
    return _SIGNS.get(word, ("", "", ""))[2]


def size(count: float) -> str:
    """Write a number of bytes."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:  # noqa: PLR2004 -- the step between units
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def transfer(done: int, total: int, lately: int, seconds: float) -> str:
    """Write how far a transfer of bytes is, with its rate and the time left once so many came in so many seconds."""
    text = f"{size(done)} of {size(total)}"
    if lately <= 0 or seconds < 1:
        return text
    rate = lately / seconds
    return f"{text}, {size(rate)}/s, {duration((total - done) / rate)} left"


def duration(seconds: float | None) -> str:
    """Write seconds as coarsely as a person would; empty when they are not known."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return ""
    seconds = min(seconds, _LONGEST_SECONDS)
    if seconds < 10:  # noqa: PLR2004 -- below it a tenth matters
        return f"{seconds:.1f} s"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.1f} h"
    return f"{seconds / _DAY:.1f} d"


def dollars(usd: float | None) -> str:
    """Write dollars, to the cent from ten cents on; empty when they are not known."""
    if usd is None or not math.isfinite(usd) or usd < 0:
        return ""
    usd = min(usd, _MOST_USD)
    return f"${usd:.2f}" if usd == 0 or usd >= 0.1 else f"${usd:.3f}"  # noqa: PLR2004 -- ten cents


def reclaims(count: int, lost_minutes: float) -> str:
    """Write how often Spot took a host back and the time that was lost by it; empty when it never did."""
    lost = duration(lost_minutes * _MINUTE) if lost_minutes else ""
    return ", ".join(part for part in (str(count), lost) if part) if count else ""


def wait(standing: Standing, now: datetime | None = None) -> str:
    """Say what a row waits for and since when, on this machine's clock; empty when it does not wait."""
    if not standing.waits_for:
        return ""
    what = one_line(standing.waits_for)
    if standing.waits_since is None:
        return f"waits for {what}"
    since, now = standing.waits_since.astimezone(), (now or datetime.now(timezone.utc)).astimezone()
    seconds = max((now - since).total_seconds(), 0)
    lasted = duration(seconds) if seconds >= _HOUR else f"{seconds // _MINUTE:.0f} min"
    day = "" if since.date() == now.date() else f"{since:%d %b} "
    return f"waits {lasted} for {what}, since {day}{since:%H:%M}"
