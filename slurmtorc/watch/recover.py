"""Recovery: failures are diagnosed, requirements healed, and exactly the chosen jobs run again.

`plan_recovery` only reads; its value is what a dry run prints and a log tells. `carry_out` makes
all changes of one recovery in one transaction and asks Slurm afterwards, for intents that are
committed. So a crash anywhere leaves either nothing changed, or a workflow whose allocations
whoever comes next settles. What must never happen: a job outside the plan runs again, or a
requirement of other jobs is changed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Protocol

from slurmtorc.errors import Conflict
from slurmtorc.model import Job, JobStatus, ResourceRequirements, Result, Workflow
from slurmtorc.ports import EVERYTHING
from slurmtorc.rules.healing import Cause, Failure, Healing, Treatment, heal, rescued
from slurmtorc.rules.remaining import as_if_rerun
from slurmtorc.schedule.looking import new_times
from slurmtorc.schedule.regenerate import (
    Options,
    Regeneration,
    ask,
    batched,
    plan_again,
    planned,
    record,
    remaining,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from slurmtorc.model import Allocation, Site
    from slurmtorc.ports import Store
    from slurmtorc.schedule.submit import Outcome, Submitter

FAILED = (JobStatus.FAILED, JobStatus.TERMINATED)
INITIATED = "Recovery initiated. Resuming monitoring"
_COPY = re.compile(r"_healed_\d+$")


class Acting(Protocol):
    """What a recovery acts through; the ports of a watch have both."""

    @property
    def store(self) -> Store:
        """The state."""

    @property
    def submitter(self) -> Submitter:
        """Asks Slurm."""


@dataclass(frozen=True, slots=True)
class Hands:
    """These, and nothing else."""

    store: Store
    submitter: Submitter


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a recovery may use."""

    site: Site
    output_dir: str
    treatment: Treatment = field(default_factory=Treatment)
    options: Options = field(default_factory=Options)
    queued: Sequence[Allocation] = ()
    """Allocations of the workflow that wait in Slurm's queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPlan:
    """What a recovery would do."""

    workflow: Workflow
    healings: tuple[Healing, ...]
    """Of every failed job, chosen or not."""
    rescued: tuple[int, ...]
    """Canceled jobs that waited for chosen ones only."""
    copies: tuple[tuple[ResourceRequirements, tuple[int, ...]], ...]
    """New requirements, and the jobs that each is for."""
    means: Means
    nodes: Regeneration | None = None
    """What would be asked for; None if no job is chosen."""

    @property
    def chosen(self) -> tuple[int, ...]:
        """The ids of all jobs that run again."""
        healed = (one.failure.job.id for one in self.healings if one.is_chosen)
        return tuple(sorted((*healed, *self.rescued)))

    def number(self, cause: Cause) -> int:
        """How many of the chosen jobs failed for that cause."""
        return sum(one.is_chosen and cause in one.causes for one in self.healings)

    @property
    def unknown_left(self) -> int:
        """Failures of unknown cause that are left as they are."""
        return sum(not one.is_chosen and Cause.UNKNOWN in one.causes for one in self.healings)

    @property
    def not_healed(self) -> int:
        """Failures whose cause is known, and that had all there is."""
        return sum(not one.is_chosen for one in self.healings) - self.unknown_left


# ── the plan ─────────────────────────────────────────────────────────────────


def plan_recovery(store: Store, workflow_id: int, means: Means) -> RecoveryPlan:
    """Diagnose every failed job, and choose what runs again. Changes nothing."""
    workflow = store.get(Workflow, workflow_id)
    jobs = store.rows(Job, EVERYTHING, workflow_id=workflow_id).items
    failed = [job for job in jobs if job.status in FAILED]
    known = store.rows(ResourceRequirements, EVERYTHING, workflow_id=workflow_id).items
    needs = {need.id: need for need in known}
    results = _last_results(store, [job.id for job in failed])
    healings = tuple(
        heal(
            Failure(
                job=job,
                need=needs[job.resource_requirements_id or 0],
                result=results.get(job.id),
            ),
            means.treatment,
            means.site,
        )
        for job in failed
    )
    healed = frozenset(one.failure.job.id for one in healings if one.is_chosen)
    statuses = {job.id: job.status for job in jobs}
    plan = RecoveryPlan(
        workflow=workflow,
        healings=healings,
        rescued=tuple(rescued(store.links(workflow_id), statuses, healed)),
        copies=tuple(_copies(healings, {need.name for need in known})),
        means=means,
    )
    return replace(plan, nodes=_foreseen(store, plan)) if plan.chosen else plan


def _last_results(store: Store, job_ids: Sequence[int]) -> dict[int, Result]:
    return {
        result.job_id: result
        for part in batched(job_ids)
        for result in store.rows(Result, EVERYTHING, job_id=part, superseded=False).items
    }


def _copies(
    healings: Iterable[Healing], taken: set[str]
) -> list[tuple[ResourceRequirements, tuple[int, ...]]]:
    """One new requirement for all jobs of an old one that are healed alike."""
    alike: dict[tuple[int, ResourceRequirements], list[int]] = defaultdict(list)
    for one in healings:
        if one.need is not None and one.need != one.failure.need:
            alike[one.need.id, one.need].append(one.failure.job.id)
    made = []
    for (_, need), jobs in alike.items():
        base = _COPY.sub("", need.name)
        name = next(name for n in count(1) if (name := f"{base}_healed_{n}") not in taken)
        taken.add(name)
        made.append((replace(need, id=0, name=name), tuple(jobs)))
    return made


def _foreseen(store: Store, plan: RecoveryPlan) -> Regeneration:
    """What will be asked for: the same plan as later, of a workflow that is not yet begun anew."""
    means = plan.means
    left = remaining(store, plan.workflow.id, job_ids=plan.chosen, queued=means.queued)
    new = {
        job: replace(need, id=-number)
        for number, (need, jobs) in enumerate(plan.copies, start=1)
        for job in jobs
    }
    left = replace(as_if_rerun(left), needs={**left.needs, **new})
    return planned(left, means.site, means.options, output_dir=means.output_dir)


# ── what is done ─────────────────────────────────────────────────────────────


def carry_out(hands: Acting, plan: RecoveryPlan, also: Callable[[], None] | None = None) -> Outcome:
    """Change the store in one transaction, with whatever `also` remembers; then ask Slurm.

    Raises Conflict if the workflow is not any more what the plan was made of.
    """
    store, means, workflow_id = hands.store, plan.means, plan.workflow.id
    with store.together(durable=True):
        _refuse_stale(store, plan)
        for need, jobs in plan.copies:
            (made,) = store.add_requirements(workflow_id, [need])
            store.bind(workflow_id, jobs, requirement_id=made.id)
        times = new_times(store, plan.workflow, plan.chosen)
        store.note_files(times)
        store.note_contents(dict.fromkeys(times))  # those noted were of another time
        store.rerun(workflow_id, plan.chosen)
        nodes = plan_again(
            store,
            means.site,
            workflow_id,
            means.options,
            output_dir=means.output_dir,
            queued=means.queued,
        )
        asked = record(store, nodes)
        if also is not None:
            also()
    return ask(hands.submitter, nodes.workflow, asked)


def _refuse_stale(store: Store, plan: RecoveryPlan) -> None:
    workflow_id = plan.workflow.id
    if store.get(Workflow, workflow_id).run_id != plan.workflow.run_id:
        raise Conflict(f"workflow {workflow_id} was begun anew meanwhile; see torc status")
    if not store.outlook(workflow_id).is_complete:
        raise Conflict(f"workflow {workflow_id} is not complete any more; see torc status")


# ── what is said ─────────────────────────────────────────────────────────────


def attempting(number: int, most: int | None) -> str:
    """The line before a recovery; `most`: how many may be tried."""
    of = "" if most is None else f"/{most}"
    return f"Attempting automatic recovery (attempt {number}{of})"


def lines(plan: RecoveryPlan) -> list[str]:
    """What was found and is done, for people."""
    said = [f"  {one.line}" for one in plan.healings]
    ooms, timeouts = plan.number(Cause.OOM), plan.number(Cause.TIMEOUT)
    said.append(f"  Applied fixes: {ooms} OOM, {timeouts} timeout")
    if unknown := plan.number(Cause.UNKNOWN):
        said.append(f"  {unknown} job(s) with unknown failure cause run again as they are")
    if plan.unknown_left:
        left = f"  {plan.unknown_left} job(s) with unknown failure cause"
        said.append(f"{left} (skipped, use --retry-unknown to include)")
    if plan.not_healed:
        said.append(f"  {plan.not_healed} job(s) had all there is and cannot be healed")
    if plan.rescued:
        said.append(f"  {len(plan.rescued)} canceled job(s) behind them run as well")
    return said
