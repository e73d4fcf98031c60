"""The bucket of tokens, told the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.clock import ManualClock
from slurmtorc.slurm.bucket import Bucket

if TYPE_CHECKING:
    from slurmtorc.ports import Clock


def moments(bucket: Bucket, clock: Clock, count: int) -> list[float]:
    begin, found = clock.now(), []
    for _ in range(count):
        bucket.take()
        found.append(round(clock.now() - begin, 6))
    return found


def test_a_burst_goes_at_once_and_the_rest_at_the_rate(clock: ManualClock) -> None:
    assert moments(Bucket(2.0, 3, clock), clock, 6) == [0, 0, 0, 0.5, 1.0, 1.5]


def test_a_rest_fills_the_bucket_again_and_no_further(clock: ManualClock) -> None:
    bucket = Bucket(1.0, 2, clock)
    moments(bucket, clock, 2)
    clock.sleep(1000)
    assert moments(bucket, clock, 4) == [0, 0, 1, 2]


def test_a_rate_of_nothing_is_no_limit(clock: ManualClock) -> None:
    assert moments(Bucket(0.0, 1, clock), clock, 50) == [0] * 50


def test_a_burst_of_nothing_still_lets_one_through(clock: ManualClock) -> None:
    assert moments(Bucket(1.0, 0, clock), clock, 2) == [0, 1]


def test_a_clock_that_is_set_back_costs_no_more_than_a_call(clock: ManualClock) -> None:
    bucket = Bucket(1.0, 1, clock)
    bucket.take()
    clock.sleep(-3600)
    assert moments(bucket, clock, 2) == [pytest.approx(1), pytest.approx(2)]


@given(
    st.lists(st.floats(0, 30), min_size=1, max_size=40),
    st.floats(0.1, 20),
    st.integers(1, 10),
)
def test_no_stretch_of_time_holds_more_calls_than_burst_and_rate_allow(
    pauses: list[float], rate: float, burst: int
) -> None:
    clock = ManualClock()
    bucket, taken = Bucket(rate, burst, clock), list[float]()
    for pause in pauses:
        clock.sleep(pause)
        bucket.take()
        taken.append(clock.now())
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            allowed = burst + rate * (taken[last] - taken[first])
            assert last - first + 1 <= allowed + 1e-3 * (1 + rate)
