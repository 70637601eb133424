"""What ends a command with a sentence instead of a traceback."""


class RenderError(Exception):
    """What happened, to which row or file, and what to do next; the message is shown as it is."""


class UnreachableError(RenderError):
    """The farm does not answer: nothing is known about any render, and trying again later may help."""
