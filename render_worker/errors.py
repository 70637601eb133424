"""The one exception of the worker."""

from render_worker.contract import ExitCode


class WorkerError(Exception):
    """Why the chunk cannot be finished; the message is one sentence for the user, shown as it is."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code
