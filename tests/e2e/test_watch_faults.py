"""A watched workflow while Slurm's daemons are away, nodes fail, and workers die."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from cluster import bring_up, directories, eventually
from torc import Torc
from watched import AUTO, codes, in_slurm, lose, one_for_one, pass_by, results

from slurmtorc.model import Allocation, ComputeNode, Job, JobStatus

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from cluster import RunningCluster

    from slurmtorc.store.sql import SqlStore

Watching: TypeAlias = "Callable[..., subprocess.Popen[str]]"

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

OUTAGE_S = float(os.environ.get("TORC_TEST_OUTAGE_S", "6"))
"""How long a daemon is away; longer by hand."""

STAGED = """\
name: staged
failure_handlers:
  - {name: lost, rules: [{endings: [node_fail, preempted, orphaned], max_retries: 5}]}
resource_requirements:
  - {name: small, num_cpus: 1, memory: 100m, runtime: PT1M}
slurm_schedulers:
  - name: narrow
    account: sandbox
    partition: debug
    nodes: NODES
    walltime: "00:30:00"
    mem: 400m
    cpus_per_task: 3  # of four: each has a node of its own
actions:
  - trigger_type: on_workflow_start
    action_type: schedule_nodes
    scheduler: narrow
    num_allocations: ALLOCATIONS
  - {trigger_type: on_jobs_ready, action_type: schedule_nodes, scheduler: narrow, jobs: [after]}
jobs:
  - name: first_{i:02d}
    command: sh -c 'until test -e go; do sleep 0.1; done; sleep 1; echo first_{i:02d} >> did'
    resource_requirements: small
    failure_handler: lost
    parameters: {i: "1:12"}
  - name: after
    command: sh -c 'sleep 1; echo after >> did'
    resource_requirements: small
    failure_handler: lost
    depends_on_regexes: [first_]
"""
JOBS = 13
AT_ONCE = 6


def staged(*, allocations: int = 2, nodes: int = 1) -> str:
    return STAGED.replace("ALLOCATIONS", str(allocations)).replace("NODES", str(nodes))


@pytest.fixture(scope="module")
def fragile(_slurm: None) -> Iterator[RunningCluster]:
    """A cluster to break; each test leaves it whole."""
    partitions = ("debug Nodes=ALL Default=YES PriorityTier=1", "urgent Nodes=ALL PriorityTier=10")
    settings = (("PreemptType", "preempt/partition_prio"), ("PreemptMode", "REQUEUE"))
    with directories() as another:
        yield bring_up(another(), partitions=partitions, settings=settings)


@pytest.fixture
def torc(fragile: RunningCluster, tmp_path: Path) -> Torc:
    return Torc(tmp_path, {**fragile.env, "TORC_SLURM__RATE": "50"})


def did(torc: Torc) -> Counter[str]:
    """How often each job came to its end."""
    path = torc.folder / "did"
    return Counter(path.read_text().split()) if path.exists() else Counter()


def under_way(store: SqlStore) -> None:
    """Until jobs run on both workers; they wait for `go`."""
    eventually(lambda: store.rows(Job, status=JobStatus.RUNNING).total_count == AT_ONCE, 40)


def go(torc: Torc) -> None:
    """Let jobs come to their end, those too that should not be there any more."""
    (torc.folder / "go").touch()


def workers(store: SqlStore) -> list[ComputeNode]:
    return store.rows(ComputeNode, is_active=True).items


def finished(torc: Torc, store: SqlStore, watch: subprocess.Popen[str]) -> None:
    """All jobs ended well, and each of them once."""
    out, err = watch.communicate(timeout=100)
    assert watch.returncode == 0, out + err
    assert store.progress(1).counts == {JobStatus.COMPLETED: JOBS}
    assert set(did(torc).values()) == {1}, did(torc)
    assert len(did(torc)) == JOBS
    assert codes(store)[0] == JOBS


# ── daemons that are away ────────────────────────────────────────────────────


@pytest.mark.parametrize("daemon", ["slurmctld", "slurmdbd", "munge"])
def test_an_outage_in_the_middle_of_a_run_only_delays_it(
    torc: Torc, store: SqlStore, fragile: RunningCluster, daemon: str, watching: Watching
) -> None:
    """The second stage's nodes are asked for meanwhile, and first workers come to their end."""
    torc("submit", torc.write("staged.yaml", staged()))
    watch = watching("1", "-s", *AUTO)
    under_way(store)
    fragile.stop(daemon)
    go(torc)
    time.sleep(OUTAGE_S)  # the outage itself: no clock of Slurm's can be told
    assert watch.poll() is None or store.outlook(1).is_complete
    fragile.start(daemon)
    finished(torc, store, watch)
    assert codes(store) == {0: JOBS}, "nothing has ended falsely, or been tried again"
    one_for_one(store, fragile)


def test_jobs_of_a_failed_node_run_again_elsewhere(
    torc: Torc, store: SqlStore, fragile: RunningCluster, watching: Watching
) -> None:
    torc("submit", torc.write("staged.yaml", staged()))
    watch = watching("1", *AUTO)
    under_way(store)
    worker = workers(store)[0]
    node = worker.hostname
    fragile.stop(node, signal.SIGKILL)
    fragile.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    _lose_power(node, store)
    go(torc)
    try:
        allocation = worker.allocation_id or 0
        eventually(lambda: store.get(Allocation, allocation).final_state)
        pass_by(torc.folder, 60)
        finished(torc, store, watch)
    finally:
        fragile.start(node)
    _lost_only_by(store, "node_fail")
    one_for_one(store, fragile)


def _lose_power(node: str, store: SqlStore) -> None:
    """End all that runs on the node for this store."""
    for pid in _processes(f"SLURMD_NODENAME={node}", f"TORC_STORE_URL={store.url}"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _processes(*marks: str) -> list[int]:
    """Those with these variables in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            variables = path.read_bytes().split(b"\0")
            if all(mark.encode() in variables for mark in marks):
                found.append(int(path.parent.name))
    return found


# ── workers that die ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("which", [slice(0, 1), slice(None)], ids=["one", "all"])
def test_jobs_of_killed_workers_run_again(
    torc: Torc, store: SqlStore, fragile: RunningCluster, which: slice, watching: Watching
) -> None:
    """Their allocations end with them."""
    torc("submit", torc.write("staged.yaml", staged()))
    watch = watching("1", *AUTO)
    under_way(store)
    killed = workers(store)[which]
    for worker in killed:
        os.kill(worker.pid, signal.SIGKILL)
    go(torc)
    for worker in killed:
        number = worker.allocation_id or 0
        eventually(lambda number=number: store.get(Allocation, number).final_state)
    pass_by(torc.folder, 60)
    finished(torc, store, watch)
    _lost_only_by(store, "orphaned")
    one_for_one(store, fragile)


def test_the_other_workers_of_an_allocation_go_on_when_one_is_killed(
    torc: Torc, store: SqlStore, fragile: RunningCluster, watching: Watching
) -> None:
    torc("submit", torc.write("staged.yaml", staged(allocations=1, nodes=2)))
    watch = watching("1", *AUTO)
    under_way(store)
    worker, other = workers(store)
    os.kill(worker.pid, signal.SIGKILL)
    go(torc)
    lose(torc.folder, worker.id)
    finished(torc, store, watch)
    _lost_only_by(store, "orphaned")
    assert store.get(ComputeNode, other.id).allocation_id == worker.allocation_id
    one_for_one(store, fragile)


def test_jobs_of_a_preempted_allocation_run_again_and_slurm_does_not_requeue_it(
    torc: Torc, store: SqlStore, fragile: RunningCluster, watching: Watching
) -> None:
    torc("submit", torc.write("staged.yaml", staged()))
    watch = watching("1", *AUTO)
    under_way(store)
    worker = workers(store)[0]
    urgent = ("-p", "urgent", "--exclusive", "-w", worker.hostname, "--wrap", "sleep 3")
    done = fragile.run("sbatch", "-o", "/dev/null", *urgent)
    assert done.returncode == 0, done.stderr
    number = worker.allocation_id or 0
    eventually(lambda: store.get(Allocation, number).final_state)
    go(torc)
    pass_by(torc.folder, 60)
    finished(torc, store, watch)
    _lost_only_by(store, "preempted")
    assert store.get(Allocation, number).reason == "PREEMPTED"
    assert len(in_slurm(fragile)[store.get(Allocation, number).token]) == 1
    one_for_one(store, fragile)


def _lost_only_by(store: SqlStore, ending: str) -> None:
    """Some attempts were lost, all in this way, and the next one of each was the last."""
    lost = {(name, attempt) for name, attempt, code, how in results(store) if code}
    assert {how for *_, code, how in results(store) if code} == {ending}
    assert {attempt for _, attempt in lost} == {1}
    attempts = Counter(name for name, *_ in results(store))
    assert {name for name, count in attempts.items() if count == 2} == {name for name, _ in lost}
