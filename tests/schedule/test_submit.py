"""Intent, sbatch, record: what happens when an answer is lost, late, or a no."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from factories import a_draft, a_job, a_scheduler

from slurmtorc.clock import ManualClock
from slurmtorc.errors import (
    NotFound,
    SlurmUnavailable,
    StoreUnavailable,
    SubmissionBarred,
    SubmissionInDoubt,
    SubmissionRefused,
)
from slurmtorc.model import (
    ActionType,
    Allocation,
    AllocationStatus,
    DraftAction,
    SlurmScheduler,
    TriggerType,
    Workflow,
)
from slurmtorc.ports import Script
from slurmtorc.schedule.submit import DOUBT_LOOKS, Submitter, end_surplus
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Collection


class PlayedSlurm:
    """A cluster that takes every script, or does with it what `fate` says."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self.submissions: list[str] = []
        self.canceled: list[int] = []
        self.fate: list[Any] = []
        self.blind_looks = 0

    def submit(self, script: Script) -> int:
        self.submissions.append(script.token)
        fate = self.fate.pop(0) if self.fate else "taken"
        if fate != "not taken":
            self.known[script.token] = 100 + len(self.known)
        if isinstance(fate, Exception):
            if not isinstance(fate, SubmissionInDoubt):
                del self.known[script.token]
            raise fate
        if fate == "not taken":
            raise SubmissionInDoubt("sbatch was killed")
        return self.known[script.token]

    def find(self, token: str, since: float) -> int | None:
        del since
        if self.blind_looks:
            self.blind_looks -= 1
            raise SlurmUnavailable("the controller does not answer")
        return self.known.get(token)

    def look(self, ids: Collection[int]) -> dict[int, Any]:
        """The queue has forgotten them all."""
        del ids
        return {}

    def cancel(self, slurm_job_ids: Collection[int]) -> None:
        self.canceled += slurm_job_ids


class Stage:
    def __init__(self, *, count: int = 1, actions: int = 1) -> None:
        self.clock = ManualClock()
        self.store = SqlStore("sqlite://", self.clock)
        self.slurm: Any = PlayedSlurm()
        asks = [
            DraftAction(
                trigger_type=TriggerType.ON_WORKFLOW_START,
                action_type=ActionType.SCHEDULE_NODES,
                scheduler=at,
                num_allocations=count,
            )
            for at in range(actions)
        ]
        schedulers = [a_scheduler(name=f"s{at}") for at in range(actions)]
        draft = a_draft(a_job("a"), schedulers=schedulers, actions=asks)
        self.id = self.store.create(draft)
        self.store.initialize(self.id)
        self.submitter = Submitter(self.store, self.slurm, self.clock, self.render)

    def render(self, _: Workflow, __: SlurmScheduler, allocation: Allocation) -> Script:
        return Script(text="#!/bin/bash\n", job_name="n", token=allocation.token, directory="/")

    def act(self) -> Any:
        return self.submitter.act(self.store.get(Workflow, self.id), "out")

    def settle(self) -> Any:
        return self.submitter.settle(self.store.get(Workflow, self.id))

    @property
    def allocations(self) -> list[Allocation]:
        return self.store.rows(Allocation, workflow_id=self.id).items


def test_what_a_node_may_not_submit_is_left_to_others() -> None:
    s = Stage()
    login, s.submitter = s.submitter, Submitter(s.store, s.slurm, s.clock, s.render, on_node=True)
    s.slurm.fate = [SubmissionBarred("Access/permission denied")] * 2
    outcome = s.act()
    assert [why for _, why in outcome.open] == [
        "Access/permission denied; left to the watch, or torc submit"
    ]
    assert s.submitter.is_barred
    assert s.allocations[0].status is AllocationStatus.INTENDED
    s.submitter = login
    s.clock.sleep(login.abandoned_after_s + 1)
    assert len(s.settle().refused) == 1, "on a login node it is a refusal as any other"
    assert s.allocations[0].status is AllocationStatus.COMPLETE


def test_an_action_is_executed_once() -> None:
    s = Stage(count=3)
    assert len(s.act().submitted) == 3
    assert s.act().submitted == []
    assert [one.scheduler_id for one in s.allocations] == [100, 101, 102]
    assert {one.status for one in s.allocations} == {AllocationStatus.PENDING}


def test_an_action_that_cannot_be_executed_keeps_no_other_back_and_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    s = Stage(actions=2)
    get = s.store.get

    def without_the_first(kind: Any, record_id: int) -> Any:
        if kind is SlurmScheduler and record_id == 1:
            raise NotFound("slurm scheduler 1 does not exist")
        return get(kind, record_id)

    monkeypatch.setattr(s.store, "get", without_the_first)
    outcome = s.act()
    assert len(outcome.submitted) == 1
    assert outcome.failed == [(1, "slurm scheduler 1 does not exist")]
    s.act()
    assert caplog.messages.count("Action 1 failed: slurm scheduler 1 does not exist") == 1


def test_a_store_that_is_away_is_no_fault_of_an_action(monkeypatch: pytest.MonkeyPatch) -> None:
    s = Stage()

    def away(*_: Any) -> None:
        raise StoreUnavailable("it is away")

    monkeypatch.setattr(s.store, "claim_action", away)
    with pytest.raises(StoreUnavailable):
        s.act()


def test_a_submission_in_doubt_that_slurm_has_is_found_and_never_repeated() -> None:
    s = Stage()
    s.slurm.fate = [SubmissionInDoubt("the answer was lost")]
    s.slurm.blind_looks = 2
    assert [one.scheduler_id for one in s.act().submitted] == [100]
    assert len(s.slurm.submissions) == 1


def test_a_submission_in_doubt_that_cannot_be_found_stays_open_and_is_not_repeated() -> None:
    s = Stage()
    s.slurm.fate = ["not taken"]
    outcome = s.act()
    assert (len(outcome.open), len(outcome.submitted)) == (1, 0)
    assert s.clock.now() >= 1_700_000_000 + sum(DOUBT_LOOKS)
    assert s.settle().submitted == []
    assert len(s.slurm.submissions) == 1


def test_what_is_still_missing_after_a_while_is_submitted_again_under_the_same_token() -> None:
    s = Stage()
    s.slurm.fate = ["not taken"]
    s.act()
    s.clock.sleep(s.submitter.abandoned_after_s + 1)
    assert [one.scheduler_id for one in s.settle().submitted] == [100]
    assert len(set(s.slurm.submissions)) == 1
    assert len(s.slurm.submissions) == 2
    assert len(s.allocations) == 1


def test_what_turns_up_late_is_recorded_and_not_submitted_again() -> None:
    s = Stage()
    s.slurm.fate = [SubmissionInDoubt("the answer was lost")]
    s.slurm.blind_looks = len(DOUBT_LOOKS)
    assert len(s.act().open) == 1
    s.clock.sleep(s.submitter.abandoned_after_s + 1)
    assert [one.scheduler_id for one in s.settle().submitted] == [100]
    assert len(s.slurm.submissions) == 1


def test_nothing_is_settled_while_slurm_does_not_answer() -> None:
    s = Stage()
    s.slurm.fate = ["not taken"]
    s.act()
    s.clock.sleep(s.submitter.abandoned_after_s + 1)
    s.slurm.blind_looks = 1
    assert len(s.settle().open) == 1
    assert len(s.slurm.submissions) == 1


def test_a_refusal_closes_the_intent_with_its_reason() -> None:
    s = Stage()
    s.slurm.fate = [SubmissionRefused("invalid account")]
    ((allocation, reason),) = s.act().refused
    assert (allocation.status, reason) == (AllocationStatus.COMPLETE, "invalid account")
    assert s.allocations[0].reason == "invalid account"


def test_an_allocation_canceled_while_it_was_submitted_ends_at_once() -> None:
    s = Stage()
    take = s.slurm.submit

    def canceled_meanwhile(script: Script) -> int:
        number: int = take(script)
        s.store.closed(s.allocations[0].id, "canceled")
        return number

    s.slurm.submit = canceled_meanwhile
    s.act()
    assert s.slurm.canceled == [100]


@pytest.mark.parametrize(("canceled", "ended"), [(False, []), (True, [100, 101])])
def test_surplus_is_taken_out_of_the_queue_when_nothing_is_left_to_run(
    canceled: bool, ended: list[int]
) -> None:
    s = Stage(count=2)
    s.act()
    if canceled:
        s.store.cancel(s.id)
    assert [one.scheduler_id for one in end_surplus(s.store, s.slurm, s.id)] == ended
    assert s.slurm.canceled == ended
    left = AllocationStatus.COMPLETE if canceled else AllocationStatus.PENDING
    assert {one.status for one in s.allocations} == {left}


def test_two_at_once_never_ask_for_the_same_allocation() -> None:
    s = Stage(count=200)  # at one a second, the last ones wait longer than an answer takes
    other = Submitter(s.store, s.slurm, s.clock, s.render)
    take = s.slurm.submit

    def slowly(script: Script) -> int:
        s.clock.sleep(1)
        number: int = take(script)
        if len(s.slurm.submissions) == 180:
            other.settle(s.store.get(Workflow, s.id))
        return number

    s.slurm.submit = slowly
    s.act()
    assert len(s.slurm.submissions) == len(set(s.slurm.submissions)) == 200
    assert len({one.scheduler_id for one in s.allocations}) == 200


def test_a_worker_asks_for_one_at_a_time_and_does_not_wait_for_an_answer() -> None:
    s = Stage(count=2)
    s.slurm.fate = ["not taken"]
    before = s.clock.now()
    workflow = s.store.get(Workflow, s.id)
    assert len(s.submitter.act(workflow, "out", limit=1, patient=False).open) == 1
    assert s.clock.now() == before
    assert len(s.submitter.act(workflow, "out", limit=1, patient=False).submitted) == 1
    assert s.submitter.act(workflow, "out", limit=1, patient=False).count == 0


def test_a_second_slurm_job_of_an_intent_is_canceled() -> None:
    s = Stage()
    take = s.slurm.submit

    def another_was_faster(script: Script) -> int:
        s.store.submitted(s.allocations[0].id, 77)
        number: int = take(script)
        return number

    s.slurm.submit = another_was_faster
    s.act()
    assert s.slurm.canceled == [100]
    assert [one.scheduler_id for one in s.allocations] == [77]


def test_when_slurm_takes_no_more_the_rest_waits() -> None:
    s = Stage(count=5)
    s.slurm.fate = ["taken", SlurmUnavailable("the association's limit is reached")]
    outcome = s.act()
    assert (len(outcome.submitted), len(outcome.open)) == (1, 1)
    assert len(s.slurm.submissions) == 2
    assert len(s.settle().submitted) == 3
