"""The sections of a file as validated items, each alone: one bad item hides no other's faults.

An item whose shape has faults is kept with the faulty keys left out, so that the rest of it is
still checked; nothing that could only be a consequence of those faults is reported later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import ValidationError

from slurmtorc.spec import shape, top
from slurmtorc.spec.complaints import complain, not_a_list, not_a_map
from slurmtorc.spec.fields import Shape
from slurmtorc.spec.parameters import NO_AXES, Axes
from slurmtorc.spec.top import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from slurmtorc.spec.faults import Faults, Path
    from slurmtorc.spec.placeholders import Scalar

S = TypeVar("S", bound=Shape)

_NESTED: Mapping[str, type[Shape]] = {
    "stdio": shape.Stdio,
    "rules": shape.RuleShape,
    "execution_config": top.ExecutionShape,
    "dynamic_jobs": top.DynamicShape,
}
_STAND_INS: Mapping[str, Any] = {
    "name": "?",
    "command": "?",
    "path": "?",
    "account": "?",
    "num_cpus": 1,
    "memory": "1m",
    "trigger_type": "on_workflow_start",
    "action_type": "run_commands",
    "rules": [],
}
"""For required keys that are missing or faulty; the key is then among the item's `broken`."""


@dataclass(slots=True)
class Item(Generic[S]):
    """One entry of a section."""

    path: Path
    shape: S
    broken: frozenset[str] = frozenset()
    """Keys that have faults; the shape has a default or a stand-in there."""
    holes: frozenset[Path] = frozenset()
    """Places inside the item, without their last key, where a faulty key was left out."""
    axes: Axes | None = NO_AXES
    """None: the parameters have faults, so nobody knows the copies."""

    @property
    def count(self) -> int:
        """The number of copies."""
        return self.axes.count if self.axes else 0


@dataclass(slots=True)
class Sheet:
    """A whole file, validated."""

    head: top.Head
    jobs: list[Item[shape.JobShape]] = field(default_factory=list)
    files: list[Item[shape.FileShape]] = field(default_factory=list)
    user_data: list[Item[shape.UserDataShape]] = field(default_factory=list)
    datasets: list[Item[shape.DatasetShape]] = field(default_factory=list)
    resource_requirements: list[Item[shape.RequirementShape]] = field(default_factory=list)
    slurm_schedulers: list[Item[shape.SchedulerShape]] = field(default_factory=list)
    failure_handlers: list[Item[shape.HandlerShape]] = field(default_factory=list)
    actions: list[Item[shape.ActionShape]] = field(default_factory=list)
    shared: dict[str, Sequence[Scalar] | None] = field(default_factory=dict)
    """The values of the workflow's parameters; None for one with a fault."""
    unread: set[str] = field(default_factory=set)
    """Sections with entries that could not be read at all, and broken keys of the top level."""


def read_sheet(tree: Mapping[str, Any], faults: Faults, spelling: Mapping[str, str]) -> Sheet:
    """Validate everything. `spelling`: what the file's format calls a section."""
    reader = _Reader(faults, spelling)
    rest = {key: value for key, value in tree.items() if key not in SECTIONS}
    head = reader.item(top.Head, rest, ())
    assert head is not None  # the tree is a map
    sheet = Sheet(head.shape, unread=set(head.broken))
    for key, kind in SECTIONS.items():
        setattr(sheet, key, list(reader.section(tree, key, kind, sheet.unread)))
    return sheet


class _Reader:
    """Validates items, and says what is wrong with them."""

    def __init__(self, faults: Faults, spelling: Mapping[str, str]) -> None:
        self.faults = faults
        self.spelling = spelling

    def section(
        self, tree: Mapping[str, Any], key: str, kind: type[S], unread: set[str]
    ) -> Iterator[Item[S]]:
        """The items of one section."""
        raw = tree.get(key)
        if raw is None and key != "jobs":
            return
        if not isinstance(raw, list):
            self._not_listed(tree, key)
            unread.add(key)
            return
        for index, value in enumerate(raw):
            item = self.item(kind, value, (key, index))
            if item is None:
                unread.add(key)
            else:
                yield item
            if self.faults.full:
                unread.add(key)
                return

    def item(self, kind: type[S], raw: Any, path: Path) -> Item[S] | None:
        """One item; without its faulty keys if it has some; None if it is not a map."""
        if not isinstance(raw, dict):
            not_a_map(self.faults, path, raw)
            return None
        try:
            return Item(path, kind.model_validate(raw))
        except ValidationError as error:
            complain(self.faults, path, error, lambda inside: self._allowed(kind, path, inside))
            faulty = [found["loc"] for found in error.errors(include_url=False)]
        try:
            return _rest(kind, raw, path, faulty)
        except ValidationError:  # a map in it has lost a key that it needs
            return _rest(kind, raw, path, [loc[:1] for loc in faulty])

    def _not_listed(self, tree: Mapping[str, Any], key: str) -> None:
        if key in tree:
            not_a_list(self.faults, (key,), tree[key])
        else:
            self.faults.error((key,), f"`{self._spelled(key)}` is missing", "it is required")

    def _allowed(self, kind: type[Shape], path: Path, inside: Path) -> Collection[str]:
        """The keys of the map in which an unknown one stands."""
        for part in reversed(inside):
            if part in _NESTED:
                return _NESTED[str(part)].model_fields
        fields = kind.model_fields if path else top.SpecShape.model_fields
        return [self._spelled(key) for key in fields]

    def _spelled(self, key: str) -> str:
        return self.spelling.get(key, key)


def _rest(kind: type[S], raw: dict[str, Any], path: Path, faulty: list[Path]) -> Item[S]:
    """An item without its faulty keys; a key of a map inside it goes alone."""
    rest = dict(raw)
    broken, holes = set(), set()
    for loc in faulty:
        if len(loc) > 1 and isinstance(loc[-1], str) and loc[0] not in broken:
            rest[str(loc[0])] = _without(rest[str(loc[0])], loc[1:])
            holes.add(loc[:-1])
        else:
            broken.add(str(loc[0]))
            rest.pop(str(loc[0]), None)
    for key in broken & _STAND_INS.keys() & kind.model_fields.keys():
        rest[key] = _STAND_INS[key]
    return Item(path, kind.model_validate(rest), frozenset(broken), frozenset(holes))


def _without(value: Any, loc: Path) -> Any:
    """A copy of a tree without the one key at a place, if it is there."""
    found = value.copy()
    if len(loc) > 1:
        found[loc[0]] = _without(value[loc[0]], loc[1:])
    else:
        found.pop(loc[0], None)
    return found
