"""A Slurm cluster: allocations, steps, and what is kept for reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from slurmtorc.model import (
        AccountingEntry,
        Habits,
        QueueEntry,
        Site,
        StepEntry,
        UsageEntry,
    )


@dataclass(frozen=True, slots=True)
class Script:
    """A rendered sbatch script and the name Slurm is to know it by."""

    text: str
    job_name: str
    token: str
    directory: str
    """Where sbatch runs and the job starts."""


class Slurm(Protocol):
    """A Slurm cluster. Many ids in one call: never one call per allocation."""

    def submit(self, script: Script) -> int:
        """Slurm's job id.

        Raises SubmissionRefused (it will never be accepted), SlurmUnavailable (surely not
        submitted, try later) or SubmissionInDoubt (ask `find` before anything else).
        """

    def look(self, slurm_job_ids: Collection[int]) -> dict[int, QueueEntry]:
        """What the queue says; ids it does not know are absent. Raises SlurmUnavailable."""

    def account(self, slurm_job_ids: Collection[int], since: float) -> dict[int, AccountingEntry]:
        """What accounting says of allocations submitted after `since`. Raises SlurmUnavailable."""

    def find(self, token: str, since: float) -> int | None:
        """The id of the allocation with that token, in the queue or in accounting.

        None is said only when both have answered. Raises SlurmUnavailable otherwise.
        """

    def cancel(self, slurm_job_ids: Collection[int]) -> None:
        """End allocations, queued or running; unknown and finished ones are no error."""

    def site(self) -> Site:
        """The cluster as Slurm describes it now."""


class Steps(Protocol):
    """What a worker asks of Slurm about the allocation it is in. None of it is hurried."""

    def habits(self) -> Habits:
        """How this cluster treats processes. Raises SlurmUnavailable."""

    def account_steps(self, slurm_job_id: int) -> dict[str, StepEntry]:
        """What accounting says of an allocation's steps, by name. Raises SlurmUnavailable."""

    def signal_steps(self, slurm_job_id: int, names: Collection[str], number: int) -> None:
        """Send a signal to all processes of the steps of these names; ended ones are no error."""


class Ledger(Protocol):
    """What Slurm's accounting keeps for reports.

    Separate from Slurm: nothing decides by it, so a cluster that is only simulated, or reached
    through a library, need not have it.
    """

    def usage(self, slurm_job_ids: Collection[int], since: float) -> list[UsageEntry]:
        """Allocations submitted after `since`, each followed by its steps.

        Empty where a cluster keeps no accounting. Raises SlurmUnavailable.
        """
