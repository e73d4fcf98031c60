"""What a simulated Slurm knows of one allocation, and what it tells of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slurmtorc.model import AccountingEntry, QueueEntry, SlurmState

if TYPE_CHECKING:
    from simpy.events import Event

    from slurmtorc.ports import Script
    from slurmtorc.sim.request import Request


@dataclass(slots=True, kw_only=True)
class Booking:
    """One allocation."""

    number: int
    request: Request
    script: Script
    submit_time: float
    granted: Event
    """Happens when it gets its nodes, or when it is ended before."""
    verdict: Event
    """Happens when somebody ends it; the value is the state it ends in."""
    state: SlurmState = SlurmState.PENDING
    reason: str = "Priority"
    nodes: tuple[str, ...] = ()
    start_time: float | None = None
    end_time: float | None = None
    not_before: float = 0.0
    """It does not start earlier."""
    forgotten: bool = False
    """The queue does not know it any more."""
    hidden_until: float = 0.0
    """The queue leaves it out until then, though it knows it."""
    owed: bool = False
    """It was left out, and the next look must tell of it."""
    goes_back: bool = False
    """Its end is not for good: it waits in the queue again afterwards."""
    runs_over: list[tuple[SlurmState, float]] = field(default_factory=list)
    """How and when its runs ended after which it went back."""
    told: list[tuple[float, AccountingEntry]] = field(default_factory=list)
    """From when on accounting says what."""

    @property
    def token(self) -> str:
        """What its submitter knows it by."""
        return self.script.token

    @property
    def waits(self) -> bool:
        """Whether it has no nodes yet, and nobody has ended it."""
        return self.state is SlurmState.PENDING and not self.granted.triggered

    @property
    def latest_end(self) -> float:
        """When its time is up."""
        return (self.start_time or 0.0) + self.request.limit_s

    def queue_entry(self) -> QueueEntry:
        """As the queue shows it."""
        runs = self.start_time is not None and self.end_time is None
        return QueueEntry(
            slurm_job_id=self.number,
            name=self.request.name,
            state=self.state,
            reason=self.reason if self.state is SlurmState.PENDING else "None",
            nodes=",".join(self.nodes),
            submit_time=self.submit_time,
            start_time=self.start_time,
            end_time=self.latest_end if runs else self.end_time,
        )

    def tell(self, state: SlurmState, visible_at: float) -> None:
        """Write a row of accounting."""
        end, start = self.end_time, self.start_time
        entry = AccountingEntry(
            slurm_job_id=self.number,
            name=self.request.name,
            state=state,
            nodes=",".join(self.nodes),
            submit_time=self.submit_time,
            start_time=start,
            end_time=end,
            elapsed_s=None if end is None else int(end - (end if start is None else start)),
            timelimit_s=self.request.limit_s,
        )
        self.told.append((visible_at, entry))

    def account(self, now: float) -> AccountingEntry | None:
        """As accounting tells of it now."""
        return next((entry for since, entry in reversed(self.told) if since <= now), None)
