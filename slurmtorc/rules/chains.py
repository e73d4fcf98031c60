"""Jobs that wait for each other: in which order they can run, and what stands behind a job.

`waits_for` is that of model.Links: jobs by their ids, barriers as negative numbers, so that a
million pairs behind a barrier are never walked one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


def longest(waits_for: Mapping[int, Sequence[int]], jobs: Collection[int]) -> list[int]:
    """The ids of the longest chain among these jobs, what comes first in front.

    Barriers count nothing. Jobs outside `jobs` are finished, and wait for nothing.
    """
    depth: dict[int, int] = {}
    before: dict[int, int | None] = {}
    for node in in_order(waits_for, sorted(jobs)):
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


def in_order(waits_for: Mapping[int, Sequence[int]], jobs: Iterable[int]) -> list[int]:
    """These jobs and all barriers, each after those of them that it waits for.

    Those that wait for nothing stay in the order given.
    """
    barriers = sorted(node for node in waits_for if node < 0)
    missing = dict.fromkeys((*barriers, *jobs), 0)
    for node in missing:
        missing[node] = sum(other in missing for other in waits_for.get(node, ()))
    after = followers(waits_for)
    ready = [node for node, count in missing.items() if not count]
    for node in ready:  # grows while it is read
        for follower in after.get(node, ()):
            if follower in missing:
                missing[follower] -= 1
                if not missing[follower]:
                    ready.append(follower)
    return ready


def followers(waits_for: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
    """Of each node, the nodes that wait for it."""
    found: dict[int, list[int]] = {}
    for node, others in waits_for.items():
        for other in others:
            found.setdefault(other, []).append(node)
    return found


def ahead(waits_for: Mapping[int, Sequence[int]], jobs: Iterable[int]) -> set[int]:
    """Every job that one of these waits for, directly or not."""
    return _reached(waits_for, jobs)


def behind(waits_for: Mapping[int, Sequence[int]], jobs: Iterable[int]) -> set[int]:
    """Every job that waits for one of these, directly or not."""
    return _reached(followers(waits_for), jobs)


def _reached(ties: Mapping[int, Sequence[int]], jobs: Iterable[int]) -> set[int]:
    found: set[int] = set()
    left = list(jobs)
    while left:
        for node in ties.get(left.pop(), ()):
            if node not in found:
                found.add(node)
                left.append(node)
    return {node for node in found if node > 0}
