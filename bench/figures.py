"""What is made of measurements: medians, ratios, targets, and the comparison with a baseline.

Pure. A ratio is taken within each round, and then its median over the rounds: a machine's load
moves a figure and its reference together, and only what was measured side by side compares.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Round = Mapping[str, Mapping[str, float]]
    """Of each contender, what was measured of it."""

WORSE = 0.15
"""So much worse than the baseline is worth a look; less is this machine's mood."""


@dataclass(frozen=True, slots=True)
class Target:
    """What must be reached: of the ratio, or of the value itself."""

    limit: float
    of_ratio: bool


def ratio(limit: float) -> Target:
    """A target of the ratio to the reference."""
    return Target(limit, of_ratio=True)


def value(limit: float) -> Target:
    """A target of the value in its own unit."""
    return Target(limit, of_ratio=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a benchmark's table: which measurement, beside which other."""

    name: str
    unit: str
    of: tuple[str, str]
    """Contender and measurement."""
    beside: tuple[str, str] | None = None
    higher: bool = False
    """Whether more is better."""
    target: Target | None = None
    less: tuple[str, str] | None = None
    """What is taken off first: a cost that is not ours."""

    def needs(self) -> set[str]:
        """The contenders without which there is no such line."""
        return {pair[0] for pair in (self.of, self.beside, self.less) if pair}


@dataclass(frozen=True, slots=True)
class Spread:
    """Where the rounds lie."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One line, measured."""

    benchmark: str
    row: str
    unit: str
    higher: bool
    value: Spread
    beside: str | None = None
    reference: float | None = None
    ratio: float | None = None
    target: Target | None = None

    @property
    def key(self) -> str:
        """Its name in a baseline."""
        return "/".join(filter(None, (self.benchmark, self.row, self.beside)))

    @property
    def judged(self) -> float:
        """The number that compares: the ratio where there is a reference."""
        return self.value.median if self.ratio is None else self.ratio

    @property
    def reach(self) -> float | None:
        """How far the target is reached: 1 is there, 2 is twice as good; None without one."""
        if self.target is None:
            return None
        measured = self.ratio if self.target.of_ratio else self.value.median
        if measured is None:
            return None
        good, bad = (measured, self.target.limit) if self.higher else (self.target.limit, measured)
        return good / bad if bad > 0 else float("inf")

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without one."""
        return None if self.reach is None else self.reach >= 1


def figures(benchmark: str, rows: Iterable[Row], rounds: Sequence[Round]) -> list[Figure]:
    """The lines of a benchmark. A line whose contender is missing is left out."""
    there = set.intersection(*(set(one) for one in rounds)) if rounds else set()
    return [_figure(benchmark, row, rounds) for row in rows if row.needs() <= there]


def _figure(benchmark: str, row: Row, rounds: Sequence[Round]) -> Figure:
    values = [_value(row, one) for one in rounds]
    found = Figure(
        benchmark=benchmark, row=row.name, unit=row.unit, higher=row.higher,
        value=spread(values), target=row.target,
    )  # fmt: skip
    if row.beside is None:
        return found
    contender, measurement = row.beside
    references = [one[contender][measurement] for one in rounds]
    ratios = [a / b for a, b in zip(values, references, strict=True) if b]
    given = {name: getattr(found, name) for name in Figure.__slots__}
    middle = statistics.median(ratios) if ratios else None
    return Figure(
        **given | {"beside": contender, "reference": statistics.median(references), "ratio": middle}
    )


def _value(row: Row, one: Round) -> float:
    taken = one[row.less[0]][row.less[1]] if row.less else 0.0
    return one[row.of[0]][row.of[1]] - taken


def spread(values: Sequence[float]) -> Spread:
    """Least, median and most of at least one value."""
    return Spread(min(values), statistics.median(values), max(values))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of them lies; of few values, the nearest one above."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


# ── a baseline ───────────────────────────────────────────────────────────────


def worsening(now: Figure, before: Figure) -> float | None:
    """By which part a figure is worse than it was (negative: better); None if it cannot be told.

    Figures that were measured beside different references say nothing about each other.
    """
    if now.beside != before.beside or now.judged <= 0 or before.judged <= 0:
        return None
    more, less = (before, now) if now.higher else (now, before)
    return more.judged / less.judged - 1


def as_json(figure: Figure) -> dict[str, Any]:
    """A figure as it is written; readers need nothing but this."""
    return asdict(figure) | {"reached": figure.reached}


def from_json(written: Mapping[str, Any]) -> Figure:
    """The same, read back."""
    given = {name: written[name] for name in Figure.__slots__}
    target = given["target"]
    given |= {"value": Spread(**given["value"]), "target": Target(**target) if target else None}
    return Figure(**given)


# ── words ────────────────────────────────────────────────────────────────────


def shown(number: float) -> str:
    """A number with three figures that say something."""
    if number == 0 or abs(number) >= 100:  # noqa: PLR2004  three figures
        return f"{number:,.0f}"
    return f"{number:.3g}"


def shown_target(figure: Figure) -> str:
    """A target as a person writes it."""
    if figure.target is None:
        return ""
    unit = "x" if figure.target.of_ratio else figure.unit
    return f"{'≥' if figure.higher else '≤'} {shown(figure.target.limit)} {unit}"
