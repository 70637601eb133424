"""The workers' reports of a render, each read from the farm once and kept beside the frames."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from pathlib import Path

from client.buckets import Buckets
from client.errors import RenderError
from render_worker import contract
from render_worker.contract import ContractError, Report


class Reports:
    """What is known of the reports of a folder's runs. A line of JSON for each, since a report never changes."""

    def __init__(self, path: Path | None) -> None:
        """Keep them in a file; without one they are read from the farm each time."""
        self._path = path

    def of(self, buckets: Buckets, run: str) -> list[Report]:
        """Give the run's reports, the new ones from the farm. Raises RenderError as `Buckets` does."""
        known = self._known.setdefault(run, {})
        new = [name for name in buckets.report_names(run) if name not in known]
        lines = []
        for name, text in buckets.reports(run, new):
            with suppress(ContractError):
                report = Report.from_json(text)
                # It only tells what happened, so one that cannot be read, or is of another chunk, is left out.
                if report.run == run and contract.report_name(report.chunk, report.attempt) == name:
                    known[name] = report
                    lines.append(text.replace(b"\n", b"") + b"\n")  # within JSON, a line's end is only a space
        if lines:
            self._save(lines)
        return list(known.values())

    def here(self, run: str) -> list[Report]:
        """Give the run's reports as far as they have been read before, without asking the farm."""
        return list(self._known.get(run, {}).values())

    @cached_property
    def _known(self) -> dict[str, dict[str, Report]]:
        known: dict[str, dict[str, Report]] = {}
        with suppress(FileNotFoundError):
            for line in self._path.read_bytes().splitlines() if self._path else ():
                with suppress(ContractError):
                    report = Report.from_json(line)
                    known.setdefault(report.run, {})[contract.report_name(report.chunk, report.attempt)] = report
        return known

    def _save(self, lines: list[bytes]) -> None:
        if self._path is None:
            return
        try:
            with self._path.open("ab") as file:
                file.writelines(lines)
        except OSError as error:
            raise RenderError(
                f"{self._path} cannot be written ({error.strerror}): free the disk, then run the command again."
            ) from None
