"""Jobs that wait for the same group wait for one barrier: N + M rows, never N x M.

A group becomes a barrier when it has at least two members and at least two jobs wait for it;
anything else stays a plain dependency.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from slurmtorc.rules.graph import holds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slurmtorc.model import DraftJob
    from slurmtorc.spec.families import Group


def raise_barriers(
    jobs: Sequence[DraftJob], groups: Mapping[int, tuple[Group, ...]]
) -> list[Group]:
    """Set `after` and `depends_on` of all jobs; the barriers.

    Groups are compared by identity: equal ones are the same tuple (Family.same).
    """
    shared = _shared(jobs, groups)
    barriers = {id(group): number for number, group in enumerate(shared)}
    for number, job in enumerate(jobs):
        waits = (job.depends_on, *groups.get(number, ()))
        if len(waits) > 1 or id(job.depends_on) in barriers:
            _set(job, waits, barriers)
    return shared


def _shared(jobs: Sequence[DraftJob], groups: Mapping[int, tuple[Group, ...]]) -> list[Group]:
    """The groups that two jobs or more wait for, in order of their first use."""
    uses: Counter[int] = Counter()
    found: dict[int, Group] = {}
    for number, job in enumerate(jobs):
        waits = {id(group): group for group in (job.depends_on, *groups.get(number, ()))}
        for key, group in waits.items():
            if len(group) > 1:
                uses[key] += 1
                found[key] = group
    return [group for key, group in found.items() if uses[key] > 1]


def _set(job: DraftJob, waits: tuple[Group, ...], barriers: Mapping[int, int]) -> None:
    behind = {id(group): group for group in waits if id(group) in barriers}
    single = {number for group in waits if id(group) not in barriers for number in group}
    loose = (n for n in single if not any(holds(group, n) for group in behind.values()))
    job.after = tuple(sorted(barriers[key] for key in behind))
    job.depends_on = tuple(sorted(loose))
