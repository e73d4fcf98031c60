"""The steps of an allocation: how srun makes one, what squeue calls it, how sacct says it ended.

Pure, and separate from commands and parse, which are about allocations: a step's words are not
an allocation's. sacct says CANCELLED of every step that a signal ended, its own segmentation
fault included; only 'CANCELLED by UID' tells that somebody ended it. Only that is an ending of
its own here; the rest is srun's exit code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.model import Habits, SlurmState, StepEntry
from slurmtorc.slurm.columns import cpu_seconds, read, size
from slurmtorc.slurm.commands import SEPARATOR
from slurmtorc.slurm.states import state_of
from slurmtorc.units import KIB, MINUTE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from slurmtorc.model import ResourceRequirements
    from slurmtorc.slurm.commands import Columns

STEPS: Columns = (
    ("JobID", "id"), ("State", "state"), ("MaxRSS", "max_rss"), ("MaxVMSize", "max_vm_size"),
    ("MaxDiskRead", "max_disk_read"), ("MaxDiskWrite", "max_disk_write"), ("AveCPU", "ave_cpu"),
    ("NodeList", "nodes"), ("JobName", "name"),
)  # fmt: skip

_ID = re.compile(r"(\d+)\.(\d+)", re.ASCII)
_KILL_WAIT = re.compile(r"^KillWait\s*=\s*(\d+)", re.MULTILINE)
_NO_ACCOUNTS = re.compile(r"^AccountingStorageType\s*=\s*(\S+/none|\(null\))", re.MULTILINE)
_TASK_PLUGIN = re.compile(r"^TaskPlugin\s*=\s*(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One job, as srun is asked to run it."""

    slurm_job_id: int
    name: str
    argv: Sequence[str]
    need: ResourceRequirements | None
    """None: the step takes nothing away, and shares all that its node has."""
    nodes: Sequence[str] = ()
    minutes: int | None = None
    """Its time limit; None for the allocation's."""
    signal: str | None = None
    """What Slurm sends before the limit, and when."""
    bind: str | None = None
    """How tasks are bound to CPUs; None leaves it to the cluster."""


def srun(step: Step) -> list[str]:
    """The call that runs a step to its end.

    Without --gres a step takes all GPUs of its allocation, and the next one waits for them;
    --mpi stays the cluster's own, as the step may well be an MPI program.
    """
    count = step.need.num_nodes if step.need else 1
    call = [
        "srun", "--quiet", f"--jobid={step.slurm_job_id}", f"--job-name={step.name}",
        f"--nodes={count}", f"--ntasks={count}", "--ntasks-per-node=1", "--export=ALL",
        "--wait=0", "--kill-on-bad-exit=0",
    ]  # fmt: skip
    call += _shared() if step.need is None else _own(step.need)
    for option, value in (
        ("nodelist", ",".join(step.nodes)),
        ("time", step.minutes),
        ("signal", step.signal),
        ("cpu-bind", step.bind),
    ):
        if value:
            call.append(f"--{option}={value}")
    return [*call, *step.argv]


def _own(need: ResourceRequirements) -> list[str]:
    gpus = f"--gres=gpu:{need.num_gpus}" if need.num_gpus else "--gres=none"
    memory = max(1, need.memory_bytes // KIB**2)
    return ["--exact", f"--cpus-per-task={need.num_cpus}", f"--mem={memory}M", gpus]


def _shared() -> list[str]:
    return ["--overlap", "--mem=0", "--gres=none"]


def minutes_left(end_time: float | None, headroom: float, now: float) -> int | None:
    """The longest time limit a step may have now: whole minutes, and at least one."""
    if end_time is None:
        return None
    return max(1, int(end_time - headroom - now) // MINUTE)


# ── questions ────────────────────────────────────────────────────────────────


def sacct(slurm_job_id: int) -> list[str]:
    """What accounting says of all steps of an allocation."""
    columns = ",".join(code for code, _ in STEPS)
    call = ["sacct", "--noheader", "--parsable2", "--noconvert", "--format", columns]
    return [*call, "--jobs", str(slurm_job_id)]


def squeue(slurm_job_id: int) -> list[str]:
    """Numbers and names of the steps that run."""
    return ["squeue", "--noheader", "--steps", "--jobs", str(slurm_job_id), "--format", "%i|%j"]


def scancel(step_ids: Collection[str], number: int) -> list[str]:
    """Send a signal to all processes of these steps."""
    return ["scancel", f"--signal={number}", *step_ids]


# ── answers ──────────────────────────────────────────────────────────────────


def entries(text: str) -> dict[str, StepEntry]:
    """What sacct says, by the step's name. Batch and extern are no jobs' steps."""
    return {
        row["name"]: StepEntry(
            name=row["name"],
            step=row["id"].partition(".")[2],
            state=_ending(row["state"]),
            max_rss_bytes=size(row["max_rss"]),
            max_vm_size_bytes=size(row["max_vm_size"]),
            max_disk_read_bytes=size(row["max_disk_read"]),
            max_disk_write_bytes=size(row["max_disk_write"]),
            ave_cpu_seconds=cpu_seconds(row["ave_cpu"]),
            nodes=row["nodes"],
        )
        for row in read(text, STEPS)
        if _ID.fullmatch(row["id"])
    }


def _ending(text: str) -> SlurmState | None:
    state = state_of(text)
    if not state.final:
        return None
    if state is SlurmState.CANCELLED and "by" not in text.split():
        return SlurmState.FAILED
    return state


def ids(text: str) -> dict[str, str]:
    """Name -> 'JOB.STEP' of the steps that run."""
    lines = (line.strip().partition(SEPARATOR) for line in text.splitlines())
    return {name: number for number, _, name in lines if _ID.fullmatch(number)}


def habits(text: str) -> Habits:
    """What `scontrol show config` tells of a cluster's habits."""
    wait, plugin = _KILL_WAIT.search(text), _TASK_PLUGIN.search(text)
    return Habits(
        kill_wait_s=float(wait[1]) if wait else Habits().kill_wait_s,
        keeps_accounts=_NO_ACCOUNTS.search(text) is None,
        binds_cpus=plugin is None or plugin[1] not in {"task/none", "(null)"},
    )
