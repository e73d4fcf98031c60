"""What files and user data imply: who reads something waits for everybody who writes it.

Apart from rules/graph.py, which has a node for each file: a store knows jobs and barriers only.
N writers and M readers are N + M rows there, never N x M, whether they meet at one file or each
reader reads what each writer writes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from slurmtorc.rules.graph import holds, writers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from slurmtorc.model import Draft, DraftJob

Group = tuple[int, ...]
"""Numbers of jobs, ascending."""


@dataclass(slots=True)
class Implied:
    """What comes to the dependencies that a draft states."""

    barriers: list[Group] = field(default_factory=list)
    depends_on: dict[int, list[int]] = field(default_factory=dict)
    """Of each job, further jobs it waits for."""
    after: dict[int, list[int]] = field(default_factory=dict)
    """Of each job, further barriers it waits for: indices of `barriers`."""


def implied(draft: Draft) -> Implied:
    """The dependencies that a draft does not state."""
    found = _Gathered()
    found.gather(
        [job.input_files for job in draft.jobs],
        [job.output_files for job in draft.jobs],
        len(draft.files),
    )
    found.gather(
        [job.input_user_data for job in draft.jobs],
        [job.output_user_data for job in draft.jobs],
        len(draft.user_data),
    )
    return found.parted(draft.jobs)


class _Gathered:
    """Of each job, the groups of jobs that write what it reads."""

    def __init__(self) -> None:
        self.groups: dict[int, list[Group]] = {}
        self.known: dict[Group, Group] = {}
        """The one tuple that stands for a group, so that groups are compared by identity."""

    def gather(self, reads: Sequence[Group], writes: Iterable[Group], count: int) -> None:
        """Add the writers of `count` things to the jobs that read them."""
        if not count:
            return
        makers = [self.same(tuple(found)) for found in writers(writes, count)]
        uses = Counter(map(id, reads))  # the draft keeps the tuples alive
        found: dict[int, Sequence[Group]] = {}
        for job, things in enumerate(reads):
            if things:
                groups = found.get(id(things))
                if groups is None:
                    groups = self.of_list([makers[thing] for thing in things], uses[id(things)])
                    found[id(things)] = groups
                self.groups.setdefault(job, []).extend(groups)

    def of_list(self, makers: Iterable[Group], uses: int) -> Sequence[Group]:
        """One group for a list that several jobs read, else one for each thing on it."""
        found = {id(group): group for group in makers if group}
        if uses > 1 and len(found) > 1:
            return (self.same(tuple(sorted(set(chain.from_iterable(found.values()))))),)
        return list(found.values())

    def same(self, group: Group) -> Group:
        """The tuple that stands for this group."""
        return self.known.setdefault(group, group)

    def parted(self, jobs: Sequence[DraftJob]) -> Implied:
        """A group of several that several jobs wait for is a barrier; others come one by one."""
        uses = Counter(id(group) for found in self.groups.values() for group in found)
        shared = [group for group in self.known if len(group) > 1 and uses[id(group)] > 1]
        barriers = {id(group): index for index, group in enumerate(shared)}
        found = Implied(shared)
        for job, groups in self.groups.items():
            behind = {id(group) for group in groups if id(group) in barriers}
            behind = {key for key in behind if not holds(shared[barriers[key]], job)}
            single = {n for group in groups if id(group) not in behind for n in group}
            single.difference_update((job,), jobs[job].depends_on)
            if behind:
                found.after[job] = sorted(barriers[key] for key in behind)
            if single:
                found.depends_on[job] = sorted(single)
        return found
