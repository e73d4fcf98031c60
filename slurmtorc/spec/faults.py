"""Where faults are gathered, and how a message names a value and its likely spelling.

Separate, because every step of the reading adds faults and none may stop at the first. A file
of garbage can hold millions of faults: so a limit is kept, and what was left out is counted.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import Fault, SpecError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Path = tuple[str | int, ...]
"""Keys and list indices from the top of the file."""

LIMIT = 1000
_GUESSES = 200
_CANDIDATES = 500
_LISTED = 800
_SHOWN = 60
_KINDS = {
    type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "text",
    list: "a list", dict: "a map",
}  # fmt: skip


class Faults:
    """Errors and warnings of one file, in the order found."""

    def __init__(self) -> None:
        self.errors: list[Fault] = []
        self.warnings: list[Fault] = []
        self._left_out = 0
        self._guesses = _GUESSES

    def error(self, path: Path, message: str, hint: str = "") -> None:
        """Something that keeps the workflow from being created."""
        self._add(self.errors, Fault(message, path, hint))

    def warn(self, path: Path, message: str, hint: str = "") -> None:
        """Something worth knowing; the workflow can be created."""
        self._add(self.warnings, Fault(message, path, hint, warning=True))

    def unknown(self, path: Path, message: str, word: str, allowed: Collection[str]) -> None:
        """An error about a word that is none of the allowed ones."""
        self.error(path, message, self._guess(word, allowed))

    @property
    def full(self) -> bool:
        """Whether more errors would only be counted."""
        return len(self.errors) >= LIMIT

    def all(self) -> list[Fault]:
        """What was found, and one more fault if the limit cut some off."""
        cut = []
        if self._left_out:
            message = f"{self._left_out:,} more faults are not shown"
            cut.append(Fault(message, warning=not self.errors))
        return [*self.errors, *self.warnings, *cut]

    def _add(self, kind: list[Fault], fault: Fault) -> None:
        if len(kind) < LIMIT:
            kind.append(fault)
        else:
            self._left_out += 1

    def _guess(self, word: str, allowed: Collection[str]) -> str:
        self._guesses -= 1  # each guess costs milliseconds among many names
        return did_you_mean(word, allowed) if self._guesses >= 0 else ""


def did_you_mean(word: str, allowed: Collection[str]) -> str:
    """The nearest allowed word as a hint, or the list of all if it is short."""
    near = nearest(word, allowed)
    if near:
        return f"did you mean {near!r}?"
    if allowed and sum(map(len, allowed)) < _LISTED:
        return f"known: {', '.join(sorted(allowed))}"
    return ""


def nearest(word: str, allowed: Collection[str]) -> str | None:
    """The allowed word that this one is probably a misspelling of."""
    from difflib import get_close_matches  # noqa: PLC0415  only for files with faults

    candidates: Iterable[str] = allowed
    if len(allowed) > _CANDIDATES:
        alike = [
            other
            for other in allowed
            if abs(len(other) - len(word)) <= 1
            and (other[:2] == word[:2] or other[-3:] == word[-3:])
        ]
        candidates = alike[:_CANDIDATES]
    found = get_close_matches(word, candidates, n=1)
    return found[0] if found else None


def kind(value: Any) -> str:
    """What a value is, in the words of a user: 'text', 'a list', ..."""
    return _KINDS.get(type(value), type(value).__name__)


def described(value: Any) -> str:
    """A value and its kind, for a message about its type."""
    return "the value is null" if value is None else f"{shown(value)} is {kind(value)}"


def shown(value: Any) -> str:
    """A value for a message: short, on one line, as JSON writes it."""
    if isinstance(value, dict | list) and len(value) > _SHOWN:
        return f"{kind(value)} of {len(value):,} entries"
    if isinstance(value, str):
        value = value[: 2 * _SHOWN]
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."


def malformed(
    source: str,
    message: str,
    place: tuple[int, int] | None = None,
    *,
    path: Path = (),
    hint: str = "",
) -> SpecError:
    """The error for a file that cannot be read at all."""
    line, column = place or (None, None)
    return SpecError(source, [Fault(message, path, hint, line=line, column=column)])


def place_of(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of an offset."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def places_of(text: str, offsets: dict[Path, int]) -> dict[Path, tuple[int, int]]:
    """The same for many offsets."""
    ends = [match.start() for match in re.finditer("\n", text)] if offsets else []
    found = {}
    for path, offset in offsets.items():
        line = bisect_left(ends, offset)
        found[path] = (line + 1, offset - (ends[line - 1] if line else -1))
    return found
