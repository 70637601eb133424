"""What the CDK's command line takes for Docker: the real one, but with a tag in place of a push to a registry.

The words in BUILD_VARIABLE join every `docker build`, since the CDK knows of no stand-in for NVIDIA's base.
"""

from __future__ import annotations

import os
import shlex
import sys

BUILD_VARIABLE = "RENDER_TESTS_BUILD"
PUSHED = "render-farm-tests:pushed"


def main(command: str, *words: str) -> None:
    """Become `docker`; raises IndexError where a push names no image."""
    if command == "login":
        return
    if command == "push":
        command, words = "tag", (words[-1], PUSHED)
    if command == "build":
        words = (*shlex.split(os.environ[BUILD_VARIABLE]), *words)
    os.execvp("docker", ["docker", command, *words])  # noqa: S606


if __name__ == "__main__":
    main(*sys.argv[1:])
