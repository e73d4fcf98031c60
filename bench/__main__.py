"""`python -m bench`: measure, print, write down, compare.

Exit status: 0 when everything asked for was measured, however fast it was (a missed target or a
figure worse than the baseline is for people to judge); 1 when a benchmark broke; 2 for a command
line that means nothing; 130 when it was stopped (by Ctrl-C or SIGTERM): then nothing is left.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from bench.every import BENCHMARKS, chosen
from bench.figures import figures
from bench.plan import Missing, Place, measured, run_place
from bench.table import table
from bench.written import RESULTS, baseline, keep, save_baseline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.figures import Figure
    from bench.plan import Benchmark

WIDTH = 150
STOPPED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for; the exit status."""
    given = parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    if given.list:
        for one in BENCHMARKS:
            console.print(f"{one.name:22}{one.about}{' (heavy)' if one.heavy else ''}")
        return 0
    try:
        benchmarks = chosen(given.names, heavy=given.all)
    except KeyError as error:
        names = ", ".join(one.name for one in BENCHMARKS)
        print(f"there is no benchmark {error}: {names}", file=sys.stderr)
        return 2
    return run(benchmarks, given, console)


def parser() -> argparse.ArgumentParser:
    """What may be asked for."""
    made = argparse.ArgumentParser(prog="bench", description="How fast it is, beside references.")
    made.add_argument("names", nargs="*", help="names, patterns (latency-*) or themes (store)")
    made.add_argument("--all", action="store_true", help="the heavy ones too: 1,000,000 jobs")
    made.add_argument("--list", action="store_true", help="say what there is")
    made.add_argument("--peers", action="store_true", help="others from the package index too")
    made.add_argument("--rounds", type=int, metavar="N", help="so many rounds of each")
    made.add_argument(
        "--scale", type=float, default=1.0, metavar="X", help="0.1: a tenth of the work, not judged"
    )
    made.add_argument("--save-baseline", action="store_true", help="later runs compare with this")
    made.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    return made


def run(benchmarks: Sequence[Benchmark], given: argparse.Namespace, console: Console) -> int:
    """All of them, one after the other; the exit status."""
    found: list[Figure] = []
    remarks: dict[str, list[str]] = {}
    broken = 0
    with run_place(scale=given.scale, peers=given.peers) as make_place:
        for benchmark in benchmarks:
            try:
                new, said = one(benchmark, make_place(), given.rounds or benchmark.rounds)
            except Exception as error:  # noqa: BLE001  the others are still worth measuring
                new, said = [], [f"broke: {type(error).__name__}: {error}"]
                broken += 1
            found += new
            remarks[benchmark.name] = said
            tell(benchmark, new, said, console, whole=given.scale == 1)
    end(found, remarks, given, console)
    return 1 if broken else 0


def one(benchmark: Benchmark, place: Place, rounds: int) -> tuple[list[Figure], list[str]]:
    """Measure one benchmark: its figures, and what there is to say about them."""
    try:
        plan = benchmark.prepare(place)
        done, missing = measured(plan, place.folder, rounds)
    except Missing as error:
        return [], [f"not measured: {error}"]
    finally:
        place.exits.close()
    absent = [f"without {name}: {reason}" for name, reason in missing.items()]
    return figures(benchmark.name, plan.rows, done), [*plan.remarks, *absent]


def tell(
    benchmark: Benchmark, new: Sequence[Figure], said: Sequence[str], console: Console, *,
    whole: bool,
) -> None:  # fmt: skip
    """Print one benchmark."""
    if new:
        console.print(table(benchmark, new, baseline(), whole=whole))
    for remark in said:
        console.print(f"{benchmark.name}: {remark}", markup=False)


def end(
    found: Sequence[Figure], remarks: Mapping[str, Sequence[str]], given: argparse.Namespace,
    console: Console,
) -> None:  # fmt: skip
    """Write it all down, and say where."""
    if not found:
        return
    path = keep(found, remarks, given.scale, given.results)
    console.print(f"Written: {path} and {path.with_suffix('.svg').name}")
    if given.save_baseline and given.scale != 1:
        console.print("Not saved as the baseline: a small run compares with nothing.")
    elif given.save_baseline:
        save_baseline(found)
        console.print("Saved as the baseline. `make docs` puts it into docs/performance.md.")


def stop(_number: int, _frame: object) -> None:
    """Told to end: what was started is ended too, on the way out."""
    sys.exit(STOPPED)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    sys.exit(main())
