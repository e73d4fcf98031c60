"""Planning again from a store and recording it, on every store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from factories import PLENTY, a_draft, a_job, a_need, a_scheduler, an_allocation, begin, run_all

from slurmtorc.errors import Conflict, NotFound
from slurmtorc.model import (
    Action,
    ActionType,
    Allocation,
    AllocationStatus,
    DraftAction,
    Job,
    Partition,
    QueueEntry,
    Site,
    SlurmScheduler,
    SlurmState,
    TriggerType,
    Workflow,
)
from slurmtorc.rules.requesting import Options
from slurmtorc.schedule.regenerate import in_queue, plan_again, record

if TYPE_CHECKING:
    from collections.abc import Collection

    from slurmtorc.model import Draft
    from slurmtorc.ports import Store
    from slurmtorc.schedule.regenerate import Asked, Regeneration

SITE = Site(
    name="site",
    partitions=(Partition(name="cpu", cpus=8, memory_bytes=1 << 34, nodes=10, is_default=True),),
)
READY = TriggerType.ON_JOBS_READY


def staged(**values: Any) -> Draft:
    """Four jobs, and one behind them, for a scheduler that holds four at a time."""
    jobs = [a_job(f"first_{n}", requirement=0, scheduler=0) for n in range(4)]
    jobs.append(a_job("last", 0, 1, 2, 3, requirement=0, scheduler=0))
    scheduler = a_scheduler("own", cpus_per_task=4, mem="4g", walltime="00:15:00", qos="high")
    need = a_need("small", memory="1g", runtime="PT10M")
    return a_draft(*jobs, requirements=[need], schedulers=[scheduler], **values)


def again(store: Store, workflow_id: int, **values: Any) -> Regeneration:
    options = values.pop("options", Options())
    return plan_again(store, SITE, workflow_id, options, output_dir="out", **values)


def recorded(store: Store, plan: Regeneration, **values: Any) -> Asked:
    with store.together(durable=True):
        return record(store, plan, **values)


def test_what_is_left_is_asked_for_by_its_own_scheduler_now_and_when_it_is_ready(
    store: Store,
) -> None:
    workflow_id, node = begin(store, staged())
    plan = again(store, workflow_id)
    assert (len(plan.jobs), plan.now, plan.later) == (5, 1, 1)
    ((scheduler, intent),) = recorded(store, plan)
    assert (scheduler.name, scheduler.qos) == ("own", "high")
    assert intent.status is AllocationStatus.INTENDED
    (action,) = store.rows(Action).items
    assert action.is_recovery
    assert store.pending_actions(workflow_id) == []
    run_all(store, node)
    assert store.pending_actions(workflow_id) == [replace(action, trigger_count=1)]
    assert store.rows(SlurmScheduler).total_count == 1


def test_asking_twice_asks_once(store: Store) -> None:
    workflow_id, _ = begin(store, staged())
    recorded(store, again(store, workflow_id))
    waiting = store.rows(Allocation).items
    second = again(store, workflow_id, queued=waiting)
    assert (second.now, second.later) == (0, 0)
    assert recorded(store, second) == []
    assert store.rows(Allocation).total_count == store.rows(Action).total_count == 1


def test_without_intents_schedulers_are_made_once_and_nothing_is_asked_for(store: Store) -> None:
    workflow_id, _ = begin(store, staged())
    options = Options(account="other")
    for _ in range(3):
        assert recorded(store, again(store, workflow_id, options=options), intend=False) == []
    names = [one.name for one in store.rows(SlurmScheduler).items]
    assert names == ["own", "small_regen_1", "small_regen_2"]
    bound = {job.name: job.scheduler_id for job in store.rows(Job).items}
    new = {one.name: one.id for one in store.rows(SlurmScheduler).items}
    assert bound["first_0"] == new["small_regen_1"]
    assert bound["last"] == new["small_regen_2"]
    assert store.rows(Allocation).items == store.rows(Action).items == []


def test_jobs_that_wait_for_running_ones_get_no_nodes_at_once(store: Store) -> None:
    workflow_id, node = begin(store, staged())
    claims = store.claim(node, PLENTY, 10)
    store.start(node, [claim.job_id for claim in claims])
    plan = again(store, workflow_id)
    assert (plan.now, plan.later) == (0, 1)


def test_only_the_jobs_that_are_named_are_planned(store: Store) -> None:
    workflow_id, _ = begin(store, staged())
    ids = [job.id for job in store.rows(Job).items]
    assert again(store, workflow_id, job_ids=ids[:2]).jobs == tuple(ids[:2])
    with pytest.raises(NotFound, match="no jobs with these ids: 4711"):
        again(store, workflow_id, job_ids=[4711])


def test_an_action_that_would_ask_besides_is_taken_in_the_same_transaction(store: Store) -> None:
    action = DraftAction(
        trigger_type=TriggerType.ON_WORKFLOW_START,
        action_type=ActionType.SCHEDULE_NODES,
        scheduler=0,
    )
    workflow_id, _ = begin(store, staged(actions=[action]))
    plan, late = again(store, workflow_id), again(store, workflow_id)
    recorded(store, plan)
    assert store.pending_actions(workflow_id) == []
    before = store.rows(Allocation).items, store.rows(Action).items
    with pytest.raises(Conflict, match="has asked for nodes meanwhile"):
        recorded(store, late)
    assert (store.rows(Allocation).items, store.rows(Action).items) == before


def test_planning_changes_nothing(store: Store) -> None:
    workflow_id, _ = begin(store, staged())
    kinds = (Workflow, Job, SlurmScheduler, Action, Allocation)
    before = [store.rows(kind).items for kind in kinds]
    again(store, workflow_id, options=Options(account="x", walltime="01:00:00"))
    assert [store.rows(kind).items for kind in kinds] == before


def test_the_limit_of_a_scheduler_s_action_is_kept(store: Store) -> None:
    action = DraftAction(
        trigger_type=READY,
        action_type=ActionType.SCHEDULE_NODES,
        scheduler=0,
        jobs=(0, 1, 2, 3),
        max_parallel_jobs=2,
    )
    workflow_id, _ = begin(store, staged(actions=[action]))
    asked = recorded(store, again(store, workflow_id))
    assert [one.max_parallel_jobs for _, one in asked] == [2, 2]


def test_unknown_and_closed_workflows_are_refused(store: Store) -> None:
    with pytest.raises(NotFound):
        again(store, 99)
    workflow_id, _ = begin(store, staged())
    store.cancel(workflow_id)
    with pytest.raises(Conflict, match="is canceled; no nodes are asked for"):
        again(store, workflow_id)


def test_the_queue_is_what_slurm_says_and_what_it_has_not_heard_of_yet(store: Store) -> None:
    workflow_id, _ = begin(store, staged())
    intended, waiting, gone, over = store.intend(
        [an_allocation(workflow_id, token) for token in ("a", "b", "c", "d")]
    )
    for number, one in enumerate((waiting, gone, over), start=1):
        store.submitted(one.id, number)
    store.closed(over.id)

    class Queue:
        def look(self, ids: Collection[int]) -> dict[int, QueueEntry]:
            assert sorted(ids) == [1, 2]
            return {1: QueueEntry(slurm_job_id=1, name="b", state=SlurmState.PENDING)}

    found = in_queue(store, Queue(), workflow_id)  # type: ignore[arg-type]
    assert [one.id for one in found] == [intended.id, waiting.id]
