"""What allocations cost, by whom it is said, and what jobs had of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import a_node, an_allocation

from slurmtorc.model import SlurmState, UsageEntry
from slurmtorc.rules.usage import Job, Source, held, share, used

NOW = 1000.0
ALLOCATION = an_allocation(1, id=3, scheduler_id=12)


def entry(**values: Any) -> UsageEntry:
    given = {
        "slurm_job_id": 12, "name": "wf1_x", "state": SlurmState.COMPLETED, "elapsed_s": 60,
        "nodes": "n[1-2]", "num_nodes": 2, "cpus": 8, "cpu_time_s": 480, "used_cpu_s": 90.0,
        "printed": {},
    }  # fmt: skip
    return UsageEntry(**given | values)


def test_accounting_is_believed_where_it_has_a_row() -> None:
    cost = held(ALLOCATION, entry(), [a_node(1)], NOW)
    assert (cost.source, cost.nodes, cost.node_s, cost.cpu_s, cost.used_cpu_s) == (
        Source.ACCOUNTING, 2, 120, 480, 90.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"end_time": 160.0, "is_active": False}, 60.0),
        ({"lease_until": 2000.0}, 900.0),
        ({"heartbeat": 400.0, "lease_until": 500.0}, 300.0),
        ({"heartbeat": 400.0, "is_active": False}, 300.0),
    ],
    ids=["ended", "alive", "silent", "given up"],
)
def test_elsewhere_the_time_of_its_workers_counts(changes: dict[str, Any], seconds: float) -> None:
    worker = replace(a_node(1, num_cpus=4), start_time=100.0, **changes)
    cost = held(ALLOCATION, None, [worker, worker], NOW)
    assert (cost.source, cost.nodes) == (Source.STORE, 2)
    assert (cost.elapsed_s, cost.node_s, cost.cpu_s) == (seconds, 2 * seconds, 8 * seconds)


def test_a_row_of_a_queued_allocation_says_nothing_yet() -> None:
    waiting = entry(state=SlurmState.PENDING, num_nodes=0, elapsed_s=0, cpu_time_s=0)
    assert held(ALLOCATION, waiting, [], NOW).source is Source.NOTHING


def test_jobs_are_summed_by_allocation() -> None:
    jobs = [
        Job(allocation_id=3, seconds=10.0, cpus=2, cpu_percent=150.0),
        Job(allocation_id=3, seconds=20.0, cpus=1, cpu_percent=None),
        Job(allocation_id=4, seconds=1.0, cpus=1, cpu_percent=100.0),
    ]
    found = used(jobs)
    assert (found[3].attempts, found[3].measured, found[3].job_s) == (2, 1, 30.0)
    assert (found[3].reserved_cpu_s, found[3].used_cpu_s) == (40.0, 15.0)
    assert found[4].used_cpu_s == 1.0


def test_a_share_of_nothing_is_not_known() -> None:
    assert share(1, 0) is None
    assert share(1, 4) == 25.0
