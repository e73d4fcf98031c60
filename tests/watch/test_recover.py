"""A recovery on every store: one transaction, private requirements, and nodes asked for once."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from factories import PLENTY, a_draft, a_job, a_need, a_node, a_report, a_scheduler, run_all

from slurmtorc.clock import ManualClock
from slurmtorc.errors import Conflict
from slurmtorc.model import (
    Action,
    ActionType,
    Allocation,
    AllocationStatus,
    ComputeNode,
    DraftAction,
    Ending,
    Event,
    File,
    Job,
    JobStatus,
    Partition,
    ResourceRequirements,
    Result,
    Site,
    SlurmScheduler,
    TriggerType,
    Workflow,
)
from slurmtorc.ports import Script
from slurmtorc.rules.healing import Cause, Treatment
from slurmtorc.schedule.begin import begin
from slurmtorc.schedule.reinit import plan_reinit
from slurmtorc.schedule.submit import Submitter
from slurmtorc.store.sql import SqlStore
from slurmtorc.watch.hook import run_hook
from slurmtorc.watch.recover import Hands, Means, attempting, carry_out, lines, plan_recovery

if TYPE_CHECKING:
    from pathlib import Path

    from slurmtorc.model import Draft
    from slurmtorc.ports import Store

S = JobStatus
GIB = 1 << 30
SITE = Site(
    name="site",
    partitions=(Partition(name="cpu", cpus=8, memory_bytes=16 * GIB, nodes=10, is_default=True),),
)
KINDS = (
    Workflow, Job, ResourceRequirements, SlurmScheduler, Action, Allocation, ComputeNode, Result,
    Event,
)  # fmt: skip
READY = TriggerType.ON_JOBS_READY


@dataclass
class Counting:
    """A Slurm that accepts everything."""

    tokens: list[str] = field(default_factory=list)

    def submit(self, script: Script) -> int:
        self.tokens.append(script.token)
        return 1000 + len(self.tokens)


def hands(store: Store, slurm: Counting | None = None) -> Hands:
    def render(_workflow: Workflow, _scheduler: SlurmScheduler, one: Allocation) -> Script:
        return Script(text="", job_name=one.token, token=one.token, directory="/")

    port: Any = slurm or Counting()
    return Hands(store, Submitter(store, port, ManualClock(), render))


def means(**values: Any) -> Means:
    return Means(site=SITE, output_dir="out", **values)


def contents(store: Store) -> dict[str, list[Any]]:
    return {kind.__name__: list(store.rows(kind).items) for kind in KINDS}


def statuses(store: Store) -> dict[str, str]:
    return {job.name: job.status.word for job in store.rows(Job).items}


ENDINGS = {
    "oom": {"return_code": 137, "ending": Ending.OOM},
    "late": {"return_code": 152, "ending": Ending.TIMEOUT, "status": S.TERMINATED},
    "wrong": {"return_code": 3},
}


def a_failed(store: Store, draft: Draft, run_id: int = 1) -> int:
    """Run a workflow to its end; jobs end as the first part of their name says."""
    workflow_id = store.create(draft)
    store.initialize(workflow_id)
    finish(store, workflow_id, run_id)
    for one in store.rows(Allocation).items:
        store.closed(one.id)
    return workflow_id


def finish(store: Store, workflow_id: int, run_id: int) -> None:
    node = store.register(a_node(workflow_id)).id
    while claims := store.claim(node, PLENTY, 100):
        store.start(node, [claim.job_id for claim in claims])
        reports = []
        for claim in claims:
            how = ENDINGS.get(claim.name.partition("_")[0], {})
            reports.append(a_report(claim, run_id=run_id, **how))
        store.complete(node, reports)
    store.retire(node)


def sweep(**values: Any) -> Draft:
    """Failures of all kinds, one job that succeeds, and jobs that wait for them."""
    names = ("fine", "oom_1", "oom_2", "late", "wrong")
    jobs = [a_job(name, requirement=0, scheduler=0) for name in names]
    jobs += [a_job("behind", 1, 3, requirement=0), a_job("lost", 1, 4, requirement=0)]
    scheduler = a_scheduler("old", mem="1g", cpus_per_task=4)
    need = a_need("small", memory="1g", runtime="PT10M")
    return a_draft(*jobs, requirements=[need], schedulers=[scheduler], **values)


# ── the plan ─────────────────────────────────────────────────────────────────


def test_a_plan_changes_nothing_and_says_everything(store: Store) -> None:
    workflow_id = a_failed(store, sweep())
    before = contents(store)
    plan = plan_recovery(store, workflow_id, means())
    assert contents(store) == before
    said = "\n".join(lines(plan))
    assert "Job 2 (oom_1): OOM detected, increasing memory 1g -> 1536m" in said
    assert "Job 4 (late): timeout detected, increasing runtime PT10M -> PT15M" in said
    assert "Applied fixes: 2 OOM, 1 timeout" in said
    assert "1 job(s) with unknown failure cause (skipped, use --retry-unknown to include)" in said
    assert "1 canceled job(s) behind them run as well" in said
    assert (plan.unknown_left, plan.not_healed) == (1, 0)
    names = {job.id: job.name for job in store.rows(Job).items}
    assert [names[job] for job in plan.chosen] == ["oom_1", "oom_2", "late", "behind"]


def test_nothing_that_can_be_healed_is_a_plan_without_jobs(store: Store) -> None:
    workflow_id = a_failed(store, a_draft("wrong"))
    plan = plan_recovery(store, workflow_id, means())
    assert (plan.chosen, plan.nodes) == ((), None)


def test_the_attempt_is_counted_for_people() -> None:
    assert attempting(2, 3) == "Attempting automatic recovery (attempt 2/3)"
    assert attempting(2, None) == "Attempting automatic recovery (attempt 2)"


# ── what is done ─────────────────────────────────────────────────────────────


def test_healed_jobs_get_private_requirements_and_only_the_chosen_run_again(store: Store) -> None:
    workflow_id = a_failed(store, sweep())
    plan = plan_recovery(store, workflow_id, means())
    carry_out(hands(store), plan)
    assert statuses(store) == {
        "fine": "completed",
        "oom_1": "ready",
        "oom_2": "ready",
        "late": "ready",
        "wrong": "failed",
        "behind": "blocked",
        "lost": "canceled",
    }
    needs = {one.id: one for one in store.rows(ResourceRequirements).items}
    used = {job.name: needs[job.resource_requirements_id or 0] for job in store.rows(Job).items}
    assert used["oom_1"] == used["oom_2"], "healed alike: one copy"
    assert (used["oom_1"].name, used["oom_1"].memory) == ("small_healed_1", "1536m")
    assert (used["late"].name, used["late"].runtime) == ("small_healed_2", "PT15M")
    assert {used[name].name for name in ("fine", "wrong", "behind", "lost")} == {"small"}
    assert needs[used["fine"].id].memory == "1g"


def test_what_was_foreseen_is_what_is_asked_for(store: Store) -> None:
    workflow_id = a_failed(store, sweep())
    plan = plan_recovery(store, workflow_id, means())
    slurm = Counting()
    outcome = carry_out(hands(store, slurm), plan)
    assert plan.nodes is not None
    assert len(outcome.submitted) == len(slurm.tokens) == plan.nodes.now
    known = {one.id: one.name for one in store.rows(SlurmScheduler).items}
    foreseen = [
        request.scheduler.name
        for request in plan.nodes.demand.requests
        if not request.is_deferred
        for _ in range(request.allocations)
    ]
    asked = [known[one.scheduler_config_id or 0] for one in outcome.submitted]
    assert sorted(asked) == sorted(foreseen)
    assert {one.output_dir.rsplit("/", 1)[1] for one in outcome.submitted} == {"out"}


def test_a_second_healing_starts_from_the_first(store: Store) -> None:
    workflow_id = a_failed(store, a_draft(a_job("oom", requirement=0), requirements=[a_need()]))
    for run_id, memory in ((2, "2m"), (3, "3m"), (4, "5m")):
        defaults = Treatment()
        plan = plan_recovery(store, workflow_id, means(treatment=defaults, options=_account()))
        carry_out(hands(store), plan)
        (job,) = store.rows(Job).items
        need = store.get(ResourceRequirements, job.resource_requirements_id or 0)
        assert (need.memory, need.name) == (memory, f"need_healed_{run_id - 1}")
        for one in store.rows(Allocation, status=AllocationStatus.PENDING).items:
            store.closed(one.id)
        finish(store, workflow_id, run_id)


def _account() -> Any:
    from slurmtorc.rules.requesting import Options

    return Options(account="sandbox")


def test_actions_of_the_first_run_neither_fire_again_nor_are_forgotten(store: Store) -> None:
    def asks(*jobs: int) -> DraftAction:
        return DraftAction(
            trigger_type=READY, action_type=ActionType.SCHEDULE_NODES, jobs=jobs, scheduler=0
        )

    workflow_id = store.create(sweep(actions=[asks(0, 1, 2, 3, 4), asks(5, 6)]))
    store.initialize(workflow_id)
    workflow, mine = store.get(Workflow, workflow_id), hands(store)
    mine.submitter.act(workflow, "out")
    finish(store, workflow_id, 1)
    mine.submitter.act(workflow, "out")
    for one in store.rows(Allocation).items:
        store.closed(one.id)
    slurm = Counting()
    mine = hands(store, slurm)
    plan = plan_recovery(store, workflow_id, means())
    assert plan.nodes is not None
    carry_out(mine, plan)
    assert len(slurm.tokens) == plan.nodes.now == 2, "one for what fits in memory, one in time"
    mine.submitter.act(workflow, "out")
    assert len(slurm.tokens) == 2, "the first action was superseded"
    node = store.register(a_node(workflow_id)).id
    assert len(run_all(store, node, run_id=2)) == 3
    mine.submitter.act(workflow, "out")
    mine.submitter.act(workflow, "out")
    assert len(slurm.tokens) == 3, "what was blocked gets its nodes when it is ready, once"


# ── one transaction ──────────────────────────────────────────────────────────


def test_a_recovery_that_fails_half_way_has_changed_nothing(store: Store) -> None:
    workflow_id = a_failed(store, sweep())
    plan = plan_recovery(store, workflow_id, means())
    before, slurm = contents(store), Counting()

    def fail() -> None:
        assert statuses(store)["oom_1"] == "ready", "everything else is done by now"
        raise Conflict("the lease is gone")

    with pytest.raises(Conflict, match="the lease is gone"):
        carry_out(hands(store, slurm), plan, fail)
    assert contents(store) == before
    assert slurm.tokens == []
    carry_out(hands(store, slurm), plan)
    assert slurm.tokens


def test_a_plan_is_carried_out_once(store: Store) -> None:
    workflow_id = a_failed(store, sweep())
    plan = plan_recovery(store, workflow_id, means())
    carry_out(hands(store), plan)
    after = contents(store)
    with pytest.raises(Conflict, match="begun anew meanwhile"):
        carry_out(hands(store), plan)
    assert contents(store) == after


@pytest.mark.parametrize("point", ["in the transaction", "before sbatch", "after sbatch"])
def test_a_kill_leaves_all_or_nothing_and_no_intent_is_lost(tmp_path: Path, point: str) -> None:
    """A child dies there; what it leaves is looked at from outside."""
    url = f"sqlite:///{tmp_path}/torc.db"
    store = SqlStore(url)
    workflow_id = a_failed(store, sweep())
    before = contents(store)
    store.close()

    class Deadly(Counting):
        def submit(self, script: Script) -> int:
            if point == "after sbatch":
                (tmp_path / script.token).touch()
            die()
            return 0

    child = os.fork()
    if not child:
        mine = SqlStore(url)
        plan = plan_recovery(mine, workflow_id, means())
        carry_out(hands(mine, Deadly()), plan, die if point == "in the transaction" else None)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    store = SqlStore(url)
    if point == "in the transaction":
        assert contents(store) == before
    else:
        intents = store.rows(Allocation, status=AllocationStatus.INTENDED).items
        assert len(intents) == 2
        assert store.get(Workflow, workflow_id).run_id == 2
        told = {path.name for path in tmp_path.iterdir() if path.name in {i.token for i in intents}}
        assert len(told) == (point == "after sbatch")
    store.close()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# ── the number of causes ─────────────────────────────────────────────────────


def test_unknown_failures_run_again_when_asked(store: Store) -> None:
    workflow_id = a_failed(store, sweep())
    everything = means(treatment=Treatment(retry_unknown=True))
    plan = plan_recovery(store, workflow_id, everything)
    assert [plan.number(cause) for cause in Cause] == [2, 1, 1]
    carry_out(hands(store), plan)
    assert statuses(store)["lost"] == "blocked"
    assert statuses(store)["wrong"] == "ready"
    job = next(job for job in store.rows(Job).items if job.name == "wrong")
    need = store.get(ResourceRequirements, job.resource_requirements_id or 0)
    assert need.name == "small", "run again as it was"


# ── hooks ────────────────────────────────────────────────────────────────────

WORKFLOW = Workflow(id=7, name="w", run_id=3)


def test_a_hook_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    script = tmp_path / "hook.sh"
    script.write_text(f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/pid\nwait\n")
    script.chmod(0o755)
    with pytest.raises(Conflict, match="took longer than 2 s; nothing was changed"):
        run_hook(str(script), WORKFLOW, "sqlite://", timeout_s=2.0)
    from cluster import eventually

    pid = (tmp_path / "pid").read_text().strip()
    eventually(lambda: not os.path.exists(f"/proc/{pid}/cmdline") or _is_zombie(pid))  # noqa: PTH110


def _is_zombie(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("/nonexistent/hook --x", "cannot be run: /nonexistent/hook: No such file"),
        ("sh -c 'exit 5'", "ended with 5; nothing was changed"),
        ("'unclosed", "No closing quotation"),
        ("", "is empty; write a command"),
    ],
)
def test_a_hook_that_does_not_succeed_is_one_clear_line(command: str, said: str) -> None:
    with pytest.raises(Exception, match=said):
        run_hook(command, WORKFLOW, "sqlite://")


def test_a_fixed_input_is_noted_and_the_recovered_job_does_not_run_once_more(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "raw").touch()
    jobs = [a_job("oom_1", requirement=0, scheduler=0, input_files=(0,))]
    draft = a_draft(
        *jobs,
        requirements=[a_need("small", memory="1g", runtime="PT10M")],
        schedulers=[a_scheduler("old", mem="1g", cpus_per_task=4)],
        files=[File(name="raw", path="raw")],
        workflow=Workflow(name="w", user="u", submission_directory=str(tmp_path)),
    )
    workflow_id = store.create(draft)
    begin(store, workflow_id)
    finish(store, workflow_id, 1)
    os.utime(tmp_path / "raw", (100, 100))
    carry_out(hands(store), plan_recovery(store, workflow_id, means()))
    assert store.rows(File).items[0].st_mtime == 100
    node = store.register(a_node(workflow_id)).id
    run_all(store, node, run_id=2)
    assert not plan_reinit(store, workflow_id).reasons
