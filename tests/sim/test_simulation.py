"""Single stories: what a simulated cluster and what runs on it do, moment by moment."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from factories import a_draft, a_job, a_need, a_scheduler
from promises import broken

from slurmtorc.errors import SlurmUnavailable
from slurmtorc.model import (
    ActionType,
    DraftAction,
    Partition,
    Site,
    TriggerType,
    Workflow,
)
from slurmtorc.model import SlurmState as S
from slurmtorc.ports import Order, Script
from slurmtorc.sim.clock import START, Process, SimClock
from slurmtorc.sim.cluster import Configuration
from slurmtorc.sim.faults import Faults
from slurmtorc.sim.launcher import Behaviour, SimLauncher
from slurmtorc.sim.slurm import SimSlurm
from slurmtorc.sim.world import Simulation

if TYPE_CHECKING:
    from pathlib import Path

    from slurmtorc.model import Draft
    from slurmtorc.sim.booking import Booking

GIB = 1024**3


def a_site(nodes: int = 2) -> Site:
    part = Partition(
        name="p", cpus=4, memory_bytes=8 * GIB, nodes=nodes, max_walltime_s=7200, is_default=True
    )
    return Site(name="here", partitions=(part,))


# ── whole worlds ─────────────────────────────────────────────────────────────


def a_workflow(folder: Path, *jobs: Any, **values: Any) -> Draft:
    workflow = Workflow(name="story", user="tester", submission_directory=str(folder))
    needs = [a_need("need", num_cpus=2, memory="1g", runtime="PT5M")]
    return a_draft(*jobs, workflow=workflow, requirements=needs, **values)


def test_a_workflow_without_trouble_completes(tmp_path: Path) -> None:
    draft = a_workflow(tmp_path, "a", "b", a_job("c", 0, 1, requirement=0))
    report = Simulation(draft, a_site()).run()
    assert broken(report) == []
    assert report.stop is not None
    assert report.stop.exit_code == 0
    assert {run.job_name: run.code for run in report.runs} == {"a": 0, "b": 0, "c": 0}
    assert {booking.state for booking in report.bookings} == {S.COMPLETED}


def test_the_same_seed_tells_the_same_story(tmp_path: Path) -> None:
    def told(seed: int) -> list[tuple[str, float | None]]:
        draft = a_workflow(tmp_path, *(a_job(f"j{i}", requirement=0) for i in range(5)))
        report = Simulation(draft, a_site(), seed=seed).run()
        return [(run.job_name, run.end_time) for run in report.runs]

    assert told(1) == told(1)
    assert told(1) != told(2)


def test_a_job_that_does_not_end_is_stopped_before_its_allocation_is(tmp_path: Path) -> None:
    draft = a_workflow(tmp_path, a_job("endless", requirement=0), "short")

    def behave(order: Order) -> Behaviour:
        endless = order.env["TORC_JOB_NAME"] == "endless"
        return Behaviour(seconds=1e6 if endless else 5.0, obeys=False)

    report = Simulation(draft, a_site(), behave=behave).run()
    codes = {result.job_name: result.return_code for result in report.results}
    assert codes == {"endless": 152, "short": 0}
    assert S.TIMEOUT not in {booking.state for booking in report.bookings}


def test_a_long_list_of_intents_is_not_taken_for_one_left_behind(tmp_path: Path) -> None:
    """Each lost answer costs half a minute; meanwhile the others only look forgotten."""
    action = DraftAction(
        trigger_type=TriggerType.ON_WORKFLOW_START,
        action_type=ActionType.SCHEDULE_NODES,
        scheduler=0,
        num_allocations=12,
    )
    draft = a_workflow(
        tmp_path,
        *(a_job(f"j{i}", requirement=0) for i in range(12)),
        schedulers=[a_scheduler(cpus_per_task=2, mem="2g", walltime="00:30:00")],
        actions=[action],
    )
    for seed in range(5):
        report = Simulation(draft, a_site(), seed=seed, faults=Faults(submit_lost=1.0)).run()
        assert broken(report) == []


# ── time ─────────────────────────────────────────────────────────────────────


def test_others_go_on_while_one_sleeps_in_its_step() -> None:
    clock, seen = SimClock(), list[tuple[str, float]]()

    def sleeps() -> None:
        clock.sleep(10)
        seen.append(("sleeper", clock.now() - START))

    def ticks() -> float | None:
        seen.append(("other", clock.now() - START))
        return 4 if len(seen) < 4 else None

    Process(clock, sleeps)
    Process(clock, ticks)
    clock.env.run()
    assert seen == [("other", 0), ("other", 4), ("other", 8), ("sleeper", 10), ("other", 12)]


def test_what_was_killed_in_its_sleep_never_comes_back() -> None:
    clock, seen = SimClock(), list[str]()

    def sleeps() -> None:
        clock.sleep(10)
        seen.append("back")

    sleeper = Process(clock, sleeps)
    Process(clock, lambda: sleeper.kill() if clock.now() > START else 5.0)
    clock.env.run()
    assert seen == []
    assert sleeper.over.processed


# ── Slurm ────────────────────────────────────────────────────────────────────


class Tasks:
    """Runs for ever, or as long as it is told; ends on TERM only if it obeys."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.done = cluster.clock.env.event()

    def signal(self, *, hard: bool) -> None:
        if hard or self.cluster.obeys:
            self.end(1)

    def lose(self, _node: str) -> None:
        self.end(1)

    def end(self, code: int) -> None:
        if not self.done.triggered:
            self.done.succeed(code)


class Cluster:
    """A SimSlurm, and what runs on it."""

    def __init__(self, nodes: int = 2, *, obeys: bool = True, **faults: Any) -> None:
        self.clock = SimClock()
        self.obeys = obeys
        self.tasks: dict[int, Tasks] = {}
        self.slurm = SimSlurm(
            self.clock,
            a_site(nodes),
            self._tasks,
            Random(0),
            faults=Faults(**faults),
            configuration=Configuration(kill_wait_s=30, min_job_age_s=300),
        )

    def _tasks(self, booking: Booking) -> Tasks:
        return self.tasks.setdefault(booking.number, Tasks(self))

    def submit(self, nodes: int = 1, minutes: int = 10, cpus: int = 4) -> int:
        token = f"t{len(self.slurm.bookings)}"
        text = f"#SBATCH --nodes={nodes} --time={minutes} --cpus-per-task={cpus} --mem=1g"
        return self.slurm.submit(Script(text, f"wf1_{token}", token, "."))

    def state(self, number: int) -> S | None:
        entry = self.slurm.look([number]).get(number)
        return entry.state if entry else None

    def told(self, number: int) -> S:
        return self.slurm.account([number], START)[number].state


def test_time_is_up_first_in_accounting_and_then_in_the_queue() -> None:
    cluster = Cluster(obeys=False)
    number = cluster.submit(minutes=1)
    cluster.clock.sleep(70)
    assert (cluster.state(number), cluster.told(number)) == (S.COMPLETING, S.TIMEOUT)
    cluster.clock.sleep(30)
    assert (cluster.state(number), cluster.told(number)) == (S.TIMEOUT, S.TIMEOUT)
    cluster.clock.sleep(300)
    assert (cluster.state(number), cluster.told(number)) == (None, S.TIMEOUT)


def test_shorter_allocations_start_beside_one_that_waits_for_more_nodes() -> None:
    cluster = Cluster(nodes=2)
    running = cluster.submit(minutes=30)
    wide, short, long = (
        cluster.submit(nodes=2),
        cluster.submit(minutes=20),
        cluster.submit(minutes=40),
    )
    cluster.clock.sleep(10)
    states = [cluster.state(number) for number in (running, wide, short, long)]
    assert states == [S.RUNNING, S.PENDING, S.RUNNING, S.PENDING]
    reasons = [cluster.slurm.look([number])[number].reason for number in (wide, long)]
    assert reasons == ["Resources", "Priority"]


def test_small_allocations_share_a_node_and_give_it_back() -> None:
    cluster = Cluster(nodes=1)
    numbers = [cluster.submit(cpus=2) for _ in range(3)]
    cluster.clock.sleep(5)
    assert [cluster.state(number) for number in numbers] == [S.RUNNING, S.RUNNING, S.PENDING]
    cluster.tasks[numbers[0]].end(0)
    cluster.clock.sleep(5)
    assert [cluster.state(number) for number in numbers] == [S.COMPLETED, S.RUNNING, S.RUNNING]


def test_a_node_that_fails_ends_what_is_on_it_and_takes_nothing() -> None:
    cluster = Cluster(nodes=1)
    first, second = cluster.submit(), cluster.submit()
    cluster.clock.sleep(5)
    cluster.slurm.fail_node("n1", 600)
    cluster.clock.sleep(60)
    assert (cluster.state(first), cluster.state(second)) == (S.NODE_FAIL, S.PENDING)
    cluster.clock.sleep(600)
    assert cluster.state(second) is S.RUNNING


def test_what_is_requeued_waits_again_under_its_id_and_accounting_says_so_late() -> None:
    cluster = Cluster(nodes=1)
    number = cluster.submit()
    cluster.clock.sleep(5)
    cluster.slurm.end(cluster.slurm.bookings[number], S.PREEMPTED, goes_back=True)
    cluster.clock.sleep(2)
    assert (cluster.state(number), cluster.told(number)) == (S.PENDING, S.PREEMPTED)
    cluster.clock.sleep(5)
    assert (cluster.state(number), cluster.told(number)) == (S.PENDING, S.PENDING)
    del cluster.tasks[number]
    cluster.clock.sleep(10)
    assert (cluster.state(number), cluster.told(number)) == (S.RUNNING, S.RUNNING)
    cluster.tasks[number].end(0)
    cluster.clock.sleep(5)
    assert (cluster.state(number), cluster.told(number)) == (S.COMPLETED, S.COMPLETED)


def test_an_id_that_is_given_again_is_somebody_elses_in_both_answers() -> None:
    cluster = Cluster(ids_recycled=1.0)
    number = cluster.submit()
    cluster.clock.sleep(5)
    cluster.tasks[number].end(0)
    cluster.clock.sleep(310)
    seen, told = cluster.slurm.look([number]), cluster.slurm.account([number], START)
    assert (seen[number].name, seen[number].state) == ("theirs", S.RUNNING)
    assert told[number].name == "theirs"


def test_a_controller_that_is_away_answers_nobody_and_ends_nothing() -> None:
    cluster = Cluster(controller_away=((30, 630),))
    number = cluster.submit()
    cluster.clock.sleep(40)
    with pytest.raises(SlurmUnavailable):
        cluster.state(number)
    assert cluster.told(number) is S.RUNNING
    cluster.tasks[number].end(0)
    cluster.clock.sleep(100)
    assert cluster.told(number) is S.RUNNING
    cluster.clock.sleep(500)
    entry = cluster.slurm.account([number], START)[number]
    assert entry.state is S.COMPLETED
    assert entry.end_time is not None
    assert entry.end_time >= START + 630


def test_accounting_is_late_and_later_after_an_outage() -> None:
    cluster = Cluster(accounting_lag_s=20, accounting_away=((100, 200),))
    number = cluster.submit()
    assert cluster.slurm.account([number], START) == {}
    cluster.clock.sleep(90)
    assert cluster.told(number) is S.RUNNING
    cluster.tasks[number].end(0)
    cluster.clock.sleep(20)
    with pytest.raises(SlurmUnavailable):
        cluster.told(number)
    cluster.clock.sleep(95)
    assert cluster.told(number) is S.RUNNING
    cluster.clock.sleep(20)
    assert cluster.told(number) is S.COMPLETED


def test_a_look_that_leaves_something_out_is_followed_by_the_truth_in_time() -> None:
    cluster = Cluster(look_omits=0.5, longest_lie_s=100)
    number = cluster.submit(minutes=100)
    hidden_since, longest, lies = None, 0.0, 0
    for _ in range(500):
        cluster.clock.sleep(10)
        if cluster.state(number) is not None:
            hidden_since = None
        else:
            lies += 1
            hidden_since = cluster.clock.now() if hidden_since is None else hidden_since
            longest = max(longest, cluster.clock.now() - hidden_since)
    assert lies
    assert longest <= 100


# ── jobs ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("behaviour", "stop", "came_to"),
    [
        (Behaviour(seconds=20), None, (20, 0, None, False)),
        (Behaviour(seconds=20, code=7), None, (20, 7, None, False)),
        (Behaviour(seconds=20), False, (5.5, None, 15, False)),
        (Behaviour(seconds=20, obeys=False), False, (20, 0, None, False)),
        (Behaviour(seconds=20, obeys=False), True, (5, None, 9, False)),
        (Behaviour(seconds=20, peak_memory_bytes=2 * GIB), None, (10, None, 9, True)),
        (Behaviour(seconds=20, peak_memory_bytes=GIB), None, (20, 0, None, False)),
    ],
)
def test_jobs_end_as_they_behave_and_as_they_are_stopped(
    behaviour: Behaviour, stop: bool | None, came_to: tuple[float, int | None, int | None, bool]
) -> None:
    clock = SimClock()
    launcher = SimLauncher(clock, lambda _: behaviour, [])
    launcher.start(Order(key=1, command="x", env={}, directory=".", memory_limit=GIB))
    launcher.wait(5)
    assert list(launcher.running()) == [1]
    if stop is not None:
        launcher.stop(1, hard=stop)
    launcher.wait(3600)
    (exit_,) = launcher.poll()
    found = (exit_.end_time - START, exit_.code, exit_.signal, exit_.over_memory)
    assert found == came_to
    assert clock.now() == exit_.end_time
    assert (list(launcher.running()), launcher.poll()) == ([], [])
