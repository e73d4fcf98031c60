"""How an attempt ended: (exit, who stopped it, what Slurm's accounting says) -> one verdict.

The worker, the srun path and the watch daemon all ask here, so that 152 always means the same.
Two rules stand above the table: exit 0 wins over everything that is said about the process, and
152 never comes from `scancel`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from slurmtorc.model import Ending, JobStatus, SlurmState

if TYPE_CHECKING:
    from slurmtorc.model import ExecutionConfig

TIMEOUT_CODE = 152
OOM_CODE = 137
CANCEL_CODE = 143
MISSING_OUTPUT_CODE = 1
LAUNCH_FAILED_CODE = 126
ORPHANED_CODE = -128
SIGNAL_BASE = 128


class Stopped(StrEnum):
    """Why our own worker ended a process."""

    DEADLINE = "the allocation's end was near"
    MEMORY = "it used more memory than it asked for"
    CANCELED = "the workflow was canceled"
    INTERRUPTED = "the worker was told to stop"
    ALLOCATION = "Slurm ends the allocation"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt came to."""

    return_code: int
    status: JobStatus
    ending: Ending


_BY_SLURM = {
    SlurmState.TIMEOUT: Verdict(TIMEOUT_CODE, JobStatus.TERMINATED, Ending.TIMEOUT),
    SlurmState.OUT_OF_MEMORY: Verdict(OOM_CODE, JobStatus.FAILED, Ending.OOM),
    SlurmState.CANCELLED: Verdict(CANCEL_CODE, JobStatus.TERMINATED, Ending.CANCELED),
    SlurmState.NODE_FAIL: Verdict(CANCEL_CODE, JobStatus.TERMINATED, Ending.NODE_FAIL),
    SlurmState.PREEMPTED: Verdict(CANCEL_CODE, JobStatus.TERMINATED, Ending.PREEMPTED),
}

_BY_WORKER = {
    Stopped.DEADLINE: _BY_SLURM[SlurmState.TIMEOUT],
    Stopped.MEMORY: _BY_SLURM[SlurmState.OUT_OF_MEMORY],
    Stopped.CANCELED: _BY_SLURM[SlurmState.CANCELLED],
    Stopped.INTERRUPTED: _BY_SLURM[SlurmState.CANCELLED],
    Stopped.ALLOCATION: _BY_SLURM[SlurmState.CANCELLED],
}

TELLING = frozenset(_BY_SLURM) - {SlurmState.OUT_OF_MEMORY}
"""Ends of an allocation that are the ends of all its jobs. Others leave open which job was meant:
an allocation is out of memory, or has failed, through one of its processes."""

SUCCESS = Verdict(0, JobStatus.COMPLETED, Ending.EXIT)
MISSING_OUTPUT = Verdict(MISSING_OUTPUT_CODE, JobStatus.FAILED, Ending.MISSING_OUTPUT)
ORPHANED = Verdict(ORPHANED_CODE, JobStatus.FAILED, Ending.ORPHANED)
LAUNCH_FAILED = Verdict(LAUNCH_FAILED_CODE, JobStatus.FAILED, Ending.LAUNCH_FAILED)


def judge(
    code: int | None,
    signal: int | None = None,
    *,
    stopped: Stopped | None = None,
    slurm: SlurmState | None = None,
    missing_output: bool = False,
    config: ExecutionConfig | None = None,
) -> Verdict:
    """The verdict on one attempt. Exactly one of `code` and `signal` is known, or neither.

    The workflow's configuration may name other return codes for what is not the job's own doing.
    """
    verdict = _judged(code, signal, stopped, slurm, missing_output=missing_output)
    return verdict if config is None else _renamed(verdict, config)


def _renamed(verdict: Verdict, config: ExecutionConfig) -> Verdict:
    if verdict.ending is Ending.TIMEOUT:
        return replace(verdict, return_code=config.timeout_exit_code)
    if verdict.ending is Ending.OOM:
        return replace(verdict, return_code=config.oom_exit_code)
    return verdict


def _judged(
    code: int | None,
    signal: int | None,
    stopped: Stopped | None,
    slurm: SlurmState | None,
    *,
    missing_output: bool,
) -> Verdict:
    if code == 0:
        return MISSING_OUTPUT if missing_output else SUCCESS
    if slurm in _BY_SLURM:
        return _BY_SLURM[slurm]
    if stopped is not None:
        return _BY_WORKER[stopped]
    if code is not None:
        return Verdict(code, JobStatus.FAILED, Ending.EXIT)
    if signal is not None:
        return Verdict(SIGNAL_BASE + signal, JobStatus.FAILED, Ending.EXIT)
    return ORPHANED
