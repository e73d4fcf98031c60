"""What an item's names and patterns refer to, copy by copy, as columns of numbers.

What cannot be resolved is gathered by place: a hundred thousand copies of one wrong name are one
fault with a count.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

from slurmtorc.spec.faults import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slurmtorc.model import Draft
    from slurmtorc.spec.families import Family, Group
    from slurmtorc.spec.faults import Faults, Path
    from slurmtorc.spec.parameters import Axes

TOKEN = re.compile(
    r"\$\{(?P<kind>files|user_data|datasets)\.(?P<way>input|output)\."
    r"(?P<name>(?:[^{}]|\{[^{}]*\})+)\}"
)
"""`${files.input.NAME}`, with placeholders in NAME."""
_NEARLY = re.compile(r"\$\{(?:files?|user_?data|datasets?)\.(?![^}]*\()[^}]*\}")


@dataclass(slots=True)
class _Miss:
    """Something that was not found, and how often."""

    message: str
    word: str = ""
    family: Family | None = None
    hint: str = ""
    count: int = 0


class Resolver:
    """Turns names into numbers, and remembers what was not found."""

    def __init__(self, faults: Faults, lost: set[Path]) -> None:
        self.faults = faults
        self.lost = lost
        """Paths of texts that have faults already."""
        self.misses: dict[Path, _Miss] = {}

    def report(self) -> None:
        """Add one fault for each place where something was not found."""
        for path, miss in self.misses.items():
            more = f" (and {miss.count - 1:,} more like it)" if miss.count > 1 else ""
            if miss.family is None:
                self.faults.error(path, miss.message + more, miss.hint)
            else:
                self.faults.unknown(path, miss.message + more, miss.word, miss.family.index)

    def miss(self, path: Path, miss: _Miss) -> None:
        """Remember one."""
        self.misses.setdefault(path, miss).count += 1

    def names(self, family: Family, names: Iterator[str], path: Path) -> Iterator[int | None]:
        """The number of each name; None for those that are not there."""
        if path in self.lost:
            return repeat(None)
        if isinstance(names, repeat):
            return repeat(self.name(family, next(names), path))
        return (self.name(family, name, path) for name in names)

    def name(self, family: Family, name: str, path: Path) -> int | None:
        """The number of one name."""
        number = family.index.get(name)
        if number is None and not family.excuses(name):
            self.miss(path, _Miss(f"there is no {family.word} {name!r}", name, family))
        return number

    def patterns(self, family: Family, patterns: Iterator[str], path: Path) -> Iterator[Group]:
        """The numbers that each pattern matches."""
        if isinstance(patterns, repeat):
            return repeat(self.pattern(family, next(patterns), path))
        return (self.pattern(family, pattern, path) for pattern in patterns)

    def pattern(self, family: Family, pattern: str, path: Path) -> Group:
        """The numbers that one pattern matches."""
        try:
            found = family.matching(pattern)
        except ValueError as error:
            message = f"{shown(pattern)} is not a regular expression: {error}"
            self.miss(path, _Miss(message))
            return ()
        if not found and not family.suspects:
            message = f"{shown(pattern)} matches no {family.word}"
            self.miss(path, _Miss(message, hint="a pattern is searched for anywhere in the name"))
        return found

    def itself(self, path: Path, name: str) -> None:
        """Remember that a pattern matches the very job that waits."""
        hint = "make it narrower, as in ^prepare_; a job cannot wait for itself"
        self.miss(path, _Miss(f"the pattern matches the job itself, {name!r}", hint=hint))


class Tokens:
    """`${files.input.NAME}` and its like: what is written there, and who is meant."""

    def __init__(self, resolver: Resolver, families: Mapping[str, Family], draft: Draft) -> None:
        self.resolver = resolver
        self.families = families
        self.files = draft.files
        self.user_data = draft.user_data
        self.written: dict[int, str] = {}

    def fill(
        self, text: str, axes: Axes, path: Path, used: dict[str, list[Iterator[int | None]]]
    ) -> Iterator[str]:
        """The text of every copy; adds the numbers of what it names to `used`."""
        if "${" not in text:
            return axes.fill(text)
        pieces: list[Iterator[str]] = []
        end = 0
        for match in TOKEN.finditer(text):
            pieces.append(axes.fill(text[end : match.start()]))
            pieces.append(self.token(match, axes, path, used))
            end = match.end()
        pieces.append(axes.fill(text[end:]))
        self.check_rest(text, path)
        if all(isinstance(piece, repeat) for piece in pieces):
            return repeat("".join(map(next, pieces)), axes.count)
        return map("".join, zip(*pieces, strict=False))

    def token(
        self,
        match: re.Match[str],
        axes: Axes,
        path: Path,
        used: dict[str, list[Iterator[int | None]]],
    ) -> Iterator[str]:
        """What stands for one token in every copy."""
        kind, way = match["kind"], match["way"]
        if kind == "datasets":
            hint = "write the path itself"
            self.resolver.miss(path, _Miss(f"{match[0]}: datasets are not used yet", hint=hint))
            return repeat("")
        numbers = self.resolver.names(self.families[kind], axes.fill(match["name"]), path)
        word = self.path if kind == "files" else self.data
        if isinstance(numbers, repeat):
            number = next(numbers)
            used[f"{way}_{kind}"].append(repeat(number))
            return repeat(word(number, way, path))
        listed = list(numbers)
        used[f"{way}_{kind}"].append(iter(listed))
        return (word(number, way, path) for number in listed)

    def path(self, number: int | None, _way: str, path: Path) -> str:
        """The path of a file."""
        return "" if number is None else self.final(self.files[number].path, path)

    def data(self, number: int | None, way: str, path: Path) -> str:
        """User data as JSON; while they are null, the token, for the store to put an id there."""
        if number is None:
            return ""
        record = self.user_data[number]
        if record.data is None:
            return f"${{user_data.{way}.{record.name}}}"
        if number not in self.written:
            text = json.dumps(record.data, separators=(",", ":"), ensure_ascii=False)
            self.written[number] = self.final(text, path)
        return self.written[number]

    def final(self, text: str, path: Path) -> str:
        """What is put into a command; it may not bring in another token."""
        if "${" in text and TOKEN.search(text):
            hint = "tokens do not nest; write the value itself"
            self.resolver.miss(path, _Miss(f"{shown(text)} brings in another token", hint=hint))
        return text

    def check_rest(self, text: str, path: Path) -> None:
        """Warn of what looks like a token and is none."""
        for match in _NEARLY.finditer(text):
            if not TOKEN.match(text, match.start()):
                hint = "write ${files.input.NAME}, ${user_data.output.NAME} or the like"
                self.resolver.faults.warn(path, f"{match[0]} is not replaced", hint)
