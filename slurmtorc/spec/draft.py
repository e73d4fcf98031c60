"""Validated items -> model.DraftJob, a column at a time.

Each field of an item becomes one iterator over its copies; what is the same in all copies is
computed once and shared. A reference that could not be resolved is left out, so that everything
behind it is still checked; a Draft with such holes is never given away.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import repeat
from typing import TYPE_CHECKING, Any

from slurmtorc.model import DEFAULT_REQUIREMENT, DraftJob
from slurmtorc.rules.graph import holds
from slurmtorc.spec.references import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from slurmtorc.model import Draft
    from slurmtorc.spec.families import Family, Group
    from slurmtorc.spec.faults import Path
    from slurmtorc.spec.items import Item
    from slurmtorc.spec.references import Resolver
    from slurmtorc.spec.shape import JobShape

    Numbers = Iterator[int | None]

REGEXES = {
    "input_files": ("files", "input_file_regexes"),
    "output_files": ("files", "output_file_regexes"),
    "input_user_data": ("user_data", "input_user_data_regexes"),
    "output_user_data": ("user_data", "output_user_data_regexes"),
}
"""Lists of files and user data: whose names they hold, and the key of their patterns."""
_NONE: tuple[()] = ()


class JobDrafter:
    """Drafts the jobs of one file."""

    def __init__(self, draft: Draft, families: Mapping[str, Family], resolver: Resolver) -> None:
        self.families = families
        self.resolver = resolver
        self.tokens = Tokens(resolver, families, draft)
        self.groups: dict[int, tuple[Group, ...]] = {}
        """Of each job with patterns, the groups of jobs it waits for."""

    def drafted(self, item: Item[JobShape], first: int) -> Iterator[DraftJob]:
        """All copies of one item, the first of which has this number."""
        if item.axes is None:
            return
        columns = _Columns(self, item, first).all()
        shared = {name: next(one) for name, one in columns.items() if isinstance(one, repeat)}
        varying = {name: one for name, one in columns.items() if name not in shared}
        names = tuple(varying)
        for row in zip(*varying.values(), strict=False):
            yield DraftJob(**shared, **dict(zip(names, row, strict=True)))


class _Columns:
    """The columns of one item."""

    def __init__(self, drafter: JobDrafter, item: Item[JobShape], first: int) -> None:
        assert item.axes is not None
        self.drafter = drafter
        self.resolver = drafter.resolver
        self.families = drafter.families
        self.item = item
        self.shape = item.shape
        self.axes = item.axes
        self.first = first
        self.used: dict[str, list[Numbers]] = defaultdict(list)
        """What the command names by tokens."""

    def all(self) -> dict[str, Iterator[Any]]:
        """The fields of DraftJob that the item gives; of them only `name` is sure to end."""
        given = self.shape.model_fields_set
        names = self.families["jobs"].names[self.first : self.first + self.axes.count]
        columns: dict[str, Iterator[Any]] = {"name": iter(names), "command": self.text("command")}
        for key, (field, column) in _FIELDS.items():
            if key in given:
                columns[field] = column(self)
        for key, (family, patterns) in REGEXES.items():
            if key in given or patterns in given or key in self.used:
                columns[key] = self.numbers(key, family, patterns)
        if "depends_on" in given or "depends_on_regexes" in given:
            columns["depends_on"] = self.jobs()
        return columns

    def text(self, key: str) -> Iterator[str | None]:
        """A text with its placeholders and tokens replaced."""
        text = getattr(self.shape, key)
        if text is None:
            return repeat(None)
        return self.drafter.tokens.fill(text, self.axes, (*self.item.path, key), self.used)

    def one(self, key: str, family: str) -> Numbers:
        """The number of the one thing that is named."""
        text = getattr(self.shape, key)
        if text is None:
            return repeat(None)
        names = repeat(text) if key == "failure_handler" else self.axes.fill(text)
        return self.resolver.names(self.families[family], names, (*self.item.path, key))

    def requirement(self) -> Numbers:
        """The number of the requirement; None for the one that every workflow has."""
        if self.shape.resource_requirements == DEFAULT_REQUIREMENT:
            return repeat(None)
        return self.one("resource_requirements", "resource_requirements")

    def stdio(self) -> Iterator[dict[str, Any] | None]:
        """Where output goes, as a map of what is given."""
        stdio = self.shape.stdio
        return repeat(stdio.model_dump(exclude_none=True) if stdio else None)

    def exact(self, family: Family, key: str) -> list[Numbers]:
        """A column for each name in a list, and for each token that adds to it."""
        texts = getattr(self.shape, key) or _NONE
        path = (*self.item.path, key)
        return [
            *(
                self.resolver.names(family, self.axes.fill(text), (*path, index))
                for index, text in enumerate(texts)
            ),
            *self.used[key],
        ]

    def numbers(self, key: str, family_key: str, pattern_key: str) -> Iterator[Group]:
        """What a list of files or user data comes to, its patterns included."""
        family = self.families[family_key]
        exact = self.exact(family, key)
        patterns = self.patterns(family, pattern_key)
        if not patterns:
            return _each(_group, exact, family)
        if not exact and len(patterns) == 1:
            return patterns[0]
        return _each(_union, [_each(_group, exact, family), *patterns], family)

    def patterns(self, family: Family, key: str) -> list[Iterator[Group]]:
        """A column of groups for each pattern in a list."""
        path: Path = (*self.item.path, key)
        return [
            self.resolver.patterns(family, self.axes.fill(text), (*path, index))
            for index, text in enumerate(getattr(self.shape, key) or _NONE)
        ]

    def jobs(self) -> Iterator[Group]:
        """The jobs named to wait for. Those that patterns match are remembered as groups."""
        family = self.families["jobs"]
        patterns = self.patterns(family, "depends_on_regexes")
        if patterns:
            rows = zip(*patterns, strict=False)
            for number in range(self.first, self.first + self.axes.count):
                self.drafter.groups[number] = self.without_itself(number, next(rows))
        return _each(_group, self.exact(family, "depends_on"), family)

    def without_itself(self, number: int, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        """The groups that do not hold the job itself; a fault for each that does."""
        mine = [index for index, group in enumerate(groups) if holds(group, number)]
        for index in mine:
            path = (*self.item.path, "depends_on_regexes", index)
            self.resolver.itself(path, self.families["jobs"].names[number])
        if not mine:
            return groups
        return tuple(group for index, group in enumerate(groups) if index not in mine)


_FIELDS: Mapping[str, tuple[str, Callable[[_Columns], Iterator[Any]]]] = {
    "invocation_script": ("invocation_script", lambda at: at.text("invocation_script")),
    "resource_requirements": ("requirement", _Columns.requirement),
    "scheduler": ("scheduler", lambda at: at.one("scheduler", "slurm_schedulers")),
    "failure_handler": (
        "failure_handler",
        lambda at: at.one("failure_handler", "failure_handlers"),
    ),
    "priority": ("priority", lambda at: repeat(at.shape.priority or 0)),
    "cancel_on_blocking_job_failure": (
        "cancel_on_blocking_job_failure",
        lambda at: repeat(at.shape.cancel_on_blocking_job_failure is not False),
    ),
    "supports_termination": (
        "supports_termination",
        lambda at: repeat(bool(at.shape.supports_termination)),
    ),
    "env": ("env", lambda at: at.axes.fill_all(at.shape.env or None)),
    "stdio": ("stdio", _Columns.stdio),
}
"""Key of a job -> the field of DraftJob, and its column. Keys not given keep the default."""


def _each(make: Any, columns: list[Any], family: Family) -> Iterator[Group]:
    """One group for each copy; computed once if all copies have the same."""
    if not columns:
        return repeat(_NONE)
    if all(isinstance(column, repeat) for column in columns):
        return repeat(family.same(make(tuple(map(next, columns)))))
    rows = map(make, zip(*columns, strict=False))
    return rows if len(columns) == 1 else map(family.same, rows)


def _group(numbers: tuple[int | None, ...]) -> Group:
    if len(numbers) == 1:
        return _NONE if numbers[0] is None else (numbers[0],)
    return tuple(sorted({number for number in numbers if number is not None}))


def _union(groups: tuple[Group, ...]) -> Group:
    return tuple(sorted(set().union(*groups)))
