"""Notices on the desktop, shown by stand-ins for the programs of each system."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from client import notice

HOSTILE = "$(touch pwned) `touch pwned`; touch pwned 'x' \"y\" -e %PATH%"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-ins are shell scripts")


class Desktop:
    """A PATH on which a program writes down what it was given."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        monkeypatch.chdir(folder)
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS"):
            monkeypatch.delenv(name, raising=False)

    def of(self, platform: str, program: str, *, code: int = 0) -> None:
        self._monkeypatch.setattr(sys, "platform", platform)
        script = self.folder / program
        script.write_text(
            "#!/bin/sh\n"
            f'cd "{self.folder}"\nprintf "%s\\0" "$@" > words\n'
            f'printf "%s\\0" "$RENDER_NOTICE_TITLE" "$RENDER_NOTICE_TEXT" > given\nexit {code}\n'
        )
        script.chmod(0o755)

    def read(self, name: str) -> list[str]:
        return (self.folder / name).read_text().split("\0")[:-1]


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desktop:
    return Desktop(tmp_path, monkeypatch)


@pytest.mark.parametrize("display", ["DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS"])
def test_linux_shows_it_where_there_is_a_desktop(
    desktop: Desktop, display: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desktop.of("linux", "notify-send")
    notice.show("joblist.csv: done", HOSTILE)
    assert not (desktop.folder / "words").exists(), "without a desktop nobody is asked"
    monkeypatch.setenv(display, ":0")
    notice.show("-joblist.csv: done", HOSTILE)
    assert desktop.read("words") == ["--app-name=render", "--", "-joblist.csv: done", HOSTILE]


def test_macos_gets_the_text_as_arguments_of_the_script(desktop: Desktop) -> None:
    desktop.of("darwin", "osascript")
    notice.show("joblist.csv: done", HOSTILE)
    *script, title, text = desktop.read("words")
    assert (title, text) == ("joblist.csv: done", HOSTILE)
    assert "pwned" not in "".join(script)


def test_windows_gets_the_text_beside_the_script(desktop: Desktop) -> None:
    desktop.of("win32", "powershell")
    notice.show("joblist.csv: done", HOSTILE)
    assert desktop.read("given") == ["joblist.csv: done", HOSTILE]
    assert "pwned" not in "".join(desktop.read("words"))


def test_what_is_shown_never_runs(desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    for platform, program in (("linux", "notify-send"), ("darwin", "osascript"), ("win32", "powershell")):
        desktop.of(platform, program)
        notice.show(HOSTILE, HOSTILE)
        assert desktop.read("words")
    assert not (desktop.folder / "pwned").exists()


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32", "freebsd14"])
def test_nothing_is_said_where_there_is_none_or_it_fails(
    desktop: Desktop, platform: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("PATH", str(desktop.folder))
    monkeypatch.setattr(sys, "platform", platform)
    notice.show("joblist.csv: done", "1 Success")
    desktop.of("linux", "notify-send", code=1)
    notice.show("joblist.csv: done", "1 Success")
    assert capfd.readouterr() == ("", "")
