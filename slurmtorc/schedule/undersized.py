"""What the store knows of workers that have left, and of the ready jobs that they left behind.

Separate from the planning, because it is asked where nothing is planned: by an explanation, and
by a watch that finds nobody at work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slurmtorc.model import Job, JobStatus, ResourceRequirements, SlurmScheduler
from slurmtorc.ports import EVERYTHING, Page
from slurmtorc.rules.undersized import Former, advice, complaint, too_small
from slurmtorc.schedule.regenerate import last_workers

if TYPE_CHECKING:
    from slurmtorc.ports import Store

_ONE = Page(limit=1)


def former(store: Store, workflow_id: int) -> list[Former]:
    """Of each scheduler the last worker, if it has ended."""
    known = store.rows(SlurmScheduler, EVERYTHING, workflow_id=workflow_id).items
    last = last_workers(store, workflow_id) if known else {}
    return [
        Former(node=last[one.id], scheduler=one)
        for one in known
        if one.id in last and not last[one.id].is_active
    ]


def why_left(store: Store, workflow_id: int) -> str:
    """For which ready job the last workers were too small, and what to write; '' if for none."""
    gone = former(store, workflow_id)
    needs = (
        store.rows(ResourceRequirements, EVERYTHING, workflow_id=workflow_id).items if gone else ()
    )
    for need in needs:
        small = too_small(gone, need)
        where = {"status": JobStatus.READY, "resource_requirements_id": need.id}
        jobs = store.rows(Job, _ONE, workflow_id=workflow_id, **where).items if small else ()
        if jobs:
            return f"{complaint(small[-1], need, jobs[0].name)}; {advice(small, need)}"
    return ""
