"""The local farm's worker command: `docker run` with the job's environment, confined as the job definition confines it.

`python run_container.py IMAGE CACHE`, where CACHE is the host's folder for the files that its chunks share.
"""

from __future__ import annotations

import os
import sys

LABEL = "render-farm-tests"
CONFINED = (
    "--rm",
    "--init",
    "--user=10001:10001",
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--network=host",
    f"--label={LABEL}",
)
_CACHE = "/var/cache/render"
_THIS_MACHINES = {"RENDER_BLENDER", "RENDER_CACHE", "RENDER_OUTPUT", "RENDER_WORK"}


def main(image: str, cache: str) -> None:
    """Become `docker run`, which hands signals on and ends as the container ends."""
    names = [name for name in os.environ if name.startswith(("AWS_", "RENDER_")) and name not in _THIS_MACHINES]
    shared = ["--volume", f"{cache}:{_CACHE}", "--env", f"RENDER_CACHE={_CACHE}"]
    os.execvp("docker", ["docker", "run", *CONFINED, *shared, *(f"--env={name}" for name in names), image])  # noqa: S606


if __name__ == "__main__":
    main(*sys.argv[1:])
