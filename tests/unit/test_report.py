"""The page that shows a render, read as a browser would."""

from __future__ import annotations

import base64
import hashlib
import random
import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from client import config, cost, places
from client.attempts import Attempt, Ending
from client.buckets import Buckets
from client.errors import RenderError, UnreachableError
from client.jobfile import Status
from client.report import thumbnails
from client.report import write as report
from client.report.charts import duration, outliers
from client.report.timeline import lanes
from render_worker.contract import Host
from tests.past_run import NOON, PastRun, past_run

_VOID = {"meta", "link", "img", "br"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x1b[31m\u202egnp"


class Page(HTMLParser):
    """Keeps the elements, their attributes and the text of each section."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: Counter[str] = Counter()
        self.sections: dict[str, str] = {}
        self._open: list[str] = []
        self._section = ""
        self.feed(self.source)
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in {"section", "header", "dl"}:
            self._section = dict(attrs).get("aria-labelledby") or tag
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self._open[-1:] not in (["style"], ["script"]):
            self.texts[data.strip()] += 1
            self.sections[self._section] = f"{self.sections.get(self._section, '')} {data.strip()}"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(past: PastRun, said: list[str] | None = None) -> Page:
    told = said if said is not None else []
    return Page(report.write(past.render, None, told.append))


def test_every_frame_has_a_cell_and_what_is_not_here_is_marked_in_words() -> None:
    with past_run(frames=12) as past:
        past.run()
        (past.folder.path / "0005.png").unlink()
        (past.folder.path / "0007.png").write_bytes(b"no picture")
        page = page_of(past)
    pictures = [image for image in page.all("img") if (image.get("src") or "").startswith("data:image/webp;base64,")]
    assert [image["alt"] for image in pictures][:2] == ["Frame 1, 20 s", "Frame 2, 23 s"]
    assert len(pictures) == 10
    assert page.source.count("<li><button") == 10, "each picture can be enlarged, by the keyboard too"
    assert page.texts["not fetched"] == page.texts["no preview"] == 1
    assert "1 frame without a preview: 0007.png cannot be read" in page.sections["frames"]
    assert "Not on this machine: frame 5." in page.sections["frames"]
    assert "11/12" in page.sections["dl"]


def test_the_page_asks_nothing_of_anybody_and_allows_only_what_it_holds() -> None:
    with past_run(frames=4, reclaimed=(1,)) as past:
        past.run()
        page = page_of(past)
    urls = [value for _, attributes in page.elements for name, value in attributes.items() if name in {"src", "href"}]
    assert all(url and url.startswith(("data:", "#")) for url in urls if url is not None)
    assert not re.search(r"(https?:)?//[a-z]|@import|url\((?!#)", page.source.partition("<body>")[0])
    assert not any("style" in attributes for _, attributes in page.elements), "the policy would not let it count"
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    (policy,) = [each["content"] for each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy
    assert "default-src 'none'" in policy
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page.source, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_names_errors_and_log_lines_are_text_whatever_they_hold() -> None:
    with past_run(frames=4, description=HOSTILE, failed={1: HOSTILE}, missing=(HOSTILE,)) as past:
        past.aws.logs["job-0:1"] = [HOSTILE, "x" * 5000]
        past.run()
        page = page_of(past)
    shown = HOSTILE.replace("\x1b", "\ufffd").replace("\u202e", "\ufffd")
    assert page.texts[shown] == 3, "the failure's reason, in two places, and the missing file"
    assert "<script>alert(1)</script>" in page.sections["header"], "the description and the error"
    assert shown in page.sections["failed"].partition(shown)[2], "the log"
    assert "\x1b" not in page.source
    assert "\u202e" not in page.source
    assert len(page.all("script")) == 1
    assert {image.get("src") for image in page.all("img")} & {"x"} == set()
    assert "x" * 1001 not in page.source


def test_outliers_are_named_with_their_seconds_and_the_rule_is_said() -> None:
    with past_run(frames=40, seconds={7: 95.0, 31: 2.0}) as past:
        past.run()
        text = page_of(past).sections["seconds"]
    assert "Frame 7: 95 s" in text
    assert "Frame 31: 2.0 s" in text
    assert "#7" in text
    assert "2 outliers" in text
    assert "5 times the median absolute deviation" in text


@pytest.mark.parametrize(
    ("seconds", "found"),
    [
        ([10.0] * 9 + [10.9], []),
        ([10.0] * 9 + [11.1], [9]),
        ([float(each) for each in range(1, 50)], []),
        ([1.0, 1.0, 9.0], []),
        ([0.0] * 5, []),
    ],
)
def test_a_frame_is_an_outlier_only_where_it_stands_out(seconds: list[float], found: list[int]) -> None:
    assert list(outliers(dict(enumerate(seconds)))) == found


def test_reclaims_are_marked_by_letter_and_words_and_counted_with_the_minutes_lost() -> None:
    with past_run(frames=12, reclaimed=(1, 3)) as past:
        past.run()
        page = page_of(past)
    marks = [each for each in page.all("g") if each.get("class") == "mark reclaimed"]
    assert len(marks) == 2 + 1, "two in the timeline, one that explains them"
    assert "1 reclaimed" in page.sections["hosts"]
    assert "R: reclaimed: AWS took the Spot host back" in page.sections["hosts"]
    assert "Host EC2 (instance i-0" in page.sections["hosts"]
    assert re.search(r"Spot reclaims 2 1\.\d host minutes lost", page.sections["dl"])
    assert "Of 2 frames no time is known" in page.sections["seconds"]


def test_cost_is_shown_with_on_demand_beside_it_and_with_what_it_leaves_out() -> None:
    with past_run(frames=4) as past:
        past.run()
        page = page_of(past)
    assert re.search(r"Cost \$0\.0\d+ On-Demand: \$0\.0\d+\. Not all is counted", page.sections["dl"])
    assert cost.LEFT_OUT in page.sections["cost"]
    assert "128" in page.sections["settings"]
    assert "scene, camera, resolution percentage, engine, format" in page.sections["settings"]
    assert "OPTIX: NVIDIA A10G g5.xlarge 5.0.1 128 2" in page.sections["worker"]


def test_missing_files_and_the_logs_of_failed_chunks_are_shown() -> None:
    with past_run(frames=16, failed=dict.fromkeys(range(1, 8), "The hook pre_render.sh ended with exit code 7"),
                  missing=("//tex/wood.png",)) as past:  # fmt: skip
        past.aws.logs["job-0:1"] = ["unzip: cannot find caches.zip"]
        past.run()
        page = page_of(past)
    assert "//tex/wood.png" in page.sections["missing"]
    failed = page.sections["failed"]
    assert "Chunk 1 The hook pre_render.sh ended with exit code 7 unzip: cannot find caches.zip" in failed
    assert "Its log holds nothing (any more): the farm keeps logs for 7 days." in failed
    assert "See its log with `render logs 1 --chunk 7`." in failed
    assert "What went wrong: chunk 1: The hook" in page.sections["header"]


def test_a_chunk_whose_frames_a_retry_rendered_is_no_longer_told_as_failed() -> None:
    with past_run(frames=4, failed={1: "The network was away"}) as past:
        past.run()
        for frame in (3, 4):
            (past.folder.path / f"{frame:04}.png").write_bytes((past.folder.path / "0001.png").read_bytes())
        page = page_of(past)
    assert "failed" not in page.sections
    assert "1 failed" in page.sections["hosts"]


def test_a_job_that_batch_forgot_leaves_the_rest_and_says_that_its_log_is_gone() -> None:
    with past_run(frames=6, reclaimed=(0,), failed={1: "The hook failed"}) as past:
        past.run()
        past.aws.jobs.clear()
        past.aws.children.clear()
        page = page_of(past)
    assert "Batch no longer knows its job" in page.sections["failed"]
    assert "1 attempt cannot be drawn" in page.sections["hosts"]
    assert "it left no report, and Batch no longer knows it" in page.sections["hosts"]


def test_results_that_expired_leave_the_frames_that_are_here() -> None:
    with past_run(frames=4) as past:
        past.run()
        past.aws.objects.clear()
        past.aws.jobs.clear()
        page = page_of(past)
    assert "4/4" in page.sections["dl"]
    assert "No worker has reported" in page.sections["seconds"]
    assert "No worker has reported yet." in page.sections["hosts"]
    assert "Not known: the farm told nothing of them." in page.sections["settings"]


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (UnreachableError("AWS cannot be reached."), "AWS cannot be reached. Until then, only what is here is shown."),
        (RenderError("AWS refused the manifest (denied)."), "AWS refused the manifest (denied)."),
    ],
)
def test_a_farm_that_does_not_answer_or_refuses_gives_the_page_with_a_note(
    monkeypatch: pytest.MonkeyPatch, error: RenderError, note: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    with past_run(frames=4) as past:
        past.run()
        monkeypatch.setattr(Buckets, "manifest", fails)
        page = page_of(past)
    assert note in page.sections["header"]
    assert "4/4" in page.sections["dl"]
    answered = not isinstance(error, UnreachableError)
    assert ("g5.xlarge" in page.sections["hosts"]) is answered, "one refusal does not hold back the rest"


def test_no_farm_another_farm_and_a_render_that_was_never_submitted_are_told(tmp_path: Path) -> None:
    with past_run(frames=4) as past:
        past.run()
        config.save(replace(past.farm.config, stack_id=past.farm.config.stack_id + "1"))
        assert "It ran in another farm than Farm" in page_of(past).sections["header"]
        places.config_file().unlink()
        assert "No farm is configured" in page_of(past).sections["header"]
        past.jobfile.add({"blend": "shot.blend"})
        new = past.jobfile.read()[0][1]
        with pytest.raises(RenderError, match=r"Render 2 .* has no folder of frames .*: run `render process`"):
            report.write(new, None, print)
        page = Page(report.write(new, tmp_path / "new.html", print))
        assert "This render was not submitted yet." in page.sections["header"]
        assert "Nothing is known of its frames yet." in page.sections["frames"]
        with pytest.raises(RenderError, match=r"cannot be written \(No such file or directory\): name another with -o"):
            report.write(new, tmp_path / "no" / "where.html", print)


def test_a_render_that_goes_on_shows_how_far_it_is() -> None:
    with past_run(frames=6) as past:
        past.run()
        past.jobfile.update(past.render, {"status": Status.RUNNING, "finished_at": ""})
        past.aws.objects = {key: body for key, body in past.aws.objects.items() if "/reports/2-" not in key}
        for frame in (5, 6):
            (past.folder.path / f"{frame:04}.png").unlink()
        page = page_of(past)
    assert page.texts["to come"] == 2
    assert "This render still goes on" in page.sections["header"]
    assert "until now" in page.sections["dl"]


def test_two_thousand_frames_of_noise_stay_within_the_bound() -> None:
    said: list[str] = []
    with past_run(frames=2000, breaksize=25) as past:
        noise = Image.frombytes("RGB", (160, 90), random.Random(1).randbytes(160 * 90 * 3))
        past.draw = lambda path, *_: path.write_bytes(content)
        noise.save(past.jobfile.path.parent / "noise.png", compress_level=0)
        content = (past.jobfile.path.parent / "noise.png").read_bytes()
        past.run()
        page = page_of(past, said)
    assert len([each for each in page.all("img") if each.get("alt")]) == 2000
    assert len(page.source) < 15_000_000
    assert "Looked at 2,000 of 2,000 frames" in said
    bars = [each for each in page.all("rect") if each.get("class") == "bar"]
    assert 400 < len(bars) <= 500, "many frames share a bar"


def test_few_frames_get_larger_pictures_than_many(tmp_path: Path) -> None:
    path = tmp_path / "0001.png"
    Image.effect_noise((480, 270), 90).convert("RGB").save(path, compress_level=0)
    few, many = (thumbnails.thumbnails(dict.fromkeys(range(count), path), print)[0][0] for count in (1, 150))
    assert few.width > many.width


def timed(chunk: int, start: float, end: float, instance: str | None = None) -> Attempt:
    return Attempt(
        chunk=chunk,
        attempt=1,
        started=NOON + timedelta(minutes=start),
        finished=NOON + timedelta(minutes=end),
        ending=Ending.DONE,
        reason="",
        frames=(),
        skipped=(),
        host=Host(instance_id=instance),
    )


def test_a_host_has_a_lane_and_chunks_of_no_named_host_share_as_few_as_they_can() -> None:
    shown = lanes(
        [
            timed(0, 0, 5, "i-1"),
            timed(1, 5, 9, "i-1"),
            timed(2, 1, 4, "i-1"),
            timed(3, 1, 3),
            timed(4, 2, 6),
            timed(5, 3, 5),
        ]
    )
    assert [lane.label for lane in shown] == ["i-1", "Host not named (1)", "Host not named (2)"]
    assert [[each.chunk for each in row] for row in shown[0].rows] == [[0, 1], [2]]
    assert [[each.chunk for each in lane.rows[0]] for lane in shown[1:]] == [[3, 5], [4]]
    assert lanes([replace(timed(0, 0, 1), started=None)]) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (59.6, "60 s"),
        (200, "3 min 20 s"),
        (3599.9, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_are_written_for_people(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_headings_come_in_order_and_charts_have_words_beside_them() -> None:
    how: dict[str, Any] = {"frames": 6, "failed": {1: "The hook failed"}, "missing": ("//a.png",)}
    with past_run(**how) as past:
        past.run()
        page = page_of(past)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for chart in (each for each in page.all("svg") if each.get("role") == "img"):
        assert all(name in ids for name in (chart["aria-labelledby"] or "").split())
    assert len(page.all("details")) == 2
