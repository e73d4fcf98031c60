"""A workflow on a real Slurm cluster of three nodes, from the command line to the last result."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from cluster import age_intents, eventually
from torc import Torc

from slurmtorc.model import Allocation, AllocationStatus, Job, JobStatus, Result, Workflow
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cluster import RunningCluster

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

SWEEP = """\
name: sweep
resource_requirements:
  - {name: small, num_cpus: 1, memory: 100m, runtime: PT1M}
jobs:
  - name: work_{i:02d}
    command: sh -c 'hostname > host_{i}.txt; sleep 0.5'
    resource_requirements: small
    output_files: ["out_{i}"]
    parameters: {i: "1:24"}
  - name: report
    command: sort host_*.txt | uniq -c
    resource_requirements: small
    input_file_regexes: ["out_"]
files:
  - {name: "out_{i}", path: "host_{i}.txt", parameters: {i: "1:24"}}
"""

STAGED = """\
name: staged
slurm_schedulers:
  - {name: wide, account: sandbox, nodes: 2, walltime: "00:10:00", mem: 1g, cpus_per_task: 2}
  - {name: narrow, account: sandbox, walltime: "00:10:00", mem: 500m, cpus_per_task: 1}
actions:
  - {trigger_type: on_workflow_start, action_type: schedule_nodes, scheduler: wide}
  - {trigger_type: on_jobs_ready, action_type: schedule_nodes, scheduler: narrow, jobs: [after]}
jobs:
  - name: first_{i}
    command: sleep 1
    parameters: {i: "1:8"}
  - {name: after, command: sleep 3, depends_on_regexes: [first_]}
"""


def queue(cluster: RunningCluster, workflow: int = 1) -> list[str]:
    """Slurm's ids of the waiting and running jobs in this folder's workflow."""
    text = cluster.run("squeue", "-h", "-o", "%i %j").stdout
    return re.findall(rf"^(\d+) wf{workflow}_", text, re.MULTILINE)


def statuses(store: SqlStore, workflow: int = 1) -> dict[str, str]:
    allocations = store.rows(Allocation, workflow_id=workflow).items
    return {str(one.scheduler_id): one.status.value for one in allocations}


# ── to the end ───────────────────────────────────────────────────────────────


def test_a_workflow_is_planned_submitted_and_watched_to_its_end(
    torc: Torc, store: SqlStore, cluster: RunningCluster
) -> None:
    file = torc.write("sweep.yaml", SWEEP)
    done = torc("submit-slurm", "--account", cluster.account, file)
    assert "Created workflow 1 (sweep)" in done.out
    watched = torc("watch", "1", "-p", "1")
    assert re.search(r"completed\W+25", watched.out)
    assert "all 25 jobs are completed" in watched.err
    results = torc("results", "list", "1", "-f", "json").json["items"]
    assert Counter(result["return_code"] for result in results) == {0: 25}
    hosts = Counter(path.read_text().strip() for path in torc.folder.glob("host_*.txt"))
    assert sum(hosts.values()) == 24
    table = torc("results", "list", "1").out
    used = {node for node in cluster.nodes if re.search(rf"\b{node}\b", table)}
    assert len(used) >= 2, "the work was spread over nodes"
    eventually(lambda: not queue(cluster), 20)
    assert set(statuses(store).values()) == {"complete"}
    logs = torc.folder / "torc_output"
    assert len(list(logs.glob("job_runner_slurm_wf1_sl*_n0_pid*.log"))) >= 3
    assert (logs / next(iter(logs.glob("watch_*_wf1.log"))).name).read_text()


def test_a_dry_run_prints_plan_and_scripts_and_touches_nothing(
    torc: Torc, cluster: RunningCluster
) -> None:
    torc.write("sweep.yaml", SWEEP)
    before = sorted(path.name for path in torc.folder.iterdir())
    next_job_id = _next_job_id(cluster)
    done = torc("submit-slurm", "-a", "any", "sweep.yaml", "--dry-run")
    assert "small_scheduler" in done.out
    assert "small_level1_scheduler" in done.out
    assert done.out.count("#!/bin/bash") == 2
    assert "#SBATCH --account=any" in done.out
    report = torc("submit-slurm", "-a", "any", "sweep.yaml", "--dry-run", "-f", "json").json
    assert [row["jobs"] for row in report["plan"]] == [24, 1]
    assert len(report["scripts"]) == 2
    assert sorted(path.name for path in torc.folder.iterdir()) == before
    assert _next_job_id(cluster) == next_job_id


def _next_job_id(cluster: RunningCluster) -> str:
    """The controller's own count: accounting would tell of earlier jobs only later."""
    config = cluster.run("scontrol", "show", "config").stdout
    (line,) = [line for line in config.splitlines() if line.startswith("NEXT_JOB_ID")]
    return line


def test_a_workflow_with_its_own_schedulers_and_actions(
    torc: Torc, store: SqlStore, cluster: RunningCluster
) -> None:
    torc("submit", torc.write("staged.yaml", STAGED))
    torc("watch", "1", "-p", "1")
    assert store.progress(1).counts == {JobStatus.COMPLETED: 9}
    allocations = store.rows(Allocation, workflow_id=1).items
    assert [one.nodes for one in allocations] == [2, 1]
    table = torc("results", "list", "1").out
    assert len({node for node in cluster.nodes if re.search(rf"\b{node}\b", table)}) >= 2
    eventually(lambda: not queue(cluster), 20)


def test_gpus_are_given_to_jobs_one_each(
    own_cluster: Callable[..., RunningCluster], tmp_path: Path
) -> None:
    cluster = own_cluster(nodes=1, cpus=4, gpus=2)
    torc = Torc(tmp_path, cluster.env)
    torc.write(
        "gpu.yaml",
        """\
name: gpu
resource_requirements:
  - {name: gpu, num_cpus: 1, num_gpus: 1, memory: 100m, runtime: PT1M}
jobs:
  - name: train_{i}
    command: sh -c 'echo $CUDA_VISIBLE_DEVICES > gpu_{i}.txt; sleep 1'
    resource_requirements: gpu
    parameters: {i: "1:2"}
""",
    )
    torc("submit-slurm", "-a", cluster.account, "gpu.yaml")
    torc("watch", "1", "-p", "1")
    seen = sorted(path.read_text().strip() for path in tmp_path.glob("gpu_*.txt"))
    assert seen == ["0", "1"]


@pytest.mark.postgres
def test_the_store_may_be_postgres(
    torc: Torc, cluster: RunningCluster, fresh_postgres: str
) -> None:
    torc.env["TORC_STORE_URL"] = fresh_postgres
    torc("submit-slurm", "-a", cluster.account, torc.write("sweep.yaml", SWEEP))
    torc("watch", "1", "-p", "1")
    store = SqlStore(fresh_postgres)
    assert store.progress(1).counts == {JobStatus.COMPLETED: 25}
    assert store.rows(Result, workflow_id=1).total_count == 25
    store.close()
    assert not (torc.folder / "torc_output/torc.db").exists()


# ── what Slurm refuses ───────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-a", "nosuch"), "account"),
        (("-a", "sandbox", "-p", "nosuch"), "partition"),
        (("-a", "two\nlines"), "line breaks"),
    ],
)
def test_what_is_refused_is_one_clear_line_and_leaves_nothing(
    torc: Torc, cluster: RunningCluster, options: tuple[str, ...], said: str
) -> None:
    done = torc("submit-slurm", *options, torc.write("sweep.yaml", SWEEP), code=1)
    assert said in done.one_line() + done.err
    left = torc("workflows", "list", "--all-users", "-f", "json", code=None)
    assert left.code == 1 or left.json["items"] == []
    assert not queue(cluster)


def test_a_time_that_no_partition_gives_is_said_by_the_plan(torc: Torc) -> None:
    spec = SWEEP.replace("PT1M", "P3D")
    done = torc("submit-slurm", "-a", "sandbox", torc.write("long.yaml", spec), code=1)
    assert "fit on no partition" in done.err
    assert "3 d 00:00" in done.err
    assert not (torc.folder / "torc_output").exists()


def test_a_job_that_fits_on_no_node_is_said_by_the_plan(torc: Torc) -> None:
    spec = SWEEP.replace("100m", "900g")
    done = torc("submit-slurm", "-a", "sandbox", torc.write("big.yaml", spec), code=1)
    assert "900 GiB of memory of" in done.err
    assert not (torc.folder / "torc_output").exists()


def test_a_time_that_slurm_refuses_leaves_nothing(torc: Torc, cluster: RunningCluster) -> None:
    spec = STAGED.replace('"00:10:00"', '"5-00:00:00"')
    done = torc("submit", torc.write("staged.yaml", spec), code=1)
    assert "time" in done.one_line()
    assert "nothing was created" in done.one_line()
    assert torc("workflows", "list", "-f", "json").json["items"] == []
    assert not queue(cluster)


def test_submit_without_actions_says_what_to_use(torc: Torc) -> None:
    done = torc("submit", torc.write("sweep.yaml", SWEEP), code=1)
    assert "torc submit-slurm" in done.one_line()
    assert not (torc.folder / "torc_output").exists()


def test_submit_slurm_of_a_planned_file_says_what_to_use(torc: Torc) -> None:
    done = torc("submit-slurm", "-a", "sandbox", torc.write("s.yaml", STAGED), code=1)
    assert "--overwrite" in done.err
    torc("submit-slurm", "-a", "sandbox", "s.yaml", "--overwrite", "--dry-run")


def test_an_account_is_needed(torc: Torc) -> None:
    done = torc("submit-slurm", torc.write("sweep.yaml", SWEEP), code=2)
    assert "--account" in done.one_line()


# ── cancel ───────────────────────────────────────────────────────────────────


def test_cancel_ends_jobs_and_allocations(
    torc: Torc, store: SqlStore, cluster: RunningCluster
) -> None:
    spec = SWEEP.replace("sleep 0.5", "sleep 300")
    torc("submit-slurm", "-a", cluster.account, torc.write("sweep.yaml", spec))
    eventually(lambda: store.rows(Job, status=JobStatus.RUNNING).total_count >= 4, 30)
    report = torc("cancel", "1", "-f", "json").json
    assert report["status"] == "success"
    assert len(report["canceled_slurm_jobs"]) == 3
    eventually(lambda: not queue(cluster), 30)
    counts = store.progress(1).counts
    assert counts[JobStatus.CANCELED] >= 4
    assert JobStatus.RUNNING not in counts
    assert set(statuses(store).values()) == {"complete"}
    assert torc("watch", "1", code=4)
    torc("workflows", "delete", "1", "--no-prompts", code=None)


# ── intents ──────────────────────────────────────────────────────────────────

KILLER = """\
#!/bin/sh
# sbatch that ends whoever calls it: before Slurm hears of the job, or right after.
if [ -e "{folder}/armed" ]; then
    rm "{folder}/armed"
    {after} PATH="{path}" sbatch "$@" > "{folder}/answer"
    kill -9 $PPID
    exit 1
fi
PATH="{path}" exec sbatch "$@"
"""


@pytest.mark.parametrize("after", [True, False], ids=["after", "before"])
def test_a_crash_around_sbatch_neither_loses_nor_doubles_an_allocation(
    torc: Torc, store: SqlStore, cluster: RunningCluster, tmp_path: Path, after: bool
) -> None:
    spec = STAGED.replace("first_{i}\n    command: sleep 1", "first_{i}\n    command: 'true'")
    torc.write("staged.yaml", spec)
    tools = tmp_path / "tools"
    tools.mkdir()
    path = torc.env["PATH"]
    script = KILLER.format(folder=tmp_path, path=path, after="" if after else ": #")
    (tools / "sbatch").write_text(script)
    (tools / "sbatch").chmod(0o755)
    (tmp_path / "armed").touch()
    torc.env["PATH"] = f"{tools}:{path}"
    torc("submit", "staged.yaml", code=-9)
    (intent,) = store.rows(Allocation, workflow_id=1).items
    assert (intent.status, intent.scheduler_id) == (AllocationStatus.INTENDED, None)
    age_intents(tmp_path, 1000)
    torc("watch", "1", "-p", "1")
    assert store.progress(1).counts == {JobStatus.COMPLETED: 9}
    for allocation in store.rows(Allocation, workflow_id=1).items:
        assert allocation.status is AllocationStatus.COMPLETE
        assert allocation.scheduler_id is not None
        eventually(lambda one=allocation: _known(cluster, one) == [one.scheduler_id], 20)
    assert store.get(Allocation, intent.id).scheduler_id is not None


def _known(cluster: RunningCluster, allocation: Allocation) -> list[int]:
    """Slurm's ids of the jobs that bear the allocation's token, by its accounting."""
    text = cluster.run("sacct", "-n", "-X", "-P", "-a", "-o", "JobID,JobName").stdout
    found = re.findall(rf"^(\d+)\|\w+_{allocation.token}$", text, re.MULTILINE)
    return [int(number) for number in found]


def test_a_worker_whose_allocation_is_closed_ends_at_once(torc: Torc, store: SqlStore) -> None:
    torc("create", torc.write("sweep.yaml", SWEEP))
    (intent,) = store.intend([Allocation(workflow_id=1, token="t", output_dir=str(torc.folder))])
    store.closed(intent.id, "canceled")
    done = torc("worker", str(intent.id), code=1)
    assert "closed (canceled)" in done.one_line()
    assert store.get(Workflow, 1).run_id == 0


# ── Slurm is down ────────────────────────────────────────────────────────────


def test_a_controller_that_is_down_is_one_clear_line(
    own_cluster: Callable[..., RunningCluster], tmp_path: Path
) -> None:
    cluster = own_cluster(nodes=1)
    torc = Torc(tmp_path, cluster.env)
    torc.write("sweep.yaml", SWEEP)
    cluster.stop("slurmctld")
    assert (
        "does not answer" in torc("submit-slurm", "-a", "sandbox", "sweep.yaml", code=1).one_line()
    )
    assert not (tmp_path / "torc_output").exists()
    cluster.start("slurmctld")
    torc("submit-slurm", "-a", "sandbox", "sweep.yaml")
    torc("watch", "1", "-p", "1")


def test_without_slurm_it_says_so(torc: Torc, tmp_path: Path) -> None:
    torc.env["PATH"] = str(tmp_path)
    done = torc("submit-slurm", "-a", "x", torc.write("sweep.yaml", SWEEP), code=1)
    assert "PATH" in done.one_line()
