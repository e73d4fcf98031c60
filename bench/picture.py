"""The picture of a run: how far each target is reached, on one scale.

Pure. A bar that ends at the line in the middle is exactly at its target, right of it is better;
the scale is logarithmic, so twice as good and half as good are equally far from the line.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench import svg
from bench.figures import shown, shown_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.figures import Figure

LEFT, BAR, RIGHT = 420, 320, 300
STEP = 22
TOP = 54
DECADES = 1.0
"""How far the scale goes either way: a tenth to tenfold."""
GOOD, BAD, NONE = "#2a7f62", "#b3402a", "#777"


def picture(figures: Sequence[Figure], title: str) -> str:
    """All figures, one below the other."""
    height = TOP + STEP * len(figures) + 10
    middle = LEFT + BAR / 2
    parts = [svg.text(10, 20, title), *_scale(height)]
    for i, figure in enumerate(figures):
        parts += _bar(figure, TOP + STEP * i)
    parts.append(svg.line(middle, TOP - 8, middle, height - 6, "#222"))
    return svg.drawing(LEFT + BAR + RIGHT, height, title, parts)


def _scale(height: float) -> list[str]:
    """The multiples of a target, above the bars."""
    parts = []
    for multiple in (0.1, 0.5, 1, 2, 10):
        x = LEFT + BAR * _place(multiple)
        parts.append(svg.text(x, TOP - 14, f"{multiple:g}", fill=NONE, anchor="middle"))
        parts.append(svg.line(x, TOP - 8, x, height - 6, "#ddd"))
    return parts


def _bar(figure: Figure, y: float) -> list[str]:
    """One figure: name, bar from the middle, numbers."""
    reach = figure.reach
    name = f"{figure.benchmark}: {figure.row}" + (f" / {figure.beside}" if figure.beside else "")
    colour = NONE if reach is None else GOOD if reach >= 1 else BAD
    parts = [
        svg.text(LEFT - 12, y + 13, name[:56], anchor="end"),
        svg.text(LEFT + BAR + 12, y + 13, _numbers(figure), fill=colour),
    ]
    if reach is not None:
        start, stop = sorted((0.5, _place(reach)))
        hint = f"{name}: {shown(reach)} of the target"
        width = max(BAR * (stop - start), 1)
        parts.append(svg.rect(LEFT + BAR * start, y + 3, width, STEP - 8, colour, hint))
    return parts


def _numbers(figure: Figure) -> str:
    words = [f"{shown(figure.value.median)} {figure.unit}"]
    if figure.ratio is not None:
        words.append(f"{shown(figure.ratio)} x")
    if figure.target is not None:
        words.append(f"({shown_target(figure)})")
    return "  ".join(words)


def _place(multiple: float) -> float:
    """Where on the scale, from 0 to 1."""
    if multiple <= 0:
        return 0.0
    exponent = math.log10(multiple) if math.isfinite(multiple) else DECADES
    return min(max(0.5 + exponent / (2 * DECADES), 0.0), 1.0)
