"""Failed jobs -> why each one failed, what it needs to succeed, and which jobs to run again.

The ending is believed first: whoever ended the process said why. Where a job ended by itself,
its return code, its time and its memory are read as torc reads them. Requirements only grow, and
never beyond what a partition offers: a job that had all there is cannot be healed, and that is
said. Pure: the plan of a recovery is a value, which a dry run prints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from slurmtorc.model import DEFAULT_REQUIREMENT, UNSUCCESSFUL, Ending, JobStatus
from slurmtorc.rules.endings import OOM_CODE, TIMEOUT_CODE
from slurmtorc.rules.packing import misfits
from slurmtorc.rules.placing import node_of
from slurmtorc.rules.utilization import oom_reason, timeout_reason
from slurmtorc.units import (
    KIB,
    display_memory,
    display_seconds,
    format_duration,
    format_memory,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slurmtorc.model import Job, Links, Partition, ResourceRequirements, Result, Site


class Cause(StrEnum):
    """Why a job failed, as far as it can be healed."""

    OOM = "OOM"
    TIMEOUT = "timeout"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What may be done."""

    memory_multiplier: float = 1.5
    runtime_multiplier: float = 1.5
    retry_unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A job that failed or was terminated, and what its last attempt came to."""

    job: Job
    need: ResourceRequirements
    result: Result | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Healing:
    """What is done about one failure."""

    failure: Failure
    causes: tuple[Cause, ...]
    need: ResourceRequirements | None
    """What it is to run with; None if it is not run again."""
    reason: str

    @property
    def is_chosen(self) -> bool:
        """Whether the job runs again."""
        return self.need is not None

    @property
    def line(self) -> str:
        """For people."""
        return f"Job {self.failure.job.id} ({self.failure.job.name}): {self.reason}"


# ── why ──────────────────────────────────────────────────────────────────────


def diagnose(failure: Failure) -> tuple[tuple[Cause, ...], str]:
    """The causes, and the evidence in words."""
    result = failure.result
    if result is None:
        return (Cause.UNKNOWN,), "it left no result"
    if result.ending is Ending.OOM:
        return (Cause.OOM,), "it was ended for its memory"
    if result.ending is Ending.TIMEOUT:
        return (Cause.TIMEOUT,), "it was ended for its time"
    if result.ending is not Ending.EXIT:
        return (Cause.UNKNOWN,), f"ending {result.ending.value}"
    signs = dict(_signs(failure, result))
    if not signs:
        return (Cause.UNKNOWN,), f"return code {result.return_code}"
    return tuple(signs), ", ".join(signs.values())


def _signs(failure: Failure, result: Result) -> Iterator[tuple[Cause, str]]:
    """What points at memory or time in a job that ended by itself."""
    need, code = failure.need, result.return_code
    if need.name == DEFAULT_REQUIREMENT:
        by_code = {OOM_CODE: Cause.OOM, TIMEOUT_CODE: Cause.TIMEOUT}
        if code in by_code:
            yield by_code[code], f"return code {code}"
        return
    if (reason := oom_reason(result, need)) is not None:
        peak = display_memory(result.peak_memory_bytes)
        yield Cause.OOM, f"{reason}: return code {code}, peak {peak} of {need.memory}"
    if (reason := timeout_reason(result, need)) is not None:
        ran = display_seconds(result.exec_time_s)
        yield Cause.TIMEOUT, f"{reason}: return code {code} after {ran} of {need.runtime}"


# ── what to do ───────────────────────────────────────────────────────────────


def heal(failure: Failure, treatment: Treatment, site: Site | None = None) -> Healing:
    """What is done about one failure; capped by the partitions of a site, if one is given."""
    causes, evidence = diagnose(failure)
    if causes == (Cause.UNKNOWN,):
        return _unknown(failure, evidence, treatment)
    need, said = _base(failure), list[str]()
    if need is None:
        why = "it names no resource requirements, and its memory was not measured; name some"
        return Healing(failure=failure, causes=causes, need=None, reason=_refused(causes, why))
    for cause in causes:
        grown = _grown(need, failure, cause, treatment)
        given = _capped(grown, cause, site)
        if given is None or _size(given, cause) <= _size(need, cause):
            why = _at_the_end(need, cause, site)
            return Healing(failure=failure, causes=causes, need=None, reason=_refused(causes, why))
        said.append(_raised(need, given, grown, cause))
        need = given
    reason = f"{'; '.join(said)} ({evidence})"
    return Healing(failure=failure, causes=causes, need=need, reason=reason)


def _unknown(failure: Failure, evidence: str, treatment: Treatment) -> Healing:
    need = failure.need if treatment.retry_unknown else None
    end = "run again as it is" if need else "skipped; --retry-unknown runs it again"
    reason = f"unknown cause ({evidence}), {end}"
    return Healing(failure=failure, causes=(Cause.UNKNOWN,), need=need, reason=reason)


def _base(failure: Failure) -> ResourceRequirements | None:
    """What grows. The implicit requirement says nothing true: what was measured replaces it."""
    need, result = failure.need, failure.result
    if need.name != DEFAULT_REQUIREMENT:
        return need
    peak = result.peak_memory_bytes if result else None
    return None if peak is None else replace(need, memory_bytes=max(need.memory_bytes, peak))


def _grown(
    need: ResourceRequirements, failure: Failure, cause: Cause, treatment: Treatment
) -> ResourceRequirements:
    result = failure.result
    if cause is Cause.OOM:
        peak = (result.peak_memory_bytes if result else None) or 0
        return _with_memory(need, larger(need.memory_bytes, treatment.memory_multiplier, peak))
    ran = math.ceil(result.exec_time_s) if result else 0
    return _with_runtime(need, larger(need.runtime_s, treatment.runtime_multiplier, ran))


def larger(old: int, multiplier: float, seen: int) -> int:
    """ceil(old x multiplier), and again as long as what was seen does not fit into it."""
    factor = Fraction(repr(multiplier))
    new = math.ceil(old * factor)
    while new <= seen and math.ceil(new * factor) > new:
        new = math.ceil(new * factor)
    return new


def _with_memory(need: ResourceRequirements, size: int) -> ResourceRequirements:
    """Whole megabytes, so that it can be written as people write it."""
    size = math.ceil(size / KIB**2) * KIB**2
    return replace(need, memory_bytes=size, memory=format_memory(size))


def _with_runtime(need: ResourceRequirements, seconds: int) -> ResourceRequirements:
    return replace(need, runtime_s=seconds, runtime=format_duration(seconds))


def _size(need: ResourceRequirements, cause: Cause) -> int:
    return need.memory_bytes if cause is Cause.OOM else need.runtime_s


def _shown(need: ResourceRequirements, cause: Cause) -> str:
    return need.memory if cause is Cause.OOM else need.runtime


# ── the end of what a site offers ────────────────────────────────────────────


def _capped(
    need: ResourceRequirements, cause: Cause, site: Site | None
) -> ResourceRequirements | None:
    """As much of it as a partition offers; None if none has room for the rest of it."""
    if site is None:
        return need
    best = _roomiest(need, cause, site)
    if best is None:
        return None
    node = node_of(best)
    if cause is Cause.OOM:
        if need.memory_bytes <= node.memory_bytes:
            return need
        size = node.memory_bytes // KIB**2 * KIB**2
        return replace(need, memory_bytes=size, memory=format_memory(size))
    if node.seconds is None or need.runtime_s <= node.seconds:
        return need
    return _with_runtime(need, int(node.seconds))


def _roomiest(need: ResourceRequirements, cause: Cause, site: Site) -> Partition | None:
    """The partition that has the most of what is to grow, and room for all the rest."""
    rest = replace(need, num_nodes=1)
    rest = replace(rest, memory_bytes=0) if cause is Cause.OOM else replace(rest, runtime_s=0)
    fitting = [
        part
        for part in site.partitions
        if part.is_up and part.nodes >= need.num_nodes and not misfits(node_of(part), rest)
    ]

    def most(part: Partition) -> float:
        node = node_of(part)
        if cause is Cause.OOM:
            return node.memory_bytes
        return math.inf if node.seconds is None else node.seconds

    return max(fitting, key=most, default=None)


_WHAT = {Cause.OOM: "memory", Cause.TIMEOUT: "runtime"}


def _raised(
    old: ResourceRequirements,
    new: ResourceRequirements,
    wished: ResourceRequirements,
    cause: Cause,
) -> str:
    said = f"{cause} detected, increasing {_WHAT[cause]} {_shown(old, cause)} -> "
    if new == wished:
        return said + _shown(new, cause)
    return f"{said}{_shown(new, cause)}, all that a partition offers of {_shown(wished, cause)}"


def _refused(causes: tuple[Cause, ...], why: str) -> str:
    return f"{' and '.join(causes)} detected, but not healed: {why}"


def _at_the_end(need: ResourceRequirements, cause: Cause, site: Site | None) -> str:
    what, shown = _WHAT[cause], _shown(need, cause)
    if site is None:
        return f"the multiplier does not raise {what} {shown}"
    best = _roomiest(need, cause, site)
    if best is None:
        return f"no partition of '{site.name}' that is up has room for it"
    return f"{what} {shown} cannot be raised; partition '{best.name}' offers the most"


# ── which jobs run again ─────────────────────────────────────────────────────


def rescued(links: Links, statuses: Mapping[int, JobStatus], healed: frozenset[int]) -> list[int]:
    """The canceled jobs that wait for nothing unsuccessful but what runs again.

    A canceled job that waited for nothing unsuccessful was canceled by somebody, and stays so.
    """
    again = dict[int, bool | None]()
    for node in TopologicalSorter(links.waits_for).static_order():
        before = [again.get(other) for other in links.waits_for.get(node, ())]
        told = [each for each in before if each is not None]
        freed = all(told) if told else None
        status = statuses.get(node)
        if node < 0:
            again[node] = freed
        elif status in UNSUCCESSFUL:
            again[node] = node in healed or (status is JobStatus.CANCELED and freed is True)
    return sorted(job for job, chosen in again.items() if job > 0 and chosen and job not in healed)
