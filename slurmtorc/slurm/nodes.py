"""Slurm's two little languages: node lists, n[1-3,5],gpu-[01-12], and GRES, gpu:a100:4(S:0-1).

Separate from the parsers of whole answers because they nest, and a table cannot say that.
"""

from __future__ import annotations

import math
import re
from itertools import product

from slurmtorc.errors import InvalidValue

MAX_NODES = 1_000_000
_FORM = "Slurm writes n1, n[1-3,5] or gpu-[01-12],cpu-1"
_PART = re.compile(r"\[[^\[\]]*\]|[^\[\]]+")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?", re.ASCII)
_COUNTS = re.compile(r"(\d+)(?:\(x(\d+)\))?", re.ASCII)
_NO_NODES = frozenset({"", "None assigned", "(null)", "None", "n/a", "N/A"})


def expand_nodes(text: str) -> list[str]:
    """The names in Slurm's compressed list, in its order; empty where no node is assigned."""
    if text.strip() in _NO_NODES:
        return []
    names: list[str] = []
    for word in _split(text.strip(), "[", "]"):
        names += _expand_word(word, text)
        _check_count(len(names), text)
    return names


def expand_counts(text: str) -> list[int]:
    """The numbers in Slurm's list of one for each node: 4(x3),8 is 4, 4, 4, 8."""
    counts: list[int] = []
    for match in _COUNTS.finditer(text):
        times = int(match[2] or 1)
        _check_count(len(counts) + times, text)
        counts += [int(match[1])] * times
    return counts


def _expand_word(word: str, whole: str) -> list[str]:
    """One name with any number of brackets: r[1-2]n[1-3] is six names."""
    parts = _PART.findall(word)
    if not parts or "".join(parts) != word:
        raise InvalidValue(f"node list {whole!r} is not understood", allowed=_FORM)
    choices = [_bracket(part[1:-1], whole) if part[0] == "[" else [part] for part in parts]
    _check_count(math.prod(map(len, choices)), whole)
    return ["".join(chosen) for chosen in product(*choices)]


def _bracket(inside: str, whole: str) -> list[str]:
    numbers: list[str] = []
    for item in inside.split(","):
        match = _RANGE.fullmatch(item)
        if match is None:
            raise InvalidValue(f"node list {whole!r} is not understood", allowed=_FORM)
        first, last = int(match[1]), int(match[2] or match[1])
        _check_count(last - first + 1, whole)
        numbers += [f"{n:0{len(match[1])}d}" for n in range(first, last + 1)]
    return numbers


def _check_count(count: int, whole: str) -> None:
    """Before the names are made: a short text can stand for more than fits into memory."""
    if count > MAX_NODES:
        raise InvalidValue(f"node list {whole!r} names more than {MAX_NODES} nodes")


def _split(text: str, opening: str, closing: str) -> list[str]:
    """At the commas that are outside all brackets."""
    words, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter == opening) - (letter == closing)
        if letter == "," and depth == 0:
            words.append(text[start:place])
            start = place + 1
    return [*words, text[start:]]


def parse_gpus(gres: str) -> tuple[int, str | None]:
    """How many GPUs a node's GRES says it has, and their type if all are of one.

    'gpu:2', 'gpu:a100:4(S:0-1)', 'gpu:a100:2,gpu:v100:1', 'gpu', '(null)'; other GRES are left
    out, and a type of None is 'not told'.
    """
    count, types = 0, set[str | None]()
    for word in _split(gres.strip(), "(", ")"):
        fields = word.partition("(")[0].split(":")
        if fields[0] != "gpu":
            continue
        number = fields[-1] if len(fields) > 1 and fields[-1].isdecimal() else None
        count += 1 if number is None else int(number)
        named = [part for part in fields[1:] if part is not number]
        types.add(named[0] if named else None)
    return count, types.pop() if len(types) == 1 else None
