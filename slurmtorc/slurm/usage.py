"""What accounting keeps of allocations and their steps, read for reports.

Separate from parse, which serves decisions with as few columns as will do. Nothing may decide by
what is read here: in accounting an exit code of 128 and above is wrong before Slurm 25.11, and a
state can lag.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slurmtorc.errors import InvalidValue
from slurmtorc.model import UsageEntry
from slurmtorc.slurm.commands import SEPARATOR, USAGE
from slurmtorc.slurm.nodes import expand_nodes
from slurmtorc.slurm.states import state_of
from slurmtorc.units import DAY, HOUR, KIB, MINUTE, parse_slurm_time, parse_walltime

if TYPE_CHECKING:
    from collections.abc import Iterator

_ID = re.compile(r"(\d+)(?:\.(\S+))?", re.ASCII)
_CPUS = re.compile(r"(?:^|,)cpu=(\d+)", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)", re.ASCII)
_UNITS = {"": 1, "K": KIB, "M": KIB**2, "G": KIB**3, "T": KIB**4}
_CPU_TIME = re.compile(r"(?:(?P<d>\d+)-)?(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>\d+(?:\.\d+)?)", re.ASCII)


def entries(text: str) -> list[UsageEntry]:
    """A record for each line that is an allocation or a step, in Slurm's order."""
    return [_entry(row) for row in _rows(text)]


def _rows(text: str) -> Iterator[dict[str, str]]:
    names = [name for _, name in USAGE]
    for line in text.splitlines():
        fields = line.split(SEPARATOR, len(names) - 1)
        if len(fields) == len(names) and _ID.fullmatch(fields[0]):
            yield dict(zip(names, fields, strict=True))


def _entry(row: dict[str, str]) -> UsageEntry:
    match = _ID.fullmatch(row["id"])
    assert match is not None, "rows without an id are left out"
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
        timelimit_s=_walltime(row["timelimit"]),
        nodes=nodes,
        num_nodes=len(expand_nodes(nodes)),
        cpus=int(cpus[1]) if cpus else 0,
        cpu_time_s=_whole(row["cpu_time"]),
        used_cpu_s=cpu_seconds(row["total_cpu"]),
        max_rss_bytes=size(row["max_rss"]),
        printed=row,
    )


def cpu_seconds(text: str) -> float | None:
    """Seconds of Slurm's CPU times: 00:00.003, 02:03, 1:02:03, 4-01:02:03."""
    match = _CPU_TIME.fullmatch(text.strip())
    if match is None:
        return None
    days, hours = int(match["d"] or 0), int(match["h"] or 0)
    return days * DAY + hours * HOUR + int(match["m"]) * MINUTE + float(match["s"])


def size(text: str) -> int | None:
    """Bytes of 4931584, 4816K or 1.5M; None where Slurm has not measured."""
    match = _SIZE.fullmatch(text.strip())
    return int(float(match[1]) * _UNITS[match[2]]) if match else None


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _walltime(text: str) -> int | None:
    try:
        return parse_walltime(text)
    except InvalidValue:
        return None
