"""What every file must be, whatever its format: a tree of plain values that JSON can hold.

Separate from the parsers, so that no format lets through what another refuses: nesting without
end, numbers that are not finite, dates, characters that no store and no command line can hold.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Any

from slurmtorc.spec.faults import malformed, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurmtorc.errors import SpecError
    from slurmtorc.spec.faults import Path

MAX_DEPTH = 100
NOT_A_MAP = (
    "the top level is not a map",
    "a workflow file begins with keys such as `name` and `jobs`",
)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CONTAINERS = frozenset({dict, list})
_HARMLESS = frozenset({int, bool, type(None)})


def require_sound(tree: Any, source: str, *, escapes: bool) -> None:
    """Raise SpecError for the first value that no workflow file may hold.

    `escapes`: the text has backslashes, so its values can hold characters the text has not.
    """
    if type(tree) is not dict:
        raise malformed(source, NOT_A_MAP[0], hint=NOT_A_MAP[1])
    harmless = _HARMLESS if escapes else _HARMLESS | {str}
    level: list[Any] = [tree]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for node in level:
            for value in _values(node):
                if type(value) in _CONTAINERS:
                    inner.append(value)
                elif type(value) not in harmless and _flaw(value):
                    raise _first_flaw(tree, source)
        level = inner
    if level:
        raise malformed(source, f"nested deeper than {MAX_DEPTH} levels")


def _values(node: Any) -> Any:
    return node if type(node) is list else (*node, *node.values())


def _flaw(value: Any) -> str:
    if isinstance(value, str):
        bad = _UNSTORABLE.search(value)
        return f"the character U+{ord(bad[0]):04X} is not allowed" if bad else ""
    if isinstance(value, float):
        return "" if isfinite(value) else f"{value} is not a finite number"
    return f"{shown(str(value))} is a {type(value).__name__}, which JSON does not have"


def _first_flaw(tree: Any, source: str) -> SpecError:
    """The same search with paths, which only a file with a flaw has to pay for."""
    for path, value in _entries(tree):
        flaw = "" if type(value) in _HARMLESS | _CONTAINERS else _flaw(value)
        if flaw:
            hint = "leave it out" if isinstance(value, str) else "write it as text, in quotes"
            return malformed(source, flaw, path=path, hint=hint)
    raise AssertionError("the flaw has gone")


def _entries(tree: Any) -> Iterator[tuple[Path, Any]]:
    stack: list[tuple[Path, Any]] = [((), tree)]
    while stack:
        path, node = stack.pop()
        yield path, node
        if type(node) is list:
            stack += reversed([((*path, index), value) for index, value in enumerate(node)])
        elif type(node) is dict:
            yield from ((path, key) for key in node)
            stack += reversed([((*path, key), value) for key, value in node.items()])
