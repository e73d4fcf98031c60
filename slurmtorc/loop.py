"""The only endless loop of the program: a step, and a driver that rests between steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def drive(tick: Callable[[], float | None], rest: Callable[[float], object]) -> None:
    """Call `tick` until it returns None; rest as many seconds as it says in between."""
    while (pause := tick()) is not None:
        rest(pause)
