"""A small process between the farm and one worker, so that no worker outlives the farm, however the farm ends.

Run as `python -I -S launcher.py FOLDER COMMAND...`: starts the command in FOLDER in a session of its own, and obeys
its standard input: `T` sends the worker SIGTERM, end of file kills its whole process group. The kernel closes that pipe
when the farm dies, even by SIGKILL. Ends as the worker ended, with 128 + n for signal n as a container does,
and leaves neither the worker's group nor FOLDER behind. It imports nothing but the standard library, for speed.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading

CANNOT_START = 127
"""Exit status when the command could not be started, as in a shell."""


def _obey(worker: "subprocess.Popen[bytes]") -> None:
    while order := os.read(0, 1):
        if order == b"T":
            # As `docker stop` does: to the first process alone, which may end its children in order.
            worker.terminate()
    _kill_group(worker.pid)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def main(folder: str, command: list[str]) -> int:
    """Run the command and give the exit status of the attempt."""
    # The farm alone decides when a worker ends. A handler, unlike SIG_IGN, is not handed on to the worker.
    for unheeded in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(unheeded, lambda *_: None)
    try:
        worker = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, start_new_session=True)
        threading.Thread(target=_obey, args=(worker,), daemon=True).start()
        status = worker.wait()
        # When a container's first process ends, the rest of the container ends too.
        _kill_group(worker.pid)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT_START
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    # os._exit: the thread that reads the pipe must not hold the interpreter's end up.
    code = main(sys.argv[1], sys.argv[2:])
    sys.stderr.flush()
    os._exit(code)
