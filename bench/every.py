"""All benchmarks, and how they are chosen."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from bench import latency, launch, scale, startup, store, watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.plan import Benchmark

THEMES = (startup, launch, store, latency, scale, watch)
BENCHMARKS: Sequence[Benchmark] = [one for theme in THEMES for one in theme.BENCHMARKS]


def chosen(names: Iterable[str], *, heavy: bool) -> list[Benchmark]:
    """The benchmarks of these names, patterns or themes, in the table's order.

    Without a name all but the heavy ones, with `heavy` those too. Raises KeyError(name) for one
    that means nothing.
    """
    wanted = list(names)
    for name in wanted:
        if not any(_means(name, one) for one in BENCHMARKS):
            raise KeyError(name)
    if not wanted:
        return [one for one in BENCHMARKS if heavy or not one.heavy]
    return [one for one in BENCHMARKS if any(_means(name, one) for name in wanted)]


def _means(name: str, one: Benchmark) -> bool:
    """A name, a pattern, or a theme (then without its heavy ones)."""
    return fnmatchcase(one.name, name) or (name == one.theme and not one.heavy)
