"""What accounting says of attempts' steps, beside their results.

Separate from completing because it comes later: a job that exits with 0 is complete at once,
and Slurm's account of its step follows when somebody has asked for it.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Double, and_, bindparam, case, func, insert, select, update

from slurmtorc.model import SlurmStats
from slurmtorc.store import schema as t
from slurmtorc.store.among import among

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

_S = t.slurm_stats.c
_R = t.result.c
_NAMES = tuple(field.name for field in fields(SlurmStats) if field.name != "id")
_KNOWN = select(_S.job_id, _S.run_id, _S.attempt_id).where(among(_S.job_id))

_RSS, _CPU = bindparam("b_rss", type_=BigInteger), bindparam("b_cpu", type_=Double)
_PERCENT = 100 * _CPU / _R.exec_time_s
_FILL = (
    update(t.result)
    .where(
        _R.job_id == bindparam("b_job"),
        _R.run_id == bindparam("b_run"),
        _R.attempt_id == bindparam("b_attempt"),
    )
    .values(
        peak_memory_bytes=case(
            (func.coalesce(_R.peak_memory_bytes, 0) < _RSS, _RSS), else_=_R.peak_memory_bytes
        ),
        avg_cpu_percent=case(
            (and_(_CPU > 0, _R.exec_time_s > 0), _PERCENT), else_=_R.avg_cpu_percent
        ),
    )
)


def note(connection: Connection, stats: Sequence[SlurmStats]) -> None:
    """Keep them, each attempt's once, and fill the results in."""
    found = connection.execute(_KNOWN, {"ids": sorted({each.job_id for each in stats})})
    known = {tuple(row) for row in found}
    fresh = {_attempt(each): each for each in stats if _attempt(each) not in known}
    if fresh:
        connection.execute(insert(t.slurm_stats), [_row(each) for each in fresh.values()])
        connection.execute(_FILL, [_filling(each) for each in fresh.values()])


def _attempt(each: SlurmStats) -> tuple[int, int, int]:
    return each.job_id, each.run_id, each.attempt_id


def _row(each: SlurmStats) -> dict[str, Any]:
    return {name: getattr(each, name) for name in _NAMES}


def _filling(each: SlurmStats) -> dict[str, Any]:
    return {
        "b_job": each.job_id,
        "b_run": each.run_id,
        "b_attempt": each.attempt_id,
        "b_rss": each.max_rss_bytes or 0,
        "b_cpu": each.ave_cpu_seconds or 0.0,
    }
