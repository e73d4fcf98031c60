"""YAML by the rules of YAML 1.2 (core schema), from the event stream of PyYAML's C parser.

Separate from PyYAML's own loaders, which follow YAML 1.1: there `1:20` is 80, `10:00:00` is
36000, `yes` is true, and of two equal keys the last one silently wins. No tag is ever obeyed, so
nothing in a file can construct anything but plain values.

Choices: `017` is 17 (core schema: decimal). A key is its text as written, so `1: a` is the key
"1". Merge keys (`<<`) belong to YAML 1.1 and are refused.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from slurmtorc.spec.faults import malformed, place_of
from slurmtorc.spec.sound import MAX_DEPTH, NOT_A_MAP

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from slurmtorc.errors import SpecError
    from slurmtorc.spec.faults import Path

MIB = 1024**2
LONGEST_LINE = 4 * MIB
"""Characters."""
MAX_ALIASED = 5_000_000
_NONE = object()
_WORDS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BASED = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NUMERIC_START = frozenset("0123456789+-.")
_MAX_DIGITS = 4000
_NOT_YAML = "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
"""A pattern that takes milliseconds to compile, and only a bad file needs it."""


def parse(text: str, source: str) -> Any:
    """The plain tree of one document; None if it holds nothing."""
    _refuse_endless_line(text, source)
    try:
        return _Builder(text, source).build()
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, source) from None
    except yaml.YAMLError:
        raise _character(text, source) from None


def _refuse_endless_line(text: str, source: str) -> None:
    """Nobody writes such a line; reading what a program wrote by mistake would take minutes."""
    start = 0
    while start + LONGEST_LINE < len(text):
        end = text.rfind("\n", start, start + LONGEST_LINE + 1)
        if end < 0:
            message = f"a line of more than {LONGEST_LINE // MIB} MiB"
            hint = "break it into lines; what is JSON, name .json"
            raise malformed(source, message, place_of(text, start), hint=hint)
        start = end + 1


def scalar(text: str) -> Any:
    """The value of an unquoted scalar."""
    if text[:1] not in _NUMERIC_START:
        return _WORDS.get(text, text)
    if _INT.fullmatch(text):
        return int(text) if len(text) < _MAX_DIGITS else text
    if _FLOAT.fullmatch(text):
        return float(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _events(text: str) -> Iterator[Any]:
    return iter(yaml.CSafeLoader(text).get_event, None)


@dataclass(slots=True)
class _Open:
    """A map or a list whose end has not been read."""

    container: Any
    key: Any
    """Under which key it will continue in the container around it; the index for a list."""
    anchor: str | None


class _Builder:
    """One pass over the events. `here` is the innermost open map or list."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source
        self.top: list[Any] = []
        self.here: Any = self.top
        self.key: Any = _NONE
        self.opened: list[_Open] = []
        self.anchors: dict[str, Any] = {}
        self.sizes: dict[int, int] = {}
        self.keys: dict[str, str] = {}
        self.aliased = 0
        self.documents = 0
        self.handlers: dict[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self.scalar,
            yaml.MappingStartEvent: lambda event: self.open(event, {}),
            yaml.SequenceStartEvent: lambda event: self.open(event, []),
            yaml.MappingEndEvent: self.close,
            yaml.SequenceEndEvent: self.close,
            yaml.AliasEvent: self.alias,
            yaml.DocumentStartEvent: self.document,
        }

    def build(self) -> Any:
        """The tree, or the first thing that is wrong with it."""
        handlers = self.handlers
        for event in _events(self.text):
            handler = handlers.get(type(event))
            if handler is not None:
                handler(event)
        return self.top[0] if self.top else None

    def document(self, event: Any) -> None:
        """Allow one."""
        self.documents += 1
        if self.documents > 1:
            raise self.error(event, "a second document begins", "write one workflow in one file")

    def scalar(self, event: Any) -> None:
        """A key or a value. Nine of ten events come here, so this is written for speed."""
        text, here = event.value, self.here
        if event.anchor is not None or event.tag is not None:
            self.marked(event)
        elif type(here) is not dict:
            self.add(scalar(text) if event.implicit[0] else text, event)
        elif self.key is _NONE:
            self.new_key(event, text)
        else:
            here[self.key] = scalar(text) if event.implicit[0] else text
            self.key = _NONE

    def marked(self, event: Any) -> None:
        """A scalar with an anchor or a tag."""
        if event.tag is not None:
            raise self.tagged(event)
        is_key = self.key is _NONE and type(self.here) is dict
        plain = event.implicit[0] and not is_key
        value = scalar(event.value) if plain else event.value
        if event.anchor is not None:
            self.anchors[event.anchor] = value
        if is_key:
            self.new_key(event, value)
        else:
            self.add(value, event)

    def new_key(self, event: Any, text: str) -> None:
        """Remember the key whose value comes next."""
        if text in self.here:
            raise self.twice(event, text)
        if text == "<<" and event.implicit[0]:
            hint = "merge keys are not part of YAML 1.2; write the keys out"
            raise self.error(event, "`<<` is not understood", hint)
        self.key = self.keys.setdefault(text, text)

    def add(self, value: Any, event: Any) -> None:
        """Put a value into its place."""
        if type(self.here) is dict:
            if self.key is _NONE:
                raise self.error(event, "a key is not text", "write `key: value`")
            self.here[self.key] = value
            self.key = _NONE
            return
        if self.here is self.top and type(value) is not dict and value is not None:
            raise self.error(event, *NOT_A_MAP)
        self.here.append(value)

    def open(self, event: Any, container: Any) -> None:
        """Begin a map or a list."""
        if event.tag is not None:
            raise self.tagged(event)
        if len(self.opened) >= MAX_DEPTH:
            raise self.error(event, f"nested deeper than {MAX_DEPTH} levels")
        key = self.key if type(self.here) is dict else len(self.here)
        self.add(container, event)
        self.opened.append(_Open(self.here, key, event.anchor))
        self.here = container
        if event.anchor is not None:
            self.anchors[event.anchor] = _NONE  # until it is closed

    def close(self, _event: Any) -> None:
        """End a map or a list."""
        ended, around = self.here, self.opened.pop()
        self.here = around.container
        if around.anchor is not None:
            self.anchors[around.anchor] = ended

    def alias(self, event: Any) -> None:
        """Put what was anchored here, without copying it."""
        if event.anchor not in self.anchors:
            raise self.error(event, f"`*{event.anchor}` has no anchor `&{event.anchor}` before it")
        value = self.anchors[event.anchor]
        if value is _NONE:
            raise self.error(event, f"`*{event.anchor}` stands inside its own anchor")
        self.aliased += self.size(value)
        if self.aliased > MAX_ALIASED:
            message = f"the aliases stand for more than {MAX_ALIASED:,} values"
            raise self.error(event, message, "write less by aliases")
        self.add(value, event)

    def size(self, value: Any) -> int:
        """How many values an anchor stands for, aliases inside it included."""
        if type(value) not in (dict, list):
            return 1
        known = self.sizes.get(id(value))
        if known is None:
            entries = value.values() if type(value) is dict else value
            known = self.sizes[id(value)] = 1 + sum(map(self.size, entries))
        return known

    def tagged(self, event: Any) -> SpecError:
        """The error for a tag."""
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        return self.error(event, f"the tag `{tag}` is not allowed", "write plain values")

    def twice(self, event: Any, key: str) -> SpecError:
        """The error for a key that the map has already."""
        path = (*(around.key for around in self.opened[1:]), key)
        first = locate(self.text, {path}).get(path)
        lines = f", first on line {first[0]}" if first else ""
        return self.error(event, f"the key {key!r} is given twice{lines}", path=path)

    def error(self, event: Any, message: str, hint: str = "", path: Path = ()) -> SpecError:
        """The error at an event."""
        mark = event.start_mark
        return malformed(
            self.source, message, (mark.line + 1, mark.column + 1), path=path, hint=hint
        )


@dataclass(slots=True)
class _Frame:
    """Where a walk for places is: in a map (waiting for a key while `key` is None) or a list."""

    path: Path
    is_map: bool
    key: str | None = None
    index: int = 0

    def next(self, event: Any) -> tuple[Path, bool]:
        """The path of the node that begins, and whether it is a place: a key or an entry."""
        if not self.is_map:
            self.index += 1
            return (*self.path, self.index - 1), True
        if self.key is None:
            self.key = getattr(event, "value", "")
            return (*self.path, self.key), True
        path, self.key = (*self.path, self.key), None
        return path, False


def locate(text: str, wanted: Collection[Path]) -> dict[Path, tuple[int, int]]:
    """Line and column of the keys and entries at the wanted paths."""
    found: dict[Path, tuple[int, int]] = {}
    with suppress(yaml.YAMLError):
        for path, mark in _places(text):
            if path in wanted and path not in found:
                found[path] = (mark.line + 1, mark.column + 1)
                if len(found) == len(wanted):
                    break
    return found


def _places(text: str) -> Iterator[tuple[Path, Any]]:
    """Every key and entry with its mark, in file order."""
    frames: list[_Frame] = []
    for event in _events(text):
        if isinstance(event, yaml.CollectionEndEvent):
            frames.pop()
        elif isinstance(event, yaml.NodeEvent):
            path, is_place = frames[-1].next(event) if frames else ((), False)
            if is_place:
                yield path, event.start_mark
            waits = bool(frames) and frames[-1].is_map and is_place
            if isinstance(event, yaml.CollectionStartEvent) and not waits:
                frames.append(_Frame(path, isinstance(event, yaml.MappingStartEvent)))


def _syntax(error: yaml.MarkedYAMLError, source: str) -> SpecError:
    mark = error.problem_mark or error.context_mark
    place = (mark.line + 1, mark.column + 1) if mark else None
    hint = "indent with spaces" if "tab character" in str(error.problem) else ""
    return malformed(source, f"not YAML: {error.problem or error.context}", place, hint=hint)


def _character(text: str, source: str) -> SpecError:
    bad = re.search(_NOT_YAML, text)
    place = place_of(text, bad.start()) if bad else None
    name = f"U+{ord(bad[0]):04X}" if bad else "unknown"
    return malformed(source, f"the character {name} is not allowed", place, hint="leave it out")
