"""Lines of squeue, sacct and sinfo by the columns they were asked for, and the numbers in them.

Separate from those who make records of them, because three do: what a column is called, and what
Slurm writes for a size or a time, is read in one way. What is not measured, or not limited, is
None here, never a guess.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slurmtorc.errors import InvalidValue
from slurmtorc.slurm.commands import SEPARATOR
from slurmtorc.units import DAY, HOUR, KIB, MINUTE, parse_walltime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurmtorc.slurm.commands import Columns

_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)", re.ASCII)
_UNITS = {"": 1, "K": KIB, "M": KIB**2, "G": KIB**3, "T": KIB**4}
_CPU_TIME = re.compile(r"(?:(?P<d>\d+)-)?(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>\d+(?:\.\d+)?)", re.ASCII)


def read(text: str, columns: Columns) -> Iterator[dict[str, str]]:
    """The fields of every line that has all of them; the last field takes the rest."""
    names = [name for _, name in columns]
    for line in text.splitlines():
        fields = line.split(SEPARATOR, len(names) - 1)
        if len(fields) == len(names):
            yield dict(zip(names, fields, strict=True))


def size(text: str) -> int | None:
    """Bytes of 4931584, 4816K or 1.5M: some versions print units in spite of --noconvert."""
    match = _SIZE.fullmatch(text.strip())
    return round(float(match[1]) * _UNITS[match[2]]) if match else None


def cpu_seconds(text: str) -> float | None:
    """Seconds of Slurm's CPU times: 00:00.003, 02:03, 1:02:03, 4-01:02:03."""
    match = _CPU_TIME.fullmatch(text.strip())
    if match is None:
        return None
    days, hours = int(match["d"] or 0), int(match["h"] or 0)
    return days * DAY + hours * HOUR + int(match["m"]) * MINUTE + float(match["s"])


def time_limit(text: str) -> int | None:
    """Seconds; None for no limit, or one not known (yet): '', 'Partition_Limit', 'n/a'."""
    try:
        return parse_walltime(text)
    except InvalidValue:
        return None
