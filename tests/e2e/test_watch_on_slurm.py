"""Watches on a real Slurm cluster: walltimes, retries, many watches at once, and the manners."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias

import pytest
from cluster import eventually
from torc import COMMAND, Torc
from watched import AUTO, change, codes, dump, one_for_one, pass_by, results, words

from slurmtorc.model import (
    Allocation,
    ComputeNode,
    Decision,
    Job,
    JobStatus,
    Result,
    SlurmState,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cluster import RunningCluster

    from slurmtorc.store.sql import SqlStore

Watching: TypeAlias = "Callable[..., subprocess.Popen[str]]"

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

LATE = """\
name: late
{execution}
failure_handlers:
  - {{name: again, rules: [{{exit_codes: [152], max_retries: 2}}]}}
resource_requirements:
  - {{name: small, num_cpus: 1, memory: 100m, runtime: {runtime}}}
slurm_schedulers:
  - {{name: only, account: sandbox, walltime: "{walltime}", mem: 500m, cpus_per_task: 2}}
actions:
  - {{trigger_type: on_workflow_start, action_type: schedule_nodes, scheduler: only}}
jobs:
  - name: late
    command: sh -c 'test $TORC_ATTEMPT_ID -gt 1 || exec sleep 300'
    resource_requirements: small
    failure_handler: again
"""

PLAIN = """\
name: plain
resource_requirements:
  - {name: small, num_cpus: 1, memory: 100m, runtime: PT1M}
slurm_schedulers:
  - {name: only, account: sandbox, walltime: "00:10:00", mem: 1g, cpus_per_task: 4}
jobs:
  - name: work_{i}
    command: sh -c 'echo work_{i} >> did; sleep 0.3'
    resource_requirements: small
    parameters: {i: "1:4"}
"""

HANDLED = """\
name: handled
failure_handlers:
  - name: job_recovery
    rules:
      - {exit_codes: [10, 11, 12], recovery_script: ./recovery.sh, max_retries: 3}
resource_requirements:
  - {name: small, num_cpus: 1, memory: 100m, runtime: PT1M}
slurm_schedulers:
  - {name: ten, account: sandbox, walltime: "00:10:00", mem: 300m, cpus_per_task: 1}
actions:
  - trigger_type: on_workflow_start
    action_type: schedule_nodes
    scheduler: ten
    num_allocations: 10
jobs:
  - name: process_{i:03d}
    command: sh process.sh {i}
    resource_requirements: small
    failure_handler: job_recovery
    parameters: {i: "1:100"}
"""

PROCESS = """\
sleep 0.2
case $1.$TORC_ATTEMPT_ID in 7.1 | 42.[12] | 99.[12]) exit 10 ;; esac
echo $1 >> done
"""

RECOVERY = """\
#!/bin/sh
echo "$TORC_JOB_NAME $TORC_ATTEMPT_ID $TORC_RETURN_CODE" >> "$TORC_OUTPUT_DIR/recovery.log"
"""


@pytest.fixture
def torc(cluster: RunningCluster, tmp_path: Path) -> Torc:
    return Torc(tmp_path, {**cluster.env, "TORC_SLURM__RATE": "50"})


def allocations(store: SqlStore, workflow: int = 1) -> list[Allocation]:
    return store.rows(Allocation, workflow_id=workflow).items


def is_running(store: SqlStore, workflow: int = 1, count: int = 1) -> None:
    running = {"workflow_id": workflow, "status": JobStatus.RUNNING}
    eventually(lambda: store.rows(Job, **running).total_count >= count, 40)


def created(torc: Torc, store: SqlStore, spec: str = PLAIN) -> None:
    """A workflow that has begun, and that nobody has asked nodes for."""
    torc("create", torc.write("spec.yaml", spec))
    store.initialize(1)


# ── how allocations end ──────────────────────────────────────────────────────


def test_jobs_at_the_end_of_their_allocation_end_with_152_and_run_again_in_another(
    torc: Torc, store: SqlStore, cluster: RunningCluster, watching: Watching
) -> None:
    """At a worker's own deadline, and by a walltime that ends the worker too. Both at once."""
    own = "execution_config: {sigterm_lead_seconds: 1, sigkill_headroom_seconds: 45}"
    torc("submit", torc.write("own.yaml", late(own, "PT5S", "00:01:00")))
    torc("submit", torc.write("slurms.yaml", late("", "PT5S", "00:10:00")))
    watch = watching("1", "2", *AUTO)
    is_running(store, 2)
    (by_slurm,) = allocations(store, 2)
    _stop_worker(store, by_slurm)
    _ends_now(cluster, f"JobId={by_slurm.scheduler_id}", "EndTime=now+1")
    eventually(lambda: store.get(Allocation, by_slurm.id).final_state, 60)
    pass_by(torc.folder, 60)
    out, err = watch.communicate(timeout=60)
    assert watch.returncode == 0, out + err
    for workflow in (1, 2):
        _ran_again(store, workflow)
    one_for_one(store, cluster)


def test_a_job_at_the_limit_of_its_step_ends_with_152_and_runs_again_in_another_allocation(
    torc: Torc, store: SqlStore, cluster: RunningCluster, watching: Watching
) -> None:
    """A minute is the shortest limit Slurm knows, and it looks every half minute."""
    torc("submit", torc.write("s.yaml", late("execution_config: {mode: slurm}", "PT55S", "2")))
    watch = watching("1", *AUTO)
    out, err = watch.communicate(timeout=170)
    assert watch.returncode == 0, out + err
    _ran_again(store, 1)
    assert allocations(store)[0].final_state is not SlurmState.TIMEOUT, "the step ended, not it"
    assert "is gone" not in err, "the worker tells it itself"
    one_for_one(store, cluster)


def late(execution: str, runtime: str, walltime: str) -> str:
    return LATE.format(execution=execution, runtime=runtime, walltime=walltime)


def _ran_again(store: SqlStore, workflow: int) -> None:
    assert results(store, workflow) == [("late", 1, 152, "timeout"), ("late", 2, 0, "exit")]
    (first,) = store.rows(Result, workflow_id=workflow, attempt_id=1, job_name="late").items
    assert first.status is JobStatus.TERMINATED
    assert len(allocations(store, workflow)) == 2


def _stop_worker(store: SqlStore, allocation: Allocation) -> None:
    """It cannot tell any more how its jobs end."""
    (node,) = store.rows(ComputeNode, allocation_id=allocation.id).items
    os.kill(node.pid, signal.SIGSTOP)


def _ends_now(cluster: RunningCluster, *what: str) -> None:
    done = cluster.run("scontrol", "update", *what)
    assert done.returncode == 0, done.stderr


def test_a_scancelled_allocation_is_no_timeout_and_brings_no_other(
    torc: Torc, store: SqlStore, cluster: RunningCluster, watching: Watching
) -> None:
    torc("submit", torc.write("w.yaml", late("", "PT1M", "00:10:00")))
    watch = watching("1", *AUTO)
    is_running(store)
    (allocation,) = allocations(store)
    cluster.run("scancel", str(allocation.scheduler_id))
    out, err = watch.communicate(timeout=60)
    assert watch.returncode == 1, out + err
    assert results(store) == [("late", 1, 143, "canceled")]
    assert words(store) == {"late": "terminated"}
    assert len(allocations(store)) == 1


# ── failure handlers at scale ────────────────────────────────────────────────


def test_a_hundred_jobs_in_ten_allocations_with_failures_that_are_recovered(
    torc: Torc, store: SqlStore, cluster: RunningCluster
) -> None:
    torc.write("process.sh", PROCESS)
    torc.write("recovery.sh", RECOVERY)
    (torc.folder / "recovery.sh").chmod(0o755)
    torc("submit", torc.write("handled.yaml", HANDLED))
    torc("watch", "1", *AUTO)
    assert store.progress(1).counts == {JobStatus.COMPLETED: 100}
    assert codes(store) == {0: 100, 10: 5}
    attempts = Counter(name for name, *_ in results(store))
    names = ("process_007", "process_042", "process_099")
    assert [attempts.pop(name) for name in names] == [2, 3, 3]
    assert set(attempts.values()) == {1}
    assert len(allocations(store)) == 10, "retries need no more of them"
    recovered = (torc.folder / "torc_output/recovery.log").read_text().splitlines()
    assert sorted(recovered) == sorted(
        f"{name} {attempt} 10" for name, attempt, code, _ in results(store) if code == 10
    )
    logs = {path.name for path in (torc.folder / "torc_output/job_stdio").iterdir()}
    assert {f"job_wf1_j42_r1_a{attempt}.o" for attempt in (1, 2, 3)} <= logs
    assert Counter((torc.folder / "done").read_text().split()) == Counter(
        str(i) for i in range(1, 101)
    )
    one_for_one(store, cluster)


# ── many watches, many workflows ─────────────────────────────────────────────


def test_of_ten_watches_at_the_same_time_one_acts(
    torc: Torc, store: SqlStore, cluster: RunningCluster, watching: Watching
) -> None:
    created(torc, store)
    watches = [watching("1", "-s", *AUTO) for _ in range(10)]
    heard = [watch.communicate(timeout=90) for watch in watches]
    assert [watch.returncode for watch in watches] == [0] * 10, heard
    assert len(allocations(store)) == 1
    decisions = store.rows(Decision).items
    assert [d.numbers["rule"] for d in decisions if d.decision == "schedule"] == ["no_allocation"]
    assert sum("another watch is at work" in err for _, err in heard) >= 9
    assert codes(store) == {0: 4}
    one_for_one(store, cluster)


def test_several_workflows_are_watched_by_number_or_all(
    torc: Torc, store: SqlStore, cluster: RunningCluster
) -> None:
    for number in (1, 2, 3):
        torc("create", torc.write("plain.yaml", PLAIN))
        store.initialize(number)
    torc("create", "plain.yaml")
    torc("watch", "1", "2", *AUTO)
    assert [store.outlook(number).is_complete for number in (1, 2, 3)] == [True, True, False]
    done = torc("watch", "--all", *AUTO)
    assert "Workflow 3: all 4 jobs are completed." in done.err
    assert "Workflow 1" not in done.err
    assert not allocations(store, 4), "it has not begun"
    assert "No workflow is left" in torc("watch", "--all").err
    one_for_one(store, cluster)


# ── manners ──────────────────────────────────────────────────────────────────


def test_single_looks_as_of_cron_bring_a_workflow_to_its_end(
    torc: Torc, store: SqlStore, cluster: RunningCluster
) -> None:
    created(torc, store)
    codes_ = [torc("watch", "1", "--auto-schedule", "--once").code]
    with ThreadPoolExecutor(3) as pool:  # cron may be early, and begin before the last one ended
        while not store.outlook(1).is_complete and len(codes_) < 60:
            looks = [pool.submit(torc, "watch", "1", "--auto-schedule", "--once") for _ in "ab"]
            codes_ += [look.result().code for look in looks]
    assert set(codes_) == {0}
    assert store.progress(1).counts == {JobStatus.COMPLETED: 4}
    torc("watch", "1", "--auto-schedule", "--once")
    assert len(allocations(store)) == 1
    one_for_one(store, cluster)


def test_a_dry_run_tells_what_it_would_do_and_leaves_the_store_as_it_was(
    torc: Torc, store: SqlStore, cluster: RunningCluster
) -> None:
    created(torc, store)
    before = dump(torc.folder)
    done = torc("watch", "1", "--dry-run", "--auto-schedule", "--recover")
    assert "4 jobs are ready, and no allocation is there or asked for" in done.err
    assert dump(torc.folder) == before
    torc("watch", "1", "--auto-schedule", "--once")
    (allocation,) = allocations(store)
    cluster.run("scancel", str(allocation.scheduler_id))
    change(torc.folder, "DELETE FROM compute_node")  # as if its worker had not come to the store
    before = dump(torc.folder)
    told = "allocation 1 has ended: CANCELLED"
    eventually(lambda: told in torc("watch", "1", "--dry-run", code=None).err)
    assert dump(torc.folder) == before
    assert torc("watch", "1", "--dry-run", "-f", "json", code=3).json["acts"] == [told]
    assert dump(torc.folder) == before


def test_a_stream_for_programs_is_json_lines_and_the_history_is_kept(
    torc: Torc, store: SqlStore
) -> None:
    created(torc, store)
    done = torc("-f", "json", "watch", "1", *AUTO)
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert lines[0]["rule"] == "no_allocation"
    assert lines[-1]["rule"] == "completed"
    assert lines[-1]["jobs_by_status"]["completed"] == 4
    assert {line["workflow_id"] for line in lines} == {1}
    kept = torc("watch", "1", "--history", "-f", "json").json["decisions"]
    assert [one["decision"] for one in kept if one["decision"] != "wait"] == ["schedule", "stop"]
    history = torc("watch", "1", "--history").out
    assert "4 jobs are ready, and no allocation is there" in history
    assert "submitted 1" in history
    assert store.outlook(1).is_complete


def test_on_a_terminal_a_live_view_is_shown_to_the_end(torc: Torc, store: SqlStore) -> None:
    created(torc, store, PLAIN.replace("sleep 0.3", "sleep 3"))  # longer than a look
    code, text = _on_terminal(torc, "watch", "1", *AUTO)
    assert code == 0, text
    assert "Traceback" not in text
    for part in ("Workflow 1 (plain)", "Slurm job", "next look in", "all 4 jobs are completed"):
        assert part in text


def _on_terminal(torc: Torc, *arguments: str) -> tuple[int, str]:
    """A command as in a terminal window: its exit status, and all that appeared."""
    ours, its = pty.openpty()
    env = {**torc.env, "TERM": "xterm", "COLUMNS": "160", "LINES": "50"}
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=torc.folder, env=env, stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    heard = bytearray()
    while True:
        try:
            heard += os.read(ours, 65536)
        except OSError:  # the last one who wrote has gone
            break
    os.close(ours)
    return process.wait(60), heard.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "term"])
def test_who_stops_a_watch_makes_way_for_the_next(
    torc: Torc, store: SqlStore, number: signal.Signals, watching: Watching
) -> None:
    created(torc, store, PLAIN.replace("sleep 0.3", "sleep 5"))
    watch = watching("1", "--auto-schedule")
    is_running(store)
    watch.send_signal(number)
    out, err = watch.communicate(timeout=20)
    assert watch.returncode == 130, out + err
    assert "the workflow goes on" in err
    memory = store.watch_state(1)
    assert memory is not None
    assert (memory.holder, memory.lease_until) == ("", 0.0)
    done = torc("watch", "1", "-s", *AUTO)
    assert "another watch" not in done.err
    assert len(allocations(store)) == 1
