"""Whether a worker that has nothing to do stays.

An idle worker holds nodes that others wait for, so it leaves as soon as it can be of no more
use; but a worker that leaves while work is about to become ready costs another wait in the
queue. A patient worker (`torc run`) holds nothing that is dear, and stays while others work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.model import JobStatus

if TYPE_CHECKING:
    from slurmtorc.model import Outlook


@dataclass(frozen=True, slots=True)
class Stay:
    """Wait for work."""

    reason: str


@dataclass(frozen=True, slots=True)
class Leave:
    """End the worker. `stuck`: work is left, and nobody can do it."""

    reason: str
    stuck: bool = False


def decide(
    outlook: Outlook,
    *,
    idle_s: float,
    idle_limit_s: float,
    patient: bool = False,
    acts: bool = False,
) -> Stay | Leave:
    """What a worker does that runs nothing and could claim nothing.

    `acts`: it executes an action. For one that may become due it never stays: that happens when
    a job changes, so whoever runs that job is there to execute it.
    """
    if outlook.is_complete:
        what = "the workflow was canceled" if outlook.is_canceled else "all jobs are done"
        return Leave(what)
    if acts:
        return Stay("an action is executed here")
    if not outlook.held:
        return _nobody_works(outlook)
    return _others_work(outlook, idle_s, idle_limit_s, patient=patient)


def _others_work(
    outlook: Outlook, idle_s: float, idle_limit_s: float, *, patient: bool
) -> Stay | Leave:
    if patient:
        return Stay("other workers run the jobs that are left")
    if not outlook.present & {JobStatus.BLOCKED, JobStatus.READY}:
        return Leave("the last jobs run on other workers")
    if idle_s >= idle_limit_s:
        return Leave(f"nothing to do for {idle_s:.0f} s")
    return Stay("jobs may become ready")


def _nobody_works(outlook: Outlook) -> Leave:
    if JobStatus.READY in outlook.present:
        return Leave("what is ready does not fit this worker", stuck=True)
    if JobStatus.PENDING_FAILED in outlook.present:
        return Leave("jobs are set aside until somebody decides about them", stuck=True)
    if JobStatus.UNINITIALIZED in outlook.present:
        return Leave("jobs have not been initialized", stuck=True)
    return Leave("jobs wait for jobs that will not run", stuck=True)
