"""Starts one of Slurm's programs and waits for it, but not for ever.

Separate from the adapter because this is about processes, and that about Slurm. Nothing may be
left running when a call comes back, and no failure to start may look like an answer.
"""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

from slurmtorc.errors import SlurmError, SlurmUnavailable, SubmissionInDoubt
from slurmtorc.slurm.commands import SBATCH
from slurmtorc.slurm.refusals import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def run(
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    timeout: float,
    text: str = "",
    directory: str | None = None,
) -> Answer:
    """What a program answered to `text` on its standard input.

    Raises SubmissionInDoubt for an sbatch, and SlurmUnavailable for any other program, that took
    longer than `timeout` and was ended; SlurmError if it could not be started at all.
    """
    _check_configuration(env)
    try:
        process = subprocess.Popen(
            list(argv), env=dict(env), cwd=directory, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise _not_started(argv[0], directory, error) from error
    with process:
        stdout, stderr = _heard(process, argv[0], text, timeout)
    return Answer(argv[0], process.returncode, stdout, stderr)


def _heard(
    process: subprocess.Popen[str], program: str, text: str, timeout: float
) -> tuple[str, str]:
    """What it printed. Ended with all its children: sites put scripts in front of Slurm's."""
    try:
        return process.communicate(text, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise _timed_out(program, timeout) from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def _check_configuration(env: Mapping[str, str]) -> None:
    """Slurm's programs look for a missing file for a whole minute before they say so."""
    path = env.get("SLURM_CONF")
    if path and not os.path.exists(path):  # noqa: PTH110  one stat before every call
        raise SlurmError(
            f"SLURM_CONF is {path}, and there is no such file; unset it, or name the right one"
        )


def _timed_out(program: str, seconds: float) -> SlurmError:
    message = f"{program} did not answer within {seconds:g} s and was ended"
    return SubmissionInDoubt(message) if program == SBATCH[0] else SlurmUnavailable(message)


def _not_started(program: str, directory: str | None, error: OSError) -> SlurmError:
    if directory is not None and not os.path.isdir(directory):  # noqa: PTH112  as given, unresolved
        return SlurmError(
            f"the directory {directory} is not there: nothing can be submitted from it"
        )
    if isinstance(error, FileNotFoundError):
        return SlurmError(
            f"{program} was not found on PATH; load the site's Slurm module, work on a login node, "
            "or make a cluster here with 'torc sandbox up'"
        )
    return SlurmError(f"{program} could not be started: {error.strerror}")
