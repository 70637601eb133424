"""A notice on the desktop, where the system has a way to show one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

_PATIENCE_SECONDS = 10
_TITLE, _TEXT = "RENDER_NOTICE_TITLE", "RENDER_NOTICE_TEXT"
_APPLESCRIPT = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)
"""https://developer.apple.com/library/archive/documentation/LanguagesUtilities/Conceptual/MacAutomationScriptingGuide/
DisplayNotifications.html"""
_TOAST = (
    "[Windows.UI.Notifications.ToastNotificationManager,Windows.UI.Notifications,ContentType=WindowsRuntime] > $null",
    "$toast = [Windows.UI.Notifications.ToastNotificationManager]::GetTemplateContent('ToastText02')",
    "$texts = $toast.GetElementsByTagName('text')",
    f"$null = $texts.Item(0).AppendChild($toast.CreateTextNode($env:{_TITLE}))",
    f"$null = $texts.Item(1).AppendChild($toast.CreateTextNode($env:{_TEXT}))",
    r"$id = '{1AC14E77-02E7-4E5D-B744-2EB1AE5198B7}\WindowsPowerShell\v1.0\powershell.exe'",
    "$notifier = [Windows.UI.Notifications.ToastNotificationManager]::CreateToastNotifier($id)",
    "$notifier.Show([Windows.UI.Notifications.ToastNotification]::new($toast))",
)
"""https://learn.microsoft.com/uwp/api/windows.ui.notifications.toastnotificationmanager; the id is PowerShell's own,
since a toast belongs to a program of the start menu."""


def show(title: str, text: str) -> None:
    """Show a notice; nothing happens where the system has none, and nothing is said where that fails."""
    command = _command(title, text, os.environ)
    if not command:
        return
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            command,
            # PowerShell would read arguments as a part of its script.
            env={**os.environ, _TITLE: title, _TEXT: text},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )


def _command(title: str, text: str, environment: Mapping[str, str]) -> list[str]:
    """Give the words that show a notice on this system; none where there is no desktop to show it on."""
    if sys.platform == "win32":
        return ["powershell", "-NoProfile", "-NonInteractive", "-Command", "; ".join(_TOAST)]
    if sys.platform == "darwin":
        lines = [word for line in _APPLESCRIPT for word in ("-e", line)]
        return ["osascript", *lines, title, text]
    has_desktop = any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS"))
    if not has_desktop or not shutil.which("notify-send"):
        return []
    return ["notify-send", "--app-name=render", "--", title, text]
