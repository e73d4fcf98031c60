"""What Slurm says of an allocation, and what a site is, as far as planning needs to know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
