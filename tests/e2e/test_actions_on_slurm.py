"""Who asks for nodes on a real Slurm, and what a worker of several nodes' allocation does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cluster import age_intents, eventually

from slurmtorc.model import ActionRun, Allocation, AllocationStatus, ComputeNode, Result

if TYPE_CHECKING:
    from torc import Torc

    from slurmtorc.store.sql import SqlStore

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

STAGES = """\
name: stages
{defaults}
resource_requirements:
  - {{name: small, num_cpus: 1, memory: 100m, runtime: PT10S}}
  - {{name: wide, num_cpus: 2, memory: 100m, runtime: PT10S}}
slurm_schedulers:
  - {{name: one, account: sandbox, walltime: "00:05:00", mem: 1g, cpus_per_task: 1}}
  - {{name: two, account: sandbox, walltime: "00:05:00", mem: 1g, cpus_per_task: 2}}
jobs:
  - {{name: first, command: "true", resource_requirements: small}}
  - {{name: second, command: "true", resource_requirements: wide, depends_on: [first]}}
actions:
  - {{trigger_type: on_workflow_start, action_type: schedule_nodes, scheduler: one}}
  - {{trigger_type: on_jobs_ready, action_type: schedule_nodes, scheduler: two, jobs: [second]}}
"""

PER_NODE = """\
name: per_node
slurm_schedulers:
  - {name: both, account: sandbox, nodes: 2, walltime: "00:05:00", mem: 1g, cpus_per_task: 4}
jobs:
  - name: work_{i}
    command: sleep 1
    parameters: {i: "1:8"}
actions:
  - trigger_type: on_workflow_start
    action_type: schedule_nodes
    scheduler: both
    start_one_worker_per_node: true
    max_parallel_jobs: 2
"""


UNSAID = """\
name: unsaid
resource_requirements:
  - {name: need, num_cpus: 1, memory: 200m, runtime: PT10S}
slurm_schedulers:
  - {name: cpu, account: sandbox, walltime: "00:05:00"}
jobs:
  - {name: prepare, command: "true", resource_requirements: need}
  - {name: work, command: "true", resource_requirements: need, depends_on: [prepare]}
actions:
  - {trigger_type: on_workflow_start, action_type: schedule_nodes, scheduler: cpu}
  - {trigger_type: on_jobs_ready, action_type: schedule_nodes, scheduler: cpu, jobs: [work]}
"""


DENIED = """\
#!/bin/sh
echo "sbatch: error: Batch job submission failed: Access/permission denied" >&2
exit 1
"""


def programs(folder: Path, path: str) -> Path:
    """A folder with every program there is, but sbatch: all that a node's PATH names."""
    folder.mkdir()
    for directory in path.split(os.pathsep):
        for program in Path(directory).glob("*"):
            if program.name != "sbatch" and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return folder


def askers(store: SqlStore) -> list[bool]:
    """Of each execution of an action, whether a worker did it."""
    runs = store.rows(ActionRun, workflow_id=1).items
    return [run.compute_node_id is not None for run in runs]


def test_a_worker_asks_for_the_nodes_of_the_next_stage(torc: Torc, store: SqlStore) -> None:
    torc("submit", torc.write("stages.yaml", STAGES.format(defaults="")))
    eventually(lambda: store.outlook(1).is_complete, 100)
    assert askers(store) == [False, True]
    assert store.rows(Allocation, workflow_id=1).total_count == 2


def test_where_nodes_have_no_sbatch_the_watch_asks(torc: Torc, store: SqlStore) -> None:
    path = programs(torc.folder / "programs", torc.env["PATH"])
    defaults = f'slurm_defaults: {{export: "ALL,PATH={path}"}}'
    torc("submit", torc.write("stages.yaml", STAGES.format(defaults=defaults)))
    eventually(lambda: store.pending_actions(1), 60)
    eventually(lambda: not store.rows(ComputeNode, is_active=True).items, 60)
    assert askers(store) == [False]
    torc("watch", "1", "-p", "1")
    assert askers(store) == [False, False]
    assert store.rows(Allocation, workflow_id=1).total_count == 2


def test_where_nodes_may_not_submit_the_watch_asks(torc: Torc, store: SqlStore) -> None:
    path = programs(torc.folder / "programs", torc.env["PATH"])
    (path / "sbatch").write_text(DENIED)
    (path / "sbatch").chmod(0o755)
    defaults = f'slurm_defaults: {{export: "ALL,PATH={path}"}}'
    torc("submit", torc.write("stages.yaml", STAGES.format(defaults=defaults)))
    intended = {"status": AllocationStatus.INTENDED}
    eventually(lambda: store.rows(Allocation, **intended).items, 60)
    eventually(lambda: not store.rows(ComputeNode, is_active=True).items, 60)
    age_intents(torc.folder, 1000)
    torc("watch", "1", "-p", "1")
    asked = store.rows(Allocation, workflow_id=1).items
    assert [one.scheduler_id is not None for one in asked] == [True, True]


def test_each_node_of_an_allocation_has_a_worker_that_runs_so_many_jobs_at_a_time(
    torc: Torc, store: SqlStore
) -> None:
    torc("submit", torc.write("per_node.yaml", PER_NODE))
    torc("watch", "1", "-p", "1")
    workers = store.rows(ComputeNode, workflow_id=1).items
    assert len({worker.hostname for worker in workers}) == len(workers) == 2
    assert store.rows(Allocation, workflow_id=1).total_count == 1
    results = store.rows(Result, workflow_id=1).items
    assert [one.return_code for one in results] == [0] * 8
    for worker in workers:
        mine = [one for one in results if one.compute_node_id == worker.id]
        assert mine, "both have worked"
        assert most_at_once(mine) <= 2


def most_at_once(results: list[Result]) -> int:
    """How many of these attempts ran at the same moment at most."""
    moments = [(one.start_time or 0.0, 1) for one in results]
    moments += [(one.completion_time, -1) for one in results]
    running = highest = 0
    for _, change in sorted(moments):
        running += change
        highest = max(highest, running)
    return highest


def test_a_scheduler_without_memory_is_warned_of_explained_and_replaced_once(
    torc: Torc, store: SqlStore
) -> None:
    submitted = torc("submit", torc.write("unsaid.yaml", UNSAID))
    assert "scheduler 'cpu' names no mem, and 'sandbox' then gives 100 MiB" in submitted.err
    stopped = torc("watch", "1", "-p", "1", code=3)
    assert "1 CPU, 100 MiB) was too small for 'prepare'" in stopped.err
    assert "write mem: 456M in scheduler 'cpu'" in stopped.err
    for job in ((), ("prepare",)):
        told = torc("explain", "1", *job).out
        assert "was too small: 200 MiB of memory of 100 MiB" in told
        assert "action 2 (on_jobs_ready) is no help" in told
    torc("watch", "1", "-p", "1", "--auto-schedule")
    assert store.rows(Allocation, workflow_id=1, scheduler_config_id=1).total_count == 1
