"""What the shell offers when a user presses Tab."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from client.jobfile import JobFile

_LONGEST_NAME = 40


def ids(jobfile: Path, incomplete: str, given: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Give the ids of a job file that begin so, each with its render's name; none where the file cannot be read.

    Names keep letters, digits and what else no shell acts upon: zsh evaluates what it is offered.
    """
    with suppress(Exception):  # whatever it is, a line that is being typed is no place to tell it
        known = {str(number): blend for number, blend in JobFile(jobfile).names().items()}
        return [
            (number, re.sub(r"[^\w. -]", "_", blend)[:_LONGEST_NAME])
            for number, blend in known.items()
            if number.startswith(incomplete) and number not in given
        ]
    return []
