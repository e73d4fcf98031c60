"""One batch script -> what to tell Slurm's library, which reads no #SBATCH line itself.

Separate, and pure, because an allocation asked for through the library must be the very one that
sbatch would ask for. So this knows few options, each in one form, and says nothing about a script
that holds any other: that one is for sbatch. Left out on purpose although the library has them:
GPUs (gres is written otherwise since 23.02, and the library writes the old form), `mem=0` (the
library takes it for "not said"), and all that sbatch works out from several options.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import InvalidValue
from slurmtorc.units import MINUTE, parse_walltime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DIRECTIVE = re.compile(r"#SBATCH --(?P<option>[a-z][a-z-]*)(?:=(?P<value>.+))?")
_READ_BY_SBATCH = ("#SBATCH", "#PBS", "#BSUB", "#BB", "#DW")
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./\[\]*-]+")
_COUNT = re.compile(r"[1-9][0-9]{0,4}")
_MEBIBYTES = re.compile(r"([1-9][0-9]*)([MGT]?)")
_FACTORS = {"": 1, "M": 1, "G": 1024, "T": 1024**2}


def description(text: str) -> dict[str, Any] | None:
    """The arguments of a JobSubmitDescription; None if only sbatch can say what the script asks.

    The script itself is one of them; the environment is not.
    """
    found: dict[str, Any] = {"script": text}
    for line in _head(text):
        one = _argument(line)
        if one is None or one[0] in found:  # said twice: sbatch knows which counts
            return None
        found[one[0]] = one[1]
    if any(value is None for value in found.values()) or not found.keys() >= _NEEDED:
        return None
    found["ntasks"] = found["nodes"] * found["ntasks_per_node"]
    return found


def _head(text: str) -> list[str]:
    """The lines that sbatch reads: comments with a meaning, before the first command."""
    lines = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            break
        if line.startswith(_READ_BY_SBATCH):
            lines.append(line)
    return lines


def _argument(line: str) -> tuple[str, Any] | None:
    """The library's name and value; the value is None if its form is not a known one."""
    match = _DIRECTIVE.fullmatch(line)
    if match is None:
        return None
    option, value = match["option"], match["value"]
    if value is None:
        return _FLAGS.get(option)
    if option not in _OPTIONS:
        return None
    name, read = _OPTIONS[option]
    text = _unquoted(value)
    return name, None if text is None else read(text)


def _unquoted(value: str) -> str | None:
    if match := _QUOTED.fullmatch(value):
        return re.sub(r"\\(.)", r"\1", match[1])
    return value if _PLAIN.fullmatch(value) else None


# ── forms ────────────────────────────────────────────────────────────────────


def _text(value: str) -> str | None:
    return value or None


def _count(value: str) -> int | None:
    return int(value) if _COUNT.fullmatch(value) else None


def _mebibytes(value: str) -> int | None:
    match = _MEBIBYTES.fullmatch(value)
    return int(match[1]) * _FACTORS[match[2]] if match else None


def _minutes(value: str) -> int | None:
    """Rounded up, as Slurm does; 0 and UNLIMITED have a meaning of their own."""
    try:
        seconds = parse_walltime(value)
    except InvalidValue:
        return None
    return -(-seconds // MINUTE) if seconds else None


def _absolute(value: str) -> str | None:
    return value if value.startswith("/") else None


def _mode(value: str) -> str | None:
    return value if value in {"append", "truncate"} else None


_OPTIONS: Mapping[str, tuple[str, Callable[[str], str | int | None]]] = {
    "account": ("account", _text),
    "chdir": ("working_directory", _absolute),
    "comment": ("comment", _text),
    "constraint": ("constraints", _text),
    "cpus-per-task": ("cpus_per_task", _count),
    "error": ("standard_error", _text),
    "job-name": ("name", _text),
    "mem": ("memory_per_node", _mebibytes),
    "nodes": ("nodes", _count),
    "ntasks-per-node": ("ntasks_per_node", _count),
    "open-mode": ("log_files_open_mode", _mode),
    "output": ("standard_output", _text),
    "partition": ("partitions", _text),
    "qos": ("qos", _text),
    "reservation": ("reservations", _text),
    "time": ("time_limit", _minutes),
    "tmp": ("temporary_disk_per_node", _mebibytes),
}
_FLAGS: Mapping[str, tuple[str, Any]] = {
    "hold": ("priority", 0),
    "no-requeue": ("is_requeueable", False),
}
_NEEDED = frozenset({"nodes", "ntasks_per_node", "cpus_per_task", "working_directory"})
"""For the rest of these the library has values of its own, which are not those of sbatch."""
