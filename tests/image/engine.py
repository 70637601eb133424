"""A Docker engine from Debian's packages, and a base image in place of NVIDIA's, which only a registry has."""

from __future__ import annotations

import os
import platform
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGES = {"dockerd": "docker.io", "debootstrap": "debootstrap", "blender": "blender"}
_ARCHIVE = "http://deb.debian.org/debian"
_RECIPE = 1
"""Part of the base's tag, which is kept between runs: count up when what goes into it changes."""
_START_SECONDS = 30.0


class NoEngineError(Exception):
    """Why no image can be built here."""


def docker(*words: str | Path, code: int | None = 0, seconds: float = 500) -> str:
    """Type `docker ...` and give what it said; a code other than the expected fails the test."""
    ended = subprocess.run(
        ["docker", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )
    assert code is None or ended.returncode == code, f"docker {words} ended with {ended.returncode}:\n{ended.stdout}"
    return ended.stdout


@contextmanager
def engine(log: Path) -> Iterator[None]:
    """Have an engine: the one that runs, or one of Debian's, installed and started for this while.

    Raises NoEngineError where it cannot be had.
    """
    if os.geteuid() != 0:
        raise NoEngineError("building the image here needs root, to start a Docker engine and to make its base")
    if not Path("/etc/debian_version").exists():
        raise NoEngineError("the engine and the image's base are made of Debian's packages, and this is not Debian")
    absent = [package for program, package in _PACKAGES.items() if shutil.which(program) is None]
    if absent:
        _install(absent)
    if _answers():
        yield
        return
    with log.open("wb") as said:
        process = subprocess.Popen(["dockerd"], stdout=said, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not _answers():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise NoEngineError(f"dockerd does not start: {log.read_text(errors='replace')[-500:]}")
                time.sleep(0.3)
            yield
        finally:
            process.terminate()
            process.wait()


def base_image(folder: Path) -> str:
    """Make a base of this machine's Debian release with its `blender`, or give the one that an earlier run made."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    tag = f"render-farm-tests-base:{release}-{_RECIPE}"
    if docker("image", "ls", "--quiet", tag).strip():
        return tag
    root = folder / "root"
    with_packages = ["--variant=minbase", "--include=ca-certificates,blender"]
    made = subprocess.run(
        ["debootstrap", *with_packages, release, root, _ARCHIVE], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout[-2000:]
    _trust_what_this_machine_trusts(root)
    with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(["docker", "import", "-", tag], stdin=tar.stdout, stdout=subprocess.DEVNULL, check=True)
    shutil.rmtree(root)
    return tag


def proxies() -> list[str]:
    """Give this machine's proxies as arguments that Docker knows of itself."""
    names = ("http_proxy", "https_proxy", "no_proxy")
    return [f"--build-arg={name}" for each in names for name in (each, each.upper()) if name in os.environ]


def _trust_what_this_machine_trusts(root: Path) -> None:
    # Where a network has a certificate authority of its own, pip in the image must know it too.
    authorities = ssl.get_default_verify_paths().cafile
    if authorities is None:
        return
    shutil.copyfile(authorities, root / "etc/ssl/this_machine.pem")
    index = os.environ.get("PIP_INDEX_URL")
    (root / "etc/pip.conf").write_text(
        "[global]\ncert = /etc/ssl/this_machine.pem\n" + (f"index-url = {index}\n" if index else "")
    )


def _install(packages: list[str]) -> None:
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "--quiet", *words],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NoEngineError(f"{', '.join(packages)} cannot be installed: {done.stderr.strip()[-500:]}")


def _answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0
