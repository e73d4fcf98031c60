"""What the child process told of jobs, accounting and partitions -> records. Pure.

The same meaning as parse.py gives to what the programs print: what Slurm has not filled in yet is
None or '' here, never a guess. Rows are made in library.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slurmtorc.model import AccountingEntry, Partition, QueueEntry
from slurmtorc.slurm import parse
from slurmtorc.slurm.commands import SEPARATOR
from slurmtorc.slurm.states import state_of
from slurmtorc.units import MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def queued(row: Mapping[str, Any]) -> QueueEntry:
    """One job of the queue."""
    reason = row["reason"] or ""
    return QueueEntry(
        slurm_job_id=row["id"],
        name=row["name"] or "",
        state=state_of(row["state"] or ""),
        reason="" if reason == "None" else reason,
        nodes=row["nodes"] or "",
        submit_time=_moment(row["submit"]),
        start_time=_moment(row["start"]),
        end_time=_moment(row["end"]),
    )


def accounted(row: Mapping[str, Any]) -> AccountingEntry:
    """One job of accounting."""
    nodes, limit = row["nodes"] or "", row["limit"]
    return AccountingEntry(
        slurm_job_id=row["id"],
        name=row["name"] or "",
        state=state_of(row["state"] or ""),
        nodes="" if nodes == "None assigned" else nodes,
        submit_time=_moment(row["submit"]),
        start_time=_moment(row["start"]),
        end_time=_moment(row["end"]),
        elapsed_s=row["elapsed"] or 0,
        timelimit_s=limit * MINUTE if isinstance(limit, int) else None,
    )


def _moment(seconds: int | None) -> float | None:
    return float(seconds) if seconds else None


def first(rows: Iterable[Mapping[str, Any]], token: str, earliest: int) -> int | None:
    """The earliest of the jobs that bear the token: others are copies made by hand."""
    bearers = (
        (row["submit"], row["id"])
        for row in rows
        if (row["submit"] or -1) >= earliest and _bears(row, token)
    )
    return min(bearers, default=(0, None))[1]


def _bears(row: Mapping[str, Any], token: str) -> bool:
    name = row["name"] or ""
    return name == token or name.endswith(f"_{token}") or row.get("comment") == token


def partitions(told: Mapping[str, Any]) -> tuple[Partition, ...]:
    """As sinfo would print them: one parser knows what nodes of several kinds come to."""
    return parse.partitions("\n".join(_sinfo_lines(told)))


def _sinfo_lines(told: Mapping[str, Any]) -> Iterator[str]:
    for part in told["partitions"]:
        head = (
            part["name"] + ("*" if part["default"] else ""),
            part["state"].lower(),
            "infinite" if part["limit"] == "UNLIMITED" else str(part["limit"]),
        )
        nodes = [node for node in told["nodes"] if part["name"] in (node["partitions"] or ())]
        for node in nodes:
            gres = ",".join(f"{name}:{count}" for name, count in (node["gres"] or {}).items())
            size = (1, node["cpus"], node["memory"] or 0, gres or "(null)")
            yield SEPARATOR.join((*head, *map(str, size)))
        if not nodes:
            yield SEPARATOR.join((*head, "0", "0", "0", "(null)"))
