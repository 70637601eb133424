"""A user's machine: a home of its own and the command line as they type it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RENDER = Path(sys.executable).with_name("render")
_PATIENCE_SECONDS = 300


@dataclass
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


@dataclass
class Machine:
    """One user's home, and the folder in which they type."""

    home: Path
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RENDER_"))}
        return {
            **kept,
            "HOME": str(self.home),
            # No test may find the credentials of whoever runs it.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            **self.variables,
        }

    def render(self, *arguments: str | Path, code: int | None = 0) -> Said:
        """Type `render ...`; a code other than the expected fails the test with what was said."""
        ended = subprocess.run(
            [RENDER, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        said = Said(ended.returncode, ended.stdout, ended.stderr)
        assert "Traceback" not in said.err, said.err
        assert code is None or said.code == code, f"render {arguments}: {said}"
        return said

    def rows(self) -> list[dict[str, str]]:
        """Read the job file as a spreadsheet would."""
        with (self.folder / "joblist.csv").open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    def edit(self, row: int, **cells: str) -> None:
        """Change cells as a person would in a spreadsheet, which knows nothing of locks."""
        rows = self.rows()
        rows[row].update(cells)
        with (self.folder / "joblist.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)

    def folder_of(self, row: int = 0) -> Path:
        """Find the folder that the row's run fills."""
        run = self.rows()[row]["run"]
        records = (self.home / "rendering" / "finished_renders").glob("*/.render.json")
        return next(record.parent for record in records if run in record.read_text())

    def described(self) -> list[dict[str, Any]]:
        """Give the rows as `describe --json` does."""
        renders: list[dict[str, Any]] = json.loads(self.render("describe", "--json").out)
        return renders
