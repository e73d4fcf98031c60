"""One look at everything a watch follows: at most one squeue and one sacct, however many.

The store says what there should be; the queue is asked for all of it at once, and accounting
only for those that the queue does not show alive. What is believed after that is in the
allocations themselves (rules/evidence.py weighs it), ready to be stored. Looking changes
nothing, so a dry run looks as well.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from slurmtorc.errors import SlurmError
from slurmtorc.model import Allocation, AllocationStatus, ComputeNode, SlurmState
from slurmtorc.ports import EVERYTHING
from slurmtorc.rules import evidence
from slurmtorc.rules.evidence import Belief, Look, Standing, weigh

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from slurmtorc.model import AccountingEntry, QueueEntry
    from slurmtorc.ports import Clock, Slurm, Store

log = logging.getLogger(__name__)

LIVE = [status for status in AllocationStatus if status is not AllocationStatus.COMPLETE]
_BELIEF = ("slurm_state", "absent_since", "absences", "final_state", "final_at")


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker that is gone, and what Slurm says became of its allocation, if anything."""

    node: ComputeNode
    state: SlurmState | None = None
    """None: the allocation lives, or there was none; the worker alone is gone."""
    ended_at: float | None = None
    """When the allocation ended."""


@dataclass(slots=True)
class Scene:
    """What one look found of one workflow."""

    allocations: list[Allocation] = field(default_factory=list)
    """Those that were not closed before; with what is believed of them now."""
    changed: list[Allocation] = field(default_factory=list)
    """Those of them of which something else is believed than before."""
    nodes: list[ComputeNode] = field(default_factory=list)
    """Active workers."""
    lost: list[Lost] = field(default_factory=list)
    recovering: int = 0
    """Lost workers with jobs whose recovery scripts run."""
    answered: bool = True
    queue: Mapping[int, QueueEntry] = field(default_factory=dict)

    def standing(self, *wanted: Standing) -> int:
        """How many allocations stand so; one that Slurm has not been told of yet waits."""
        return sum(standing_of(one) in wanted for one in self.allocations)

    @property
    def ended(self) -> list[Allocation]:
        """Allocations whose end is known and that are not closed yet."""
        return [one for one in self.allocations if one.final_state is not None]

    @property
    def workers(self) -> int:
        """Workers that are not lost, or whose jobs are still being recovered."""
        return len(self.nodes) - len(self.lost) + self.recovering


def standing_of(allocation: Allocation) -> Standing:
    """Where an allocation is believed to stand."""
    belief = _belief(allocation)
    if belief.final_state is None and belief.slurm_state is None:
        return Standing.WAITING  # nobody has looked yet, or Slurm has not been told yet
    return belief.standing


def look(
    store: Store, slurm: Slurm, clock: Clock, workflow_ids: Collection[int]
) -> dict[int, Scene]:
    """Workflow id -> what is there now."""
    ids = list(workflow_ids)
    live = store.rows(Allocation, EVERYTHING, workflow_id=ids, status=LIVE).items
    nodes = store.rows(ComputeNode, EVERYTHING, workflow_id=ids, is_active=True).items
    now = clock.now()
    queue = _queue(slurm, live)
    accounts = _accounts(slurm, [one for one in live if _wants_account(one, queue)])
    beating = {n.allocation_id for n in nodes if n.lease_until >= now}
    scenes = {number: Scene(answered=queue is not None, queue=queue or {}) for number in ids}
    for before in live:
        after = _weighed(before, queue, accounts, now, beating=before.id in beating)
        scene = scenes[before.workflow_id]
        scene.allocations.append(after)
        if after != before:
            scene.changed.append(after)
    _find_lost(scenes, nodes, now)
    return scenes


# ── Slurm's two answers ──────────────────────────────────────────────────────


def _queue(slurm: Slurm, live: Sequence[Allocation]) -> Mapping[int, QueueEntry] | None:
    """What the queue says of the allocations; None if it says nothing."""
    ids = {one.scheduler_id: one for one in live if one.scheduler_id is not None}
    if not ids:
        return {}
    try:
        found = slurm.look(ids)
    except SlurmError as error:
        log.warning("Slurm's queue could not be read: %s", error)
        return None
    return {
        number: entry
        for number, entry in found.items()
        if evidence.is_ours(entry.name, ids[number].token)
    }


def _wants_account(allocation: Allocation, queue: Mapping[int, QueueEntry] | None) -> bool:
    """Whether the queue leaves open how an allocation fares."""
    if allocation.scheduler_id is None or allocation.final_state is not None:
        return False
    if queue is None:
        return True
    entry = queue.get(allocation.scheduler_id)
    return entry is None or not entry.state.alive or entry.state is SlurmState.COMPLETING


def _accounts(slurm: Slurm, asked: Sequence[Allocation]) -> Mapping[int, AccountingEntry]:
    """What accounting says of some allocations; nothing if it does not answer."""
    ids = {one.scheduler_id: one for one in asked if one.scheduler_id is not None}
    if not ids:
        return {}
    try:
        found = slurm.account(ids, min(one.created_at for one in asked))
    except SlurmError as error:
        log.warning("Slurm's accounting could not be read: %s", error)
        return {}
    return {
        number: entry
        for number, entry in found.items()
        if evidence.is_ours(entry.name, ids[number].token)
    }


# ── what is believed ─────────────────────────────────────────────────────────


def _belief(allocation: Allocation) -> Belief:
    return Belief(**{name: getattr(allocation, name) for name in _BELIEF})


def _weighed(
    before: Allocation,
    queue: Mapping[int, QueueEntry] | None,
    accounts: Mapping[int, AccountingEntry],
    now: float,
    *,
    beating: bool,
) -> Allocation:
    """The allocation with what is believed of it after this look."""
    number = before.scheduler_id
    if number is None:
        return before
    entry, account = (queue or {}).get(number), accounts.get(number)
    seen = Look(
        now=now,
        answered=queue is not None,
        queue=entry.state if entry else None,
        accounting=account.state if account else None,
        accounting_end=account.end_time if account else None,
        beating=beating,
    )
    belief = weigh(_belief(before), seen)
    reason = entry.reason if entry else before.slurm_reason
    values = {name: getattr(belief, name) for name in _BELIEF}
    return replace(before, slurm_reason=reason, **values)


def _find_lost(scenes: Mapping[int, Scene], nodes: Iterable[ComputeNode], now: float) -> None:
    """Sort the workers into those that live and those that are gone."""
    ended: dict[int | None, Allocation] = {
        one.id: one for scene in scenes.values() for one in scene.ended
    }
    by_workflow: dict[int, list[ComputeNode]] = defaultdict(list)
    for node in nodes:
        by_workflow[node.workflow_id].append(node)
    for workflow_id, members in by_workflow.items():
        scene = scenes[workflow_id]
        scene.nodes = members
        for node in members:
            allocation = ended.get(node.allocation_id)
            ended_at = allocation.final_at if allocation else None
            if evidence.worker_is_lost(
                now=now,
                lease_until=node.lease_until,
                expired_since=node.missed_since,
                ended_at=ended_at,
            ):
                state = allocation.final_state if allocation else None
                scene.lost.append(Lost(node, state, ended_at))
