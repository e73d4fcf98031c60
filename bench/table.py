"""What a person reads: one table for each benchmark, as soon as it is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from bench.figures import WORSE, shown, shown_target, worsening

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.figures import Figure
    from bench.plan import Benchmark

VERDICTS = {True: Text("reached", "green"), False: Text("missed", "yellow"), None: Text("")}


def table(
    benchmark: Benchmark, figures: Iterable[Figure], baseline: Mapping[str, Figure], *, whole: bool
) -> Table:
    """One benchmark. A small run (not whole) is not judged."""
    made = Table(title=f"{benchmark.name}: {benchmark.about}", title_justify="left")
    for name in ("measure", "min", "median", "max", "unit", "reference", "ratio", "target"):
        numeric = name in {"min", "median", "max", "ratio"}
        made.add_column(name, justify="right" if numeric else "left")
    if whole:
        made.add_column("")
        made.add_column("baseline")
    for figure in figures:
        last = [VERDICTS[figure.reached], against(figure, baseline)] if whole else []
        made.add_row(*_cells(figure), *last)
    return made


def _cells(figure: Figure) -> list[str]:
    spread = figure.value
    reference = f"{figure.beside} {shown(figure.reference)}" if figure.reference is not None else ""
    ratio = shown(figure.ratio) if figure.ratio is not None else ""
    numbers = [shown(spread.low), shown(spread.median), shown(spread.high)]
    return [figure.row, *numbers, figure.unit, reference, ratio, shown_target(figure)]


def against(figure: Figure, baseline: Mapping[str, Figure]) -> Text:
    """How it compares with the baseline; red where it is clearly worse."""
    before = baseline.get(figure.key)
    change = worsening(figure, before) if before else None
    if change is None:
        return Text("new", "dim")
    words = f"{100 * abs(change):.0f} % {'worse' if change > 0 else 'better'}"
    if change > WORSE:
        return Text(words, "bold red")
    return Text(words if abs(change) > WORSE else "as before", "dim")
