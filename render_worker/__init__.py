"""What runs in the container of a job; `render_worker.contract` is what it agrees on with the client."""

__version__ = "0.1.0"
"""Version of the whole product: pyproject.toml reads it here, because the image has this folder and no more."""
