"""What Slurm's programs say when they fail -> our errors, and what a person can do about it.

Separate because the difference between three sentences is the most expensive one here. After a
failed sbatch exactly one of these is true, and the wrong one loses an allocation or doubles it:

* surely not submitted, and later it may work   SlurmUnavailable
* surely not submitted, and it never will be    SubmissionRefused
* nobody can say yet                            SubmissionInDoubt

The rule: the request was refused if the controller answered with its own error. It never
arrived if there was no connection to send it by. Once something may have been sent, a lost
answer says nothing: doubt. Words we do not know count as the controller's own, unless they
speak of connections.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from slurmtorc.errors import (
    SlurmError,
    SlurmUnavailable,
    SubmissionBarred,
    SubmissionInDoubt,
    SubmissionRefused,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """How one call of one of Slurm's programs ended."""

    program: str
    code: int
    stdout: str = ""
    stderr: str = ""

    @property
    def text(self) -> str:
        """What it complained of, in one line without its decoration."""
        lines = (_DECORATION.sub("", line).strip() for line in self.stderr.splitlines())
        kept = [line for line in lines if line and not line.startswith("Try ")]
        return "; ".join(dict.fromkeys(kept)) or f"exit status {self.code}, and no message"


USAGE = 255
"""sbatch's exit status when it could not read its own options: it has sent nothing."""

_DECORATION = re.compile(
    r"^(?:s\w+: )?(?:error: |fatal: |slurm_load_\w+(?: error)?: )?"
    r"(?:Batch job submission failed: )?"
)

_NEVER_ARRIVED = re.compile(
    r"connect failure|connection refused|Communication connection failure"
    r"|Can't find an address|in standby mode|No route to host|Unable to resolve"
    r"|Failed to connect to authentication agent|Munge encode failed|auth_g_create",
    re.IGNORECASE,
)
"""There was nobody to send to, or munge, which signs what is sent, is gone here."""

_NO_CONFIGURATION = re.compile(
    r"Could not establish a configuration source|Unable to process configuration file"
)
_NO_CONFIGURATION_REMEDY = (
    "Slurm's configuration was not found; set SLURM_CONF, load the site's Slurm module, "
    "or work in a sandbox ('torc sandbox up')"
)

_LOST = re.compile(
    r"timed out|zero bytes|receive failure|send failure|shutdown failure|transmitted"
    r"|connection|communicat|authenticat|credential|socket|unpack"
    r"|message length|entire message|zero length message"
    r"|Unexpected message|Unable to contact",
    re.IGNORECASE,
)
"""Something may have been sent before this. Expired credentials too: they can be the answer's."""

_LATER = re.compile(
    r"SubmitJob|MaxSubmit|job queue full|temporarily un|try again|Resource temporarily"
    r"|error writing script|disabled|creating job record",
    re.IGNORECASE,
)
"""The controller's own no, until later: a limit on how many may wait, or a moment's trouble."""

_REMEDIES = (
    (
        r"invalid account|account/partition",
        "'sacctmgr show assoc user=$USER format=account,partition' lists the accounts you may use",
    ),
    (r"invalid partition|no partition specified", "'sinfo -s' lists the partitions"),
    (
        r"group not permitted|access denied|permission",
        "ask for another partition, or ask the site for access",
    ),
    (
        r"invalid qos|wckey",
        "'sacctmgr show assoc user=$USER format=account,qos' lists what you may use",
    ),
    (
        r"MaxWall|time limit is invalid|invalid --time|time limit specification",
        "ask for less time, or for a partition that allows more ('sinfo -o \"%P %l\"')",
    ),
    (r"accounting/qos policy", "ask for less, or for another QOS"),
    (
        r"memory|node configuration|processors requested|node count|cpu count|task count",
        "no node of the partition has as much; 'sinfo -e -o \"%P %D %c %m %G\"' lists them",
    ),
    (r"mutually exclusive", "remove one of the two from slurm_defaults or extra"),
    (
        r"unrecognized option|invalid (directive|--)|doesn't allow|requires an arg|unmatched",
        "correct it in slurm_defaults, or in the scheduler's extra",
    ),
    (
        r"feature|gres|license|reservation|node name|array|dependency",
        "correct it in the scheduler, its extra, or slurm_defaults",
    ),
)
"""What the words hold -> what to do; the first that fits."""

_BARRED = re.compile(r"Access/permission denied", re.IGNORECASE)
"""Also where a partition takes jobs from login nodes alone (AllocNodes)."""

_OTHERWISE = "the words are the site's; correct the scheduler or slurm_defaults, or ask the site"


def never_arrived(answer: Answer) -> bool:
    """Whether a failed call certainly reached no daemon."""
    return bool(answer.code and _NEVER_ARRIVED.search(answer.stderr))


def submission_error(answer: Answer) -> SlurmError:
    """Which of the three a failed sbatch means (see above)."""
    return _not_now(answer) or _in_doubt(answer) or _refused(answer.text)


def _not_now(answer: Answer) -> SlurmUnavailable | None:
    if _NO_CONFIGURATION.search(answer.stderr):
        return SlurmUnavailable(f"not submitted: {_NO_CONFIGURATION_REMEDY}")
    if never_arrived(answer):
        return SlurmUnavailable(
            f"not submitted: Slurm's controller does not answer ({answer.text})"
        )
    if 0 < answer.code < USAGE and _LATER.search(answer.text):
        return SlurmUnavailable(f"not submitted: Slurm takes no more now ({answer.text})")
    return None


def _in_doubt(answer: Answer) -> SubmissionInDoubt | None:
    if answer.code < 0:
        return SubmissionInDoubt(f"sbatch was killed by signal {-answer.code}")
    if answer.code < USAGE and _LOST.search(answer.text):
        return SubmissionInDoubt(f"sbatch sent the script and lost the answer ({answer.text})")
    return None


def _refused(text: str) -> SubmissionRefused:
    remedies = (words for pattern, words in _REMEDIES if re.search(pattern, text, re.IGNORECASE))
    kind = SubmissionBarred if _BARRED.search(text) else SubmissionRefused
    return kind(f"Slurm refused the allocation: {text}; {next(remedies, _OTHERWISE)}")


# ── questions and cancelling ─────────────────────────────────────────────────

_UNKNOWN_ID = re.compile(r"Invalid job id specified|already completing or completed")
_NO_ACCOUNTING = re.compile(r"accounting storage is disabled", re.IGNORECASE)
_DAEMON = re.compile(
    r"database|persistent connection|slurmdbd|PersistInit|in standby mode", re.IGNORECASE
)


def unknown_ids(answer: Answer) -> bool:
    """Whether the only complaint is about ids that Slurm does not know, or has done with.

    squeue says so for one unknown id and is silent for several; scancel is silent by default.
    Both mean: not there.
    """
    lines = [line for line in answer.stderr.splitlines() if line.strip()]
    return bool(lines) and all(_UNKNOWN_ID.search(line) for line in lines)


def no_accounting(answer: Answer) -> bool:
    """Whether this cluster keeps no accounting: it will not later either."""
    return bool(answer.code and _NO_ACCOUNTING.search(answer.stdout + answer.stderr))


def query_error(answer: Answer) -> SlurmError:
    """A failed question: nobody answered (ask again later), or the question is wrong."""
    if _NO_CONFIGURATION.search(answer.stderr):
        return SlurmUnavailable(_NO_CONFIGURATION_REMEDY)
    unavailable = (_NEVER_ARRIVED, _DAEMON, _LATER, _LOST)
    if answer.code < 0 or any(pattern.search(answer.stderr) for pattern in unavailable):
        return SlurmUnavailable(f"{answer.program} got no answer: {answer.text}")
    return SlurmError(f"{answer.program} failed: {answer.text}")
