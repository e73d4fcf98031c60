"""Ends that may be Slurm's doing: held back until it is known why the allocation ends.

At the end of an allocation Slurm sends TERM to every process in it at once: to the worker and to
its jobs. So a job's end by TERM may be seen a moment before the worker's own TERM, and what both
mean depends on what Slurm says: its walltime (152), somebody's scancel (143), a lost node, a
preemption. Until it says so nothing must be told of such a job: a wrong ending would bring the
wrong rule of its failure handler. If Slurm says nothing in time, nothing is told at all; the
watch then decides by accounting.
"""

from __future__ import annotations

from dataclasses import replace
from signal import SIGTERM
from typing import TYPE_CHECKING

from slurmtorc.rules.endings import CANCEL_CODE, Stopped
from slurmtorc.worker.recovering import is_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from slurmtorc.model import SlurmState
    from slurmtorc.ports import Exit

DOUBT_S = 0.5
"""How long an end by TERM waits for the worker's own TERM."""


class Doubts:
    """The ends that one worker holds back. Nothing outside of an allocation."""

    def __init__(self, why: Callable[[], SlurmState | None] | None) -> None:
        self._why = why
        self._held: list[Exit] = []

    @property
    def held(self) -> int:
        """How many ends are held back."""
        return len(self._held)

    def sift(self, exits: Iterable[Exit], stopped: Stopped | None, now: float) -> list[Exit]:
        """The ends that may be told now."""
        exits = [*self._held, *exits]
        if self._why is None or stopped not in {None, Stopped.ALLOCATION}:
            self._held = []
            return exits
        if stopped is Stopped.ALLOCATION:
            return self._answered(exits, self._why())
        self._held = [
            exit_ for exit_ in exits if _by_term(exit_) and now < exit_.end_time + DOUBT_S
        ]
        return [exit_ for exit_ in exits if exit_ not in self._held]

    def _answered(self, exits: list[Exit], state: SlurmState | None) -> list[Exit]:
        own = [exit_ for exit_ in exits if not _is_doubtful(exit_)]
        doubtful = [exit_ for exit_ in exits if _is_doubtful(exit_)]
        if state is None:
            self._held = doubtful
            return own
        self._held = []
        return [*own, *(replace(exit_, slurm_state=state) for exit_ in doubtful)]


def _by_term(exit_: Exit) -> bool:
    term = exit_.signal == SIGTERM or exit_.code == CANCEL_CODE
    return term and _is_doubtful(exit_)


def _is_doubtful(exit_: Exit) -> bool:
    """Whether the end of the allocation can be the cause."""
    told = exit_.slurm_state is not None or exit_.over_memory or exit_.launch_error is not None
    return exit_.code != 0 and not told and not is_script(exit_.key)
