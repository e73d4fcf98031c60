"""Which options of sbatch a user may set for allocations, and why the others belong to somebody.

One table for the check of a file and for the script that is made of it. An allocation is one
job, known to Slurm by its name and its comment, and submitted once: an option that would make
several of it, rename it, or let Slurm begin it again is refused wherever it is written.
"""

from __future__ import annotations

import re
import shlex

_SCHEDULERS = "it belongs to a scheduler: write it in slurm_schedulers"
_ONE_JOB = "an allocation is one job, submitted once: leave it out"
_OURS = "it is how this program finds and reads the allocation: leave it out"

NOT_A_DEFAULT = {
    **dict.fromkeys(
        ("partition", "nodes", "walltime", "time", "mem", "gres", "name", "job-name"), _SCHEDULERS
    ),
    **dict.fromkeys(("array", "test-only", "wait", "wrap", "parsable", "quiet"), _ONE_JOB),
}
"""Keys that slurm_defaults may not have, and why. The first eight are torc's. Options that this
program sets itself (comment, output …) may stand there: as for all defaults, ours win."""

NOT_AN_EXTRA = {
    **dict.fromkeys(("array", "test-only", "wait", "wrap", "parsable", "quiet"), _ONE_JOB),
    **dict.fromkeys(("job-name", "comment", "chdir", "output", "error", "open-mode"), _OURS),
    "requeue": "a job that fails is tried again by its failure handler, not by Slurm",
}
"""Options that a scheduler's `extra` may not have, and why."""

_SHORT = {
    "a": "array", "J": "job-name", "D": "chdir", "o": "output", "e": "error", "W": "wait",
    "Q": "quiet",
}  # fmt: skip
_NAME = re.compile(r"[a-z][a-z0-9-]*")


def default_refused(key: str) -> str | None:
    """Why slurm_defaults may not have this key; None if it may. `mail_type` is `mail-type`."""
    option = key.replace("_", "-")
    if option.lower() in NOT_A_DEFAULT:
        return NOT_A_DEFAULT[option.lower()]
    return None if _NAME.fullmatch(option) else "write a long option of sbatch, as in mail-type"


def extra_refused(text: str) -> tuple[str, str] | None:
    """The first option in `extra` that it may not have, and why."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        return text, f"its quotes do not match: {error}"
    for word in words:
        option = _option(word)
        if option in NOT_AN_EXTRA:
            return word, NOT_AN_EXTRA[option]
    return None


def _option(word: str) -> str | None:
    """'--array=1-3' and '-a1-3' -> 'array'; None for what is no option."""
    if word.startswith("--"):
        return word[2:].partition("=")[0]
    return _SHORT.get(word[1]) if word.startswith("-") and len(word) > 1 else None
