"""Later runs on a real Slurm: what happened once asks for no nodes, and runs no command, twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cluster import eventually

from slurmtorc.model import Allocation, AllocationStatus, Job, Result

if TYPE_CHECKING:
    from torc import Torc

    from slurmtorc.store.sql import SqlStore

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

GATED = """\
name: gated
resource_requirements:
  - {name: small, num_cpus: 1, memory: 100m, runtime: PT10S}
  - {name: wide, num_cpus: 2, memory: 100m, runtime: PT10S}
slurm_schedulers:
  - {name: one, account: sandbox, walltime: "00:05:00", mem: 1g, cpus_per_task: 1}
  - {name: two, account: sandbox, walltime: "00:05:00", mem: 1g, cpus_per_task: 2}
jobs:
  - {name: gate_job, command: echo gate >> log, resource_requirements: small}
  - name: work_job
    command: echo work >> log; test -e mended
    resource_requirements: wide
    depends_on: [gate_job]
actions:
  - {trigger_type: on_workflow_start, action_type: schedule_nodes, scheduler: one}
  - trigger_type: on_jobs_complete
    action_type: run_commands
    jobs: [gate_job]
    commands: [echo archived >> ../log]
  - trigger_type: on_jobs_complete
    action_type: schedule_nodes
    jobs: [gate_job]
    scheduler: two
"""


@pytest.fixture
def gated(torc: Torc, store: SqlStore) -> Torc:
    """The gate has been passed, with one allocation and one command; the work behind it failed."""
    torc("submit", torc.write("gated.yaml", GATED))
    over(store, allocations=2)
    assert words(store) == {"gate_job": "completed", "work_job": "failed"}
    assert sorted(log(torc)) == ["archived", "gate", "work"]
    (torc.folder / "log").unlink()
    torc.write("mended", "")
    return torc


def words(store: SqlStore) -> dict[str, str]:
    return {job.name: job.status.word for job in store.rows(Job, workflow_id=1).items}


def log(torc: Torc) -> list[str]:
    return (torc.folder / "log").read_text().split()


def over(store: SqlStore, *, allocations: int) -> None:
    """Wait until the jobs are over and so many allocations have come and gone."""

    def quiet() -> bool:
        ended = [one.status for one in store.rows(Allocation, workflow_id=1).items]
        all_gone = ended == [AllocationStatus.COMPLETE] * allocations
        return store.outlook(1).is_complete and all_gone

    eventually(quiet, 110)


def test_a_subset_asks_for_no_second_allocation_and_repeats_no_command(
    gated: Torc, store: SqlStore
) -> None:
    gated("jobs", "reset-status", "2", "--reinit")
    assert store.pending_actions(1) == []
    assert "no schedule_nodes action to execute now" in gated("submit", "1", code=1).err
    gated("slurm", "schedule-nodes", "1", "--scheduler-config-id", "2")
    over(store, allocations=3)
    assert words(store) == {"gate_job": "completed", "work_job": "completed"}
    assert log(gated) == ["work"]
    runs = [(one.job_name, one.run_id) for one in store.rows(Result, workflow_id=1).items]
    assert runs == [("gate_job", 1), ("work_job", 1), ("work_job", 2)]


def test_a_gate_that_runs_again_asks_for_its_allocation_again(gated: Torc, store: SqlStore) -> None:
    gated("jobs", "reset-status", "1", "--reinit")
    assert store.pending_actions(1) == []
    gated("slurm", "schedule-nodes", "1", "--scheduler-config-id", "1")
    over(store, allocations=4)
    assert words(store) == {"gate_job": "completed", "work_job": "completed"}
    assert sorted(log(gated)) == ["archived", "gate", "work"]


# ── torc slurm regenerate ────────────────────────────────────────────────────


@pytest.mark.parametrize("begins", ["reinit", "regenerate"])
def test_a_later_run_of_a_failed_job_is_asked_one_allocation_for(
    gated: Torc, store: SqlStore, begins: str
) -> None:
    gated("jobs", "reset-status", "2", *(["--reinit"] if begins == "reinit" else []))
    again = gated("slurm", "regenerate", "1", "--submit")
    assert ("Run 2 of workflow 1 begins" in again.err) is (begins == "regenerate")
    over(store, allocations=3)
    assert words(store) == {"gate_job": "completed", "work_job": "completed"}
    assert log(gated) == ["work"]
    assert store.outlook(1).present == frozenset()
    assert "Nothing is left to run" in gated("slurm", "regenerate", "1", "--submit").out


def test_what_an_action_will_ask_for_again_is_left_to_it(gated: Torc, store: SqlStore) -> None:
    gated("jobs", "reset-status", "1")
    foreseen = gated("slurm", "regenerate", "1", "--dry-run", "-f", "json").json
    done = gated("slurm", "regenerate", "1", "--submit", "-f", "json").json
    for plan in (foreseen, done):
        assert (plan["pending_jobs"], plan["total_allocations"]) == (2, 1)
        assert plan["jobs_of_armed_actions"] == 1
    over(store, allocations=4)
    assert words(store) == {"gate_job": "completed", "work_job": "completed"}
    assert sorted(log(gated)) == ["archived", "gate", "work"]
