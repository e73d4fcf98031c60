"""What goes wrong in a simulated world, and when. Values only; chances are drawn by the world."""

from __future__ import annotations

from dataclasses import dataclass

Spans = tuple[tuple[float, float], ...]
"""(from, to) in seconds since the world began."""

LATEST_ARRIVAL_S = 60.0
"""No submission reaches the controller later than this: sbatch has given up by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Nothing goes wrong, unless it is said here. Moments are seconds since the beginning."""

    controller_away: Spans = ()
    accounting_away: Spans = ()
    store_away: Spans = ()
    accounting_lag_s: float = 0.2
    accounting_is_off: bool = False
    look_fails: float = 0.0
    """Chance that a look at the queue gets no answer."""
    look_omits: float = 0.0
    """Chance that a look begins to leave an allocation out that is there."""
    longest_lie_s: float = 120.0
    """For how long it is left out at most; then at least one look tells of it."""
    submit_fails: float = 0.0
    """Chance that a submission surely goes nowhere."""
    submit_refused: float = 0.0
    submit_lost: float = 0.0
    """Chance that the answer to a submission is lost; it has arrived, or arrives late, or never."""
    store_answer_lost: float = 0.0
    """Chance that the store has changed and nobody is told so."""
    node_failures: tuple[tuple[float, int, float], ...] = ()
    """(when, which node, for how long). Its allocations end as NODE_FAIL."""
    orphans_live_s: float = 0.0
    """For how long the processes on a failed node go on."""
    preemptions: tuple[float, ...] = ()
    requeues: tuple[float, ...] = ()
    """When an allocation is preempted, and goes back into the queue under its id."""
    node_requeues: bool = False
    """Whether allocations of a failed node go back into the queue, instead of ending."""
    ids_recycled: float = 0.0
    """Chance that an id goes to somebody else's job as soon as the queue has forgotten it."""
    cancels: tuple[float, ...] = ()
    """When a person cancels a running or queued allocation with scancel."""
    worker_kills: tuple[float, ...] = ()
    watch_kills: tuple[float, ...] = ()


def within(spans: Spans, since: float) -> float | None:
    """When the span ends that this moment is in; None if it is in none."""
    return next((end for begin, end in spans if begin <= since < end), None)
