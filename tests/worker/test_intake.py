"""Which jobs begin next: more may be started ahead than fit, and never more than fit at once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from factories import a_draft, a_job, a_need, begin
from hypothesis import given, settings
from hypothesis import strategies as st

from slurmtorc.model import Capacity, ComputeNode, Job, JobStatus
from slurmtorc.store.sql import SqlStore
from slurmtorc.worker.intake import Intake
from slurmtorc.worker.rooms import Rooms
from slurmtorc.worker.shelf import MOST, PATIENCE_S, Shelf

if TYPE_CHECKING:
    from slurmtorc.model import Claim
    from slurmtorc.worker.rooms import Place

NODE = Capacity(cpus=4, memory_bytes=8 << 30, gpus=2)
NEEDS = [
    a_need("small", num_cpus=1),
    a_need("wide", num_cpus=3, memory="2g"),
    a_need("large", num_cpus=1, memory="5g"),
    a_need("gpu", num_cpus=1, num_gpus=1),
]


class Desk:
    """A worker without processes: jobs begin and end when it is told."""

    def __init__(self, needs: list[int], limit: int | None = None) -> None:
        jobs = [a_job(f"j{i}", requirement=need) for i, need in enumerate(needs)]
        self.store = SqlStore("sqlite://")
        self.workflow_id, self.node = begin(self.store, a_draft(*jobs, requirements=NEEDS))
        self.rooms = Rooms(NODE, ("0", "1"))
        node = self.store.get(ComputeNode, self.node)
        self.intake = Intake(self.store, node, self.rooms, limit)
        self.running: dict[int, tuple[Claim, Place]] = {}
        self.begun: Counter[int] = Counter()
        self.now = 0.0

    def ask(self) -> None:
        """One exchange with the store."""
        self.intake.choose(len(self.running), None)
        self.launch(self.intake.keep(self.now))

    def fill(self) -> None:
        """From what is started already."""
        self.launch(self.intake.ready(len(self.running), None, self.now))

    def launch(self, placed: list[tuple[Claim, Place]]) -> None:
        for claim, place in placed:
            assert self.status(claim.job_id) is JobStatus.RUNNING
            self.running[claim.job_id] = claim, place
            self.begun[claim.job_id] += 1

    def end(self, job_id: int) -> None:
        del self.running[job_id]
        self.rooms.leave(job_id)
        self.intake.shelf.learn(0.001)

    def status(self, job_id: int) -> JobStatus:
        return self.store.get(Job, job_id).status


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.data())
def test_no_more_runs_than_fits_whatever_is_started_ahead(
    needs: list[int], data: st.DataObject
) -> None:
    desk = Desk(needs)
    desk.ask()
    for _ in range(2 * len(needs)):
        wanted = [claim.requirement for claim, _ in desk.running.values()]
        assert sum(need.num_cpus for need in wanted) <= NODE.cpus
        assert sum(need.memory_bytes for need in wanted) <= NODE.memory_bytes
        gpus = [gpu for _, place in desk.running.values() for gpu in place.gpus]
        assert len(gpus) == len(set(gpus)) == sum(need.num_gpus for need in wanted)
        if not desk.running:
            break
        desk.end(data.draw(st.sampled_from(sorted(desk.running))))
        desk.fill()
        if data.draw(st.booleans()) or not desk.running:
            desk.ask()
    assert max(desk.begun.values()) == 1
    assert len(desk.begun) == len(needs)


@given(st.integers(1, 5), st.integers(1, 20))
@settings(max_examples=20, deadline=None)
def test_never_more_at_a_time_than_the_user_allows(limit: int, jobs: int) -> None:
    desk = Desk([0] * jobs, limit)
    desk.ask()
    while desk.running:
        assert len(desk.running) <= limit
        desk.end(min(desk.running))
        desk.fill()
        if len(desk.running) < limit:
            desk.ask()
    assert len(desk.begun) == jobs


def test_nothing_is_started_ahead_where_jobs_take_long() -> None:
    shelf = Shelf()
    assert shelf.ahead(128) == 0, "nothing is known of these jobs"
    for _ in range(100):
        shelf.learn(0.0)
    assert shelf.ahead(128) == MOST
    shelf.learn(3600)
    assert shelf.ahead(128) == 0


def short_jobs_then_a_shelf() -> Desk:
    desk = Desk([0] * 12)
    desk.ask()
    for job_id in list(desk.running):
        desk.end(job_id)
    desk.ask()
    assert len(desk.running) == 4
    assert desk.intake.shelf.claims
    return desk


def test_what_could_not_begin_in_time_goes_back_as_it_was() -> None:
    desk = short_jobs_then_a_shelf()
    waiting = [claim.job_id for claim in desk.intake.shelf.claims]
    desk.now += PATIENCE_S
    desk.end(min(desk.running))
    desk.fill()
    assert len(desk.running) == 3, "a worker that has slept may have been given up"
    desk.intake.give_back()
    back = [desk.store.get(Job, job_id) for job_id in waiting]
    assert {(job.status, job.attempt_id, job.start_time) for job in back} == {
        (JobStatus.READY, 1, None)
    }


def test_an_answer_that_was_lost_leaves_the_places_free() -> None:
    desk = Desk([1, 1])
    assert len(desk.intake.choose(0, None)) == 1
    assert next(desk.rooms.offers(None)).cpus == 1
    desk.intake.forget()
    assert next(desk.rooms.offers(None)) == NODE
