"""Jobs as steps of their allocation, and what the ends of steps and allocations come to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cluster import eventually

from slurmtorc.model import Allocation, ComputeNode, Job, JobStatus, Result, SlurmStats

if TYPE_CHECKING:
    from cluster import RunningCluster
    from torc import Torc

    from slurmtorc.store.sql import SqlStore

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

STEPS = """\
name: steps
execution_config: {{mode: {mode}{more}}}
resource_requirements:
  - {{name: small, num_cpus: 1, memory: 100m, runtime: PT1M}}
  - {{name: wide, num_cpus: 2, memory: 100m, runtime: PT1M, num_nodes: 2}}
slurm_schedulers:
  - {{name: all, account: sandbox, nodes: 3, walltime: "00:10:00", mem: 1g, cpus_per_task: 2}}
actions:
  - {{trigger_type: on_workflow_start, action_type: schedule_nodes, scheduler: all}}
jobs:
{jobs}
"""


def spec(*jobs: str, mode: str = "slurm", more: str = "") -> str:
    listed = "\n".join(f"  - {job}" for job in jobs)
    return STEPS.format(mode=mode, more=more, jobs=listed)


def came_to(store: SqlStore) -> dict[str, tuple[int, str, str]]:
    """Job -> return code, status, ending of its last attempt."""
    rows = sorted(store.rows(Result).items, key=lambda one: one.attempt_id)
    return {one.job_name: (one.return_code, one.status.word, one.ending.value) for one in rows}


def wait_for(store: SqlStore, status: JobStatus, count: int = 1, seconds: float = 30) -> None:
    eventually(lambda: store.rows(Job, status=status).total_count >= count, seconds)


def over(store: SqlStore, seconds: float = 30) -> None:
    """Until the workers have gone."""
    eventually(lambda: store.rows(ComputeNode, is_active=True).total_count == 0, seconds)


def slurm_id(store: SqlStore) -> int:
    (allocation,) = store.rows(Allocation).items
    assert allocation.scheduler_id is not None
    return allocation.scheduler_id


@pytest.mark.parametrize("mode", ["slurm", "auto"])
def test_jobs_run_as_steps_on_all_nodes_of_one_allocation(
    torc: Torc, store: SqlStore, cluster: RunningCluster, mode: str
) -> None:
    """Six at a time and no more: two CPUs on each of three nodes, held by Slurm itself."""
    alone = "{name: 'n{i}', command: \"sh -c 'echo $SLURMD_NODENAME > h_{i}; sleep 0.5'\","
    torc.write(
        "steps.yaml",
        spec(
            alone + " resource_requirements: small, parameters: {i: '1:12'}}",
            "{name: wide, command: \"sh -c 'echo $SLURM_STEP_NUM_NODES $SLURM_STEP_NODELIST"
            " $SLURMD_NODENAME >> wide'\","
            " resource_requirements: wide}",
            "{name: any, command: 'sleep 0.1'}",
            "{name: bad, command: 'exit 7', resource_requirements: small}",
            "{name: fault, command: 'kill -SEGV $$', resource_requirements: small}",
            mode=mode,
        ),
    )
    torc("submit", "steps.yaml")
    wait_for(store, JobStatus.COMPLETED, 14)
    over(store)
    ends = came_to(store)
    assert ends.pop("bad") == (7, "failed", "exit")
    assert ends.pop("fault") == (139, "failed", "exit")
    assert set(ends.values()) == {(0, "completed", "exit")}
    hosts = {path.read_text().strip() for path in torc.folder.glob("h_*")}
    assert hosts == set(cluster.nodes)
    lines = (torc.folder / "wide").read_text().split()
    assert len(lines) == 6, "one task on each of the two nodes"
    assert lines[0] == "2"
    (worker,) = store.rows(ComputeNode).items
    assert worker.num_nodes == 3
    stats = store.rows(SlurmStats).items
    assert len(stats) == 16
    assert {one.step for one in stats} <= {str(number) for number in range(20)}
    assert store.rows(Allocation).items[0].status.value == "complete"


def test_the_end_of_a_step_is_what_accounting_says(
    torc: Torc, store: SqlStore, cluster: RunningCluster
) -> None:
    """scancel of a step is 143; of its neighbour nothing is said."""
    torc.write(
        "steps.yaml",
        spec(
            "{name: victim, command: sleep 300, resource_requirements: small}",
            "{name: other, command: sleep 3, resource_requirements: small}",
        ),
    )
    torc("submit", "steps.yaml")
    wait_for(store, JobStatus.RUNNING, 2)
    number, name = slurm_id(store), "wf1_j1_r1_a1"
    found: list[str] = []

    def there() -> bool:
        text = cluster.run("squeue", "-h", "-s", "-j", str(number), "-o", "%i|%j").stdout
        found[:] = re.findall(rf"^(\S+)\|{name}$", text, re.MULTILINE)
        return bool(found)

    eventually(there)
    cluster.run("scancel", found[0])
    over(store)
    assert came_to(store) == {
        "victim": (143, "terminated", "canceled"),
        "other": (0, "completed", "exit"),
    }


@pytest.mark.parametrize("mode", ["direct", "slurm"])
def test_a_scancelled_allocation_ends_its_jobs_with_143(
    torc: Torc, store: SqlStore, cluster: RunningCluster, mode: str
) -> None:
    """Except those that used their last seconds to end well."""
    torc.write(
        "w.yaml",
        spec(
            "{name: kind, command: \"trap 'exit 0' TERM; touch kind; sleep 300 & wait\"}",
            "{name: deaf, command: \"trap '' TERM; touch deaf; sleep 300 & wait; wait\"}",
            "{name: 'j{i}', command: 'touch j{i}; exec sleep 300', parameters: {i: '1:4'}}",
            mode=mode,
        ),
    )
    torc("submit", "w.yaml")
    names = {"kind", "deaf", "j1", "j2", "j3", "j4"}
    eventually(lambda: names <= {path.name for path in torc.folder.iterdir()})
    cluster.run("scancel", str(slurm_id(store)))
    over(store)
    ends = came_to(store)
    assert ends.pop("kind") == (0, "completed", "exit")
    assert ends == dict.fromkeys(names - {"kind"}, (143, "terminated", "canceled"))


@pytest.mark.parametrize("mode", ["direct", "slurm"])
def test_an_allocation_at_its_walltime_ends_its_jobs_with_152(
    torc: Torc, store: SqlStore, cluster: RunningCluster, mode: str
) -> None:
    """Nobody told the worker that the end would come so soon."""
    torc.write(
        "w.yaml", spec("{name: 'j{i}', command: sleep 300, parameters: {i: '1:5'}}", mode=mode)
    )
    torc("submit", "w.yaml")
    wait_for(store, JobStatus.RUNNING, 3)
    number = slurm_id(store)
    done = cluster.run("scontrol", "update", f"JobId={number}", "EndTime=now+1")
    assert done.returncode == 0, done.stderr
    over(store, 60)
    ends = came_to(store)
    assert len(ends) >= 3
    assert set(ends.values()) == {(152, "terminated", "timeout")}
    (allocation,) = store.rows(Allocation).items
    assert allocation.final_state is not None
    assert allocation.final_state.value == "TIMEOUT"


def test_the_example_of_steps_runs(torc: Torc, store: SqlStore) -> None:
    example = Path(__file__).parent.parent.parent / "examples" / "steps.yaml"
    torc.write("steps.yaml", example.read_text())
    torc("submit-slurm", "-a", "sandbox", "steps.yaml")
    eventually(lambda: store.progress(1).counts.get(JobStatus.COMPLETED) == 5, 60)
    assert sorted(path.name for path in torc.folder.glob("part_*.txt")) == [
        f"part_{i}.txt" for i in range(1, 5)
    ]
    nodes = {line.split()[-1] for line in (torc.folder / "wide.txt").read_text().splitlines()}
    assert len(nodes) == 2
