"""Charts as SVG: places from left to right are percents, so that they fit any width and no text is scaled."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from client.report.markup import Markup, element, joined

DEVIATIONS = 5
"""A frame is an outlier beyond so many median absolute deviations from the median ..."""
LEAST_SHARE = 0.1
"""... and beyond this share of the median, since the frames of a still scene hardly differ at all."""
TICKS = 4
"""Steps of a scale, so that what is written below it fits a phone."""
_LEAST_FRAMES = 4
_MOST_BARS = 500
_WIDEST_BAR = 6.0
_PLOT_HEIGHT = 200
_MOST_LABELS = 6
_LABEL_PERCENT = 14.0
"""Between two labels, so that they do not lie over each other on a phone."""


def outliers(seconds: Mapping[int, float]) -> dict[int, float]:
    """Give the frames that took much longer or shorter than the others."""
    if len(seconds) < _LEAST_FRAMES:
        return {}
    median = statistics.median(seconds.values())
    deviation = statistics.median(abs(each - median) for each in seconds.values())
    bound = max(DEVIATIONS * deviation, LEAST_SHARE * median)
    return {frame: each for frame, each in seconds.items() if abs(each - median) > bound}


def duration(seconds: float) -> str:
    """Write seconds for people."""
    if seconds < 10:  # noqa: PLR2004 -- tenths are told below it
        return f"{seconds:.1f} s"
    if seconds < 120:  # noqa: PLR2004 -- seconds are easier than minutes below it
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004 -- an hour
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min"


def seconds_chart(seconds: Mapping[int, float]) -> Markup:
    """Draw what each frame took, in the order of the frames; many share a bar, which reaches to the slowest of them."""
    named = outliers(seconds)
    frames = sorted(seconds)
    median, most = statistics.median(seconds.values()), max(seconds.values())
    top = _round_up(most) or 1.0
    a_bar = math.ceil(len(frames) / _MOST_BARS)
    groups = [frames[start : start + a_bar] for start in range(0, len(frames), a_bar)]
    width = 100 / len(groups)
    # Where there is no room for gaps, bars overlap, or their edges would show as stripes.
    bar = min(width * (0.8 if len(groups) < _MOST_BARS / 4 else 1.2), _WIDEST_BAR)
    bars = []
    for number, group in enumerate(groups):
        slowest = max(group, key=seconds.__getitem__)
        height = seconds[slowest] / top * _PLOT_HEIGHT
        bars.append(
            element(
                "rect",
                element("title", f"Frame {slowest}: {duration(seconds[slowest])}"),
                x=percent((number + 0.5) * width - bar / 2),
                y=f"{_PLOT_HEIGHT + 30 - height:.1f}",
                width=percent(bar),
                height=f"{max(height, 1):.1f}",
                class_="bar odd" if any(frame in named for frame in group) else "bar",
            )
        )
    level = _PLOT_HEIGHT + 30 - median / top * _PLOT_HEIGHT
    said = (
        f"Median {duration(median)}, slowest {duration(most)}, {counted(len(named), 'outlier')}, of "
        f"{counted(len(frames), 'frame')}. The table below has the numbers."
    )
    plot = element(
        "svg",
        element("title", "Seconds a frame", id="seconds-title"),
        element("desc", said, id="seconds-desc"),
        *(line(_PLOT_HEIGHT + 30 - part * _PLOT_HEIGHT, "grid") for part in (0, 0.5, 1)),
        *bars,
        line(level, "median"),
        *_outlier_labels(named, groups, median, top),
        *_frame_ticks(frames),
        class_="plot",
        width="100%",
        height=_PLOT_HEIGHT + 56,
        role="img",
        aria_labelledby="seconds-title seconds-desc",
    )
    scale = element(
        "svg",
        *(
            element("text", _short(part * top), x="100%", y=_PLOT_HEIGHT + 34 - part * _PLOT_HEIGHT, text_anchor="end")
            for part in (0, 0.5, 1)
        ),
        class_="scale",
        width=52,
        height=_PLOT_HEIGHT + 56,
        aria_hidden="true",
    )
    return element("div", scale, plot, class_="chart")


def _outlier_labels(
    named: Mapping[int, float], groups: Sequence[Sequence[int]], median: float, top: float
) -> list[Markup]:
    """Name the farthest outliers, as many as fit, with a mark at the bar's end."""
    place = {frame: (number + 0.5) * 100 / len(groups) for number, group in enumerate(groups) for frame in group}
    labels: list[Markup] = []
    taken: list[float] = []
    for frame in sorted(named, key=lambda frame: -abs(named[frame] - median)):
        x, y = place[frame], _PLOT_HEIGHT + 30 - named[frame] / top * _PLOT_HEIGHT
        if len(taken) == _MOST_LABELS or any(abs(x - other) < _LABEL_PERCENT for other in taken):
            continue
        taken.append(x)
        labels.append(
            joined(
                element(
                    "svg",
                    element("path", d="M0-4 4-9 0-14-4-9z", class_="point"),
                    x=percent(x),
                    y=f"{y:.1f}",
                    overflow="visible",
                ),
                element("text", f"#{frame}", x=percent(x), y=f"{y - 18:.1f}", text_anchor=_anchor(x), class_="name"),
            )
        )
    return labels


def _frame_ticks(frames: Sequence[int]) -> list[Markup]:
    count = min(TICKS, len(frames) - 1)
    places = {round((len(frames) - 1) * part / count) for part in range(count + 1)} if count else {0}
    return [tick(str(frames[at]), (at + 0.5) * 100 / len(frames), _PLOT_HEIGHT + 50) for at in sorted(places)]


def tick(text: str, at: float, y: float) -> Markup:
    """Write below a scale, at so many percent of its width."""
    return element("text", text, x=percent(at), y=y, text_anchor=_anchor(at))


def _anchor(at: float) -> str:
    if at < 6:  # noqa: PLR2004 -- half a label from the edge
        return "start"
    return "end" if at > 94 else "middle"  # noqa: PLR2004 -- likewise


def line(y: float, kind: str) -> Markup:
    """Draw a line over the whole width."""
    return element("line", x1=0, x2="100%", y1=f"{y:.1f}", y2=f"{y:.1f}", class_=kind)


def percent(value: float) -> str:
    """Write a place or a width within a chart."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "%"


def _round_up(value: float) -> float:
    """Give the next number that reads well on a scale."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((each * power for each in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if each * power >= value), value)


def _short(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:.3g} min"  # noqa: PLR2004 -- as `duration` does


def counted(count: int, noun: str) -> str:
    """Write a number of things."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
