"""The one error that the local farm raises to those who use it."""


class LocalFarmError(Exception):
    """The local farm cannot do what was asked; the message is one sentence for the user, with what to do next."""
