"""What is believed of an allocation, from what the queue, accounting and its workers say.

Three witnesses, none of which is believed alone when it says nothing: the queue forgets, lags
and is down; accounting lags, is down or switched off; a heartbeat stops when a store is away.
So an allocation has ended when accounting says so in a final state and the queue does not
contradict, or when the queue has not known it in several successful looks over some minutes
and no worker of it has a heartbeat. What has once been called the end is never taken back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from slurmtorc.model import SlurmState

ABSENCES = 2
"""Successful looks at the queue that must agree before an absence is believed."""
ABSENCE_S = 300.0
"""Over how long they must be spread (seconds)."""
SAID_S = 30.0
"""The same, if the queue did not forget the allocation but showed how it ended."""
SETTLED_S = 60.0
"""Age (seconds) of an end in accounting that is believed while the queue does not answer:
younger, it may be the end of a run that Slurm is about to begin again."""
REPORTING_S = 45.0
"""What a worker is given to report after its allocation has ended: KillWait, and a little."""
STORE_BACK_S = 60.0
"""For how long a run-out lease must be seen before it is believed: after an outage of the
store all leases have run out, and every worker is given time to renew its own."""


class Standing(StrEnum):
    """Where an allocation is believed to stand."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one round was told of one allocation."""

    now: float
    answered: bool
    """Whether the queue answered at all."""
    queue: SlurmState | None = None
    """None: it answered, and did not know the allocation."""
    accounting: SlurmState | None = None
    """None: no answer, or no row."""
    accounting_end: float | None = None
    beating: bool = False
    """Whether a worker of it has a lease that has not run out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What is remembered between rounds; the fields of an allocation's row."""

    slurm_state: SlurmState | None = None
    absent_since: float | None = None
    absences: int = 0
    final_state: SlurmState | None = None
    final_at: float | None = None

    @property
    def standing(self) -> Standing:
        """Where the allocation stands."""
        if self.final_state is not None:
            return Standing.ENDED
        if self.slurm_state is None or self.absences:
            return Standing.UNKNOWN
        if self.slurm_state is SlurmState.PENDING:
            return Standing.WAITING
        return Standing.RUNNING if self.slurm_state.alive else Standing.UNKNOWN


def weigh(belief: Belief, look: Look) -> Belief:
    """What is believed after one more round."""
    if belief.final_state is not None:
        return belief
    if _contradicts(look):
        return Belief(slurm_state=look.queue)
    if _accounted_for(look):
        end = look.now if look.accounting_end is None else look.accounting_end
        return replace(belief, final_state=look.accounting, final_at=end)
    if not look.answered:
        return belief
    if look.queue is SlurmState.COMPLETING:
        return Belief(slurm_state=look.queue)
    return _not_alive(belief, look)


def _contradicts(look: Look) -> bool:
    """Whether the queue has it alive: accounting may then speak of an earlier run."""
    queue = look.queue
    return queue is not None and queue.alive and queue is not SlurmState.COMPLETING


def _accounted_for(look: Look) -> bool:
    """Whether accounting tells of an end that can be believed now."""
    if look.accounting is None or not look.accounting.final:
        return False
    if look.answered:
        return True
    return look.accounting_end is not None and look.now - look.accounting_end >= SETTLED_S


def _not_alive(belief: Belief, look: Look) -> Belief:
    """The queue answered, and does not have it alive."""
    since = look.now if belief.absent_since is None else belief.absent_since
    said = look.queue if look.queue is not None else belief.slurm_state
    seen = replace(belief, slurm_state=said, absent_since=since, absences=belief.absences + 1)
    shown = said is not None and said.final
    needed = SAID_S if shown else ABSENCE_S
    if seen.absences < ABSENCES or look.now - since < needed or (look.beating and not shown):
        return seen
    return replace(seen, final_state=said if shown else SlurmState.UNKNOWN, final_at=since)


def worker_is_lost(
    *, now: float, lease_until: float, expired_since: float | None, ended_at: float | None
) -> bool:
    """Whether what a worker holds is taken from it.

    `expired_since`: since when its lease has been seen run out, at every look of a store that
    answered. `ended_at`: when its allocation ended, None while it may live.
    """
    if ended_at is not None and now >= ended_at + REPORTING_S:
        return True
    return lease_until < now and expired_since is not None and now - expired_since >= STORE_BACK_S
