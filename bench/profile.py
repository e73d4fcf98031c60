"""`python -m bench.profile`: where the time of a run goes, as a flame graph and a table.

Writes docs/run10k.svg, and the parts of the whole to bench/profile.json, from which docs/make.py
makes the table in docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import hands
from bench.flame import flame, shares
from bench.launch import AT_ONCE, JOBS, flat
from bench.written import FOLDER, machine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PICTURE = FOLDER.parent / "docs" / "run10k.svg"
PARTS = FOLDER / "profile.json"
MOST = 15

_STARTING = tuple(f"slurmtorc.worker.{name}" for name in ("launch", "spawn", "guard"))
AREAS = (
    ("importing modules", ("(import)",)),
    ("reading and checking the file", ("slurmtorc.spec", "yaml.")),
    ("the store", ("slurmtorc.store", "sqlalchemy.", "alembic.")),
    ("starting and reaping processes", (*_STARTING, "subprocess.", "select.")),
    ("measuring jobs", ("slurmtorc.worker.monitor",)),
    ("deciding, reporting and file names", ("slurmtorc.worker", "slurmtorc.rules")),
    ("showing how far it is", ("slurmtorc.cli", "rich.")),
)
"""What a stack is about: the first of these, from its innermost function outwards."""
OTHER = "everything else"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, draw, and say what takes most; the exit status."""
    made = argparse.ArgumentParser(prog="bench.profile", description="Where the time goes.")
    made.add_argument("--jobs", type=int, default=JOBS, metavar="N")
    made.add_argument("--picture", type=Path, default=PICTURE, metavar="FILE")
    made.add_argument("--parts", type=Path, default=PARTS, metavar="FILE")
    given = made.parse_args(arguments)
    said = profiled(given.jobs)
    title = f"torc run of {given.jobs:,} jobs: CPU time of its process, {said['own_cpu']:.1f} s"
    given.picture.write_text(flame(said["stacks"], title), encoding="utf-8")
    given.parts.write_text(json.dumps(summary(said, given.jobs), indent=1) + "\n")
    for area, part in parts(said["stacks"]).items():
        print(f"{100 * part:5.1f} %  {area}")
    print()
    for name, part in list(shares(said["stacks"]).items())[:MOST]:
        print(f"{100 * part:5.1f} %  {name}")
    print(f"Written: {given.picture}, {given.parts}")
    return 0


def profiled(jobs: int) -> dict[str, Any]:
    """A run of so many jobs; its stacks with their seconds."""
    with tempfile.TemporaryDirectory(prefix="torc-bench-") as name:
        folder = Path(name)
        (folder / "jobs.yaml").write_text(flat(jobs, "true"))
        arguments = ["run", "jobs.yaml", "--max-parallel-jobs", str(AT_ONCE), "--fail-on-error"]
        program = [*hands.PYTHON, str(hands.PROGRAMS / "sampled.py"), "stacks.json"]
        hands.run([*program, *arguments], folder)
        said: dict[str, Any] = json.loads((folder / "stacks.json").read_text())
    return said


def summary(said: Mapping[str, Any], jobs: int) -> dict[str, Any]:
    """What the documentation shows."""
    times = {name: said[name] for name in ("seconds", "own_cpu", "children_cpu")}
    return {"machine": machine(), "jobs": jobs, **times, "parts": parts(said["stacks"])}


def parts(stacks: Mapping[str, float]) -> dict[str, float]:
    """Each area's part of the whole, the largest first."""
    total = sum(stacks.values()) or 1.0
    found: dict[str, float] = {}
    for stack, seconds in stacks.items():
        area = area_of(stack)
        found[area] = found.get(area, 0.0) + seconds / total
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def area_of(stack: str) -> str:
    """What a stack is about."""
    for name in reversed(stack.split(";")):
        for area, prefixes in AREAS:
            if name.startswith(prefixes):
                return area
    return OTHER


if __name__ == "__main__":
    sys.exit(main())
