"""The page that shows a render: one HTML file with all that it needs inside, and leave to load nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from string import Template

from client import wording
from client.attempts import LOST, Attempt, Ending, lost_seconds, seconds_a_frame
from client.cost import LEFT_OUT, LOCAL
from client.frames import spelled
from client.jobfile import RESTING, Status
from client.pictures.picture import PictureError
from client.report.charts import DEVIATIONS, LEAST_SHARE, counted, duration, outliers, seconds_chart
from client.report.facts import Facts, Failure
from client.report.markup import Markup, element, joined, table
from client.report.thumbnails import Thumbnail
from client.report.timeline import lanes, legend, timeline
from render_worker.contract import Settings

_FEW, _SOME = 24, 240
"""Up to so many frames, their pictures are shown large, or of middle size."""
_MOST_CELLS = 10_000
_MOST_ROWS = 10_000
_MOST_NAMED = 30
_MOST_FILES = 200
_LONGEST_RANGE = 60
_LONGEST_LINE = 1000
_SETTINGS = {
    "scene": "Scene",
    "camera": "Camera",
    "xres": "Width in pixels",
    "yres": "Height in pixels",
    "percentage": "Resolution percentage",
    "samples": "Samples of a pixel",
    "engine": "Engine",
    "format": "Format",
}
_MARKS = {Status.SUCCESS: "\N{HEAVY CHECK MARK}", Status.FAILED: "\N{HEAVY MULTIPLICATION X}"}
_DOT = " \N{MIDDLE DOT} "
_DASH = "\N{EN DASH}"


def page(facts: Facts, pictures: Mapping[int, Thumbnail], unreadable: Mapping[int, PictureError]) -> str:
    """Make the page from what is known of a render, and from its pictures."""
    first = next(iter(pictures.values()), None)
    style = Template(_beside("report.css")).substitute(
        shape=f"{first.width} / {first.height}" if first else "16 / 9", cell=_cell_size(len(facts.frames))
    )
    script = _beside("report.js")
    sections = (
        _header(facts),
        _summary(facts),
        _failures(facts.failures),
        _missing(facts),
        _frames(facts, pictures, unreadable),
        _seconds(facts),
        _hosts(facts),
        element("div", _cost(facts), _settings(facts), class_="pair"),
        _worker(facts),
    )
    return Template(_beside("report.html")).substitute(
        title=element("title", f"{facts.render.blend.stem} {_DASH} render {facts.render.id}"),
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        body=joined(*sections),
        made=joined(f"Made {_moment(datetime.now(timezone.utc))} with Blender AWS Batch."),
    )


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Name a style or script as a Content-Security-Policy does: https://www.w3.org/TR/CSP3/#match-element-to-source-list."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _cell_size(frames: int) -> str:
    if frames <= _FEW:
        return "15rem"
    return "8.5rem" if frames <= _SOME else "5.2rem"


def _section(name: str, title: str, *parts: Markup | None) -> Markup:
    return element("section", element("h2", title, id=name), *parts, aria_labelledby=name)


def _header(facts: Facts) -> Markup:
    render, frames = facts.render, facts.frames
    size = sum(path.stat().st_size for path in facts.files.values())
    known = (
        f"Render {render.id}",
        render.blend.name,
        _range(frames),
        _resolution(facts),
        f"{wording.size(size)} of frames" if size else "",
    )
    notes = list(facts.notes)
    if render.run and render.status not in RESTING:
        notes.insert(0, "This render still goes on: the report shows how far it was. Make it again to see the rest.")
    mark = element("span", _MARKS.get(render.status, "\N{BLACK CIRCLE}"), aria_hidden="true")
    return element(
        "header",
        element(
            "h1",
            render.blend.stem,
            element("span", mark, render.status.value, class_=f"badge {render.status.name.lower()}"),
        ),
        element("p", render.description, class_="lead") if render.description else None,
        element("p", _DOT.join(filter(None, known)), class_="facts"),
        element("p", element("strong", "What went wrong: "), render.error, class_="error") if render.error else None,
        *(element("p", note, class_="note") for note in notes),
    )


def _range(frames: Sequence[int]) -> str:
    text = spelled(frames).replace("-", _DASH)
    if len(text) > _LONGEST_RANGE:
        return f"{counted(len(frames), 'frame')} from {frames[0]} to {frames[-1]}"
    return f"{'frames' if len(frames) > 1 else 'frame'} {text}" if frames else ""


def _resolution(facts: Facts) -> str:
    settings = facts.manifest.settings if facts.manifest else Settings()
    if not settings.xres or not settings.yres:
        return ""
    width, height = (size * (settings.percentage or 100) // 100 for size in (settings.xres, settings.yres))
    return f"{width} \N{MULTIPLICATION SIGN} {height} pixels"


def _summary(facts: Facts) -> Markup:
    done, total = len(facts.files), len(facts.frames)
    lost = [each for each in facts.attempts if each.ending in LOST]
    reclaims = sum(each.ending is Ending.RECLAIMED for each in lost)
    a_frame = seconds_a_frame(facts.attempts)
    held = sum(each.seconds for each in facts.attempts)
    tiles = [
        _tile("Frames", f"{done:,}/{total:,}", "all here" if done == total else f"{total - done:,} not here"),
        _tile("From submit to finish", *_wall_time(facts)),
        _tile("Hosts were held", duration(held) if held else _DASH, f"{held / 3600:.2f} host hours" if held else ""),
        _tile("A frame, median", duration(a_frame) if a_frame is not None else _DASH, "of rendering"),
        _tile("Cost", *_price(facts)),
        _tile(
            "Spot reclaims",
            str(reclaims) if facts.attempts else _DASH,
            f"{lost_seconds(facts.attempts) / 60:.1f} host minutes lost" if lost else "nothing lost",
        ),
    ]
    return element("dl", *tiles, class_="summary")


def _tile(name: str, value: str, note: str) -> Markup:
    return element("div", element("dt", name), element("dd", element("b", value), element("small", note)))


def _wall_time(facts: Facts) -> tuple[str, str]:
    start, end = _read_moment(facts.render.submitted_at), _read_moment(facts.render.finished_at)
    if start is None:
        return _DASH, ""
    if end is None or facts.render.status not in RESTING:
        return duration(max((datetime.now(timezone.utc) - start).total_seconds(), 0)), "until now"
    return duration(max((end - start).total_seconds(), 0)), f"finished {_moment(end)}"


def _price(facts: Facts) -> tuple[str, str]:
    cost = facts.cost
    if facts.is_local:
        return "Nothing", "on the farm of this machine"
    if cost is None or cost.usd is None:
        return _DASH, "not known"
    dear = f"On-Demand: {_dollars(cost.on_demand_usd)}. " if cost.on_demand_usd is not None else ""
    return _dollars(cost.usd), f"{dear}Not all is counted: see Cost"


def _failures(failures: Sequence[Failure]) -> Markup | None:
    if not failures:
        return None
    shown = [
        element(
            "article",
            element("h3", f"Chunk {failure.chunk}"),
            element("p", failure.reason or "Batch gives no reason."),
            element("p", failure.note, class_="facts") if failure.note else None,
            element(
                "pre",
                "\n".join(line[:_LONGEST_LINE] for line in failure.log),
                tabindex=0,
                role="region",
                aria_label=f"The last lines of the log of chunk {failure.chunk}",
            )
            if failure.log
            else None,
        )
        for failure in failures[:_MOST_NAMED]
    ]
    more = len(failures) - len(shown)
    rest = element("p", f"{counted(more, 'more chunk')} failed: see the table of hosts and chunks.") if more else None
    return _section("failed", "Chunks that failed", *shown, rest)


def _missing(facts: Facts) -> Markup | None:
    missing = sorted({path for report in facts.reports for path in report.missing})
    if not missing:
        return None
    more = len(missing) - _MOST_FILES
    return _section(
        "missing",
        "Files that were missing",
        element(
            "p", "The scene refers to these files, and the package did not bring them. Look at the frames with care."
        ),
        element("ul", *(element("li", element("code", each)) for each in missing[:_MOST_FILES]), class_="files"),
        element("p", f"And {counted(more, 'more file')}.") if more > 0 else None,
    )


def _frames(facts: Facts, pictures: Mapping[int, Thumbnail], unreadable: Mapping[int, PictureError]) -> Markup:
    frames = facts.frames
    if not frames:
        return _section("frames", "Frames", element("p", "Nothing is known of its frames yet."))
    every = -(-len(frames) // _MOST_CELLS)
    seconds, rendered = _seconds_by_frame(facts), {each.frame for report in facts.reports for each in report.frames}
    absent = "missing" if facts.render.status in RESTING else "to come"
    cells = []
    for frame in frames[::every]:
        took = f"Frame {frame}" + (f", {duration(seconds[frame])}" if frame in seconds else "")
        if frame in pictures:
            cells.append(_picture(frame, pictures[frame], took))
        elif frame in unreadable:
            cells.append(_no_picture(frame, "no preview", "unreadable"))
        else:
            cells.append(_no_picture(frame, "not fetched" if frame in rendered else absent, "absent"))
    words = []
    if every > 1:
        words.append(f"Every {every}th of {len(frames):,} frames is shown.")
    if unreadable:
        words.append(f"{counted(len(unreadable), 'frame')} without a preview: {next(iter(unreadable.values()))}")
    gone = [frame for frame in frames if frame not in facts.files]
    if gone:
        words.append(f"Not on this machine: {_range(gone)}.")
    return _section(
        "frames",
        "Frames",
        element("p", "Choose a frame to see it larger; the arrow keys go on from there.", class_="facts screen")
        if pictures
        else None,
        *(element("p", each) for each in words),
        element("a", f"Skip {counted(len(cells), 'frame')}", href="#after-frames", class_="skip"),
        element("ol", *cells, class_="frames" if len(cells) <= _SOME else "frames many"),
        element("span", id="after-frames", tabindex=-1),
    )


def _picture(frame: int, picture: Thumbnail, words: str) -> Markup:
    image = element("img", src=picture.uri, width=picture.width, height=picture.height, alt=words, decoding="async")
    return element("li", element("button", image, element("span", str(frame), aria_hidden="true"), type="button"))


def _no_picture(frame: int, state: str, kind: str) -> Markup:
    return element("li", element("div", element("b", state), class_=kind), element("span", str(frame)))


def _seconds_by_frame(facts: Facts) -> dict[int, float]:
    return {each.frame: each.seconds for attempt in facts.attempts for each in attempt.frames}


def _seconds(facts: Facts) -> Markup:
    seconds = _seconds_by_frame(facts)
    if not seconds:
        return _section("seconds", "Seconds a frame", element("p", "No worker has reported a frame yet."))
    named = outliers(seconds)
    rule = (
        f"A frame is named where it took longer or shorter than the median by {DEVIATIONS} times the median absolute "
        f"deviation, and by {LEAST_SHARE:.0%} at least."
    )
    listed = sorted(named.items(), key=lambda each: -each[1])[:_MOST_NAMED]
    names = [element("li", f"Frame {frame}: {duration(each)}") for frame, each in listed]
    found = f"Median {duration(median(seconds.values()))} (the dashed line), "
    found += f"{counted(len(named), 'outlier')}. " if named else "no outliers. "
    silent = len(facts.files.keys() - seconds.keys())
    unsaid = (
        f"Of {counted(silent, 'frame')} no time is known: the attempt that rendered it left no report."
        if silent
        else None
    )
    chunks = {each.frame: attempt.chunk for attempt in facts.attempts for each in attempt.frames}
    memory = {each.frame: each.memory_mib for attempt in facts.attempts for each in attempt.frames}
    rows = [
        (
            str(frame),
            f"{seconds[frame]:.2f}",
            f"{memory[frame]:,}",
            str(chunks[frame]),
            "outlier" if frame in named else "",
        )
        for frame in sorted(seconds)
    ]
    return _section(
        "seconds",
        "Seconds a frame",
        seconds_chart(seconds),
        element("p", element("b", found), rule),
        element("ul", *names, class_="named") if names else None,
        element("p", unsaid, class_="facts") if unsaid else None,
        _details(
            "The numbers",
            table("What each frame took", ("Frame", "Seconds", "Memory (MiB)", "Chunk", "Note"), rows[:_MOST_ROWS]),
        ),
    )


def _hosts(facts: Facts) -> Markup:
    if not facts.attempts:
        return _section("hosts", "Hosts and chunks", element("p", "No worker has reported yet."))
    shown = lanes(facts.attempts)
    timeless = [each for each in facts.attempts if each.started is None]
    starts = [each.started for each in facts.attempts] + [_read_moment(facts.render.submitted_at)]
    since = min((each for each in starts if each), default=None)
    drawn = timeline(shown, since) if shown and since else None
    words = [f"Times count from {_moment(since)}."] if drawn and since else []
    if timeless:
        words.append(f"{counted(len(timeless), 'attempt')} cannot be drawn, since nobody knows when: see the table.")
    return _section(
        "hosts",
        "Hosts and chunks",
        legend({each.ending for each in facts.attempts}),
        element("div", drawn, class_="chart tall", tabindex=0, role="region", aria_label="Chunks over hosts")
        if drawn
        else None,
        *(element("p", each, class_="facts") for each in words),
        _details(
            "Every attempt",
            table(
                "Attempts at chunks",
                ("Chunk", "Attempt", "Ended", "Host", "From", "To", "Frames", "Reason"),
                [_attempt_row(each) for each in facts.attempts[:_MOST_ROWS]],
            ),
        ),
    )


def _attempt_row(each: Attempt) -> tuple[str, ...]:
    host = " ".join(filter(None, (each.host.instance_id, each.host.instance_type))) or "not named"
    frames = str(len(each.frames)) if each.skipped is not None else "not known"
    times = (_moment(at) if at else "not known" for at in (each.started, each.finished))
    return (str(each.chunk), str(each.attempt), each.ending.value, host, *times, frames, each.reason)


def _cost(facts: Facts) -> Markup:
    cost = facts.cost
    if cost is None:
        return _section("cost", "Cost", element("p", "Not known: the farm told nothing of it."))
    unknown, left = sum(each.usd is None for each in cost.attempts), len(facts.frames) - len(facts.files)
    rows = [
        ("Host hours, as reported", f"{cost.seconds / 3600:.2f}"),
        ("So far", _dollars(cost.usd)),
        ("The same On-Demand", _dollars(cost.on_demand_usd)),
        ("A frame", _dollars(cost.usd_per_frame)),
    ]
    if left:
        to_come = None if cost.usd_per_frame is None else cost.usd_per_frame * left
        rows.append((f"{counted(left, 'frame')} more, if like these", _dollars(to_come)))
    if unknown:
        rows.append(("Attempts of unknown price", f"{unknown} of {len(cost.attempts)}"))
    return _section(
        "cost",
        "Cost",
        table("US dollars, without tax", ("What", "How much"), rows),
        element("p", LOCAL if facts.is_local else LEFT_OUT, class_="facts"),
    )


def _settings(facts: Facts) -> Markup:
    manifest = facts.manifest
    if manifest is None:
        return _section("settings", "Settings", element("p", "Not known: the farm told nothing of them."))
    given = {_SETTINGS[item.name]: getattr(manifest.settings, item.name) for item in fields(Settings)}
    rows = [(name, str(value)) for name, value in given.items() if value is not None]
    as_file = ", ".join(name.lower() for name, value in given.items() if value is None)
    rows += [("As the file says", as_file)] if as_file else []
    size = sum(file.size for file in manifest.files)
    rows += [
        (".blend", manifest.blend),
        ("Package", f"{counted(len(manifest.files), 'file')}, {wording.size(size)}"),
        ("Chunks", f"{len(manifest.chunks):,}"),
        ("Missing files", "stop a chunk" if manifest.strict else "are allowed"),
        ("Python in the .blend", "may run" if manifest.autoexec else "does not run"),
        ("Run", manifest.run),
    ]
    return _section("settings", "Settings", table("Settings of the run", ("Setting", "Value"), rows))


def _worker(facts: Facts) -> Markup | None:
    seen: dict[tuple[str, ...], int] = {}
    for report in facts.reports:
        known = (report.device, report.host.instance_type, report.blender, report.samples)
        row = tuple("not known" if each is None else str(each) for each in known)
        seen[row] = seen.get(row, 0) + 1
    if not seen:
        return None
    rows = [(*row, f"{count:,}") for row, count in seen.items()]
    return _section(
        "worker",
        "Rendered on",
        table("What the workers reported", ("Device", "Host size", "Blender", "Samples", "Attempts"), rows),
    )


def _details(title: str, inside: Markup) -> Markup:
    return element("details", element("summary", title), inside)


def _dollars(usd: float | None) -> str:
    if usd is None:
        return "not known"
    return f"${usd:,.2f}" if usd >= 1 else f"${usd:.4f}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _read_moment(cell: str) -> datetime | None:
    try:
        return datetime.strptime(cell, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
