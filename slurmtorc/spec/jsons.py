"""JSON and JSON5. The values come from fast parsers; a small tokenizer knows the places.

The tokenizer is a second pass: for JSON only when something is wrong, for JSON5 always, because
its parser does not say when a key is given twice.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyjson5

from slurmtorc.errors import Fault, SpecError
from slurmtorc.spec.faults import LIMIT, malformed, place_of, places_of
from slurmtorc.spec.sound import MAX_DEPTH, NOT_A_MAP

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from slurmtorc.spec.faults import Path

_TOKEN = re.compile(
    r"""
      (?P<skip> [\s\ufeff]+ | //[^\n\r\u2028\u2029]* | /\*.*?\*/ )
    | (?P<text> "[^"\\]*(?:\\.[^"\\]*)*" | '[^'\\]*(?:\\.[^'\\]*)*' )
    | (?P<mark> [{}\[\],:] )
    | (?P<word> [^\s{}\[\],:"'/]+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_NEAR = re.compile(r"\s*(?:starting )?near (\d+)")
_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"


class _Twice(Exception):
    """A key is given twice."""


def parse_json(text: str, source: str) -> Any:
    """The plain tree of a JSON text."""
    start = len(text) - len(text.lstrip())
    if text[start : start + 1] != "{":
        raise malformed(source, NOT_A_MAP[0], place_of(text, start), hint=NOT_A_MAP[1])
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except _Twice:
        raise _twice(text, source) from None
    except json.JSONDecodeError as error:
        place = (error.lineno, error.colno)
        raise malformed(source, f"not JSON: {error.msg.lower()}", place) from None
    except RecursionError:
        raise malformed(source, _TOO_DEEP) from None
    except ValueError as error:  # NaN, Infinity, or an int of thousands of digits
        raise malformed(source, f"not JSON: {error}") from None


def parse_json5(text: str, source: str) -> Any:
    """The plain tree of a JSON5 text."""
    try:
        tree = pyjson5.decode(text, maxdepth=MAX_DEPTH)
    except pyjson5.Json5NestingTooDeep:
        raise malformed(source, _TOO_DEEP) from None
    except pyjson5.Json5DecoderException as error:
        message = str(error.args[0])
        near = _NEAR.search(message)
        place = place_of(text, max(0, int(near[1]) - 1)) if near else None
        said = _NEAR.sub("", message).replace("b'", "'").strip()
        raise malformed(source, f"not JSON5: {said}", place) from None
    except ValueError as error:
        raise malformed(source, f"not JSON5: {error}") from None
    if any(again for _, _, again in _places(text)):
        raise _twice(text, source)
    return tree


def locate(text: str, wanted: Collection[Path]) -> dict[Path, tuple[int, int]]:
    """Line and column of the keys and entries at the wanted paths."""
    found: dict[Path, int] = {}
    for path, offset, _ in _places(text):
        if path in wanted:
            found.setdefault(path, offset)
    return places_of(text, found)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a number of JSON")


def _twice(text: str, source: str) -> SpecError:
    """Every key that its map has already, with its place and that of the first."""
    firsts: dict[Path, int] = {}
    again: list[tuple[Path, int]] = []
    for path, offset, repeated in _places(text):
        if repeated and len(again) < LIMIT:
            again.append((path, offset))
        firsts.setdefault(path, offset)
    first = places_of(text, {path: firsts[path] for path, _ in again})
    return SpecError(source, [_repeated(text, *one, first[one[0]][0]) for one in again])


def _repeated(text: str, path: Path, offset: int, first: int) -> Fault:
    line, column = place_of(text, offset)
    message = f"the key {path[-1]!r} is given twice, first on line {first}"
    return Fault(message, path, line=line, column=column)


@dataclass(slots=True)
class _Frame:
    """An open map or list, and where in it we are."""

    path: Path
    is_map: bool
    key: str | None = None
    index: int = 0
    keys: set[str] = field(default_factory=set)

    @property
    def here(self) -> Path:
        """The path of the value that comes next."""
        return (*self.path, self.key or "") if self.is_map else (*self.path, self.index)

    def comma(self) -> None:
        """Go on to the next entry."""
        self.key = None
        self.index += 1


class _Walker:
    """Follows the tokens of a text that a parser has accepted, or accepted so far."""

    def __init__(self) -> None:
        self.frames: list[_Frame] = []

    def step(self, piece: str) -> tuple[Path, bool] | None:
        """The path of the key or entry that begins here, and whether its map has it already."""
        frame = self.frames[-1] if self.frames else None
        if piece in "}],:":
            self._mark(piece, frame)
            return None
        if frame is not None and frame.is_map and frame.key is None:
            return _key(frame, piece)
        path = frame.here if frame else ()
        if piece in "{[":
            self.frames.append(_Frame(path, piece == "{"))
        return (path, False) if frame is not None and not frame.is_map else None

    def _mark(self, piece: str, frame: _Frame | None) -> None:
        if frame is not None and piece in "}]":
            self.frames.pop()
        elif frame is not None and piece == ",":
            frame.comma()


def _key(frame: _Frame, piece: str) -> tuple[Path, bool]:
    name = piece
    if piece[0] in "\"'":
        name = pyjson5.decode(piece) if "\\" in piece else piece[1:-1]
    frame.key = name
    again = name in frame.keys
    frame.keys.add(name)
    return (*frame.path, name), again


def _places(text: str) -> Iterator[tuple[Path, int, bool]]:
    """Every key and entry, its offset, and whether its map has that key already."""
    walker = _Walker()
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "skip":
            found = walker.step(match[0])
            if found:
                yield found[0], match.start(), found[1]
