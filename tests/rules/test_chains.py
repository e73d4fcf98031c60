"""The longest chain, and what stands before and behind a job, on drawn graphs with barriers."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.rules.chains import ahead, behind, in_order, longest


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[int, list[int]], set[int]]:
    """Jobs 1 … n that wait for earlier ones, some through barriers; and those not finished."""
    count = draw(st.integers(1, 8))
    waits_for: dict[int, list[int]] = {}
    for job in range(2, count + 1):
        waits_for[job] = draw(st.lists(st.integers(1, job - 1), unique=True, max_size=3))
        if draw(st.booleans()):
            waits_for[-job] = draw(st.lists(st.integers(1, job - 1), unique=True, max_size=3))
            waits_for[job].append(-job)
    unfinished = draw(st.sets(st.integers(1, count)))
    return waits_for, unfinished


def plain(waits_for: dict[int, list[int]]) -> dict[int, set[int]]:
    """The same without barriers."""
    return {
        job: {
            far for other in others for far in ([other] if other > 0 else waits_for.get(other, []))
        }
        for job, others in waits_for.items()
        if job > 0
    }


@given(graphs())
def test_the_longest_chain_is_a_chain_and_none_is_longer(
    graph: tuple[dict[int, list[int]], set[int]],
) -> None:
    waits_for, unfinished = graph
    direct = plain(waits_for)

    @cache
    def depth(job: int) -> int:
        inside = direct.get(job, set()) & unfinished
        return 1 + max((depth(other) for other in inside), default=0)

    chain = longest(waits_for, unfinished)
    assert len(chain) == max((depth(job) for job in unfinished), default=0)
    assert set(chain) <= unfinished
    for first, second in pairwise(chain):
        assert first in direct[second]


@given(graphs())
def test_ahead_and_behind_are_each_others_mirror(
    graph: tuple[dict[int, list[int]], set[int]],
) -> None:
    waits_for, _ = graph
    jobs = {1, *(job for job in waits_for if job > 0)}
    pairs = {(job, other) for job in jobs for other in ahead(waits_for, {job})}
    assert pairs == {(job, other) for other in jobs for job in behind(waits_for, {other})}
    assert all(other < job for job, other in pairs)


@given(graphs())
def test_in_order_each_of_them_comes_after_all_it_waits_for(
    graph: tuple[dict[int, list[int]], set[int]],
) -> None:
    waits_for, unfinished = graph
    order = in_order(waits_for, unfinished)
    assert sorted(order) == sorted(unfinished | {node for node in waits_for if node < 0})
    place = {node: at for at, node in enumerate(order)}
    for node in order:
        assert all(
            place[other] < place[node] for other in waits_for.get(node, ()) if other in place
        )


def test_a_million_pairs_behind_a_barrier_are_not_walked() -> None:
    first, second = range(1, 1001), range(1001, 2001)
    waits_for = {-1: list(first), **{job: [-1] for job in second}}
    assert len(longest(waits_for, {*first, *second})) == 2
    assert behind(waits_for, {1}) == set(second)
    assert ahead(waits_for, {1001}) == set(first)
