"""What accounting says of steps, kept beside the results of their attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factories import a_draft, a_node, a_report

from slurmtorc.model import Capacity, Result, SlurmStats

if TYPE_CHECKING:
    from slurmtorc.store.sql import SqlStore


def test_a_steps_account_is_kept_once_and_fills_its_result_in(store: SqlStore) -> None:
    workflow = store.create(a_draft("a", "b"))
    store.initialize(workflow)
    node = store.register(a_node(workflow)).id
    claims = store.claim(node, Capacity(cpus=2, memory_bytes=8 << 30), 2)
    store.start(node, [claim.job_id for claim in claims])
    small, large = (
        a_report(claims[0], start_time=10.0, completion_time=20.0, peak_memory_bytes=100),
        a_report(claims[1], start_time=10.0, completion_time=20.0, peak_memory_bytes=900),
    )
    store.complete(node, [small, large])
    stats = [
        SlurmStats(
            workflow_id=workflow, job_id=claim.job_id, run_id=1, attempt_id=1, slurm_job_id=7,
            step=str(claim.job_id), max_rss_bytes=500, ave_cpu_seconds=cpu, node_list="n1",
        )
        for claim, cpu in zip(claims, (5.0, None), strict=True)
    ]  # fmt: skip
    store.note_stats(stats)
    store.note_stats(stats)
    store.note_stats([])
    kept = store.rows(SlurmStats, workflow_id=workflow).items
    assert [(one.job_id, one.max_rss_bytes) for one in kept] == [
        (claim.job_id, 500) for claim in claims
    ]
    results = store.rows(Result, workflow_id=workflow).items
    assert [(one.peak_memory_bytes, one.avg_cpu_percent) for one in results] == [
        (500, 50.0),
        (900, None),
    ]
