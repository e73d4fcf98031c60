"""A flame graph: stacks with weights in, a picture out.

Pure. The lowest row is the whole; above each function lie those it called, as wide as the time
they took. The order from left to right is the alphabet's and means nothing.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench import svg

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WIDTH = 1200.0
ROW = 17.0
TOP = 40.0
LEAST = 0.002
"""What is narrower than this part of the whole is not drawn."""
LETTER = 7.3


@dataclass(slots=True)
class Frame:
    """One function at one place of the stacks, with all that it called."""

    name: str
    weight: float = 0.0
    above: dict[str, Frame] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Box:
    """One frame's place: its part of the whole, and where it begins."""

    name: str
    level: int
    start: float
    part: float


def tree(stacks: Mapping[str, float]) -> Frame:
    """Stacks as `caller;called;...` with their weights, put together."""
    whole = Frame("all")
    for stack, weight in stacks.items():
        whole.weight += weight
        frame = whole
        for name in stack.split(";"):
            frame = frame.above.setdefault(name, Frame(name))
            frame.weight += weight
    return whole


def boxes(whole: Frame) -> list[Box]:
    """What is drawn."""
    return list(_boxes(whole, whole.weight or 1.0, 0, 0.0))


def _boxes(frame: Frame, total: float, level: int, start: float) -> Iterator[Box]:
    part = frame.weight / total
    if part < LEAST:
        return
    yield Box(frame.name, level, start, part)
    for _, above in sorted(frame.above.items()):
        yield from _boxes(above, total, level + 1, start)
        start += above.weight / total


def flame(stacks: Mapping[str, float], title: str, unit: str = "s") -> str:
    """The picture."""
    whole = tree(stacks)
    placed = boxes(whole)
    height = TOP + ROW * (1 + max((box.level for box in placed), default=0)) + 10
    parts = [svg.text(10, 22, title)]
    for box in placed:
        parts += _drawn(box, height, f"{box.part * whole.weight:.2f} {unit}")
    return svg.drawing(WIDTH, height, title, parts)


def _drawn(box: Box, height: float, weight: str) -> list[str]:
    x, width = box.start * WIDTH, box.part * WIDTH
    y = height - ROW * (box.level + 1) - 5
    hint = f"{box.name}: {weight}, {100 * box.part:.1f} %"
    parts = [svg.rect(x, y, max(width - 0.6, 0.4), ROW - 1, _colour(box.name), hint)]
    letters = int((width - 6) / LETTER)
    if letters > 2:  # noqa: PLR2004  fewer say nothing
        words = box.name if len(box.name) <= letters else box.name[: letters - 1] + "…"
        parts.append(svg.text(x + 3, y + 12, words))
    return parts


def _colour(name: str) -> str:
    """Ours warm, others' cool; the same function always the same shade."""
    shade = zlib.crc32(name.encode()) % 40
    if name.startswith(("slurmtorc", "all")):
        return f"hsl({20 + shade}, 85%, 68%)"
    return f"hsl({190 + shade}, 40%, 78%)"


def shares(stacks: Mapping[str, float]) -> dict[str, float]:
    """Of each function, the part of the whole in which it was on the stack; the largest first."""
    total = sum(stacks.values()) or 1.0
    found: dict[str, float] = {}
    for stack, weight in stacks.items():
        for name in set(stack.split(";")):
            found[name] = found.get(name, 0.0) + weight / total
    return dict(sorted(found.items(), key=lambda item: -item[1]))
