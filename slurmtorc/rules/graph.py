"""Dependencies between jobs, stated and implied by files and user data: levels and cycles.

A file (or a piece of user data, or a barrier) is a node of its own between the jobs that write
it and the jobs that read it. So N producers and M consumers are N + M edges, never N x M, and a
cycle can be printed with the file that closes it.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from slurmtorc.model import Draft


_LONG = 16
"""From this length on a list of inputs gets a node of its own."""


@dataclass(slots=True)
class Graph:
    """Jobs are nodes 0 … jobs-1; barriers, files and user data follow."""

    jobs: int
    waits_for: list[Sequence[int]]
    """Of each node, the nodes it waits for."""

    def levels(self) -> list[int] | None:
        """Of each job, the number of jobs on the longest way to it; None if there is a cycle."""
        depth = [0] * len(self.waits_for)
        reached = 0
        for node in self._sorted():
            reached += 1
            step = 1 if node < self.jobs else 0
            depth[node] = max((depth[before] for before in self.waits_for[node]), default=0) + step
        if reached < len(self.waits_for):
            return None
        return [level - 1 for level in depth[: self.jobs]]

    def cycle(self) -> list[int]:
        """The nodes of one cycle, the first one repeated at the end; empty if there is none."""
        left = set(range(len(self.waits_for))).difference(self._sorted())
        if not left:
            return []
        node, seen = min(left), dict[int, int]()
        while node not in seen:
            seen[node] = len(seen)
            node = next(before for before in self.waits_for[node] if before in left)
        path = list(seen)[seen[node] :]
        path.reverse()  # from what is waited for to what waits
        start = path.index(min(path))
        path = path[start:] + path[:start]
        return [*path, path[0]]

    def _sorted(self) -> list[int]:
        """Nodes in topological order; those on or behind a cycle are missing."""
        followers: list[list[int]] = [[] for _ in self.waits_for]
        missing = [len(before) for before in self.waits_for]
        for node, before in enumerate(self.waits_for):
            for other in before:
                followers[other].append(node)
        ready = [node for node, count in enumerate(missing) if not count]
        for node in ready:  # grows while it is read
            for follower in followers[node]:
                missing[follower] -= 1
                if not missing[follower]:
                    ready.append(follower)
        return ready


def graph_of(draft: Draft) -> Graph:
    """The graph of a draft, with what its files and user data imply.

    A long list of inputs that several jobs share (as one tuple) is a node too, the last ones.
    """
    jobs = draft.jobs
    barriers_at = len(jobs)
    files_at = barriers_at + len(draft.barriers)
    data_at = files_at + len(draft.files)
    lists = _Lists(data_at + len(draft.user_data))
    waits_for: list[Sequence[int]] = []
    for job in jobs:
        before = job.depends_on
        if job.after or job.input_files or job.input_user_data:
            before = (
                *before,
                *(barriers_at + index for index in job.after),
                *lists.nodes(job.input_files, files_at),
                *lists.nodes(job.input_user_data, data_at),
            )
        waits_for.append(before)
    waits_for += draft.barriers
    waits_for += writers((job.output_files for job in jobs), len(draft.files))
    waits_for += writers((job.output_user_data for job in jobs), len(draft.user_data))
    waits_for += lists.waits_for
    return Graph(len(jobs), waits_for)


class _Lists:
    """Nodes for long lists, so that N jobs that read the same M files are N + M edges."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.known: dict[tuple[int, int], int] = {}
        self.waits_for: list[Sequence[int]] = []

    def nodes(self, numbers: tuple[int, ...], start: int) -> Sequence[int]:
        """The nodes that stand for a list of things, the first of which is node `start`."""
        if len(numbers) < _LONG:
            return [start + number for number in numbers]
        key = (id(numbers), start)  # the draft keeps the tuples alive
        if key not in self.known:
            self.known[key] = self.first + len(self.waits_for)
            self.waits_for.append([start + number for number in numbers])
        return (self.known[key],)


def holds(group: tuple[int, ...], number: int) -> bool:
    """Whether a group, ascending, has a number."""
    at = bisect_left(group, number)
    return at < len(group) and group[at] == number


def writers(outputs: Iterable[Sequence[int]], count: int) -> list[list[int]]:
    """Of each of `count` things, the jobs that write it, ascending."""
    found: list[list[int]] = [[] for _ in range(count)]
    for job, written in enumerate(outputs):
        for index in written:
            found[index].append(job)
    return found


def describe(draft: Draft, node: int) -> str:
    """What a node of `graph_of(draft)` is called in a message; barriers and lists have no name."""
    if node < len(draft.jobs):
        return draft.jobs[node].name
    node -= len(draft.jobs) + len(draft.barriers)
    if node < 0:
        return ""
    if node < len(draft.files):
        return f"(file {draft.files[node].name})"
    node -= len(draft.files)
    return f"(user data {draft.user_data[node].name})" if node < len(draft.user_data) else ""
