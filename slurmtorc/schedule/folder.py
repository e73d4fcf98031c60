"""Where output goes is made, or is said not to be usable, before anything depends on it.

Beside begin.py, for a worker needs this and nothing else of how a workflow begins.
"""

from __future__ import annotations

import os

from slurmtorc.errors import Conflict


def make_folder(path: str) -> None:
    """Make the folder for output, if it is not there. Raises Conflict."""
    if not path.isprintable():
        raise Conflict(f"the output folder {path!r} has a line break or a control character")
    try:
        os.makedirs(path, exist_ok=True)  # noqa: PTH103  as everywhere here: os.path
    except OSError as error:
        message = f"the output folder {path} cannot be made: {error.strerror}"
        raise Conflict(f"{message}; name another with --output-dir") from error
