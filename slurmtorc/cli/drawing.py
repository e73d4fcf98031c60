"""Tables of plain text, as rich draws them, without rich.

Most tables go to files and pipes, where there are no colours, and hold short ASCII words. To
import rich for them takes longer than what most commands do, and it needs seconds for a list of
ten thousand jobs. A test holds both to the same characters. What this cannot draw the same way
(a wide character, a line that must be folded) is left to rich.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

WIDTH = 160
"""Of a table that is not shown on a terminal."""


def drawn(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[str] = (),
    total: Sequence[str] = (),
) -> str | None:
    """A table under a heading, with a last row set apart; None if it takes more than this.

    `right`: columns that are set flush right.
    """
    lines = [columns, *rows, *([total] if total else [])]
    if not all(len(line) == len(columns) and all(map(_is_plain, line)) for line in lines):
        return None
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if sum(widths) + 3 * len(widths) + 1 > WIDTH:
        return None
    fields = [
        f"{{:{'>' if column in right else '<'}{width}}}"
        for column, width in zip(columns, widths, strict=True)
    ]
    set_apart = [_rule("├─┼┤", widths)] if rows and total else []
    head, row = f"┃ {' ┃ '.join(fields)} ┃", f"│ {' │ '.join(fields)} │"
    return "\n".join(
        [
            _rule("┏━┳┓", widths),
            head.format(*columns),
            _rule("┡━╇┩", widths),
            *(row.format(*cells) for cells in rows),
            *set_apart,
            *([row.format(*total)] if total else []),
            _rule("└─┴┘", widths),
        ]
    )


def _is_plain(text: str) -> bool:
    """One place for each character, whatever shows it; and none that rich would leave out."""
    return text.isascii() and text.isprintable() and not text.endswith(" ")


def _rule(shape: str, widths: Sequence[int]) -> str:
    first, line, cross, last = tuple(shape)
    return first + cross.join(line * (width + 2) for width in widths) + last
