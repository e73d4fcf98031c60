"""What every ledger must do: the account of allocations and their steps, from a real Slurm."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from cluster import eventually

from slurmtorc.clock import SystemClock
from slurmtorc.model import SlurmState
from slurmtorc.settings import Settings
from slurmtorc.slurm.cli import SlurmCli

if TYPE_CHECKING:
    from cluster import RunningCluster

    from slurmtorc.model import UsageEntry
    from slurmtorc.ports import Ledger

pytestmark = pytest.mark.slurm

UNKNOWN = 4_000_000


@pytest.fixture
def ledger(cluster: RunningCluster) -> Ledger:
    return SlurmCli(Settings(slurm_rate=1000.0), SystemClock(), environ=cluster.env)


def test_ended_allocations_come_with_their_steps_and_others_are_absent(
    ledger: Ledger, cluster: RunningCluster
) -> None:
    began = time.time()
    sbatch = ("sbatch", "--parsable", "-A", cluster.account, "-o", "/dev/null", "--wrap")
    ids = [int(cluster.run(*sbatch, command).stdout) for command in ("srun true", "exit 3")]

    def rows() -> list[UsageEntry]:
        return ledger.usage([*ids, UNKNOWN], began)

    eventually(lambda: [r.state.final for r in rows() if not r.step] == [True, True], 60)
    found = rows()
    assert [(row.slurm_job_id, row.step) for row in found] == [
        (ids[0], ""), (ids[0], "batch"), (ids[0], "0"), (ids[1], ""), (ids[1], "batch"),
    ]  # fmt: skip
    whole = {row.slurm_job_id: row for row in found if not row.step}
    assert whole[ids[0]].state is SlurmState.COMPLETED
    assert (whole[ids[1]].state, whole[ids[1]].exit_code) == (SlurmState.FAILED, "3:0")
    assert whole[ids[0]].num_nodes == 1
    assert whole[ids[0]].cpus >= 1
    assert ledger.usage([UNKNOWN], began) == []
