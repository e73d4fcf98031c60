"""Re-arming, on drawn workflows: the store, the plain rule, and what really happens then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from factories import PLENTY, a_draft, a_job, a_node, a_report
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from slurmtorc.model import COMPLETE, Action, ActionType, DraftAction, Job, JobStatus, TriggerType
from slurmtorc.rules.triggers import verdict
from slurmtorc.store import actions
from slurmtorc.store import schema as t

if TYPE_CHECKING:
    from slurmtorc.model import Draft
    from slurmtorc.store.sql import SqlStore

T, S = TriggerType, JobStatus
OVER = [*sorted(COMPLETE), S.PENDING_FAILED]


@dataclass(frozen=True)
class Case:
    """A workflow whose run is over, and what is to run again."""

    draft: Draft
    statuses: list[JobStatus]
    chosen: list[int]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    size = draw(st.integers(1, 6))
    statuses = draw(st.lists(st.sampled_from([*OVER, S.DISABLED]), min_size=size, max_size=size))
    enabled = [at for at, status in enumerate(statuses) if status is not S.DISABLED]
    jobs = []
    for at in range(size):
        before = [other for other in enabled if other < at]
        needs = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        jobs.append(a_job(f"j{at}", *sorted(needs)))
    chosen = draw(st.lists(st.sampled_from(enabled), unique=True)) if enabled else []
    triggers = draw(st.lists(st.sampled_from(sorted(T)), min_size=1, max_size=6))
    gates = st.lists(st.integers(0, size - 1), min_size=1, unique=True)
    made = [
        DraftAction(
            trigger_type=trigger,
            action_type=ActionType.RUN_COMMANDS,
            commands=("true",),
            jobs=tuple(sorted(draw(gates))) if "jobs" in trigger else (),
        )
        for trigger in triggers
    ]
    return Case(a_draft(*jobs, actions=made), statuses, sorted(chosen))


class Run:
    """The new run, played by hand: who becomes ready in it, and who comes to an end."""

    def __init__(self, case: Case) -> None:
        self.needs = [job.depends_on for job in case.draft.jobs]
        self.status = list(case.statuses)
        self.became_ready: set[int] = set()
        self.ended: set[int] = set()
        for at in case.chosen:
            self.status[at] = S.BLOCKED
        self.settle()
        while ready := [at for at, status in enumerate(self.status) if status is S.READY]:
            for at in ready:
                self.end(at, S.COMPLETED)
            self.settle()
            if S.READY not in self.status and S.PENDING_FAILED in self.status:
                self.decide()
        self.decide()

    def decide(self) -> None:
        """Sooner or later somebody lets those fail that were set aside."""
        for at, status in enumerate(self.status):
            if status is S.PENDING_FAILED:
                self.end(at, S.FAILED)
        self.settle()
        while ready := [at for at, status in enumerate(self.status) if status is S.READY]:
            for at in ready:
                self.end(at, S.COMPLETED)
            self.settle()

    def end(self, at: int, status: JobStatus) -> None:
        self.status[at] = status
        self.ended.add(at)

    def settle(self) -> None:
        for at, status in enumerate(self.status):
            if status is S.BLOCKED and all(self.status[one] in COMPLETE for one in self.needs[at]):
                self.became_ready.add(at)
                doomed = any(
                    one in self.ended and self.status[one] is not S.COMPLETED
                    for one in self.needs[at]
                )
                self.status[at] = S.READY
                if doomed:
                    self.end(at, S.CANCELED)

    def happens(self, action: DraftAction) -> bool:
        """Whether what an action waits for happens in this run."""
        gate = {at for at in action.jobs if self.status[at] is not S.DISABLED}
        if action.trigger_type is T.ON_JOBS_READY:
            return bool(gate & self.became_ready)
        if action.trigger_type is T.ON_JOBS_COMPLETE:
            return bool(gate & self.ended)
        return action.trigger_type is not T.ON_WORKFLOW_START  # the only one without a new moment


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(case=cases())
def test_what_is_armed_again_is_what_happens_again(one_store: SqlStore, case: Case) -> None:
    workflow_id = begun(one_store, case)
    jobs = one_store.rows(Job, workflow_id=workflow_id).items
    one_store.rerun(workflow_id, [jobs[at].id for at in case.chosen])
    after = one_store.rows(Action, workflow_id=workflow_id).items
    run = Run(case)
    reset = [S.UNINITIALIZED if at in case.chosen else s for at, s in enumerate(case.statuses)]
    for action, drafted in zip(after, case.draft.actions, strict=True):
        happens = run.happens(drafted)
        gate = [reset[at] for at in drafted.jobs]
        assert verdict(drafted.trigger_type, gate).again is happens, drafted
        assert (not action.executed) is happens, drafted
    to_the_end(one_store, workflow_id)
    fires = {
        one.id for one in one_store.pending_actions(workflow_id, worker(one_store, workflow_id))
    }
    assert fires == {one.id for one in after if not one.executed}


def begun(store: SqlStore, case: Case) -> int:
    """The workflow at the end of a run in which every action has fired."""
    workflow_id = store.create(case.draft)
    store.initialize(workflow_id)

    def finish(connection: object) -> None:
        for at, status in enumerate(case.statuses):
            mine = (t.job.c.workflow_id == workflow_id) & (t.job.c.name == f"j{at}")
            connection.execute(update(t.job).where(mine).values(status=int(status)))  # type: ignore[attr-defined]
        actions.recount(connection, workflow_id)  # type: ignore[arg-type]

    store._change(finish)
    for action in store.rows(Action, workflow_id=workflow_id).items:
        store.supersede_action(action.id)
    return workflow_id


def worker(store: SqlStore, workflow_id: int) -> int:
    return store.register(a_node(workflow_id)).id


def to_the_end(store: SqlStore, workflow_id: int) -> None:
    """Run what is ready, and let those fail that were set aside, until nothing is left."""
    node = worker(store, workflow_id)
    left = True
    while left:
        claims = store.claim(node, PLENTY, 100)
        store.start(node, [claim.job_id for claim in claims])
        store.complete(node, [a_report(claim, run_id=2) for claim in claims])
        aside = store.rows(Job, workflow_id=workflow_id, status=S.PENDING_FAILED).items
        if not claims and aside:
            store.classify(workflow_id, [job.id for job in aside], retry=False)
        left = bool(claims or aside)
