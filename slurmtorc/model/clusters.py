"""What Slurm says of an allocation, and what a site is, as far as planning needs to know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slurmtorc.model.words import SlurmState


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEntry:
    """What squeue says of one allocation now."""

    slurm_job_id: int
    name: str
    state: SlurmState
    reason: str = ""
    nodes: str = ""
    """Slurm's compressed node list; empty while pending."""
    submit_time: float | None = None
    start_time: float | None = None
    end_time: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountingEntry:
    """What sacct says of one allocation: its row, without its steps."""

    slurm_job_id: int
    name: str
    state: SlurmState
    nodes: str = ""
    submit_time: float | None = None
    start_time: float | None = None
    end_time: float | None = None
    elapsed_s: int | None = None
    timelimit_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEntry:
    """What sacct says of one step of an allocation."""

    name: str
    step: str
    """Its number in the allocation."""
    state: SlurmState | None = None
    """How it ended: TIMEOUT, OUT_OF_MEMORY, CANCELLED by somebody, COMPLETED, or FAILED by an
    exit or a signal of its own; None while it runs."""
    max_rss_bytes: int | None = None
    max_vm_size_bytes: int | None = None
    max_disk_read_bytes: int | None = None
    max_disk_write_bytes: int | None = None
    ave_cpu_seconds: float | None = None
    nodes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How a cluster treats processes, as its configuration says."""

    kill_wait_s: float = 30.0
    """From the TERM at an allocation's end to the KILL."""
    binds_cpus: bool = True
    """Whether a step can be bound to CPUs at all; where not, srun complains of the option."""
    keeps_accounts: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEntry:
    """What sacct keeps of one allocation, or of one of its steps. For reports alone."""

    slurm_job_id: int
    step: str = ""
    """'batch', 'extern' or a number; empty for the allocation itself."""
    name: str
    state: SlurmState
    exit_code: str = ""
    """As Slurm prints it: wrong for 128 and above before 25.11."""
    submit_time: float | None = None
    start_time: float | None = None
    end_time: float | None = None
    elapsed_s: int = 0
    timelimit_s: int | None = None
    nodes: str = ""
    num_nodes: int = 0
    cpus: int = 0
    cpu_time_s: int = 0
    """CPU time it held: elapsed times CPUs."""
    used_cpu_s: float | None = None
    """CPU time its processes used; Slurm learns of it when a step ends."""
    max_rss_bytes: int | None = None
    """The largest of its tasks; None for an allocation, and where Slurm did not measure."""
    printed: Mapping[str, str]
    """The row as Slurm printed it, by column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition of a site; sizes are of one node, the smallest the partition has."""

    name: str
    cpus: int
    memory_bytes: int
    nodes: int
    gpus: int = 0
    gpu_type: str | None = None
    max_walltime_s: int | None = None
    is_default: bool = False
    is_up: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One cluster, as far as planning needs to know it."""

    name: str
    partitions: tuple[Partition, ...]
    memory_per_cpu: int | None = None
    """Bytes that Slurm gives for each CPU where none are asked for, unless a partition has a rule
    of its own; None where that is not known, and for all of a node's."""
    memory_per_node: int | None = None
    """The same for each node."""
