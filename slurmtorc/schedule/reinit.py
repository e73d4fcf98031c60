"""A later run of a workflow: what runs again and why, as a value; then that run, begun.

`plan_reinit` only reads; its value is what a dry run prints. `begin_again` notes the files and
begins the run in one transaction. What must never happen: another way to begin a later run that
goes by other rules, or a run that is begun by a plan that others have overtaken.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slurmtorc.errors import Conflict
from slurmtorc.model import Action, JobStatus, Standing, Workflow
from slurmtorc.ports import EVERYTHING
from slurmtorc.rules.staleness import Cause, Facts, Reason, again, held_back, say
from slurmtorc.rules.triggers import Verdict, verdict
from slurmtorc.schedule.looking import Sight, look, refuse_missing
from slurmtorc.units import iso_time

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from slurmtorc.model import Links
    from slurmtorc.ports import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinitPlan:
    """What the next run would be."""

    workflow: Workflow
    jobs: Mapping[int, Standing]
    links: Links
    reasons: Mapping[int, Sequence[Reason]]
    """Of every job that runs again, in an order in which they can run."""
    held_back: Mapping[int, int]
    """Jobs of the run that wait for one that is left out, and for which."""
    sight: Sight
    anew: bool = False
    actions: Sequence[tuple[Action, Verdict]] = field(default=())

    @property
    def waiting(self) -> int:
        """Jobs that the present run has still before it."""
        return sum(job.status in _WAITING for job in self.jobs.values())

    @property
    def held(self) -> int:
        """Jobs that a worker of the present run holds."""
        return sum(job.status in _HELD for job in self.jobs.values())

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to begin."""
        return bool(self.reasons) or (self.workflow.is_canceled and self.waiting > 0)


_WAITING = frozenset({JobStatus.BLOCKED, JobStatus.READY})
_HELD = frozenset({JobStatus.PENDING, JobStatus.RUNNING})


# ── the plan ─────────────────────────────────────────────────────────────────


def plan_reinit(
    store: Store,
    workflow_id: int,
    *,
    anew: bool = False,
    by_contents: bool = False,
    reset: Collection[int] = (),
) -> ReinitPlan:
    """What would run again, and what becomes of the actions. Changes nothing.

    `anew`: everything. `reset`: jobs to be regarded as reset.
    """
    workflow = store.get(Workflow, workflow_id)
    jobs = store.standing(workflow_id)
    as_reset = {
        job_id: Standing(jobs[job_id].name, JobStatus.UNINITIALIZED, jobs[job_id].cancels)
        for job_id in reset
    }
    sight = look(store, workflow, jobs, by_contents=by_contents)
    findings = _findings(store, workflow_id, sight)
    facts = Facts(jobs={**jobs, **as_reset}, links=store.links(workflow_id), findings=findings)
    reasons = again(facts, anew=anew)
    return ReinitPlan(
        workflow=workflow,
        jobs=jobs,
        links=facts.links,
        reasons=reasons,
        held_back=held_back(facts, reasons),
        sight=sight,
        anew=anew,
        actions=_actions(store, facts, reasons, workflow_id, anew=anew),
    )


def _findings(store: Store, workflow_id: int, sight: Sight) -> dict[int, list[Reason]]:
    """All that was changed, by job: the job itself, its data, its files."""
    found: defaultdict[int, list[Reason]] = defaultdict(list)
    for job_id, words, when in store.edited(workflow_id):
        found[job_id] += [Reason(Cause.EDITED, word, when) for word in words or ("definition",)]
    for job_id, name, when in store.new_data(workflow_id):
        found[job_id].append(Reason(Cause.USER_DATA, name, when))
    for job_id, reasons in sight.findings.items():
        found[job_id] += reasons
    return found


def _actions(
    store: Store,
    facts: Facts,
    chosen: Mapping[int, Sequence[Reason]],
    workflow_id: int,
    *,
    anew: bool,
) -> list[tuple[Action, Verdict]]:
    """Every action that lasts beyond its run, and whether it may fire again."""
    actions = store.rows(Action, EVERYTHING, workflow_id=workflow_id, is_recovery=False).items
    return [
        (action, _verdict(action, facts, chosen, facts.links.gates.get(action.id, ()), anew=anew))
        for action in actions
    ]


def _verdict(
    action: Action,
    facts: Facts,
    chosen: Mapping[int, Sequence[Reason]],
    gates: Sequence[int],
    *,
    anew: bool,
) -> Verdict:
    begin_as = [
        JobStatus.UNINITIALIZED if job_id in chosen else facts.jobs[job_id].status
        for job_id in gates
    ]
    names = [facts.jobs[job_id].name for job_id in gates]
    return verdict(action.trigger_type, begin_as, anew=anew, names=names)


# ── the run ──────────────────────────────────────────────────────────────────


def begin_again(
    store: Store, plan: ReinitPlan, *, ignore_missing: bool = False, force: bool = False
) -> Workflow:
    """Begin the run that was planned; the workflow as it is then."""
    workflow_id = plan.workflow.id
    refuse_missing(store, plan.workflow, [] if ignore_missing else _gone(store, plan))
    with store.together():
        _refuse_overtaken(store, plan)
        store.note_files(plan.sight.times)
        store.note_contents(plan.sight.contents)
        store.rerun(
            workflow_id,
            list(plan.reasons),
            after_run=plan.workflow.run_id,
            anew=plan.anew,
            force=force,
        )
    return store.get(Workflow, workflow_id)


def _refuse_overtaken(store: Store, plan: ReinitPlan) -> None:
    """Raise Conflict if jobs have changed since the plan was made; another run says so itself."""
    same_run = store.get(Workflow, plan.workflow.id).run_id == plan.workflow.run_id
    if same_run and store.standing(plan.workflow.id) != plan.jobs:
        what = f"jobs of workflow {plan.workflow.id} have changed meanwhile; nothing was begun"
        raise Conflict(f"{what}; try again")


def _gone(store: Store, plan: ReinitPlan) -> list[str]:
    """The files that must be there when a run begins, and are not."""
    return [
        file.path
        for file in store.required_files(plan.workflow.id)
        if plan.sight.times.get(file.id, file.st_mtime) is None
    ]


# ── what is said ─────────────────────────────────────────────────────────────


def told(reasons: Sequence[Reason]) -> str:
    """Why a job runs again, in one line."""
    return "; ".join(say(reason, _moment(reason)) for reason in reasons)


def _moment(reason: Reason) -> str | None:
    return None if reason.when is None else f"at {iso_time(reason.when)}"
