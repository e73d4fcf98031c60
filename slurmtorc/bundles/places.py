"""Which files are a workflow's logs, which bundle holds one, and how it is read from there."""

from __future__ import annotations

import io
import math
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from slurmtorc.bundles.form import Bundle
from slurmtorc.worker.paths import STDIO_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

FOLDER = "log_bundles"
WHOLE_WORKFLOW = 0
"""The run of a log that is of all runs: of allocations, their workers, and watches."""

_LOG = re.compile(
    r"(?:job|job_runner|slurm_output|dmesg_slurm|watch|action)_(?:.*_)?wf(\d+)(?:_.*)?"
    r"\.(?:o|e|log|out|err)"
)
_RUN = re.compile(r"_r(\d+)(?=[_.])")
_BUNDLE = re.compile(r"wf(\d+)(?:_r(\d+))?_p(\d+)\.tar\.gz")


def of_log(name: str) -> tuple[int, int] | None:
    """(workflow, run) of a log file, by its name; None for any other file."""
    match = _LOG.fullmatch(name)
    if match is None:
        return None
    run = _RUN.search(name, match.end(1))
    return int(match[1]), int(run[1]) if run else WHOLE_WORKFLOW


def logs_in(folder: Path, workflow_id: int, others: Iterable[Path] = ()) -> dict[int, list[str]]:
    """Run -> the workflow's logs of it in an output folder, by name; `others` lie elsewhere."""
    found: dict[int, list[str]] = {}
    places = {folder, folder / STDIO_FOLDER, *(one.parent for one in others)}
    for place in sorted(places):
        if place == folder or folder in place.parents:
            for name, run in _logs_of(place, workflow_id):
                found.setdefault(run, []).append(str((place / name).relative_to(folder)))
    return {run: sorted(names) for run, names in sorted(found.items())}


def set_apart(
    folder: Path, found: Mapping[int, Sequence[str]], ended: float
) -> tuple[dict[int, list[str]], int]:
    """The logs that were not written to after `ended`, and how many were.

    Those are another workflow's of the same number, of another store that has the same folder.
    """
    old = {
        run: [one for one in some if _mtime(folder / one) <= ended] for run, some in found.items()
    }
    return old, sum(len(some) - len(old[run]) for run, some in found.items())


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # its job has gone, and took it along
        return math.inf


def _logs_of(place: Path, workflow_id: int) -> Iterator[tuple[str, int]]:
    if not place.is_dir():
        return
    with os.scandir(place) as entries:
        for entry in entries:
            whose = of_log(entry.name)
            if whose and whose[0] == workflow_id and entry.is_file(follow_symlinks=False):
                yield entry.name, whose[1]


# ── bundles ──────────────────────────────────────────────────────────────────


def bundle_path(folder: Path, workflow_id: int, run_id: int, part: int) -> Path:
    """The name of a bundle."""
    run = f"_r{run_id}" if run_id else ""
    return folder / FOLDER / f"wf{workflow_id}{run}_p{part}.tar.gz"


def bundles_in(
    folder: Path, workflow_id: int | None = None, run_id: int | None = None
) -> list[Path]:
    """The bundles of an output folder, oldest part first."""
    place = folder / FOLDER
    found = []
    for path in place.iterdir() if place.is_dir() else ():
        match = _BUNDLE.fullmatch(path.name)
        if match is None:
            continue
        workflow, run, part = (int(one or 0) for one in match.groups())
        if workflow_id in {None, workflow} and run_id in {None, run}:
            found.append((workflow, run, part, path))
    return [path for *_, path in sorted(found)]


@dataclass(frozen=True, slots=True)
class Packed:
    """A log in a bundle; used as the file it was."""

    bundle: Path
    member: str

    @property
    def name(self) -> str:
        """The file's."""
        return Path(self.member).name

    def open_bytes(self) -> IO[bytes]:
        """What is in it."""
        return _opened(self.bundle).open(self.member)

    def open(self, *, encoding: str, errors: str) -> IO[str]:
        """What is in it, as text."""
        return io.TextIOWrapper(self.open_bytes(), encoding=encoding, errors=errors)

    def __str__(self) -> str:
        return f"{self.bundle}:{self.member}"


@lru_cache(maxsize=4)
def _opened(path: Path) -> Bundle:
    """An index is read once for many files of one bundle."""
    return Bundle(path)


def find(path: Path) -> Packed | None:
    """The bundle a log has been packed into; None if there is none."""
    whose = of_log(path.name)
    for folder in (path.parent, path.parent.parent) if whose else ():
        for bundle in reversed(bundles_in(folder, *(whose or ()))):
            member = str(path.relative_to(folder))
            if member in _opened(bundle).members:
                return Packed(bundle, member)
    return None


def packed_below(folder: Path, workflow_id: int | None = None) -> Iterator[Packed]:
    """The logs in all bundles of a folder and below it that are no longer files."""
    for place in sorted(folder.rglob(FOLDER)):
        for bundle in bundles_in(place.parent, workflow_id):
            for member in _opened(bundle).members:
                if not (place.parent / member).exists():
                    yield Packed(bundle, member)
