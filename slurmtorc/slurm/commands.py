"""How Slurm's programs are called: argument lists and the environment they run in.

Pure, and separate from the adapter, so that every call can be read and tested without a
cluster. A format is one table of (Slurm's code, what it means); the parser reads by the same
table, so the two cannot drift apart. No call may depend on the user's environment: a default
format, a filter or an account hidden in SQUEUE_FORMAT, SACCT_FORMAT or SBATCH_ACCOUNT would
change what we read, or what we ask for.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

SEPARATOR = "|"

Columns = tuple[tuple[str, str], ...]
"""(Slurm's code, our name) in the order printed. Text that people choose comes last: it may
hold the separator itself."""

QUEUE: Columns = (
    ("%A", "id"), ("%T", "state"), ("%V", "submit"), ("%S", "start"), ("%e", "end"),
    ("%N", "nodes"), ("%r", "reason"), ("%j", "name"),
)  # fmt: skip
QUEUE_NAMES: Columns = (("%A", "id"), ("%V", "submit"), ("%j", "name"), ("%k", "comment"))
ACCOUNT: Columns = (
    ("JobIDRaw", "id"), ("State", "state"), ("Submit", "submit"), ("Start", "start"),
    ("End", "end"), ("ElapsedRaw", "elapsed"), ("Timelimit", "timelimit"), ("NodeList", "nodes"),
    ("JobName", "name"),
)  # fmt: skip
ACCOUNT_NAMES: Columns = (("JobIDRaw", "id"), ("Submit", "submit"), ("JobName", "name"))
USAGE: Columns = (
    ("JobIDRaw", "id"), ("State", "state"), ("ExitCode", "exit_code"), ("Submit", "submit"),
    ("Start", "start"), ("End", "end"), ("ElapsedRaw", "elapsed"), ("Timelimit", "timelimit"),
    ("NodeList", "nodes"), ("AllocTRES", "tres"), ("CPUTimeRAW", "cpu_time"),
    ("TotalCPU", "total_cpu"), ("MaxRSS", "max_rss"), ("Partition", "partition"),
    ("Account", "account"), ("JobName", "name"),
)  # fmt: skip
PARTITIONS: Columns = (
    ("%P", "name"), ("%a", "available"), ("%l", "timelimit"), ("%D", "nodes"), ("%c", "cpus"),
    ("%m", "memory"), ("%G", "gres"),
)  # fmt: skip

SBATCH = ("sbatch", "--parsable")
"""Reads the script from standard input: nothing is left on disk, and nothing has to be there."""
PING = ("scontrol", "ping")
SHOW_CONFIG = ("scontrol", "show", "config")
SINFO = ("sinfo", "--noheader", "--exact", "--format", SEPARATOR.join(c for c, _ in PARTITIONS))
"""A line for each partition and kind of node: without --exact sinfo prints '96+' for a mixture."""

_QUEUE_ALL = ("squeue", "--noheader", "--all", "--states=all", "--format")
"""With ended jobs too: Slurm remembers them for MinJobAge seconds (300, if nobody changed it)."""
_ACCOUNT_ALL = ("sacct", "--noheader", "--parsable2", "--allocations", "--format")

ARGUMENT_BYTES = 100_000
"""How long one list of ids may be; the kernel allows 128 kB for a single argument."""


def squeue(ids: Collection[int]) -> list[str]:
    """What the queue says of these ids."""
    return [*_QUEUE_ALL, SEPARATOR.join(code for code, _ in QUEUE), "--jobs", _listed(ids)]


def squeue_names() -> list[str]:
    """Names and comments of all jobs of the caller."""
    return [*_QUEUE_ALL, SEPARATOR.join(code for code, _ in QUEUE_NAMES), "--me"]


def sacct(ids: Collection[int], since: float) -> list[str]:
    """What accounting says of these ids, if they lived after `since`."""
    columns = ",".join(code for code, _ in ACCOUNT)
    return [*_ACCOUNT_ALL, columns, "--starttime", _moment(since), "--jobs", _listed(ids)]


def sacct_usage(ids: Collection[int], since: float) -> list[str]:
    """All that accounting keeps of these ids for reports: steps too, and sizes in bytes."""
    columns = ",".join(code for code, _ in USAGE)
    call = ["sacct", "--noheader", "--parsable2", "--noconvert", "--format", columns]
    return [*call, "--starttime", _moment(since), "--jobs", _listed(ids)]


def sacct_names(since: float, user_id: int) -> list[str]:
    """Names of all jobs of one user that lived after `since`: for root, sacct means everybody."""
    columns = ",".join(code for code, _ in ACCOUNT_NAMES)
    return [*_ACCOUNT_ALL, columns, "--starttime", _moment(since), "--user", str(user_id)]


def scancel(ids: Collection[int]) -> list[str]:
    """End these."""
    return ["scancel", *map(str, ids)]


def chunks(ids: Collection[int]) -> Iterator[list[int]]:
    """The ids, sorted, in as few lists as one command line each can hold."""
    chunk: list[int] = []
    length = 0
    for number in sorted(set(ids)):
        length += len(str(number)) + 1
        if length > ARGUMENT_BYTES:
            yield chunk
            chunk, length = [], len(str(number)) + 1
        chunk.append(number)
    if chunk:
        yield chunk


def _listed(ids: Collection[int]) -> str:
    return ",".join(map(str, ids))


def _moment(epoch: float) -> str:
    """Local time without a zone: the only form all versions of sacct read."""
    return datetime.fromtimestamp(max(0.0, epoch)).strftime("%Y-%m-%dT%H:%M:%S")  # noqa: DTZ006  see above


# ── the environment of a call ────────────────────────────────────────────────

LAUNCHER_MARK = "TORC_LAUNCHER"
"""By this a job is known as one of a worker's, and ends with it. What it submits does not."""
_OPTIONS = ("SQUEUE_", "SACCT_", "SINFO_", "SBATCH_", "SCANCEL_", "SCONTROL_", "SALLOC_", "SRUN_")
_CONFIGURATION = frozenset({
    "SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_CLUSTER_NAME", "SLURM_JWT",
})  # fmt: skip
"""How to reach the cluster: the same inside an allocation as outside."""
_DEVICES = frozenset({
    "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK",
})  # fmt: skip


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """For questions: no options of the user's, and Slurm's own words whatever the language."""
    return {**submit_environment(environ), "LC_ALL": "C"}


def submit_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """For sbatch, which hands its environment on to the job: the user's language stays.

    Inside an allocation everything that describes it is left behind. Measured: a worker with
    SLURM_MEM_PER_CPU that submits a script with --mem makes a job that has both that and
    SLURM_MEM_PER_NODE, and every srun in it ends with 'are mutually exclusive'.
    """
    inside = "SLURM_JOB_ID" in environ
    return {name: value for name, value in environ.items() if not _left_behind(name, inside=inside)}


def _left_behind(name: str, *, inside: bool) -> bool:
    if name.startswith(_OPTIONS) or name in {"SLURM_TIME_FORMAT", LAUNCHER_MARK}:
        return True
    of_the_job = name.startswith(("SLURM_", "SLURMD_", "PMI_", "PMIX_")) or name in _DEVICES
    return inside and of_the_job and name not in _CONFIGURATION
