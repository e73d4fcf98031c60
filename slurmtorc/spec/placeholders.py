"""`{name}` and `{name:format}` in a text: where they are, and how a value is written there.

Substitution is one pass: what a value brings in is never looked at again. `${...}` belongs to
the shell and is left alone (torc itself replaces the `{i}` of a shell's `${i}`; we do not, and
warn). Everything else in braces is ordinary text, as awk, Python and the shell need it.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Scalar = str | int | float | bool

PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_][\w.-]*)(?::([^{}]*))?\}", re.ASCII)
SHELL_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}", re.ASCII)
PARAMETER_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_SPEC = re.compile(r"[<>^=]?[-+ ]?#?0?\d{0,3}[,_]?(?:\.\d{1,2})?([a-zA-Z%]?)", re.ASCII)
_INT_TYPES = "dboxX"
_NUMBER_TYPES = "eEfFgG%"


def plain(value: Scalar) -> str:
    """A value as text: floats shortest, never with an exponent, without a trailing '.0'."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = format(Decimal(repr(value)), "f")
        return text.removesuffix(".0")
    return str(value)


def formatted(value: Scalar, spec: str | None) -> str | None:
    """A value by a format specifier; None if they do not suit each other."""
    if not spec:
        return plain(value)
    match = _SPEC.fullmatch(spec)
    if match is None or not _suits(value, match[1]):
        return None
    try:
        return format(value, spec)
    except ValueError:  # such as a precision for a whole number
        return None


def written(values: Sequence[Scalar], spec: str | None) -> list[str]:
    """Many values; without the specifier where it does not suit, which is a fault elsewhere."""
    if isinstance(values, range):  # what suits one of them suits all
        if spec and formatted(values[0], spec) is not None:
            return [format(value, spec) for value in values]
        return list(map(str, values))
    return [formatted(value, spec) or plain(value) for value in values]


def _suits(value: Scalar, letter: str) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return letter in {"", "s"}
    if isinstance(value, int):
        return letter in f"{_INT_TYPES}{_NUMBER_TYPES}"
    return letter in _NUMBER_TYPES


def names_in(text: str) -> list[str]:
    """The names of all placeholders in a text."""
    return [match[1] for match in PLACEHOLDER.finditer(text)] if "{" in text else []
