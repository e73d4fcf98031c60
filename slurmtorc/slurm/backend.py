"""Whether Slurm's library can be used on this machine: one question, asked once.

Separate because it decides about both adapters and belongs to neither. Whoever asked for the
library and cannot have it is told so in one line, and served by Slurm's programs.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from slurmtorc.slurm.helper import Child, Lost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slurmtorc.slurm.helper import Helper

log = logging.getLogger(__name__)

_RELEASE = re.compile(r"(\d+)\.(\d+)")


def library(environ: Mapping[str, str], timeout: float) -> Child | None:
    """A child that has the library, if it fits the Slurm that runs; else None, and one line."""
    child = Child(environ, timeout)
    problem = unfit(child)
    if problem is None:
        return child
    child.end()
    log.warning("slurm.backend is pyslurm, but %s; Slurm's programs are used instead", problem)
    return None


def unfit(helper: Helper) -> str | None:
    """Why the library cannot be used; None if it can."""
    try:
        ours = helper.start()
        said = helper.ask("version")
    except Lost as error:
        return f"it cannot be loaded here ({error})"
    if "answer" not in said:
        words = said.get("silent") or said.get("said") or said.get("raised")
        return f"Slurm does not tell its release ({words})"
    theirs = said["answer"]
    if _release(ours) is None or _release(ours) != _release(theirs):
        return f"pyslurm {ours} does not fit Slurm {theirs}: install the pyslurm of that release"
    return None


def _release(version: str) -> tuple[int, int] | None:
    """Year and month: pyslurm writes 22.5 where Slurm writes 22.05."""
    match = _RELEASE.match(version)
    return (int(match[1]), int(match[2])) if match else None
