"""What tests of watches share: looking into the store from outside, and letting time pass there."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING

from cluster import eventually

from slurmtorc.model import Allocation, Job, Result

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cluster import RunningCluster

    from slurmtorc.store.sql import SqlStore

AUTO = ("--auto-schedule", "-p", "1")


def dump(folder: Path) -> str:
    """All that is in the database."""
    with sqlite3.connect(folder / "torc_output/torc.db") as connection:
        text = "\n".join(connection.iterdump())
    connection.close()
    return text


def change(folder: Path, *statements: str) -> None:
    """Change what the database says, as nothing but time would have."""
    with sqlite3.connect(folder / "torc_output/torc.db", timeout=30) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def pass_by(folder: Path, seconds: float) -> None:
    """Let that much more time have gone by since what happened to allocations and watches."""
    moments = ("created_at", "asked_at", "final_at", "absent_since")
    change(
        folder,
        f"UPDATE allocation SET {', '.join(f'{m} = {m} - {seconds}' for m in moments)}",
        f"UPDATE watch SET lease_until = lease_until - {seconds}",
    )


def lose(folder: Path, *workers: int) -> None:
    """Let the leases of these workers have run out long ago, and watches have seen it since."""
    ids = ", ".join(map(str, workers))
    past = "lease_until = lease_until - 1000, missed_since = lease_until - 800"
    change(folder, f"UPDATE compute_node SET {past} WHERE id IN ({ids})")


def words(store: SqlStore, workflow: int = 1) -> dict[str, str]:
    return {job.name: job.status.word for job in store.rows(Job, workflow_id=workflow).items}


def results(store: SqlStore, workflow: int = 1) -> list[tuple[str, int, int, str]]:
    """Job, attempt, return code and ending of everything that counted."""
    rows = store.rows(Result, workflow_id=workflow, superseded=False).items
    found = [(r.job_name, r.attempt_id, r.return_code, r.ending.value) for r in rows]
    assert len({one[:2] for one in found}) == len(found), "an attempt has ended twice"
    return sorted(found)


def codes(store: SqlStore, workflow: int = 1) -> Counter[int]:
    return Counter(code for _, _, code, _ in results(store, workflow))


def in_slurm(cluster: RunningCluster) -> Mapping[str, list[int]]:
    """Token -> Slurm's ids of all jobs that bear it, by queue and accounting."""
    queue = cluster.run("squeue", "-h", "-t", "all", "-o", "%i|%j").stdout
    books = cluster.run("sacct", "-n", "-X", "-P", "-a", "-o", "JobID,JobName").stdout
    found: dict[str, set[int]] = {}
    for number, token in re.findall(r"^(\d+)\|\w+_(\w+)$", queue + books, re.MULTILINE):
        found.setdefault(token, set()).add(int(number))
    return {token: sorted(numbers) for token, numbers in found.items()}


def one_for_one(store: SqlStore, cluster: RunningCluster) -> None:
    """Every intent that was asked for is one job of Slurm's, and the one that the store names.

    Accounting may tell of some of them late; but what is there twice stays there.
    """
    wanted = {
        one.token: [] if one.scheduler_id is None else [one.scheduler_id]
        for one in store.rows(Allocation).items
    }

    def agree() -> bool:
        there = in_slurm(cluster)
        found = {token: there.get(token, []) for token in wanted}
        assert all(len(numbers) <= 1 for numbers in found.values()), found
        return found == wanted

    eventually(agree, 40)
