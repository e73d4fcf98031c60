"""Jobs and a site -> the allocations to ask for, and the actions that ask for them.

One group for each resource requirement and dependency level: a level is asked for when all its
jobs are ready, so that no allocation waits for work that cannot start. Separate from placing.py,
which does a group's arithmetic. Pure and deterministic: the same draft on the same site gives
the same plan, and a dry run prints it. What must never happen: a job left out without a fault.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slurmtorc.errors import Fault, InvalidValue
from slurmtorc.model import (
    DEFAULT_REQUIREMENT,
    ActionType,
    DraftAction,
    ExecutionConfig,
    ResourceRequirements,
    SlurmScheduler,
    TriggerType,
)
from slurmtorc.rules.graph import graph_of
from slurmtorc.rules.placing import Cohort, Group, margin_of, place
from slurmtorc.rules.wording import ranged
from slurmtorc.units import KIB, format_walltime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slurmtorc.model import Draft, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the person who submits may choose."""

    account: str
    partition: str | None = None
    """Only this one; None for the smallest that fits."""
    walltime_multiplier: float = 1.5
    """How much longer than its stated runtime a job may take."""
    single_allocation: bool = False
    """One allocation of N nodes for each group, instead of N allocations of one node."""
    overwrite: bool = False
    """Drop the schedulers and schedule_nodes actions that the spec has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be submitted. With faults that are not warnings, nothing should be."""

    groups: tuple[Group, ...]
    schedulers: tuple[SlurmScheduler, ...]
    """One for each group, in the same order."""
    faults: tuple[Fault, ...] = ()
    dropped: tuple[str, ...] = ()
    """What of the spec `apply` leaves out, in words."""

    COLUMNS = (
        "scheduler", "level", "jobs", "per node", "allocations", "nodes", "walltime",
        "partition", "node-hours",
    )  # fmt: skip

    def rows(self) -> list[tuple[str | int, ...]]:
        """The plan as a table for people, under COLUMNS."""
        return [
            (
                group.cohort.scheduler_name, group.cohort.level, len(group.cohort.jobs),
                group.per_node, group.allocations, group.nodes,
                format_walltime(group.walltime_s), group.partition.name, f"{group.node_hours:.2f}",
            )
            for group in self.groups
        ]  # fmt: skip

    def apply(self, draft: Draft) -> Draft:
        """The draft with these schedulers and actions, each job bound to its group's."""
        bound = {job: at for at, group in enumerate(self.groups) for job in group.cohort.jobs}
        kept = [action for action in draft.actions if not _schedules(action)]
        return replace(
            draft,
            jobs=[replace(job, scheduler=bound.get(at)) for at, job in enumerate(draft.jobs)],
            schedulers=list(self.schedulers),
            actions=[*kept, *self._actions(per_node=not _by_steps(draft))],
        )

    def _actions(self, *, per_node: bool) -> Iterator[DraftAction]:
        """Where jobs are steps, one worker commands all nodes of an allocation."""
        for at, group in enumerate(self.groups):
            yield _action(at, group, per_node=per_node and group.nodes_each > 1)


def _by_steps(draft: Draft) -> bool:
    return ExecutionConfig.of(draft.workflow.execution_config).by_steps(in_slurm=True)


def plan(draft: Draft, *, site: Site, options: Options) -> Plan:
    """Group the jobs, and give each group a partition, nodes and a walltime.

    All faults are found at once; those that are not warnings say what cannot be planned.
    """
    multiplier = options.walltime_multiplier
    if not 0 < multiplier < math.inf:
        raise InvalidValue(
            f"walltime multiplier {multiplier!r}", allowed="write a number above 0, as in 1.5"
        )
    groups, faults = list[Group](), list(_own_faults(draft, options))
    for cohort in _cohorts(draft):
        outcome = place(
            cohort,
            site=site,
            partition=options.partition,
            multiplier=multiplier,
            single=options.single_allocation,
            by_steps=_by_steps(draft),
        )
        if isinstance(outcome, Group):
            groups.append(outcome)
            faults += _shortage(outcome)
        else:
            faults.append(_homeless(draft, cohort, outcome))
    kinds = gpu_types(site)
    return Plan(
        groups=tuple(groups),
        schedulers=tuple(scheduler_for(group, options.account, kinds) for group in groups),
        faults=tuple(faults),
        dropped=tuple(own_requests(draft)) if options.overwrite else (),
    )


def gpu_types(site: Site) -> set[str]:
    """The kinds of GPUs that a site has."""
    return {part.gpu_type for part in site.partitions if part.gpu_type}


def own_requests(draft: Draft) -> list[str]:
    """What the spec itself says about allocations, each in a few words."""
    return [f"scheduler '{scheduler.name}'" for scheduler in draft.schedulers] + [
        f"action schedule_nodes ({action.trigger_type.value})"
        for action in draft.actions
        if _schedules(action)
    ]


def _schedules(action: DraftAction) -> bool:
    return action.action_type is ActionType.SCHEDULE_NODES


# ── which jobs belong together ───────────────────────────────────────────────


def _cohorts(draft: Draft) -> list[Cohort]:
    """By level, and within a level in the order the requirements are declared."""
    levels = graph_of(draft).levels()
    if levels is None:
        raise InvalidValue("the jobs wait for each other in a circle", allowed="break the cycle")
    needs, of_job = _requirements(draft)
    config = ExecutionConfig.of(draft.workflow.execution_config)
    margin = margin_of(config, by_steps=_by_steps(draft))
    members: dict[tuple[int, int], list[int]] = defaultdict(list)
    for job, level in enumerate(levels):
        members[level, of_job[job]].append(job)
    return [
        Cohort(level=level, jobs=tuple(members[level, at]), need=needs[at], margin_s=margin)
        for level, at in sorted(members)
    ]


def _requirements(draft: Draft) -> tuple[list[ResourceRequirements], list[int]]:
    """All requirements, and of each job the index of its own; the default one for the others."""
    needs = list(draft.requirements)
    names = [need.name for need in needs]
    if DEFAULT_REQUIREMENT not in names:
        needs.append(ResourceRequirements(name=DEFAULT_REQUIREMENT))
        names.append(DEFAULT_REQUIREMENT)
    default = names.index(DEFAULT_REQUIREMENT)
    return needs, [default if job.requirement is None else job.requirement for job in draft.jobs]


# ── what comes of a group ────────────────────────────────────────────────────


def scheduler_for(group: Group, account: str, kinds: set[str]) -> SlurmScheduler:
    """What the packed jobs need, not whole nodes: partitions that share nodes give just that.

    The GPU's type is named only on a site with several: there a plain count may be refused.
    """
    free, gpu_type = group.free, group.partition.gpu_type
    kind = f"gpu:{gpu_type}" if gpu_type and len(kinds) > 1 else "gpu"
    return SlurmScheduler(
        name=group.cohort.scheduler_name,
        account=account,
        nodes=group.nodes_each,
        walltime=format_walltime(group.walltime_s),
        partition=group.partition.name,
        mem=f"{math.ceil(free.memory_bytes / KIB**2)}M",
        gres=f"{kind}:{free.gpus}" if free.gpus else None,
        cpus_per_task=free.cpus,
    )


def _action(at: int, group: Group, *, per_node: bool) -> DraftAction:
    """Its gate is exactly the group: it fires when all of them are ready, and not before."""
    return DraftAction(
        trigger_type=TriggerType.ON_JOBS_READY,
        action_type=ActionType.SCHEDULE_NODES,
        jobs=group.cohort.jobs,
        scheduler=at,
        num_allocations=group.allocations,
        start_one_worker_per_node=per_node,
    )


# ── faults ───────────────────────────────────────────────────────────────────


def _own_faults(draft: Draft, options: Options) -> Iterator[Fault]:
    own = own_requests(draft)
    if own and not options.overwrite:
        yield Fault(
            f"the workflow has its own requests for allocations: {', '.join(own)}",
            hint="'torc submit' uses them; 'torc submit-slurm --overwrite' drops them for a plan",
        )


def _homeless(draft: Draft, cohort: Cohort, why: str) -> Fault:
    known = cohort.need in draft.requirements
    at = ("resource_requirements", draft.requirements.index(cohort.need)) if known else ()
    return Fault(f"{_family(draft, cohort.jobs)} {why}", at)


def _family(draft: Draft, jobs: Sequence[int]) -> str:
    return ranged(len(jobs), draft.jobs[jobs[0]].name, draft.jobs[jobs[-1]].name)


def _shortage(group: Group) -> Iterator[Fault]:
    jobs, walltime = len(group.cohort.jobs), format_walltime(group.walltime_s)
    if jobs > group.capacity:
        yield Fault(
            f"{group.cohort.scheduler_name} holds {group.capacity} of its {jobs} jobs: partition "
            f"'{group.partition.name}' has {group.nodes} nodes, for {walltime}",
            hint="submit again once these allocations have ended",
            warning=True,
        )
