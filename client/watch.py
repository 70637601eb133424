"""Passes over the job file until every render rests."""

from __future__ import annotations

import random
import time

from client.errors import UnreachableError
from client.farm import Farm
from client.jobfile import JobFile
from client.passes import Listener
from client.process import Outcome, Process

_SECONDS = 10.0
_LONGEST_SECONDS = 60.0
_LOCAL_SECONDS = 1.0
_SLOWER = 1.5


def watch(jobfile: JobFile, farm: Farm, listener: Listener) -> Outcome:
    """Repeat passes until nothing is in flight, and give the last one's outcome.

    While nothing changes it asks less and less often, once a minute at last. A row that was refused rests until the
    next command: nothing here can mend it. A connection to AWS that is lost is waited for, since the farm goes on
    without us; the local farm does not come back by itself.
    """
    local = bool(farm.config.endpoint_url)
    shortest = _LOCAL_SECONDS if local else _SECONDS
    passes = Process(jobfile, farm, listener)
    seconds, before, refused, lost = shortest, Outcome(), set[int](), False
    while True:
        try:
            with jobfile.one_pass():
                outcome = passes.once(resting=refused)
        except UnreachableError as error:
            if local:
                raise
            if not lost:
                listener.warn(f"{error} The renders go on meanwhile, and this command too.")
            lost, seconds = True, _LONGEST_SECONDS
        else:
            lost = False
            refused |= outcome.refused
            if not outcome.in_flight:
                return outcome
            changed = outcome.stands != before.stands
            seconds = shortest if changed or local else min(seconds * _SLOWER, _LONGEST_SECONDS)
            before = outcome
        # Clients that were started together do not go on asking together.
        time.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311 -- no secret
