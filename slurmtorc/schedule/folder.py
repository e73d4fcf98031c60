"""The folders of a workflow: where it was submitted, and where its output goes.

Beside begin.py, for a worker needs this and nothing else of how a workflow begins.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slurmtorc.errors import Conflict

if TYPE_CHECKING:
    from slurmtorc.model import Workflow


def directory_of(workflow: Workflow) -> str:
    """Where the workflow was submitted: relative paths start there."""
    return workflow.submission_directory or os.getcwd()  # noqa: PTH109  a text, as the stored one


def make_folder(path: str) -> None:
    """Make the folder for output, if it is not there. Raises Conflict."""
    if not path.isprintable():
        raise Conflict(f"the output folder {path!r} has a line break or a control character")
    try:
        os.makedirs(path, exist_ok=True)  # noqa: PTH103  it is a text, and stays one
    except OSError as error:
        message = f"the output folder {path} cannot be made: {error.strerror}"
        raise Conflict(f"{message}; name another with --output-dir") from error
