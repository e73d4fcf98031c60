"""What fits where."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import a_need
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.model import Capacity, ResourceRequirements
from slurmtorc.rules.packing import give_back, misfits, order, room, take, until

NODE = Capacity(cpus=8, memory_bytes=16 << 30, gpus=2)

needs = st.builds(
    ResourceRequirements,
    name=st.just("n"),
    num_cpus=st.integers(0, 12),
    num_gpus=st.integers(0, 3),
    num_nodes=st.integers(1, 2),
    memory_bytes=st.integers(0, 20 << 30),
    runtime_s=st.integers(1, 7200),
)


@pytest.mark.parametrize(
    ("need", "count"),
    [
        ({}, 8),
        ({"num_cpus": 3}, 2),
        ({"memory": "5g"}, 3),
        ({"num_gpus": 1}, 2),
        ({"num_gpus": 2, "num_cpus": 4}, 1),
        ({"num_cpus": 9}, 0),
        ({"num_nodes": 2}, 0),
        ({"num_cpus": 1, "memory": "0"}, 8),
    ],
)
def test_room(need: dict[str, object], count: int) -> None:
    assert room(NODE, a_need(**need), 100) == count
    assert room(NODE, a_need(**need), 1) == min(1, count)


@pytest.mark.parametrize(
    ("seconds", "fits"), [(None, True), (60.0, True), (59.9, False), (-5.0, False)]
)
def test_a_job_must_end_before_its_worker(seconds: float | None, fits: bool) -> None:
    assert bool(room(until(NODE, seconds), a_need(runtime="PT1M"), 1)) is fits


@given(needs, st.integers(0, 20))
def test_what_fits_leaves_nothing_negative_and_comes_back_whole(
    need: ResourceRequirements, limit: int
) -> None:
    count = room(NODE, need, limit)
    left = take(NODE, need, count)
    assert 0 <= count <= limit
    assert min(left.cpus, left.memory_bytes, left.gpus) >= 0
    for _ in range(count):
        left = give_back(left, need)
    assert left == NODE


@given(needs)
def test_what_never_fits_says_why_and_what_fits_says_nothing(need: ResourceRequirements) -> None:
    assert bool(misfits(NODE, need)) is (room(NODE, need, 1) == 0)


def test_reasons_name_the_numbers() -> None:
    whole = replace(NODE, seconds=60)
    need = a_need(num_cpus=64, memory="1t", num_gpus=4, num_nodes=3, runtime="PT2H")
    assert misfits(whole, need) == [
        "64 CPUs of 8",
        "1 TiB of memory of 16 GiB",
        "4 GPUs of 2",
        "3 nodes of 1",
        "2:00:00 of 1:00 left",
    ]


def test_the_order_of_claims() -> None:
    ranked = [
        (1, a_need()),
        (0, a_need(num_gpus=1)),
        (0, a_need(runtime="PT2M")),
        (0, a_need(memory="2m")),
        (0, a_need(num_cpus=2)),
        (0, a_need()),
    ]
    assert sorted(ranked, key=lambda each: order(*each)) == ranked
