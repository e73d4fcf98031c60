"""What attempts used against what their requirements said: too much, and far too little.

Too much is a fault to mend: the likely cause of a failure, or jobs that were packed too densely.
Far too little is a suggestion: a smaller requirement starts sooner and packs better. Jobs that
name no requirement promise nothing, so they are not judged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.model import DEFAULT_REQUIREMENT, Ending, JobStatus
from slurmtorc.rules.endings import OOM_CODE, TIMEOUT_CODE
from slurmtorc.units import (
    KIB,
    MINUTE,
    display_memory,
    display_seconds,
    format_duration,
    format_memory,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from slurmtorc.model import ResourceRequirements, Result

KILLED_EARLY = 0.8
"""A SIGKILL before this part of the runtime was hardly one for time."""
NEAR_LIMIT = 0.9
"""A failure after this part of the runtime was probably one for time."""
FAR_UNDER = 0.5
"""Under this part of what was asked for, a smaller requirement is suggested."""
HEADROOM = 1.2
"""A suggestion is this much above the largest peak."""
LEAST_MEMORY = 16 * KIB**2
"""Less is not worth a suggestion."""
LEAST_RUNTIME_S = 10 * MINUTE
"""The same for runtime."""
MIB = KIB**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One resource of one attempt: what was said, and what was used."""

    resource: str
    """memory, cpu or runtime."""
    specified: float
    """Bytes, percent of one CPU, seconds."""
    used: float

    @property
    def over_percent(self) -> float:
        """How much more was used than said; negative for less."""
        return 100 * (self.used / self.specified - 1) if self.specified else 0.0

    def shown(self, value: float) -> str:
        """For people."""
        if self.resource == "memory":
            return display_memory(value)
        return display_seconds(value) if self.resource == "runtime" else f"{value:.0f} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One attempt against its requirement."""

    result: Result
    need: ResourceRequirements
    levels: tuple[Level, ...]
    oom_reason: str | None = None
    """Why memory was the likely cause of its failure; None if it was not."""
    timeout_reason: str | None = None

    def over(self, percent: float) -> list[Level]:
        """The resources of which more was used than said, by at least so much."""
        return [one for one in self.levels if one.over_percent > 0 and one.over_percent >= percent]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A requirement that asks for far more than any of its jobs used."""

    need: ResourceRequirements
    resource: str
    jobs: int
    peak: float
    specified: float
    value: str | int
    """What to write instead."""


def check(result: Result, need: ResourceRequirements) -> Checked | None:
    """One attempt; None where the requirement says nothing."""
    if need.name == DEFAULT_REQUIREMENT:
        return None
    used = (
        ("memory", need.memory_bytes, result.peak_memory_bytes),
        ("cpu", 100 * need.num_cpus * need.num_nodes, result.peak_cpu_percent),
        ("runtime", need.runtime_s, result.exec_time_s),
    )
    levels = tuple(
        Level(resource=name, specified=said, used=peak) for name, said, peak in used if peak
    )
    failed = result.status in {JobStatus.FAILED, JobStatus.TERMINATED, JobStatus.PENDING_FAILED}
    return Checked(
        result=result,
        need=need,
        levels=levels,
        oom_reason=oom_reason(result, need) if failed else None,
        timeout_reason=timeout_reason(result, need) if failed else None,
    )


def oom_reason(result: Result, need: ResourceRequirements) -> str | None:
    """Why a failure was probably one of memory; torc's words, and ours where we know more."""
    if result.ending is Ending.OOM:
        return "ended_for_memory"
    if (result.peak_memory_bytes or 0) > need.memory_bytes:
        return "memory_exceeded"
    early = result.exec_time_s < KILLED_EARLY * need.runtime_s
    if result.ending is Ending.EXIT and result.return_code == OOM_CODE and early:
        return "sigkill_137"
    return None


def timeout_reason(result: Result, need: ResourceRequirements) -> str | None:
    """Why a failure was probably one of time."""
    if result.ending is Ending.TIMEOUT:
        return "ended_for_time"
    if result.ending is Ending.EXIT and result.return_code == TIMEOUT_CODE:
        return "sigxcpu_152"
    if result.exec_time_s > NEAR_LIMIT * need.runtime_s:
        return "runtime_near_limit"
    return None


def suggestions(checked: Iterable[Checked]) -> list[Suggestion]:
    """Requirements that could be far smaller, by the attempts that completed."""
    groups: dict[int, list[Checked]] = {}
    for one in checked:
        if one.result.status is JobStatus.COMPLETED:
            groups.setdefault(one.need.id, []).append(one)
    return [
        found
        for group in groups.values()
        for resource in ("memory", "cpu", "runtime")
        if (found := _suggestion(resource, group)) is not None
    ]


def _suggestion(resource: str, group: Sequence[Checked]) -> Suggestion | None:
    """Only if every attempt was measured: an unmeasured one may be the one that needs it."""
    levels = [one for each in group for one in each.levels if one.resource == resource]
    if len(levels) < len(group):
        return None
    peak, said, need = max(one.used for one in levels), levels[0].specified, group[0].need
    value = _smaller(resource, peak, need)
    if peak >= FAR_UNDER * said or value is None:
        return None
    jobs = len({one.result.job_id for one in group})
    return Suggestion(
        need=need, resource=resource, jobs=jobs, peak=peak, specified=said, value=value
    )


def _smaller(resource: str, peak: float, need: ResourceRequirements) -> str | int | None:
    """What would do, if it is less than what is said and worth the change."""
    if resource == "memory":
        wanted = max(LEAST_MEMORY, math.ceil(peak * HEADROOM / MIB) * MIB)
        return format_memory(wanted) if wanted < need.memory_bytes else None
    if resource == "runtime":
        seconds = max(LEAST_RUNTIME_S, math.ceil(peak * HEADROOM / MINUTE) * MINUTE)
        return format_duration(seconds) if seconds < need.runtime_s else None
    cpus = max(1, math.ceil(peak * HEADROOM / 100 / need.num_nodes))
    return cpus if cpus < need.num_cpus else None
