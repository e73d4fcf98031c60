"""The examples that are about allocations, on a real Slurm."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from torc import Torc

from slurmtorc.model import ActionRun, Allocation, Job, SlurmScheduler

if TYPE_CHECKING:
    from cluster import RunningCluster

    from slurmtorc.store.sql import SqlStore

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def torc(cluster: RunningCluster, tmp_path: Path) -> Torc:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    return Torc(tmp_path, cluster.env)


def test_nodes_for_the_training_come_when_it_can_begin(torc: Torc, store: SqlStore) -> None:
    torc("submit", "examples/workflow_actions_ml_training.yaml")
    torc("watch", "1", "--poll-interval", "2")
    names = {scheduler.id: scheduler.name for scheduler in store.rows(SlurmScheduler).items}
    asked = store.rows(Allocation, workflow_id=1).items
    assert sorted(names[each.scheduler_config_id or 0] for each in asked) == [
        "cpu",
        "training_nodes",
        "training_nodes",
    ]
    prepared = next(job for job in store.rows(Job).items if job.name == "prepare")
    (first, *others) = sorted(asked, key=lambda each: each.created_at)
    (done,) = [
        e
        for e in store.events(1)
        if e.data.get("job_id") == prepared.id and e.type == "job_completed"
    ]
    assert first.created_at < done.timestamp <= min(each.created_at for each in others)
    assert [run.return_code for run in store.rows(ActionRun).items] == [0] * 4
    assert (torc.folder / "torc_output/published/models.tar.gz").exists()
    assert "| 8 |" in (torc.folder / "torc_output/published/models.md").read_text()


def test_each_worker_prepares_its_node(torc: Torc, store: SqlStore) -> None:
    torc("submit-slurm", "--account", "sandbox", "examples/worker_actions.yaml")
    torc("watch", "1", "--poll-interval", "2")
    runs = [run for run in store.rows(ActionRun).items if run.compute_node_id is not None]
    workers = {run.compute_node_id for run in runs}
    assert len(runs) == 2 * len(workers)
    assert all(run.return_code == 0 for run in runs)
    assert not list(Path("/tmp").glob("torc_example_*_1"))
