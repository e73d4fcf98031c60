"""Watches that are killed: allocations in Slurm stay one for one what the store intends."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from factories import a_draft, a_job, a_need, a_scheduler
from torc import Torc
from watched import AUTO, in_slurm, one_for_one, pass_by

from slurmtorc.model import Allocation, JobStatus
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from cluster import RunningCluster

Watching: TypeAlias = "Callable[..., subprocess.Popen[str]]"

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

CRASHING = Path(__file__).parent.parent / "crashing"
KILLS = int(os.environ.get("TORC_TEST_KILLS", "20"))
"""How often a watch is killed at any moment; more of them by hand."""
ONCE = ("--auto-schedule", "--once")
LONGEST_S = 1.6
"""A watch has asked for nodes by then, and looked at the queue again."""


@pytest.fixture
def torc(cluster: RunningCluster, tmp_path: Path) -> Torc:
    path = os.pathsep.join([str(CRASHING), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return Torc(tmp_path, {**cluster.env, "TORC_SLURM__RATE": "50", "PYTHONPATH": path})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    (tmp_path / "torc_output").mkdir()
    opened = SqlStore(f"sqlite:///{tmp_path}/torc_output/torc.db", create=True)
    yield opened
    opened.close()


def begun(torc: Torc, store: SqlStore, *, held: bool) -> int:
    """A workflow of one job that notes that it ran, and that nobody has asked nodes for.

    An allocation that is held cannot tell by its worker that it is there.
    """
    hold = "--hold" if held else None
    scheduler = a_scheduler(cpus_per_task=1, mem="200m", walltime="00:10:00", extra=hold)
    draft = a_draft(
        a_job("only", requirement=0, scheduler=0, command="sh -c 'echo $TORC_WORKFLOW_ID >> did'"),
        requirements=[a_need(num_cpus=1, memory="50m", runtime="PT1M")],
        schedulers=[scheduler],
    )
    draft.workflow = replace(draft.workflow, submission_directory=str(torc.folder))
    number = store.create(draft)
    store.initialize(number)
    return number


def completed(torc: Torc, store: SqlStore, cluster: RunningCluster) -> None:
    """After a while another watch goes on, and nothing was lost or doubled."""
    pass_by(torc.folder, 1000)
    torc("watch", "--all", *ONCE)
    waiting = [number for numbers in in_slurm(cluster).values() for number in numbers]
    cluster.run("scontrol", "release", ",".join(map(str, waiting)))
    done = torc("watch", "--all", *AUTO, code=None)
    assert done.code == 0, done.out + done.err
    allocations = store.rows(Allocation).items
    workflows = sorted(one.workflow_id for one in allocations)
    assert workflows == list(range(1, len(workflows) + 1)), "one allocation for each"
    for number in workflows:
        assert store.progress(number).counts == {JobStatus.COMPLETED: 1}, number
    assert sorted(map(int, (torc.folder / "did").read_text().split())) == workflows
    one_for_one(store, cluster)


def test_a_watch_killed_at_any_step_between_intent_and_record_loses_and_doubles_nothing(
    torc: Torc, store: SqlStore, cluster: RunningCluster
) -> None:
    steps = torc.folder / "steps"
    torc("watch", str(begun(torc, store, held=True)), *ONCE)  # does what is done once a day
    torc.env["TORC_TEST_STEPS"] = str(steps)
    torc("watch", str(begun(torc, store, held=True)), *ONCE)
    told = steps.read_text().splitlines()
    asked = told.index("before sbatch")
    assert told[asked - 2 : asked + 4] == [
        "before a commit", "after a commit",
        "before sbatch", "after the start of sbatch",
        "before a commit", "after a commit",
    ]  # fmt: skip
    for number in range(1, len(told) + 1):
        torc.env["TORC_TEST_DIE_AT"] = str(number)
        torc("watch", str(begun(torc, store, held=True)), *ONCE, code=-signal.SIGKILL)
    del torc.env["TORC_TEST_DIE_AT"]
    completed(torc, store, cluster)


def test_watches_killed_at_any_moment_lose_and_double_nothing(
    torc: Torc, store: SqlStore, cluster: RunningCluster, watching: Watching
) -> None:
    moments = random.Random(1)
    for number in range(KILLS):
        begun(torc, store, held=bool(number % 2))
        watch = watching("--all", *AUTO)
        time.sleep(moments.uniform(0.2, LONGEST_S))  # a real process, killed at a real moment
        watch.kill()
        watch.communicate()
    completed(torc, store, cluster)
