"""What is left of a workflow: its levels, and what somebody else already asks nodes for.

A job that waits for others, running ones included, is of a later level: nodes for it are asked
for when it is ready. Actions that are armed will ask by themselves; so their jobs are not
planned again, or the action is superseded, but never both.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from slurmtorc.model import ActionType, JobStatus, TriggerType
from slurmtorc.rules.chains import behind
from slurmtorc.rules.triggers import verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from slurmtorc.model import (
        Action,
        Allocation,
        ComputeNode,
        Job,
        Links,
        ResourceRequirements,
        SlurmScheduler,
        Workflow,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """A workflow as it is when nodes are to be asked for again."""

    workflow: Workflow
    jobs: Sequence[Job]
    """Those that need nodes, by id."""
    unfinished: Collection[int]
    """The ids of all jobs that are not over: these, and those that run now."""
    needs: Mapping[int, ResourceRequirements]
    """Of each of `jobs`, by its id."""
    links: Links
    schedulers: Sequence[SlurmScheduler] = ()
    actions: Sequence[Action] = ()
    workers: Mapping[int, ComputeNode] = field(default_factory=dict)
    """Scheduler id -> a worker that an allocation of it had."""
    queued: Sequence[Allocation] = ()
    """Allocations that wait in Slurm's queue."""
    whole: bool = True
    """Whether `jobs` is all that is left, and not a choice of it."""


@dataclass(frozen=True, slots=True)
class Arming:
    """What becomes of the actions that would ask for nodes."""

    superseded: tuple[int, ...] = ()
    """Actions that must not fire any more: their jobs are planned here."""
    covered: frozenset[int] = frozenset()
    """Jobs that an action asks nodes for, now or when they are ready."""
    warnings: tuple[str, ...] = ()


def levels(links: Links, unfinished: Collection[int]) -> dict[int, int]:
    """Of each unfinished job, how many others have to end one after another before it starts."""
    waits_for, found = links.waits_for, dict[int, int]()
    order = TopologicalSorter(waits_for).static_order()
    for node in (*order, *(job for job in unfinished if job not in waits_for)):
        before = max((found.get(other, -1) for other in waits_for.get(node, ())), default=-1)
        if node in unfinished:
            found[node] = before + 1
        elif node < 0 <= before:
            found[node] = before
    return {node: level for node, level in found.items() if node > 0}


def arming(
    left: Remaining, level: Mapping[int, int], can_run: Callable[[Action, int], bool]
) -> Arming:
    """Which actions stay armed, and for which jobs.

    `can_run`: whether a job can run in the allocations that an action asks for.
    """
    superseded, covered, warnings = list[int](), set[int](), list[str]()
    planned = frozenset(job.id for job in left.jobs)
    for action in _asking(left.actions):
        gate = [job for job in left.links.gates.get(action.id, ()) if job in left.unfinished]
        if action.persistent:
            warnings.append(f"action {action.id} is persistent: it asks for nodes besides")
        elif _fires_for_gate(action, gate):
            own = {job for job in planned.intersection(gate) if can_run(action, job)}
            starts = any(level[job] == 0 for job in gate)
            if planned.issuperset(gate) and (starts or not own):
                superseded.append(action.id)
            else:
                covered.update(own)
        elif behind_it := _fires_for_what_is_behind(action, gate, left, level):
            own = {job for job in behind_it & planned if can_run(action, job)}
            covered.update(own)
            if not own and left.whole:
                superseded.append(action.id)
        elif left.whole and _fires_now(action):
            superseded.append(action.id)
    return Arming(tuple(superseded), frozenset(covered), tuple(warnings))


def _asking(actions: Sequence[Action]) -> Iterator[Action]:
    for action in actions:
        if action.action_type is ActionType.SCHEDULE_NODES and not action.executed:
            yield action


def _fires_for_gate(action: Action, gate: Sequence[int]) -> bool:
    """Whether it asks for nodes for jobs of its gate that are still to run."""
    return action.trigger_type is TriggerType.ON_JOBS_READY and bool(gate)


def _fires_for_what_is_behind(
    action: Action, gate: Sequence[int], left: Remaining, level: Mapping[int, int]
) -> set[int]:
    """The jobs that are ready once its gate is over, if it asks for nodes then."""
    if action.trigger_type is not TriggerType.ON_JOBS_COMPLETE or not gate:
        return set()
    next_level = 1 + max(level[job] for job in gate)
    return {job for job in behind(left.links.waits_for, gate) if level.get(job) == next_level}


def _fires_now(action: Action) -> bool:
    """Whether it would be executed as soon as anybody looks; a start counts as having been."""
    started = action.trigger_type in {TriggerType.ON_WORKFLOW_START, TriggerType.ON_WORKER_START}
    return started or action.trigger_count >= action.required_triggers


def as_if_rerun(left: Remaining) -> Remaining:
    """The same with the actions that a new run of its jobs would arm again; none has fired yet."""
    level = levels(left.links, left.unfinished)
    actions = []
    for action in left.actions:
        gate = left.links.gates.get(action.id, ())
        again = verdict(action.trigger_type, [_as_begun(left, job) for job in gate]).again
        ready = sum(level.get(job, 0) == 0 for job in gate)
        if not action.is_recovery:
            count = ready if gate else action.trigger_count
            executed = action.executed and not again
            actions.append(replace(action, executed=executed, trigger_count=count))
    return replace(left, actions=actions, whole=True)


def _as_begun(left: Remaining, job: int) -> JobStatus:
    """A job of a gate as the run begins: what it came to makes no difference here."""
    return JobStatus.UNINITIALIZED if job in left.unfinished else JobStatus.COMPLETED
