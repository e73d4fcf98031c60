"""What Slurm's programs print -> records. Pure; checked on the recorded words of three versions.

A line is read by the same table its format was made from (commands.py). Lines that do not begin
with a job id are not ours: a cluster's heading, a step, or the second half of a name that holds
a newline. What Slurm has not filled in yet ('Unknown', 'None assigned', an empty time limit) is
None or '' here, never a guess.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slurmtorc.model import AccountingEntry, Partition, QueueEntry
from slurmtorc.slurm.columns import read, time_limit
from slurmtorc.slurm.commands import (
    ACCOUNT,
    PARTITIONS,
    QUEUE,
    SEPARATOR,
)
from slurmtorc.slurm.nodes import parse_gpus
from slurmtorc.slurm.states import state_of
from slurmtorc.units import KIB, parse_slurm_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurmtorc.slurm.commands import Columns

_JOB_ID = re.compile(r"(\d+)(?:[_+](?:\d+|\[[^\]]*\]))?", re.ASCII)
_SUBMITTED = re.compile(r"(?:Submitted batch job )?(\d+)(?:;\S+| on cluster \S+)?", re.ASCII)
_DEFAULT_MEMORY = re.compile(r"^DefMemPer(CPU|Node)\s*=\s*(\d+)\s*$", re.MULTILINE)
_CLUSTER = re.compile(r"^ClusterName\s*=\s*(\S+)", re.MULTILINE)
_NOWHERE = frozenset({"None assigned", "(null)", "None"})


def job_number(text: str) -> int | None:
    """The number in front of an array's or a heterogeneous job's part: 15_[2-4%2], 15_0, 17+1.

    None for anything else, steps (2.batch, 2.0) included.
    """
    match = _JOB_ID.fullmatch(text.strip())
    return int(match[1]) if match else None


def submitted(stdout: str) -> int | None:
    """The id in sbatch's answer: '88', '88;cluster' or 'Submitted batch job 88', on any line."""
    for line in stdout.splitlines():
        if match := _SUBMITTED.fullmatch(line.strip()):
            return int(match[1])
    return None


def rows(text: str, columns: Columns) -> Iterator[tuple[int, dict[str, str]]]:
    """The id and the fields of every line that has one; the last field takes the rest."""
    for row in read(text, columns):
        number = job_number(row["id"])
        if number is not None:
            yield number, row


def queue(text: str) -> dict[int, QueueEntry]:
    """What squeue says, by id."""
    return {
        number: QueueEntry(
            slurm_job_id=number,
            name=row["name"],
            state=state_of(row["state"]),
            reason="" if row["reason"] == "None" else row["reason"],
            nodes=_nodes(row["nodes"]),
            submit_time=parse_slurm_time(row["submit"]),
            start_time=parse_slurm_time(row["start"]),
            end_time=parse_slurm_time(row["end"]),
        )
        for number, row in rows(text, QUEUE)
    }


def accounting(text: str) -> dict[int, AccountingEntry]:
    """What sacct says, by id. Of several rows with one id (resized, requeued) the last counts."""
    return {
        number: AccountingEntry(
            slurm_job_id=number,
            name=row["name"],
            state=state_of(row["state"]),
            nodes=_nodes(row["nodes"]),
            submit_time=parse_slurm_time(row["submit"]),
            start_time=parse_slurm_time(row["start"]),
            end_time=parse_slurm_time(row["end"]),
            elapsed_s=_whole(row["elapsed"]),
            timelimit_s=time_limit(row["timelimit"]),
        )
        for number, row in rows(text, ACCOUNT)
    }


def tokens(text: str, columns: Columns, token: str, since: float) -> Iterator[tuple[float, int]]:
    """(submit time, id) of the jobs that bear the token and were not submitted before `since`.

    The token is the job name's last part after '_', or the whole comment. Names may hold the
    separator, so whatever follows the fixed fields is looked at piece by piece.
    """
    for number, row in rows(text, columns):
        moment = parse_slurm_time(row["submit"])
        pieces = [row["name"], *row.get("comment", "").split(SEPARATOR)]
        bears = any(piece == token or piece.endswith(f"_{token}") for piece in pieces)
        if bears and moment is not None and moment >= since:
            yield moment, number


def cluster_name(text: str) -> str | None:
    """The cluster's name in `scontrol show config`."""
    match = _CLUSTER.search(text)
    return match[1] if match else None


def default_memory(text: str) -> dict[str, int]:
    """Of `scontrol show config` what an allocation gets that asks for no memory, in bytes."""
    found = {word: int(size) * KIB**2 for word, size in _DEFAULT_MEMORY.findall(text)}
    names = {"CPU": "memory_per_cpu", "Node": "memory_per_node"}
    return {names[word]: size for word, size in found.items() if size}


# ── partitions ───────────────────────────────────────────────────────────────


def partitions(text: str) -> tuple[Partition, ...]:
    """One record for each partition, the smallest of its nodes standing for all.

    A partition that mixes nodes with and without GPUs gives two records of the same name: else
    no GPU job could ever be planned for it.
    """
    found: dict[tuple[str, bool], Partition] = {}
    for row in read(text, PARTITIONS):
        part = _partition(row)
        key = (part.name, part.gpus > 0)
        found[key] = _smallest(found[key], part) if key in found else part
    return tuple(found.values())


def _partition(row: dict[str, str]) -> Partition:
    gpus, gpu_type = parse_gpus(row["gres"])
    return Partition(
        name=row["name"].removesuffix("*"),
        cpus=_whole(row["cpus"]) or 0,
        memory_bytes=(_whole(row["memory"]) or 0) * KIB**2,
        nodes=_whole(row["nodes"]) or 0,
        gpus=gpus,
        gpu_type=gpu_type,
        max_walltime_s=time_limit(row["timelimit"]),
        is_default=row["name"].endswith("*"),
        is_up=row["available"] == "up",
    )


def _smallest(one: Partition, other: Partition) -> Partition:
    return Partition(
        name=one.name,
        cpus=min(one.cpus, other.cpus),
        memory_bytes=min(one.memory_bytes, other.memory_bytes),
        nodes=one.nodes + other.nodes,
        gpus=min(one.gpus, other.gpus),
        gpu_type=one.gpu_type if one.gpu_type == other.gpu_type else None,
        max_walltime_s=one.max_walltime_s,
        is_default=one.is_default,
        is_up=one.is_up,
    )


# ── fields ───────────────────────────────────────────────────────────────────


def _nodes(text: str) -> str:
    return "" if text in _NOWHERE else text


def _whole(text: str) -> int | None:
    """'96', and '96+' where Slurm says 'the least of a mixture'."""
    digits = text.strip().removesuffix("+")
    return int(digits) if digits.isdecimal() else None
