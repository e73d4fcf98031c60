"""Memory, durations and times: each notation parsed and printed in one place.

Inside the program memory is bytes (int), a duration is seconds (int), a moment is epoch
seconds (float). Notations of users, of torc and of Slurm exist only here. Every parser raises
InvalidValue with what to write instead.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from slurmtorc.errors import InvalidValue

KIB = 1024
_MEMORY_UNITS = {"": 1, "k": KIB, "m": KIB**2, "g": KIB**3, "t": KIB**4}
_MEMORY = re.compile(r"(\d+)([kmgt]?)", re.IGNORECASE | re.ASCII)
_MEMORY_SLOPPY = re.compile(r"\s*(\d+)\s*([kmgt])\w*\s*", re.IGNORECASE | re.ASCII)
_MEMORY_FORM = "write a whole number and one of k, m, g, t (powers of 1024), as in 512m or 8g"
_INT64_MAX = 2**63 - 1

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
_WEEK = 7 * DAY
_MONTH = 2_629_800  # torc's: a twelfth of a Julian year
_YEAR = 31_557_600
_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?P<time>T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)(?:\.\d+)?S)?)?",
    re.ASCII,
)
_DURATION_UNITS = {
    "years": _YEAR, "months": _MONTH, "weeks": _WEEK, "days": DAY,
    "hours": HOUR, "minutes": MINUTE, "seconds": 1,
}  # fmt: skip
_DURATION_FORM = "write an ISO 8601 duration, as in PT30M, PT2H or P1DT12H"
_DURATION_SLOPPY = re.compile(
    r"\s*(\d+)\s*([dhms]|min|hours?|days?|minutes?|seconds?)\s*", re.IGNORECASE | re.ASCII
)

_WALLTIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<rest>\d+(?::\d+){0,2})", re.ASCII)
_WALLTIME_FORM = "write Slurm's HH:MM:SS or D-HH:MM:SS, as in 04:00:00 or 1-12:00:00"
UNLIMITED_WORDS = frozenset({"UNLIMITED", "INFINITE"})


def parse_memory(text: str) -> int:
    """Bytes of torc's memory notation: a whole number and an optional k, m, g or t."""
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        raise InvalidValue(f"memory {text!r} is not understood", allowed=_memory_hint(text))
    size = int(match[1]) * _MEMORY_UNITS[match[2].lower()]
    if size > _INT64_MAX:
        raise InvalidValue(f"memory {text!r} is more than any machine has", allowed=_MEMORY_FORM)
    return size


def _memory_hint(text: str) -> str:
    match = _MEMORY_SLOPPY.fullmatch(text)
    return f"write {match[1]}{match[2].lower()}" if match else _MEMORY_FORM


def format_memory(size: int) -> str:
    """The shortest exact notation: 8589934592 -> '8g', 1536 MiB -> '1536m'."""
    for unit in ("t", "g", "m", "k"):
        if size and size % _MEMORY_UNITS[unit] == 0:
            return f"{size // _MEMORY_UNITS[unit]}{unit}"
    return str(size)


_THREE_DIGITS = 99.5  # what rounds to three digits before the point


def display_memory(size: float | None) -> str:
    """For people: three digits and a unit; '-' for unknown."""
    if size is None:
        return "-"
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < KIB:
            digits = ".0f" if unit == "B" or value >= _THREE_DIGITS else ".3g"
            return f"{value:{digits}} {unit}"
        value /= KIB
    return f"{value:.4g} TiB"


def parse_duration(text: str) -> int:
    """Seconds of an ISO 8601 duration. Fractions of a second are cut off."""
    match = _DURATION.fullmatch(text.strip())
    parts = {k: v for k, v in match.groupdict().items() if v and k != "time"} if match else {}
    if match is None or not parts or match["time"] == "T":
        raise InvalidValue(f"runtime {text!r} is not understood", allowed=_duration_hint(text))
    seconds = sum(int(count) * _DURATION_UNITS[unit] for unit, count in parts.items())
    if seconds > _INT64_MAX:
        raise InvalidValue(f"runtime {text!r} is more than any database holds")
    return seconds


def _duration_hint(text: str) -> str:
    match = _DURATION_SLOPPY.fullmatch(text)
    if match is None:
        return _DURATION_FORM
    unit = match[2][0].upper()
    return f"write P{match[1]}D" if unit == "D" else f"write PT{match[1]}{unit}"


def format_duration(seconds: float) -> str:
    """ISO 8601 with days, hours, minutes and seconds: 5400 -> 'PT1H30M'."""
    left = int(seconds)
    days, left = divmod(left, DAY)
    hours, left = divmod(left, HOUR)
    minutes, left = divmod(left, MINUTE)
    time = "".join(f"{n}{u}" for n, u in ((hours, "H"), (minutes, "M"), (left, "S")) if n)
    date = f"{days}D" if days else ""
    if not date and not time:
        return "PT0S"
    return f"P{date}{'T' + time if time else ''}"


def parse_walltime(text: str) -> int | None:
    """Seconds of Slurm's time notation; None for UNLIMITED.

    Slurm reads M, M:S, H:M:S without days and D-H, D-H:M, D-H:M:S with them.
    """
    stripped = text.strip()
    if stripped.upper() in UNLIMITED_WORDS:
        return None
    match = _WALLTIME.fullmatch(stripped)
    if match is None:
        raise InvalidValue(f"walltime {text!r} is not understood", allowed=_WALLTIME_FORM)
    numbers = [int(part) for part in match["rest"].split(":")]
    if match["days"] is not None:
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
        return int(match["days"]) * DAY + hours * HOUR + minutes * MINUTE + seconds
    if len(numbers) < 3:  # noqa: PLR2004  H:M:S has three parts
        minutes, seconds = (*numbers, 0)[:2]
        return minutes * MINUTE + seconds
    return numbers[0] * HOUR + numbers[1] * MINUTE + numbers[2]


def format_walltime(seconds: float) -> str:
    """HH:MM:SS, or D-HH:MM:SS from a day on."""
    days, left = divmod(int(seconds), DAY)
    hours, left = divmod(left, HOUR)
    minutes, left = divmod(left, MINUTE)
    clock = f"{hours:02d}:{minutes:02d}:{left:02d}"
    return f"{days}-{clock}" if days else clock


def display_seconds(seconds: float | None) -> str:
    """For people: '0.31 s', '42 s', '5:07', '2:03:10', '3 d 02:00'; '-' for unknown."""
    if seconds is None:
        return "-"
    if seconds < MINUTE:
        few = seconds < 10  # noqa: PLR2004  one digit, so two more say something
        return f"{seconds:.2f} s" if few else f"{seconds:.0f} s"
    minutes, secs = divmod(int(seconds), MINUTE)
    hours, minutes = divmod(minutes, 60)
    days, rest = divmod(hours, 24)
    if days:
        return f"{days} d {rest:02d}:{minutes:02d}"
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"


def iso_time(moment: float | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, as torc's API writes moments."""
    if moment is None:
        return None
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def parse_slurm_time(text: str) -> float | None:
    """Epoch seconds of a time printed by Slurm (local time); None for N/A, None and Unknown."""
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        return None
