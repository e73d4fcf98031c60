"""Allocations: the intent first, then sbatch, then the record. Nobody gets two for one intent.

An intent is committed, with a token of its own, before Slurm hears of it; the token is part of
the Slurm job's name and is its comment. Whatever then happens to this process or to sbatch's
answer, `find(token)` tells later whether Slurm has it. Only after a proven absence is it
submitted again. Before each sbatch an intent is marked as being asked for: whoever finds the
mark leaves it alone until it is so old that its maker must be gone.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slurmtorc.errors import (
    Conflict,
    InvalidValue,
    SlurmError,
    StoreUnavailable,
    SubmissionBarred,
    SubmissionInDoubt,
    SubmissionRefused,
    TorcError,
)
from slurmtorc.model import (
    ActionRun,
    ActionType,
    Allocation,
    AllocationStatus,
    SlurmScheduler,
    TriggerType,
    Workflow,
)
from slurmtorc.rules.evidence import is_ours
from slurmtorc.schedule.folder import directory_of, make_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slurmtorc.model import Action
    from slurmtorc.ports import Clock, Script, Slurm, Store

log = logging.getLogger(__name__)

TOKEN_BYTES = 6
SLURM_COMMAND_S = 60.0
"""How long an sbatch command may take, unless the settings say otherwise."""
DOUBT_LOOKS = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between looks for a submission in doubt."""


@dataclass(slots=True)
class Outcome:
    """What came of asking for allocations."""

    submitted: list[Allocation] = field(default_factory=list)
    refused: list[tuple[Allocation, str]] = field(default_factory=list)
    """Slurm said no; the reason is stored with the allocation as well."""
    open: list[tuple[Allocation, str]] = field(default_factory=list)
    """Neither yes nor no yet; watch, or another submit, settles them."""
    failed: list[tuple[int, str]] = field(default_factory=list)
    """Actions, by id, that could not be executed, and why."""

    @property
    def count(self) -> int:
        """How many allocations it is about."""
        return len(self.submitted) + len(self.refused) + len(self.open)

    def add(self, other: Outcome) -> None:
        """Both together."""
        self.submitted += other.submitted
        self.refused += other.refused
        self.open += other.open
        self.failed += other.failed


class Submitter:
    """Asks Slurm for a workflow's allocations."""

    def __init__(
        self,
        store: Store,
        slurm: Slurm,
        clock: Clock,
        render: Callable[[Workflow, SlurmScheduler, Allocation], Script],
        *,
        command_s: float = SLURM_COMMAND_S,
        on_node: bool = False,
    ) -> None:
        self.on_node = on_node
        self.is_barred = False
        """Whether jobs cannot be submitted from this node, so that others have to."""
        self._told: set[tuple[int, str]] = set()
        """Actions that cannot be executed, and why, as far as that was told."""
        self.abandoned_after_s = 2 * command_s + 30
        self.store = store
        self.slurm = slurm
        self.clock = clock
        self.render = render

    def act(
        self,
        workflow: Workflow,
        output_dir: str,
        compute_node_id: int | None = None,
        *,
        leaving: bool = False,
        limit: int | None = None,
        patient: bool = True,
    ) -> Outcome:
        """Take every pending schedule_nodes action, and submit what is recorded and not asked for.

        At most `limit` submissions; the rest follows at the next call, from whoever makes it.
        With `patient`, a submission in doubt is looked for until Slurm must know it. `leaving`:
        the worker is about to end.
        """
        outcome = Outcome()
        due = self._due(workflow, compute_node_id, leaving=leaving)
        # Once all is over, nodes would find nothing to do.
        if due and not self.store.outlook(workflow.id).is_complete:
            for action in due:
                why = self._try(workflow, action, output_dir, compute_node_id)
                outcome.failed += [(action.id, why)] if why else []
        outcome.add(self.settle(workflow, limit=limit, patient=patient))
        return outcome

    def _due(
        self, workflow: Workflow, compute_node_id: int | None, *, leaving: bool
    ) -> list[Action]:
        return [
            action
            for action in self.store.pending_actions(workflow.id, compute_node_id)
            if action.action_type is ActionType.SCHEDULE_NODES
            and (leaving or action.trigger_type is not TriggerType.ON_WORKER_COMPLETE)
        ]

    def _try(
        self, workflow: Workflow, action: Action, output_dir: str, compute_node_id: int | None
    ) -> str | None:
        """Take an action; why it cannot be done, which is told once and keeps no other back."""
        try:
            self._take(workflow, action, output_dir, compute_node_id)
        except StoreUnavailable:
            raise
        except TorcError as error:
            if (action.id, str(error)) not in self._told:
                self._told.add((action.id, str(error)))
                log.error("Action %d failed: %s", action.id, error)  # noqa: TRY400  one clear line
            return str(error)
        return None

    def _take(
        self, workflow: Workflow, action: Action, output_dir: str, compute_node_id: int | None
    ) -> None:
        """Record what an action asks for, unless it could not be submitted anyway."""
        scheduler = self.store.get(SlurmScheduler, action.action_config["scheduler_id"])
        wanted = intents(workflow, action, scheduler, output_dir)
        for folder in {intent.output_dir for intent in wanted}:
            make_folder(folder)
        by = ActionRun(
            action_id=action.id, compute_node_id=compute_node_id, hostname=socket.gethostname()
        )
        self.store.claim_action(action.id, by, wanted)

    def settle(
        self, workflow: Workflow, *, limit: int | None = None, patient: bool = True
    ) -> Outcome:
        """Submit what is recorded and that Slurm does not have; stop when Slurm takes no more."""
        outcome = Outcome()
        open_ones = self.store.rows(
            Allocation, workflow_id=workflow.id, status=AllocationStatus.INTENDED
        )
        for intent in open_ones.items:
            if outcome.open or (limit is not None and outcome.count >= limit):
                break
            if self.store.asking(intent.id, self.clock.now() - self.abandoned_after_s):
                outcome.add(self._asked(workflow, intent, patient=patient))
        return outcome

    def submit(self, workflow: Workflow, scheduler: SlurmScheduler, intent: Allocation) -> Outcome:
        """Ask Slurm for one recorded intent, unless somebody else is doing so."""
        if not self.store.asking(intent.id, self.clock.now() - self.abandoned_after_s):
            return Outcome(open=[(intent, "another process asks for it")])
        return self._submitted(workflow, scheduler, intent, patient=True)

    def _asked(self, workflow: Workflow, intent: Allocation, *, patient: bool) -> Outcome:
        """One intent that is ours to ask for; an abandoned one may be in Slurm already."""
        if intent.asked_at is not None:
            try:
                found = self.slurm.find(intent.token, intent.created_at)
            except SlurmError as error:
                return Outcome(open=[(intent, str(error))])
            if found is not None:
                return Outcome(submitted=[self._recorded(intent, found)])
        if intent.scheduler_config_id is None:
            reason = "its scheduler was deleted before it was submitted"
            return Outcome(refused=[(self.store.closed(intent.id, reason), reason)])
        scheduler = self.store.get(SlurmScheduler, intent.scheduler_config_id)
        return self._submitted(workflow, scheduler, intent, patient=patient)

    def _submitted(
        self, workflow: Workflow, scheduler: SlurmScheduler, intent: Allocation, *, patient: bool
    ) -> Outcome:
        try:
            make_folder(intent.output_dir)  # Slurm fails a job whose log has no folder
            slurm_job_id = self.slurm.submit(self.render(workflow, scheduler, intent))
        except (SubmissionRefused, InvalidValue, Conflict) as error:
            self.is_barred = self.on_node and isinstance(error, SubmissionBarred)
            if self.is_barred:
                return Outcome(open=[(intent, f"{error}; left to the watch, or torc submit")])
            return Outcome(refused=[(self.store.closed(intent.id, str(error)), str(error))])
        except SubmissionInDoubt as error:
            found = self._looked_for(intent) if patient else None
            if found is None:
                return Outcome(open=[(intent, str(error))])
            slurm_job_id = found
        except SlurmError as error:
            return Outcome(open=[(intent, str(error))])
        return Outcome(submitted=[self._recorded(intent, slurm_job_id)])

    def _looked_for(self, intent: Allocation) -> int | None:
        """Look for a submission in doubt, again and again: Slurm may be late."""
        for pause in DOUBT_LOOKS:
            self.clock.sleep(pause)
            try:
                found = self.slurm.find(intent.token, intent.created_at)
            except SlurmError:
                continue
            if found is not None:
                return found
        return None

    def _recorded(self, intent: Allocation, slurm_job_id: int) -> Allocation:
        """Record Slurm's id; one that is not wanted any more, or one too many, ends at once."""
        try:
            allocation = self.store.submitted(intent.id, slurm_job_id)
        except Conflict as error:
            log.error("%s; it is canceled", error)  # noqa: TRY400  one clear line
            self._end(slurm_job_id)
            return self.store.get(Allocation, intent.id)
        log.info("Allocation submitted allocation_id=%d slurm_job_id=%d", intent.id, slurm_job_id)
        if allocation.status is AllocationStatus.COMPLETE:
            self._end(slurm_job_id)
        return allocation

    def _end(self, slurm_job_id: int) -> None:
        try:
            self.slurm.cancel([slurm_job_id])
        except SlurmError as error:
            # Its workers are turned away by the store, so it ends by itself.
            log.warning("Slurm job %d could not be canceled: %s", slurm_job_id, error)


def intents(
    workflow: Workflow, action: Action, scheduler: SlurmScheduler, output_dir: str
) -> list[Allocation]:
    """The allocations that a schedule_nodes action asks for, each with a token of its own."""
    config = action.action_config
    return [
        Allocation(
            workflow_id=workflow.id,
            scheduler_config_id=scheduler.id,
            token=secrets.token_hex(TOKEN_BYTES),
            nodes=scheduler.nodes,
            max_parallel_jobs=config.get("max_parallel_jobs"),
            output_dir=os.path.join(directory_of(workflow), output_dir),  # noqa: PTH118
        )
        for _ in range(config.get("num_allocations", 1))
    ]


def end_surplus(store: Store, slurm: Slurm, workflow_id: int) -> Sequence[Allocation]:
    """Cancel what still waits in the queue for a workflow that has nothing left to run.

    A submission whose answer was lost is looked for; as long as Slurm does not tell, it stays.
    """
    if not store.outlook(workflow_id).is_complete:
        return []
    waiting = [AllocationStatus.PENDING, AllocationStatus.INTENDED]
    queued = store.rows(Allocation, workflow_id=workflow_id, status=waiting).items
    numbers = {_number_of(slurm, allocation): allocation.token for allocation in queued}
    cancel_ours(slurm, {number: token for number, token in numbers.items() if number is not None})
    return [store.closed(allocation.id, "surplus") for allocation in queued]


def cancel_ours(slurm: Slurm, tokens: Mapping[int, str]) -> list[int]:
    """Cancel these Slurm jobs (id -> token), but none that is somebody else's by now.

    Slurm gives ids again, and an allocation that ended unseen still stands in the store.
    """
    if not tokens:
        return []
    seen = slurm.look(tokens.keys())
    ours = [
        number
        for number, token in tokens.items()
        if number not in seen or is_ours(seen[number].name, token)
    ]
    if ours:
        slurm.cancel(ours)
    return ours


def _number_of(slurm: Slurm, allocation: Allocation) -> int | None:
    """Slurm's id, if it has one; sbatch may have been called without an answer."""
    if allocation.scheduler_id is not None or allocation.asked_at is None:
        return allocation.scheduler_id
    return slurm.find(allocation.token, allocation.created_at)


def tell(outcome: Outcome) -> None:
    """Log what came of asking for allocations."""
    for allocation in outcome.submitted:
        log.info("Slurm job %s asked for (allocation %d)", allocation.scheduler_id, allocation.id)
    for allocation, reason in outcome.refused:
        log.error("Allocation %d was refused: %s", allocation.id, reason)
    for allocation, reason in outcome.open:
        log.warning("Allocation %d is not settled: %s", allocation.id, reason)
