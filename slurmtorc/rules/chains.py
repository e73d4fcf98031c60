"""Chains of jobs that wait for each other: the longest one, and what stands behind a job.

`waits_for` is that of model.Links: jobs by their ids, barriers as negative numbers, so that a
million pairs behind a barrier are never walked one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


def longest(waits_for: Mapping[int, Sequence[int]], jobs: Collection[int]) -> list[int]:
    """The ids of the longest chain among these jobs, what comes first in front.

    Barriers count nothing. Jobs outside `jobs` are finished, and wait for nothing.
    """
    depth: dict[int, int] = {}
    before: dict[int, int | None] = {}
    for node in _sorted(waits_for, jobs):
        inside = [other for other in waits_for.get(node, ()) if other in depth]
        best = max(inside, key=depth.__getitem__, default=None)
        before[node] = best
        depth[node] = (0 if best is None else depth[best]) + (node > 0)
    last = max((node for node in depth if node > 0), key=depth.__getitem__, default=None)
    chain: list[int] = []
    while last is not None:
        if last > 0:
            chain.append(last)
        last = before[last]
    return chain[::-1]


def _sorted(waits_for: Mapping[int, Sequence[int]], jobs: Collection[int]) -> list[int]:
    """The unfinished jobs and the barriers before them, what is waited for first."""
    kept = {*jobs, *(node for node in waits_for if node < 0)}
    followers: dict[int, list[int]] = {}
    missing = dict.fromkeys(sorted(kept), 0)
    for node in sorted(kept):
        for other in waits_for.get(node, ()):
            if other in kept:
                followers.setdefault(other, []).append(node)
                missing[node] += 1
    ready = [node for node, count in missing.items() if not count]
    for node in ready:  # grows while it is read
        for follower in followers.get(node, ()):
            missing[follower] -= 1
            if not missing[follower]:
                ready.append(follower)
    return ready


def ahead(waits_for: Mapping[int, Sequence[int]], job: int) -> set[int]:
    """Every job that this one waits for, directly or not."""
    found: set[int] = set()
    left = [job]
    while left:
        fresh = [node for node in waits_for.get(left.pop(), ()) if node not in found]
        found.update(fresh)
        left += fresh
    return {node for node in found if node > 0}


def behind(waits_for: Mapping[int, Sequence[int]], jobs: Collection[int]) -> set[int]:
    """Every job that waits for one of these, directly or not."""
    followers: dict[int, list[int]] = {}
    for node, others in waits_for.items():
        for other in others:
            followers.setdefault(other, []).append(node)
    found: set[int] = set()
    left = list(jobs)
    while left:
        for node in followers.get(left.pop(), ()):
            if node not in found:
                found.add(node)
                left.append(node)
    return {node for node in found if node > 0}
