"""Parameters: the notation of their values, and the copies they make.

An item with parameters is expanded column by column, never copy by copy: each text is split once
at its placeholders, and the copies of a text come out of one iterator. Ranges stay ranges. So a
million copies cost a million texts, and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from itertools import chain, repeat
from math import isfinite, prod
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import InvalidValue
from slurmtorc.spec.faults import described, kind, shown
from slurmtorc.spec.placeholders import PLACEHOLDER, Scalar, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MAX_COPIES = 10_000_000
LIMIT = f"the limit is {MAX_COPIES:,}"
_INT = re.compile(r"[-+]?\d{1,400}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\d{1,400}\.?\d{0,400}|\.\d{1,400})(?:[eE][-+]?\d{1,3})?", re.ASCII)
_ITEM = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)"|([^,]*?))\s*(?:,|$)""")
_RANGE_FORM = "write start:end or start:end:step, as in 1:10 or 0:1:0.1"
_DIGITS = 50
_MAX_PARTS = 3


@dataclass(frozen=True, slots=True)
class Axes:
    """The parameters of one item, and the copies they make."""

    values: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)
    zipped: bool = False
    count: int = 1

    def fill(self, text: str) -> Iterator[str]:
        """The text of every copy, in order."""
        matches = (
            [m for m in PLACEHOLDER.finditer(text) if m[1] in self.values] if "{" in text else ()
        )
        if not matches:
            return repeat(text, self.count)
        columns = [self._column(match[1], match[2]) for match in matches]
        if len(matches) == 1 and matches[0][0] == text:
            return columns[0]
        ends = [0, *(match.end() for match in matches)]
        starts = [*(match.start() for match in matches), len(text)]
        pieces = [text[a:b].replace("%", "%%") for a, b in zip(ends, starts, strict=True)]
        return map("%s".join(pieces).__mod__, zip(*columns, strict=True))

    def fill_all(self, value: Any) -> Iterator[Any]:
        """The same for every text inside a tree; keys stay. What does not vary is shared."""
        if isinstance(value, str):
            return self.fill(value)
        if not self.varies(value):
            return repeat(value, self.count)
        if isinstance(value, list):
            return map(list, zip(*map(self.fill_all, value), strict=True))
        keys = list(value)
        rows = zip(*map(self.fill_all, value.values()), strict=True)
        return (dict(zip(keys, row, strict=True)) for row in rows)

    def varies(self, value: Any) -> bool:
        """Whether a text, or a text inside a tree, names a parameter."""
        if isinstance(value, str):
            return "{" in value and any(m[1] in self.values for m in PLACEHOLDER.finditer(value))
        if isinstance(value, list | tuple):
            return any(map(self.varies, value))
        return isinstance(value, dict) and any(map(self.varies, value.values()))

    def _column(self, name: str, spec: str | None) -> Iterator[str]:
        """One parameter's value in every copy, as text. The last parameter varies fastest."""
        cells = written(self.values[name], spec)
        if self.zipped:
            return iter(cells)
        names = list(self.values)
        sizes = [len(values) for values in self.values.values()]
        at = names.index(name)
        inner = prod(sizes[at + 1 :])
        outer = prod(sizes[:at])
        once = cells if inner == 1 else [cell for cell in cells for _ in range(inner)]
        return chain.from_iterable(repeat(once, outer))


NO_AXES = Axes()
"""An item without parameters is one copy of itself."""


def axes(values: Mapping[str, Sequence[Scalar]], *, zipped: bool) -> Axes:
    """The copies of an item. Raises InvalidValue if its parameters cannot be combined."""
    if not values:
        return NO_AXES
    sizes = {name: len(found) for name, found in values.items()}
    if zipped and len(set(sizes.values())) > 1:
        lengths = ", ".join(f"{name} has {size:,}" for name, size in sizes.items())
        raise InvalidValue(
            f"parameter_mode zip needs as many values of each: {lengths}",
            allowed="give all the same number, or leave parameter_mode out for all combinations",
        )
    count = min(sizes.values()) if zipped else prod(sizes.values())
    if count > MAX_COPIES:
        raise InvalidValue(f"the parameters make {count:,} copies", allowed=LIMIT)
    return Axes(values, zipped, count)


def values(raw: Any) -> Sequence[Scalar]:
    """The values of one parameter. Raises InvalidValue."""
    found: Sequence[Scalar]
    if isinstance(raw, str):
        found = _parsed(raw.strip())
    elif isinstance(raw, list):
        found = _listed(raw)
    elif isinstance(raw, bool | int | float):
        found = (raw,)
    else:
        raise InvalidValue(described(raw), allowed="write text, a number or a list")
    if not found:
        raise InvalidValue(f"{shown(raw)} gives no values", allowed="write at least one")
    return found


def _listed(raw: list[Any]) -> tuple[Scalar, ...]:
    for index, value in enumerate(raw):
        if not isinstance(value, str | int | float):
            message = f"entry {index + 1} of the list is {kind(value)}"
            raise InvalidValue(message, allowed="write text, numbers, true or false")
    return tuple(raw)


def _parsed(text: str) -> Sequence[Scalar]:
    """The grammar, in its order."""
    if text.startswith("@"):
        raise InvalidValue(
            f"{shown(text)} would read a file, which a workflow file cannot do",
            allowed="write the values as a list",
        )
    if text.startswith("{") and text.endswith("}"):
        text = _unbraced(text)
    if text.startswith("[") and text.endswith("]"):
        return _items(text[1:-1])
    if ":" in text:
        return _range(text)
    return (_scalar(text),)


def _unbraced(text: str) -> str:
    inner = text[1:-1].strip()
    if "," in inner and not inner.startswith("["):
        raise InvalidValue(f"{shown(text)} is not understood", allowed=f"write [{inner}]")
    return inner


def _items(text: str) -> tuple[Scalar, ...]:
    """`a, 2, 'b, c'`: text in quotes stays text."""
    found: list[Scalar] = []
    at = 0
    while text.strip() and at <= len(text):
        match = _ITEM.match(text, at)
        assert match is not None  # every alternative can be empty
        quoted = match[1] if match[1] is not None else match[2]
        if not quoted and not match[3] and quoted is None:
            allowed = "write '' for empty text"
            raise InvalidValue(f"an entry of {shown(f'[{text}]')} is empty", allowed=allowed)
        found.append(_scalar(match[3]) if quoted is None else quoted)
        at = match.end() if match[0].endswith(",") else len(text) + 1
    return tuple(found)


def _scalar(text: str) -> Scalar:
    text = text.strip()
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _is_number(text) else text


def _is_number(text: str) -> bool:
    return bool(_FLOAT.fullmatch(text)) and isfinite(float(text))


def _range(text: str) -> Sequence[Scalar]:
    parts = [part.strip() for part in text.split(":")]
    if len(parts) > _MAX_PARTS or not all(map(_is_number, parts)):
        hint = f"{_RANGE_FORM}; text with a colon needs a list: [{shown(text)}]"
        raise InvalidValue(f"{shown(text)} is not a range of numbers", allowed=hint)
    if all(map(_INT.fullmatch, parts)):
        return _int_range(text, *map(int, parts))
    return _float_range(text, *map(Decimal, parts))


def _int_range(text: str, start: int, end: int, step: int = 1) -> range:
    _require_direction(text, start, end, step)
    found = range(start, end + (1 if step > 0 else -1), step)
    _require_size(text, (end - start) // step + 1)
    return found


def _float_range(
    text: str, start: Decimal, end: Decimal, step: Decimal = Decimal(1)
) -> tuple[float, ...]:
    """Exact decimal steps: 0:1:0.1 gives 0.3, not 0.30000000000000004."""
    _require_direction(text, start, end, step)
    with localcontext(prec=_DIGITS):
        _require_size(text, (end - start) / step + 1)
        count = int((end - start) // step) + 1
        return tuple(float(start + index * step) for index in range(count))


def _require_direction(text: str, start: Any, end: Any, step: Any) -> None:
    if step == 0:
        raise InvalidValue(f"the step of {shown(text)} is 0", allowed="write a step that moves")
    if (end - start) * step < 0:
        allowed = f"write {start}:{end}:{-step}"
        raise InvalidValue(
            f"{shown(text)} gives no values: the step goes the wrong way", allowed=allowed
        )


def _require_size(text: str, count: Any) -> None:
    if count > MAX_COPIES:
        raise InvalidValue(f"{shown(text)} has more values than a workflow can have", allowed=LIMIT)
