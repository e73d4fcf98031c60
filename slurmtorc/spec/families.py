"""All things of one kind by name: who has which number, which names are double, what matches.

A thing's number is its index in the Draft. References are resolved here and nowhere else, so
that an unknown name is answered in one way, and is no fault where the thing it may mean has
faults of its own.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from slurmtorc.spec.placeholders import PLACEHOLDER, names_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from slurmtorc.spec.faults import Faults
    from slurmtorc.spec.items import Item

Group = tuple[int, ...]
"""Numbers, ascending."""

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_FAN_IN = (
    "; for a fan-in, leave the parameters out of this one job and let it wait with "
    "depends_on_regexes or input_file_regexes"
)
LONGEST_NAME = 255
"""Characters: every database can index it, and every table can show it."""

_ANYTHING = re.compile(".*", re.DOTALL)


@dataclass(slots=True)
class Family:
    """Everything of one kind."""

    word: str
    """What one of them is called in a message."""
    names: list[str] = field(default_factory=list)
    index: dict[str, int] = field(default_factory=dict)
    firsts: list[int] = field(default_factory=list)
    """Of each item, the number of its first copy."""
    suspects: list[re.Pattern[str]] = field(default_factory=list)
    """What the names of items with faults may look like."""
    _matches: dict[str, Group] = field(default_factory=dict)
    _groups: dict[Group, Group] = field(default_factory=dict)
    _sorted: list[tuple[str, int]] = field(default_factory=list)

    def excuses(self, name: str) -> bool:
        """Whether an unknown name may be that of an item with faults."""
        return any(pattern.fullmatch(name) for pattern in self.suspects)

    def item_of(self, number: int) -> int:
        """The index of the item that a copy comes from."""
        return bisect_right(self.firsts, number) - 1

    def matching(self, pattern: str) -> Group:
        """The numbers of all whose name the pattern matches. Raises ValueError for a bad one."""
        found = self._matches.get(pattern)
        if found is None:
            search = compiled(pattern).search
            found = self.same(tuple(sorted(n for s, n in self._candidates(pattern) if search(s))))
            self._matches[pattern] = found
        return found

    def same(self, group: Group) -> Group:
        """The one tuple that stands for this group, so that groups can be compared by identity."""
        return self._groups.setdefault(group, group)

    def _candidates(self, pattern: str) -> Iterable[tuple[str, int]]:
        """Those that can match at all, by the letters the pattern begins with.

        Without this, a pattern of its own for each of N copies would cost N x N searches.
        """
        start = _LEAD.match(pattern)
        if start is None or not start["lead"] or "|" in pattern or "(?" in pattern:
            return ((name, number) for number, name in enumerate(self.names))
        lead = start["lead"]
        if not start["anchor"]:
            return ((name, number) for number, name in enumerate(self.names) if lead in name)
        if not self._sorted:
            self._sorted = sorted((name, number) for number, name in enumerate(self.names))
        begin = bisect_left(self._sorted, (lead,))
        end = bisect_left(self._sorted, (lead + chr(0x10FFFF),))
        return self._sorted[begin:end]


_LEAD = re.compile(r"(?P<anchor>\^?)(?P<lead>(?:[\w /:@,-](?![*?{]))*)", re.ASCII)


class Pattern(Protocol):
    """A regular expression, ready to search with."""

    def search(self, text: str, /) -> object:
        """Something true if the pattern occurs in the text."""


def compiled(pattern: str) -> Pattern:
    """A regular expression. Raises ValueError with what is wrong with it.

    RE2, as in torc's own language: its time grows with the text and never explodes, whatever
    the pattern. What it does not know (look-ahead, back references) is said.
    """
    import re2  # noqa: PLC0415  few files have patterns

    options = re2.Options()
    options.log_errors = False
    try:
        found: Pattern = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "too large"
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from None
    return found


def family(
    word: str, items: Sequence[Item[Any]], faults: Faults, *, unread: bool = False
) -> Family:
    """Give every copy of every item its number."""
    found = Family(word, suspects=[_ANYTHING] if unread else [])
    doubles = _Doubles(found, items, faults)
    for item in items:
        found.firsts.append(len(found.names))
        if item.axes is None or "name" in item.broken:
            found.suspects.append(_shape_of(item))
        if item.axes is not None:
            _number(found, item, faults, doubles)
    doubles.report()
    return found


def _shape_of(item: Item[Any]) -> re.Pattern[str]:
    """What the names of an item's copies may look like."""
    if "name" in item.broken:
        return _ANYTHING
    pieces = PLACEHOLDER.split(item.shape.name)[:: PLACEHOLDER.groups + 1]
    return re.compile(".*".join(map(re.escape, pieces)), re.DOTALL)


def _number(found: Family, item: Item[Any], faults: Faults, doubles: _Doubles) -> None:
    assert item.axes is not None
    risky = values_are_risky(item)
    for name in item.axes.fill(item.shape.name):
        number = len(found.names)
        found.names.append(name)
        first = found.index.setdefault(name, number)
        if first != number and "name" not in item.broken:
            doubles.add(name, first, len(found.firsts) - 1)
        if len(name) > LONGEST_NAME and "name" not in item.broken:
            message = f"a name of {len(name):,} characters: '{name[:30]}…'"
            faults.error((*item.path, "name"), message, f"write at most {LONGEST_NAME}")
            break
        if risky and not is_line(name):
            message = f"the parameters make the name {name!r}"
            faults.error((*item.path, "name"), message, "a name is one line without placeholders")
            risky = False


def is_line(text: str) -> bool:
    """Whether a text can be a name or a path after expansion."""
    return bool(text) and not (_UNFIT.search(text) or PLACEHOLDER.search(text))


def values_are_risky(item: Item[Any]) -> bool:
    """Whether a parameter's text could make a name or a path that is none."""
    assert item.axes is not None
    return any(
        isinstance(value, str) and (not value or "{" in value or _UNFIT.search(value))
        for values in item.axes.values.values()
        if not isinstance(values, range)
        for value in values
    )


class _Doubles:
    """Names given twice: one fault for each item, whatever its number of copies."""

    def __init__(self, found: Family, items: Sequence[Item[Any]], faults: Faults) -> None:
        self.family = found
        self.items = items
        self.faults = faults
        self.seen: dict[int, tuple[str, int, int]] = {}
        """Item -> (a name, the number of who had it first, how many names are double)."""

    def add(self, name: str, first: int, item: int) -> None:
        """Remember one."""
        kept_name, kept_first, count = self.seen.get(item, (name, first, 0))
        self.seen[item] = (kept_name, kept_first, count + 1)

    def report(self) -> None:
        """Say which names are double, and what to do."""
        for at, (name, first, count) in self.seen.items():
            item, owner = self.items[at], self.items[self.family.item_of(first)]
            path = (*item.path, "name")
            if owner is item:
                self.faults.error(path, *self._among_copies(item, name, count))
            else:
                place = f"{owner.path[0]}[{owner.path[1]}]"
                message = f"the name {name!r} is already the name of {place}"
                self.faults.error(path, message, f"give every {self.family.word} its own name")

    def _among_copies(self, item: Item[Any], name: str, count: int) -> tuple[str, str]:
        assert item.axes is not None
        used = names_in(item.shape.name)
        missing = [parameter for parameter in item.axes.values if parameter not in used]
        message = f"{count + 1:,} copies of this {self.family.word} share the name {name!r}"
        if len(self.family.names) > 1 and count + 1 < item.axes.count:
            message = (
                f"{count:,} copies of this {self.family.word} have the name of another, as {name!r}"
            )
        if not missing:
            return message, "the values, as they are written into the name, are not all different"
        listed = ", ".join(f"{{{parameter}}}" for parameter in missing)
        fan_in = _FAN_IN if self.family.word == "job" else ""
        return f"{message}: it lacks {listed}", f"put {listed} into the name{fan_in}"
