"""A recovery hook: the user's own program, run before a recovery changes anything.

Separate from the recovery because it is the only thing in it that may take long, fail, or hang.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from slurmtorc.errors import Conflict, InvalidValue

if TYPE_CHECKING:
    from slurmtorc.model import Workflow

TIMEOUT_S = 3600.0
"""A hook that takes longer is ended, and the recovery with it."""


def run_hook(command: str, workflow: Workflow, url: str, timeout_s: float = TIMEOUT_S) -> None:
    """Run it, with the workflow's id as the last argument. Raises Conflict unless it exits 0.

    What it prints goes to standard error: standard output may hold JSON.
    """
    argv = [*_words(command), str(workflow.id)]
    environment = {
        "TORC_WORKFLOW_ID": str(workflow.id),
        "TORC_RUN_ID": str(workflow.run_id),
        "TORC_API_URL": url,
        "TORC_STORE_URL": url,
    }
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            env={**os.environ, **environment},
            start_new_session=True,
        )
    except OSError as error:
        raise Conflict(f"the recovery hook cannot be run: {argv[0]}: {error.strerror}") from error
    code = _waited(process, timeout_s)
    if code is None:
        raise Conflict(f"the recovery hook took longer than {timeout_s:.0f} s; nothing was changed")
    if code:
        raise Conflict(f"the recovery hook ended with {code}; nothing was changed")


def _words(command: str) -> list[str]:
    """The words of a command; a file of this directory needs no './'."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InvalidValue(f"recovery hook {command!r}: {error}") from None
    if not words:
        raise InvalidValue("the recovery hook is empty", allowed="write a command")
    if os.sep not in words[0] and shutil.which(words[0]) is None:
        words[0] = f".{os.sep}{words[0]}"
    return words


def _waited(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    """Its exit status; None if it had to be ended, with all that it started."""
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
