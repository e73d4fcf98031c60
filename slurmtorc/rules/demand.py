"""What is left of a workflow and a site -> the allocations to ask for, now and later.

Jobs go to the scheduler they are bound to if its allocations can still run them, else to another
of the workflow's that can; only what fits none gets a new one. What waits in Slurm's queue is
subtracted, so that a shortfall is asked for once. Pure and deterministic. What must never happen:
a job that nobody asks nodes for, or two do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from slurmtorc.model import ActionType, ExecutionConfig, TriggerType
from slurmtorc.rules.remaining import arming, levels
from slurmtorc.rules.requesting import Lot, Options, Request, again, new
from slurmtorc.rules.shapes import Shape, shape_of
from slurmtorc.units import parse_walltime

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from slurmtorc.model import Action, Job, ResourceRequirements, Site, SlurmScheduler
    from slurmtorc.rules.remaining import Remaining


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What to ask for."""

    requests: tuple[Request, ...] = ()
    superseded: tuple[int, ...] = ()
    """Actions that must not fire besides."""
    armed: int = 0
    """Jobs that armed actions ask nodes for."""
    served: int = 0
    """Jobs that allocations in Slurm's queue will run."""
    homeless: int = 0
    """Jobs that could start now, and for which no nodes can be had."""
    warnings: tuple[str, ...] = ()

    COLUMNS = ("scheduler", "when", "jobs", "allocations", "nodes", "walltime", "partition")

    def rows(self) -> list[tuple[str | int, ...]]:
        """The demand as a table for people, under COLUMNS."""
        return [
            (
                one.scheduler.name, "when ready" if one.is_deferred else "now", len(one.jobs),
                one.allocations, one.allocations * one.scheduler.nodes, one.scheduler.walltime,
                one.scheduler.partition or "(default)",
            )
            for one in self.requests
        ]  # fmt: skip


def demand(left: Remaining, site: Site, options: Options) -> Demand:
    """What to ask for, so that everything that is left will have its nodes once."""
    level = levels(left.links, left.unfinished)
    shapes = _shapes(left, site)

    def can_run(action: Action, job: int) -> bool:
        shape = shapes.get(action.action_config.get("scheduler_id", 0))
        return shape is not None and shape.holds(left.needs[job])

    armed = arming(left, level, can_run)
    free = [job for job in left.jobs if job.id not in armed.covered]
    usable = {key: one for key, one in shapes.items() if _agrees(one.scheduler, options)}
    lots = _lots(left, free, level, usable)
    served = _serve(lots, _queued(left, site))
    lots = [lot for lot in lots if lot.jobs]
    old, short = again(lots)
    made, homeless = new(left, lots, site, options)
    placed = {job for one in (*old, *made) for job in one.jobs}
    ready = [job for lot in lots if lot.level == 0 for job in lot.jobs]
    requests = sorted([*old, *made], key=lambda one: (one.level, one.jobs[0]))
    return Demand(
        requests=tuple(requests),
        superseded=armed.superseded,
        armed=len(left.jobs) - len(free),
        served=served,
        homeless=sum(job.id not in placed for job in ready),
        warnings=(*armed.warnings, *short, *homeless),
    )


# ── which scheduler ──────────────────────────────────────────────────────────


def _shapes(left: Remaining, site: Site) -> dict[int, Shape]:
    """Of each scheduler of the workflow that the site has room for, what it offers."""
    config = ExecutionConfig.of(left.workflow.execution_config)
    at_once = {
        action.action_config.get("scheduler_id"): action.action_config.get("max_parallel_jobs")
        for action in left.actions
        if action.action_type is ActionType.SCHEDULE_NODES
    }
    alike = {_asks(one): left.workers[one.id] for one in left.schedulers if one.id in left.workers}
    found = {}
    for one in left.schedulers:
        worked = left.workers.get(one.id) or alike.get(_asks(one))
        shape = shape_of(one, site, config, worked=worked, at_once=at_once.get(one.id))
        if shape is not None:
            found[one.id] = shape
    return found


def _asks(scheduler: SlurmScheduler) -> SlurmScheduler:
    """The request itself: what is asked for in the same words gives the same."""
    return replace(scheduler, id=0, name="")


def _agrees(scheduler: SlurmScheduler, options: Options) -> bool:
    """Whether it is what the person who asks has named."""
    walltime = options.walltime_s
    return (
        options.account in {None, scheduler.account}
        and options.partition in {None, scheduler.partition}
        and (walltime is None or parse_walltime(scheduler.walltime) == walltime)
    )


def _lots(
    left: Remaining, jobs: Iterable[Job], level: Mapping[int, int], shapes: Mapping[int, Shape]
) -> list[Lot]:
    """Jobs that are alike, together."""
    usual = _gated(left)
    chosen = dict[tuple[int, int | None], Shape | None]()
    lots = dict[tuple[int, int, int], Lot]()
    for job in jobs:
        need, wanted = left.needs[job.id], job.scheduler_id or usual.get(job.id)
        if (need.id, wanted) not in chosen:
            chosen[need.id, wanted] = _chosen(need, wanted, shapes)
        shape = chosen[need.id, wanted]
        key = (level[job.id], need.id, shape.scheduler.id if shape else 0)
        if key not in lots:
            lots[key] = Lot(key[0], need, shape, [])
        lots[key].jobs.append(job)
    return [lots[key] for key in sorted(lots)]


def _gated(left: Remaining) -> dict[int, int]:
    """Job id -> the scheduler of an action that is, or was, for that job."""
    found = dict[int, int]()
    for action in left.actions:
        about = action.trigger_type is TriggerType.ON_JOBS_READY
        if about and action.action_type is ActionType.SCHEDULE_NODES:
            for job in left.links.gates.get(action.id, ()):
                found.setdefault(job, action.action_config.get("scheduler_id", 0))
    return found


def _chosen(
    need: ResourceRequirements, wanted: int | None, shapes: Mapping[int, Shape]
) -> Shape | None:
    """The wanted one if it can run such jobs; else the smallest that can."""
    holding = [shape for shape in shapes.values() if shape.holds(need)]

    def worse(shape: Shape) -> tuple[object, ...]:
        node = shape.node
        seconds = math.inf if node.seconds is None else node.seconds
        return (
            shape.scheduler.id != wanted, node.gpus > 0 and not need.num_gpus,
            node.gpus, node.memory_bytes, node.cpus, seconds, shape.scheduler.id,
        )  # fmt: skip

    return min(holding, key=worse, default=None)


# ── what is in the queue already ─────────────────────────────────────────────


def _queued(left: Remaining, site: Site) -> list[Shape]:
    config = ExecutionConfig.of(left.workflow.execution_config)
    known = {one.id: one for one in left.schedulers}
    found = []
    for one in left.queued:
        scheduler = known.get(one.scheduler_config_id or 0)
        if scheduler is not None:
            worked, most = left.workers.get(scheduler.id), one.max_parallel_jobs
            found.append(shape_of(scheduler, site, config, worked=worked, at_once=most))
    return [shape for shape in found if shape is not None]


def _serve(lots: Sequence[Lot], queued: Sequence[Shape]) -> int:
    """Take from the lots of now what the queued allocations will run; how many jobs it is.

    Workers run the jobs of their own scheduler first, and so does this.
    """
    left, served = [Fraction(1)] * len(queued), 0
    for own in (True, False):
        for lot in (lot for lot in lots if lot.level == 0):
            mine = lot.shape.scheduler.id if lot.shape else 0
            for at, shape in enumerate(queued):
                if (shape.scheduler.id == mine) is own:
                    capacity = shape.capacity(lot.need)
                    taken = min(len(lot.jobs), int(left[at] * capacity))
                    left[at] -= Fraction(taken, capacity or 1)
                    del lot.jobs[:taken]
                    served += taken
    return served
