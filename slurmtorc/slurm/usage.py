"""What accounting keeps of allocations and their steps, read for reports.

Separate from parse, which serves decisions with as few columns as will do. Nothing may decide by
what is read here: in accounting an exit code of 128 and above is wrong before Slurm 25.11, and a
state can lag.
"""

from __future__ import annotations

import re

from slurmtorc.model import UsageEntry
from slurmtorc.slurm.columns import cpu_seconds, read, size, time_limit
from slurmtorc.slurm.commands import USAGE
from slurmtorc.slurm.nodes import expand_nodes
from slurmtorc.slurm.states import state_of
from slurmtorc.units import parse_slurm_time

_ID = re.compile(r"(\d+)(?:\.(\S+))?", re.ASCII)
_CPUS = re.compile(r"(?:^|,)cpu=(\d+)", re.ASCII)


def entries(text: str) -> list[UsageEntry]:
    """A record for each line that is an allocation or a step, in Slurm's order."""
    return [_entry(row, match) for row in read(text, USAGE) if (match := _ID.fullmatch(row["id"]))]


def _entry(row: dict[str, str], match: re.Match[str]) -> UsageEntry:
    nodes = "" if row["nodes"] == "None assigned" else row["nodes"]
    cpus = _CPUS.search(row["tres"])
    return UsageEntry(
        slurm_job_id=int(match[1]),
        step=match[2] or "",
        name=row["name"],
        state=state_of(row["state"]),
        exit_code=row["exit_code"],
        submit_time=parse_slurm_time(row["submit"]),
        start_time=parse_slurm_time(row["start"]),
        end_time=parse_slurm_time(row["end"]),
        elapsed_s=_whole(row["elapsed"]),
        timelimit_s=time_limit(row["timelimit"]),
        nodes=nodes,
        num_nodes=len(expand_nodes(nodes)),
        cpus=int(cpus[1]) if cpus else 0,
        cpu_time_s=_whole(row["cpu_time"]),
        used_cpu_s=cpu_seconds(row["total_cpu"]),
        max_rss_bytes=size(row["max_rss"]),
        printed=row,
    )


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else 0
