"""`render report` on the farm of this machine."""

from __future__ import annotations

import re
from pathlib import Path

from tests.e2e.machine import Machine


def test_a_render_of_which_a_chunk_failed_is_shown_with_the_end_of_its_log(machine: Machine, blend: Path) -> None:
    hook = machine.folder / "pre_render.sh"
    hook.write_text('echo "chunk $RENDER_CHUNK looks for <caches>"\ntest "$RENDER_CHUNK" = 0\n')
    machine.render("add", "-b", blend, "-k", "2", "-a", hook)
    assert "has no folder of frames" in machine.render("report", "1", code=1).err
    machine.render("process", "--watch", code=1)
    path = Path(machine.render("report", "1").out.strip())
    assert path == machine.folder_of() / "report.html"
    page = path.read_text(encoding="utf-8")
    assert page.count("data:image/webp") == 2
    assert page.count('<div class="absent"><b>missing</b>') == 2
    assert "chunk 1 looks for &lt;caches&gt;" in page
    assert "chunk 0 looks for" not in page
    assert "the farm of this machine" in page
    machine.render("retry", "1")
    assert "This render still goes on" in Path(machine.render("report", "1", "-o", "now.html").out.strip()).read_text()


def test_without_the_farm_the_page_shows_what_is_here(machine: Machine, blend: Path) -> None:
    machine.render("add", "-b", blend, "-e", "1")
    machine.render("process", "--watch")
    settings = machine.folder / "settings"
    farm = (machine.home / ".renderconfig").read_text()
    settings.write_text(re.sub(r"(?m)^endpoint_url = .*$", "endpoint_url = http://localhost:9", farm))
    machine.variables["RENDER_CONFIG"] = str(settings)
    page = Path(machine.render("report", "1").out.strip()).read_text()
    assert "The local farm at http://localhost:9 does not answer" in page
    assert page.count("data:image/webp") == 1
