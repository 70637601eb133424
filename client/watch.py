"""Passes over the job file until every render rests."""

from __future__ import annotations

import random
import time
from collections import Counter

from client.errors import RenderError, UnreachableError
from client.farm import Farm
from client.jobfile import JobFile
from client.passes import Listener
from client.process import Outcome, Process

_SECONDS = 10.0
_LONGEST_SECONDS = 60.0
_LOCAL_SECONDS = 1.0
_SLOWER = 1.5
_PATIENCE = 3
"""Passes in a row that may refuse a row in flight before it rests."""


def watch(jobfile: JobFile, farm: Farm, listener: Listener) -> Outcome:
    """Repeat passes until nothing is in flight, and give the last one's outcome.

    While nothing changes it asks less and less often, once a minute at last. A row that was refused before it was
    submitted rests until the next command, since only its owner can mend it; one that was submitted is looked at again,
    some passes long. What may pass by itself is waited for, since the farm goes on without us: a lost connection to
    AWS, a spreadsheet that holds the job file. The local farm does not come back by itself.
    """
    local = bool(farm.config.endpoint_url)
    shortest = _LOCAL_SECONDS if local else _SECONDS
    passes, refusals = Process(jobfile, farm, listener), Counter[int]()
    seconds, before, resting, told = shortest, Outcome(), set[int](), ""
    first = True
    while True:
        try:
            with jobfile.one_pass(wait=not first):
                outcome = passes.once(resting=resting)
        except RenderError as error:
            unreachable = isinstance(error, UnreachableError)
            if (first and not unreachable) or (local and unreachable):
                raise
            if str(error) != told:
                listener.warn(f"{error} The renders go on meanwhile, and this command too.")
            told, seconds = str(error), shortest if local else _LONGEST_SECONDS
        else:
            first, told = False, ""
            refusals = Counter({number: refusals[number] + 1 for number in outcome.refused})
            resting |= outcome.for_good | {number for number, count in refusals.items() if count >= _PATIENCE}
            if not outcome.in_flight and outcome.refused <= resting:
                return outcome
            changed = outcome.stands != before.stands
            seconds = shortest if changed or local else min(seconds * _SLOWER, _LONGEST_SECONDS)
            before = outcome
        # Clients that were started together do not go on asking together.
        time.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311 -- no secret
