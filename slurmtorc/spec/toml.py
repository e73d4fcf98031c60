"""TOML by the standard library's parser; a small scanner knows the places, which that forgets.

The scanner runs only over files that have faults. It trusts what the parser accepted, and gives
up (no places after that) where it is lost.
"""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from slurmtorc.spec.faults import malformed, place_of, places_of
from slurmtorc.spec.sound import MAX_DEPTH, NOT_A_MAP

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from slurmtorc.errors import SpecError
    from slurmtorc.spec.faults import Path

_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)")
_TWICE = re.compile(r"Cannot (?:overwrite|declare|mutate|redefine)|Duplicate")
_GARBAGE = re.compile(r"\s*[A-Za-z0-9_-]{1000}")

_TEXT = r"""
    \"{3}(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5} | '{3}(?:[^']|'{1,2}(?!'))*'{3,5}
  | "[^"\\\n]*(?:\\.[^"\\\n]*)*" | '[^'\n]*'
"""
_SKIP = re.compile(r"(?:\s+|#[^\n]*)*")
_KEY = re.compile(
    rf"(?P<part>{_TEXT}|[A-Za-z0-9_-]+)[ \t]*(?P<dot>\.?)[ \t]*", re.VERBOSE | re.DOTALL
)
_ATOM = re.compile(
    rf"{_TEXT} | \d+-\d+-\d+\ \d+:[^\s,\]}}#]* | [^\s,\[\]{{}}#]+", re.VERBOSE | re.DOTALL
)


class _Lost(Exception):
    """The scanner does not understand the text here."""


def parse(text: str, source: str) -> Any:
    """The plain tree of a TOML text."""
    if _GARBAGE.match(text):
        raise malformed(source, NOT_A_MAP[0], hint=NOT_A_MAP[1])
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax(str(error), text, source) from None
    except RecursionError:
        raise malformed(source, f"nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:  # an int of thousands of digits
        raise malformed(source, f"not TOML: {error}") from None


def locate(text: str, wanted: Collection[Path]) -> dict[Path, tuple[int, int]]:
    """Line and column of the keys and entries at the wanted paths."""
    found: dict[Path, int] = {}
    with suppress(_Lost, RecursionError):
        for path, offset, _ in _Scanner(text).places():
            if path in wanted:
                found.setdefault(path, offset)
    return places_of(text, found)


def _syntax(message: str, text: str, source: str) -> SpecError:
    if _TWICE.match(message):
        with suppress(_Lost, RecursionError):
            for path, offset, again in _Scanner(text).places():
                if again:
                    return _twice(path, offset, text, source)
    match = _PLACE.search(message)
    at_end = place_of(text, len(text))
    place = (int(match[1]), int(match[2])) if match and match[1] else at_end
    said = _PLACE.sub("", message)
    return malformed(source, f"not TOML: {said[:1].lower()}{said[1:]}", place)


def _twice(path: Path, offset: int, text: str, source: str) -> SpecError:
    line = locate(text, {path})[path][0]
    message = f"the key {path[-1]!r} is given twice, first on line {line}"
    return malformed(source, message, place_of(text, offset), path=path)


class _Scanner:
    """Walks through the statements of a TOML text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.table: Path = ()
        self.counts: dict[Path, int] = {}
        """Of each array of tables, how many tables it has so far."""
        self.seen: set[Path] = set()
        self.begun: set[Path] = set()
        """Tables that exist because something in them does."""

    def places(self) -> Iterator[tuple[Path, int, bool]]:
        """Every key and entry, its offset, and whether it is there already."""
        at = self.skip(0)
        while at < len(self.text):
            if self.text[at] == "[":
                path, end = self.header(at)
                yield from self.around(path, at)
                yield self.place(path, at)
                at = self.skip(end)
            else:
                at = self.skip((yield from self.pair(at, self.table)))

    def header(self, at: int) -> tuple[Path, int]:
        """`[a.b]` or `[[a.b]]`: the path of its table, and where it ends."""
        brackets = 2 if self.text.startswith("[[", at) else 1
        parts, end = self.key(self.skip(at + brackets))
        path: Path = ()
        for part in parts[:-1]:
            path = self.entered((*path, part))
        path = (*path, parts[-1])
        if brackets > 1:
            self.counts[path] = self.counts.get(path, 0) + 1
            path = self.entered(path)
        self.table = path
        return path, self.skip(end) + brackets

    def entered(self, path: Path) -> Path:
        """The path of the last table of an array, or of the table itself."""
        return (*path, self.counts[path] - 1) if path in self.counts else path

    def pair(self, at: int, table: Path) -> Any:
        """`key = value`: yields its places, returns where it ends."""
        parts, end = self.key(at)
        path = (*table, *parts)
        yield from self.around(path, at)
        yield self.place(path, at)
        if self.text[end : end + 1] != "=":
            raise _Lost
        return (yield from self.value(self.skip(end + 1), path))

    def value(self, at: int, path: Path) -> Any:
        """Yields the places inside a value, returns where it ends."""
        opener = self.text[at : at + 1]
        if opener not in ("[", "{"):
            return self.match(_ATOM, at).end()
        at, index = self.skip(at + 1), 0
        while self.text[at : at + 1] not in ("]", "}"):
            if opener == "[":
                yield (*path, index), at, False
                at = self.skip((yield from self.value(at, (*path, index))))
            else:
                at = self.skip((yield from self.pair(at, path)))
            at = self.skip(at + self.text.startswith(",", at))
            index += 1
        return at + 1

    def key(self, at: int) -> tuple[list[str], int]:
        """The parts of a dotted key, and where it ends."""
        parts = []
        while True:
            match = self.match(_KEY, at)
            part, at = match["part"], match.end()
            parts.append(_decoded(part))
            if not match["dot"]:
                return parts, at

    def around(self, path: Path, at: int) -> Iterator[tuple[Path, int, bool]]:
        """The tables around a place that begin with it."""
        for length in range(len(path) - 1, 0, -1):
            if path[:length] in self.begun:
                return
            self.begun.add(path[:length])
            yield path[:length], at, False

    def place(self, path: Path, at: int) -> tuple[Path, int, bool]:
        """One place, remembered."""
        again = path in self.seen
        self.seen.add(path)
        return path, at, again

    def skip(self, at: int) -> int:
        """Past white space and comments."""
        return self.match(_SKIP, at).end()

    def match(self, pattern: re.Pattern[str], at: int) -> re.Match[str]:
        """What must be there."""
        found = pattern.match(self.text, at)
        if found is None or (pattern is not _SKIP and not found[0]):
            raise _Lost
        return found


def _decoded(part: str) -> str:
    if part[0] not in "\"'":
        return part
    key: str = next(iter(tomllib.loads(f"{part} = 0")))
    return key
