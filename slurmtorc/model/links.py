"""What hangs together in a stored workflow: who waits for whom, and what actions wait for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Links:
    """Jobs by their ids. A barrier is a node of its own, with a negative number."""

    waits_for: Mapping[int, Sequence[int]] = field(default_factory=dict)
    """Of each node that waits, the nodes it waits for."""
    gates: Mapping[int, Sequence[int]] = field(default_factory=dict)
    """Action id -> the ids of the jobs its trigger is about."""
