"""One group of equal jobs on a site: which partition, how many on a node, how many nodes, how long.

Separate from the plan because this is arithmetic, and a plan is names and bindings. What must
never happen: a group whose jobs a worker of its own allocation could not claim. So a walltime
holds the runtime and what a worker needs to start and to stop, and a job that fits on no
partition is said here, with the numbers, instead of waiting for ever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slurmtorc.model import Capacity
from slurmtorc.rules.packing import misfits, room
from slurmtorc.units import HOUR, KIB, MINUTE, format_walltime

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slurmtorc.model import ExecutionConfig, Partition, ResourceRequirements, Site

START_MARGIN_S = 90
"""From the allocation's start to the first claim: prolog, srun, imports on a cold file system."""
MARGIN_S = START_MARGIN_S + 90
"""With a worker's usual time for stopping jobs before the end, and for telling the store."""
WORKER_MEMORY = 256 * KIB**2
"""Left to the worker on each node, except where one job asks for the whole node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Jobs of one requirement and one dependency level."""

    level: int
    jobs: tuple[int, ...]
    """Indices of `Draft.jobs`."""
    need: ResourceRequirements
    margin_s: int = MARGIN_S
    """What of a walltime is the worker's: it starts, and it stops jobs before the end."""

    @property
    def scheduler_name(self) -> str:
        """What its scheduler is called."""
        level = f"_level{self.level}" if self.level else ""
        return f"{self.need.name}{level}_scheduler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A cohort with its place: one row of the plan."""

    cohort: Cohort
    partition: Partition
    per_node: int
    """Jobs that run on one node at once."""
    nodes: int
    """In all allocations of the group together."""
    walltime_s: int
    single: bool = False
    """One allocation of all nodes, instead of one for each node, or for each job's nodes."""

    @property
    def allocations(self) -> int:
        """How many Slurm jobs are submitted."""
        return 1 if self.single else self.nodes // self.cohort.need.num_nodes

    @property
    def nodes_each(self) -> int:
        """How many nodes each of them asks for."""
        return self.nodes if self.single else self.cohort.need.num_nodes

    @property
    def node_hours(self) -> float:
        """What it costs if every allocation lasts to its walltime."""
        return self.nodes * self.walltime_s / HOUR

    @property
    def capacity(self) -> int:
        """How many of its jobs these allocations can run, one after another too."""
        need = self.cohort.need
        return self.nodes // need.num_nodes * self.per_node * _slots(self.cohort, self.walltime_s)

    @property
    def free(self) -> Capacity:
        """What a worker of it has on its node when it claims for the first time."""
        need = self.cohort.need
        packed = self.per_node * need.memory_bytes
        return Capacity(
            cpus=max(1, self.per_node * need.num_cpus),
            memory_bytes=min(packed + WORKER_MEMORY, self.partition.memory_bytes),
            gpus=self.per_node * need.num_gpus,
            seconds=self.walltime_s - self.cohort.margin_s,
        )


def place(
    cohort: Cohort,
    *,
    site: Site,
    partition: str | None,
    multiplier: float,
    single: bool,
    walltime_s: int | None = None,
    by_steps: bool = False,
) -> Group | str:
    """The cohort's place, or why it has none, as the end of a sentence about its jobs.

    `walltime_s` is used as it is, where a partition gives as much. Only steps (`by_steps`) run on
    several nodes.
    """
    need = cohort.need
    if need.num_nodes > 1 and not by_steps:
        return (
            f"ask for {need.num_nodes} nodes each (requirement '{need.name}'): jobs of several "
            "nodes need execution_config.mode: slurm; write that, or num_nodes: 1"
        )
    candidates = _candidates(site, partition)
    if isinstance(candidates, str):
        return candidates
    fitting = [part for part in candidates if not misfits(_all_of(part, cohort), need)]
    if not fitting:
        return _fits_nowhere(cohort, candidates)
    if walltime_s is not None:
        fitting = [part for part in fitting if _limit(part) >= walltime_s]
        if not fitting or walltime_s < _runtime(need) + cohort.margin_s:
            return _unsuitable(cohort, walltime_s)
    wanted = _walltime(cohort, multiplier) if walltime_s is None else walltime_s
    best = min(fitting, key=lambda part: _preference(part, need, wanted))
    fixed = walltime_s is not None
    return _sized(cohort, best, wanted, single=single, fixed=fixed)


# ── which partition ──────────────────────────────────────────────────────────


def _candidates(site: Site, name: str | None) -> list[Partition] | str:
    up = [part for part in site.partitions if part.is_up and part.nodes > 0]
    if name is None:
        return up or f"have nowhere to run: no partition of '{site.name}' is up"
    named = [part for part in up if part.name == name]
    if named:
        return named
    there = ", ".join(dict.fromkeys(part.name for part in up)) or "none"
    return f"have nowhere to run: '{site.name}' has no partition '{name}' that is up; up: {there}"


def _limit(part: Partition) -> float:
    """The longest walltime that may be asked for: Slurm counts whole minutes."""
    return math.inf if part.max_walltime_s is None else part.max_walltime_s // MINUTE * MINUTE


def margin_of(config: ExecutionConfig, *, by_steps: bool) -> int:
    """What of a walltime is the worker's, by the workflow's execution_config."""
    lead = 0 if by_steps else config.sigterm_lead_seconds
    return START_MARGIN_S + config.sigkill_headroom_seconds + lead


def node_of(part: Partition, margin_s: int = MARGIN_S) -> Capacity:
    """One node for as long as the partition allows, less the time a worker needs for itself."""
    limit = _limit(part)
    return Capacity(
        cpus=part.cpus,
        memory_bytes=part.memory_bytes,
        gpus=part.gpus,
        seconds=None if limit == math.inf else limit - margin_s,
    )


def _all_of(part: Partition, cohort: Cohort) -> Capacity:
    """The same, with as many nodes as there are."""
    return replace(node_of(part, cohort.margin_s), nodes=part.nodes)


def _preference(part: Partition, need: ResourceRequirements, wanted: int) -> tuple[object, ...]:
    """Sort key, the best first.

    No GPUs that would idle; room for the whole walltime; the site's default; the smallest.
    """
    return (
        part.gpus > 0 and not need.num_gpus, _limit(part) < wanted, not part.is_default,
        part.gpus, part.memory_bytes, part.cpus, _limit(part), part.name,
    )  # fmt: skip


def _fits_nowhere(cohort: Cohort, candidates: Iterable[Partition]) -> str:
    """With the numbers of the partition that comes nearest: fewest misfits, then the largest."""
    need = cohort.need
    misfit = {part: misfits(_all_of(part, cohort), need) for part in candidates}
    part = min(misfit, key=lambda part: (len(misfit[part]), _smallness(part, need), part.name))
    return (
        f"fit on no partition: requirement '{need.name}' asks for {', '.join(misfit[part])}, on "
        f"'{part.name}', the nearest ({cohort.margin_s} s of a walltime are the worker's)"
    )


def _unsuitable(cohort: Cohort, walltime_s: int) -> str:
    need, margin = cohort.need, cohort.margin_s
    runtime, asked = format_walltime(_runtime(need)), format_walltime(walltime_s)
    if walltime_s < _runtime(need) + margin:
        why = f"requirement '{need.name}' takes {runtime}, and {margin} s are the worker's"
        return f"do not fit into a walltime of {asked}: {why}"
    return f"cannot have a walltime of {asked}: no partition that fits gives as much"


def _smallness(part: Partition, need: ResourceRequirements) -> tuple[int, int, int]:
    return (-part.gpus if need.num_gpus else 0, -part.memory_bytes, -part.cpus)


# ── how many, for how long ───────────────────────────────────────────────────


def _sized(cohort: Cohort, part: Partition, wanted: int, *, single: bool, fixed: bool) -> Group:
    """As many nodes as it takes, and no more than there are.

    Where they are too few, jobs run one after another for as long as the partition allows.
    """
    need, jobs, limit = cohort.need, len(cohort.jobs), _limit(part)
    walltime = min(wanted, limit)
    most, there = _per_node(part, need, jobs), part.nodes // need.num_nodes
    sets = math.ceil(jobs / (most * _slots(cohort, walltime)))  # of as many nodes as a job needs
    if sets > there:
        sets = there
        rounds = math.ceil(jobs / (most * sets))
        longer = wanted if fixed else _whole_minutes(rounds * _runtime(need) + cohort.margin_s)
        walltime = min(max(wanted, longer), limit)
    return Group(
        cohort=cohort,
        partition=part,
        # Spread evenly: a smaller request starts sooner.
        per_node=min(most, math.ceil(jobs / sets)),
        nodes=sets * need.num_nodes,
        walltime_s=int(walltime),
        single=single,
    )


def _per_node(part: Partition, need: ResourceRequirements, jobs: int) -> int:
    """How many fit on one node beside the worker; a job as big as the node still fits alone."""
    beside = replace(node_of(part), memory_bytes=part.memory_bytes - WORKER_MEMORY)
    return max(1, room(beside, need, jobs))


def _walltime(cohort: Cohort, multiplier: float) -> int:
    """ceil(runtime x multiplier) and the worker's own time; never less than the runtime."""
    need = cohort.need
    longest = max(_runtime(need), math.ceil(need.runtime_s * multiplier))
    return _whole_minutes(longest + cohort.margin_s)


def _slots(cohort: Cohort, walltime: float) -> int:
    """How many such jobs one after another fit into a walltime."""
    return max(1, int(walltime - cohort.margin_s) // _runtime(cohort.need))


def _runtime(need: ResourceRequirements) -> int:
    return max(1, need.runtime_s)


def _whole_minutes(seconds: float) -> int:
    return math.ceil(seconds / MINUTE) * MINUTE
