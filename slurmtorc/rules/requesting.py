"""Lots of jobs that are alike -> requests for allocations: how many, of which scheduler.

Separate from demand.py, which says what is left to ask for and which scheduler it goes to; here
is what that comes to. A scheduler that is there is asked again; for what fits none a new one is
planned as at the beginning.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING

from slurmtorc.errors import InvalidValue
from slurmtorc.model import ExecutionConfig
from slurmtorc.rules.packing import misfits
from slurmtorc.rules.placing import Cohort, Group, margin_of, place
from slurmtorc.rules.planning import gpu_types, scheduler_for
from slurmtorc.rules.shapes import gpus_of, slurm_memory
from slurmtorc.rules.undersized import Former, complaint, too_small
from slurmtorc.rules.wording import ranged
from slurmtorc.units import parse_walltime

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from slurmtorc.model import Job, ResourceRequirements, Site, SlurmScheduler, Workflow
    from slurmtorc.rules.remaining import Remaining
    from slurmtorc.rules.shapes import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the person who asks again may choose; schedulers that differ are not used."""

    account: str | None = None
    """None for that of a scheduler of the workflow, or of its slurm_defaults."""
    partition: str | None = None
    walltime: str | None = None
    """For new schedulers, in Slurm's form."""
    walltime_multiplier: float = 1.5
    single_allocation: bool = False

    @property
    def walltime_s(self) -> int | None:
        """Seconds; raises InvalidValue."""
        return None if self.walltime is None else parse_walltime(self.walltime)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Allocations of one scheduler for jobs of one level."""

    scheduler: SlurmScheduler
    """Its id is 0 if it is new."""
    jobs: tuple[int, ...]
    level: int
    """0: now; else when these jobs are ready."""
    allocations: int
    at_once: int | None = None
    bind: tuple[int, ...] = ()
    """Jobs that belong to another scheduler, or to none, and shall belong to this one."""

    @property
    def is_deferred(self) -> bool:
        """Whether it is asked for later, by an action."""
        return self.level > 0


@dataclass(slots=True)
class Lot:
    """Jobs of one level and one requirement that go to one scheduler, or to a new one."""

    level: int
    need: ResourceRequirements
    shape: Shape | None
    jobs: list[Job]


# ── how many ─────────────────────────────────────────────────────────────────


def again(lots: Iterable[Lot]) -> tuple[list[Request], list[str]]:
    """Schedulers that are there: one request for each level."""
    together: dict[tuple[int, int], list[Lot]] = defaultdict(list)
    for lot in lots:
        if lot.shape is not None:
            together[lot.level, lot.shape.scheduler.id].append(lot)
    requests, warnings = list[Request](), list[str]()
    for (level, scheduler_id), alike in sorted(together.items()):
        shape = alike[0].shape
        assert shape is not None
        needed = math.ceil(sum(Fraction(len(lot.jobs), shape.capacity(lot.need)) for lot in alike))
        asked = min(needed, shape.most or needed)
        jobs = sorted((job for lot in alike for job in lot.jobs), key=lambda job: job.id)
        if asked < needed:
            warnings.append(_shortage(jobs, shape.scheduler.name, f"{asked} of {needed}"))
        strangers = (job.id for job in jobs if job.scheduler_id not in {None, scheduler_id})
        requests.append(
            Request(
                scheduler=shape.scheduler,
                jobs=tuple(job.id for job in jobs),
                level=level,
                allocations=asked,
                at_once=shape.at_once,
                bind=tuple(strangers),
            )
        )
    return requests, warnings


def new(
    left: Remaining, lots: Iterable[Lot], site: Site, options: Options
) -> tuple[list[Request], list[str]]:
    """New schedulers for what fits none; and which jobs have no place at all."""
    requests, warnings = list[Request](), list[str]()
    taken = {one.name for one in left.schedulers}
    for lot in (lot for lot in lots if lot.shape is None):
        group = _placed(left.workflow, lot, site, options)
        if isinstance(group, str):
            warnings.append(f"{_family(lot.jobs)} {group}")
            continue
        scheduler = scheduler_for(group, _account(left, options), gpu_types(site))
        if beaten := _beaten(left, scheduler, lot.need):
            warnings.append(f"{_family(lot.jobs)} {_in_vain(beaten, lot.need)}")
            continue
        scheduler = replace(scheduler, name=_free_name(lot.need.name, taken))
        if small := too_small(_former(left), lot.need):
            told = f"{complaint(small[-1], lot.need)}; now '{scheduler.name}' is asked"
            warnings.append(f"{_family(lot.jobs)}: {told}")
        jobs = group.cohort.jobs
        if len(jobs) > group.capacity:
            needed = math.ceil(group.allocations * len(jobs) / group.capacity)
            share = f"{group.allocations} of {needed}"
            warnings.append(_shortage(lot.jobs, scheduler.name, share))
        requests.append(
            Request(
                scheduler=scheduler,
                jobs=jobs,
                level=lot.level,
                allocations=group.allocations,
                bind=jobs,
            )
        )
    return requests, warnings


def _placed(workflow: Workflow, lot: Lot, site: Site, options: Options) -> Group | str:
    config = ExecutionConfig.of(workflow.execution_config)
    by_steps = config.by_steps(in_slurm=True)
    return place(
        Cohort(
            level=lot.level,
            jobs=tuple(job.id for job in lot.jobs),
            need=lot.need,
            margin_s=margin_of(config, by_steps=by_steps),
        ),
        site=site,
        partition=options.partition,
        multiplier=options.walltime_multiplier,
        single=options.single_allocation,
        walltime_s=options.walltime_s,
        by_steps=by_steps,
    )


def _former(left: Remaining) -> list[Former]:
    return [
        Former(node=left.workers[one.id], scheduler=one)
        for one in left.schedulers
        if one.id in left.workers
    ]


def _beaten(left: Remaining, planned: SlurmScheduler, need: ResourceRequirements) -> Former | None:
    """A worker that had less than its scheduler asks for there, and less than the jobs need."""
    for one in _former(left):
        asked = one.scheduler
        enough = (
            (slurm_memory(asked.mem) or 0) >= need.memory_bytes
            and (asked.cpus_per_task or 0) >= need.num_cpus
            and gpus_of(asked.gres) >= need.num_gpus
            and asked.nodes >= need.num_nodes
        )
        if enough and asked.partition == planned.partition and misfits(one.whole, need):
            return one
    return None


def _in_vain(one: Former, need: ResourceRequirements) -> str:
    """What a second allocation of the same shape would come to."""
    lacks = ", ".join(misfits(one.whole, need))
    return (
        f"had their nodes asked for in vain: '{one.scheduler.name}' asks for all that they need, "
        f"and its worker got less ({one.words}; {lacks}); the same is not asked for again"
    )


def _free_name(need: str, taken: set[str]) -> str:
    """The next name of its kind; it is taken from now on."""
    name = next(name for n in count(1) if (name := f"{need}_regen_{n}") not in taken)
    taken.add(name)
    return name


def _account(left: Remaining, options: Options) -> str:
    first = left.schedulers[0].account if left.schedulers else None
    account = options.account or first or (left.workflow.slurm_defaults or {}).get("account")
    if not account:
        raise InvalidValue(
            f"workflow {left.workflow.id} names no account",
            allowed="name one with --account, or in slurm_defaults.account",
        )
    return str(account)


def _family(jobs: Sequence[Job]) -> str:
    return ranged(len(jobs), jobs[0].name, jobs[-1].name)


def _shortage(jobs: Sequence[Job], scheduler: str, share: str) -> str:
    return (
        f"{_family(jobs)}: {share} allocations of {scheduler} are asked for, because the "
        "partition has no more nodes; ask again once they have ended"
    )
