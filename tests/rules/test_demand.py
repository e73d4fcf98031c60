"""Planning again: which scheduler, how many allocations, when, and what is asked for already."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from factories import a_need, a_node, a_scheduler, an_allocation
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.errors import InvalidValue
from slurmtorc.model import (
    Action,
    ActionType,
    ExecutionConfig,
    Job,
    JobStatus,
    Links,
    Partition,
    Site,
    TriggerType,
    Workflow,
)
from slurmtorc.rules.demand import Demand, demand
from slurmtorc.rules.remaining import Remaining, levels
from slurmtorc.rules.requesting import Options
from slurmtorc.rules.shapes import gpus_of, shape_of, slurm_memory

GIB = 1 << 30
SITE = Site(
    name="site",
    partitions=(
        Partition(
            name="cpu", cpus=8, memory_bytes=16 * GIB, nodes=10, max_walltime_s=86400,
            is_default=True,
        ),
        Partition(name="gpu", cpus=8, memory_bytes=64 * GIB, nodes=2, gpus=4, gpu_type="a100"),
    ),
)  # fmt: skip
SMALL = replace(a_need("small", num_cpus=1, memory="1g", runtime="PT10M"), id=1)
BIG = replace(a_need("big", num_cpus=8, memory="60g", runtime="PT10M"), id=2)
FOUR = replace(a_scheduler("four", cpus_per_task=4, mem="4g", walltime="00:15:00"), id=11)
WIDE = replace(a_scheduler("wide", cpus_per_task=8, mem="8g", walltime="01:00:00"), id=12)
READY = TriggerType.ON_JOBS_READY


def left(jobs: int = 4, **values: Any) -> Remaining:
    """Jobs 1 … n that are ready and need SMALL, unless told otherwise."""
    made = values.pop("made", [a_ready(number) for number in range(1, jobs + 1)])
    given = {
        "workflow": Workflow(id=1, name="w", run_id=1, slurm_defaults={"account": "mine"}),
        "jobs": made,
        "unfinished": frozenset(job.id for job in made),
        "needs": {job.id: SMALL for job in made},
        "links": Links(),
    }
    return Remaining(**given | values)


def a_ready(number: int, **values: Any) -> Job:
    return Job(id=number, name=f"j{number}", command="x", status=JobStatus.READY, **values)


def an_action(number: int, **values: Any) -> Action:
    given = {
        "id": number,
        "trigger_type": READY,
        "action_type": ActionType.SCHEDULE_NODES,
        "action_config": {"scheduler_id": 11, "num_allocations": 1},
    }
    return Action(**given | values)


def brief(found: Demand) -> list[tuple[str, int, tuple[int, ...], int]]:
    return [(r.scheduler.name, r.level, r.jobs, r.allocations) for r in found.requests]


# ── which scheduler ──────────────────────────────────────────────────────────


def test_jobs_go_to_the_scheduler_they_are_bound_to() -> None:
    made = [a_ready(1, scheduler_id=12), a_ready(2, scheduler_id=11), a_ready(3)]
    found = demand(left(made=made, schedulers=[FOUR, WIDE]), SITE, Options())
    assert brief(found) == [("wide", 0, (1,), 1), ("four", 0, (2, 3), 1)]
    assert [one.bind for one in found.requests] == [(), ()]


def test_a_job_that_its_scheduler_cannot_hold_goes_to_one_that_can() -> None:
    made = [a_ready(1, scheduler_id=11)]
    need = replace(a_need("six", num_cpus=6), id=3)
    found = demand(left(made=made, needs={1: need}, schedulers=[FOUR, WIDE]), SITE, Options())
    assert brief(found) == [("wide", 0, (1,), 1)]
    assert found.requests[0].bind == (1,)


def test_only_what_fits_none_gets_a_new_scheduler_with_a_name_of_its_own() -> None:
    made = [a_ready(1, scheduler_id=11), a_ready(2, scheduler_id=11)]
    taken = replace(FOUR, id=13, name="big_regen_1")
    found = demand(
        left(made=made, needs={1: SMALL, 2: BIG}, schedulers=[FOUR, taken]), SITE, Options()
    )
    assert brief(found) == [("four", 0, (1,), 1), ("big_regen_2", 0, (2,), 1)]
    new = found.requests[1]
    assert (new.scheduler.id, new.scheduler.partition, new.bind) == (0, "gpu", (2,))


def test_an_unbound_job_goes_where_its_own_action_asked_for_nodes() -> None:
    action = an_action(1, executed=True, action_config={"scheduler_id": 12})
    given = left(1, schedulers=[FOUR, WIDE], actions=[action], links=Links({}, {1: [1]}))
    assert brief(demand(given, SITE, Options())) == [("wide", 0, (1,), 1)]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (Options(), "four"),
        (Options(account="other"), "small_regen_1"),
        (Options(partition="cpu"), "small_regen_1"),
        (Options(walltime="01:00:00"), "wide"),
        (Options(walltime="02:00:00"), "small_regen_1"),
    ],
)
def test_schedulers_that_differ_from_what_is_named_are_not_used(
    options: Options, name: str
) -> None:
    found = demand(left(1, schedulers=[FOUR, WIDE]), SITE, options)
    assert [one.scheduler.name for one in found.requests] == [name]


def test_planning_twice_makes_no_second_scheduler() -> None:
    options = Options(account="other", partition="cpu", walltime="02:00:00")
    first = demand(left(schedulers=[FOUR]), SITE, options)
    (made,) = (replace(one.scheduler, id=20) for one in first.requests)
    assert (made.account, made.partition, made.walltime) == ("other", "cpu", "02:00:00")
    bound = [a_ready(n, scheduler_id=20) for n in range(1, 5)]
    second = demand(left(made=bound, schedulers=[FOUR, made]), SITE, options)
    assert brief(second) == [(made.name, 0, (1, 2, 3, 4), first.requests[0].allocations)]


def test_the_account_is_that_of_a_scheduler_then_of_the_defaults_then_an_error() -> None:
    given = left(1, needs={1: BIG}, schedulers=[FOUR])
    assert demand(given, SITE, Options()).requests[0].scheduler.account == "sandbox"
    given = left(1)
    assert demand(given, SITE, Options()).requests[0].scheduler.account == "mine"
    nobody = replace(given, workflow=replace(given.workflow, slurm_defaults=None))
    with pytest.raises(InvalidValue, match="names no account"):
        demand(nobody, SITE, Options())


def test_jobs_without_a_place_are_said_and_the_others_are_planned() -> None:
    huge = replace(a_need("huge", memory="999g"), id=3)
    found = demand(left(2, needs={1: huge, 2: SMALL}), SITE, Options())
    assert brief(found) == [("small_regen_1", 0, (2,), 1)]
    (warning,) = found.warnings
    assert warning.startswith("1 job ('j1') fit on no partition")


def test_a_walltime_that_holds_no_job_or_no_partition_gives_is_said() -> None:
    short = demand(left(1), SITE, Options(walltime="00:11:00"))
    assert "do not fit into a walltime of 00:11:00" in short.warnings[0]
    long = demand(left(1), SITE, Options(partition="cpu", walltime="2-00:00:00"))
    assert "no partition that fits gives as much" in long.warnings[0]


# ── how many, and when ───────────────────────────────────────────────────────


@pytest.mark.parametrize(("jobs", "allocations"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_as_many_allocations_as_the_jobs_fill(jobs: int, allocations: int) -> None:
    """Four at a time, and one round in a quarter of an hour."""
    found = demand(left(jobs, schedulers=[FOUR]), SITE, Options())
    assert [one.allocations for one in found.requests] == [allocations]


def test_no_more_allocations_than_the_partition_has_nodes_and_that_is_said() -> None:
    found = demand(left(100, schedulers=[FOUR]), SITE, Options())
    assert [one.allocations for one in found.requests] == [10]
    assert "10 of 25 allocations" in found.warnings[0]


def test_what_waits_for_others_or_for_what_runs_now_is_asked_for_later() -> None:
    links = Links({2: [1], 3: [9], 4: [-5], -5: [2, 3], 1: [8]})
    given = left(4, links=links, unfinished=frozenset({1, 2, 3, 4, 9}), schedulers=[FOUR])
    found = demand(given, SITE, Options())
    assert brief(found) == [
        ("four", 0, (1,), 1),
        ("four", 1, (2, 3), 1),
        ("four", 2, (4,), 1),
    ]


def test_requirements_of_one_scheduler_and_level_share_its_allocations() -> None:
    two = replace(a_need("two", num_cpus=2, memory="1g", runtime="PT10M"), id=3)
    given = left(3, needs={1: SMALL, 2: SMALL, 3: two}, schedulers=[FOUR])
    assert brief(demand(given, SITE, Options())) == [("four", 0, (1, 2, 3), 1)]


# ── the queue ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("queued", "asked", "served"), [(0, 3, 0), (1, 2, 4), (2, 1, 8), (3, 0, 10), (9, 0, 10)]
)
def test_what_waits_in_the_queue_is_subtracted(queued: int, asked: int, served: int) -> None:
    waiting = [an_allocation(1, f"t{n}", scheduler_config_id=11) for n in range(queued)]
    found = demand(left(10, schedulers=[FOUR], queued=waiting), SITE, Options())
    assert sum(one.allocations for one in found.requests) == asked
    assert found.served == served


def test_an_allocation_in_the_queue_is_counted_once_for_all_requirements() -> None:
    two = replace(a_need("two", num_cpus=2, memory="1g", runtime="PT10M"), id=3)
    waiting = [an_allocation(1, scheduler_config_id=11)]
    needs = {1: SMALL, 2: SMALL, 3: two, 4: two}
    found = demand(left(4, needs=needs, schedulers=[FOUR], queued=waiting), SITE, Options())
    assert found.served == 3
    assert brief(found) == [("four", 0, (4,), 1)]


def test_the_queue_serves_nothing_that_does_not_fit_or_is_not_ready() -> None:
    waiting = [an_allocation(1, scheduler_config_id=11)]
    given = left(2, needs={1: BIG, 2: SMALL}, links=Links({2: [1]}), queued=waiting)
    found = demand(replace(given, schedulers=[FOUR]), SITE, Options())
    assert found.served == 0
    assert brief(found) == [("big_regen_1", 0, (1,), 1), ("four", 1, (2,), 1)]


def test_the_limit_of_an_allocation_in_the_queue_counts() -> None:
    waiting = [an_allocation(1, scheduler_config_id=11, max_parallel_jobs=1)]
    found = demand(left(4, schedulers=[FOUR], queued=waiting), SITE, Options())
    assert found.served == 1


# ── actions ──────────────────────────────────────────────────────────────────

BEHIND = Links({3: [1], 4: [2]}, {1: [1, 2], 2: [3, 4]})


def test_satisfied_actions_are_superseded_and_armed_ones_keep_their_jobs() -> None:
    actions = [
        an_action(1, trigger_count=2, required_triggers=2),
        an_action(2, required_triggers=2),
    ]
    found = demand(left(4, links=BEHIND, schedulers=[FOUR], actions=actions), SITE, Options())
    assert found.superseded == (1,)
    assert brief(found) == [("four", 0, (1, 2), 1)]
    assert found.armed == 2


def test_an_action_whose_jobs_are_planned_in_part_is_superseded_as_a_whole() -> None:
    links = Links({2: [9]}, {1: [1, 2]})
    actions = [an_action(1, trigger_count=1, required_triggers=2)]
    given = left(2, links=links, unfinished=frozenset({1, 2, 9}), actions=actions)
    found = demand(replace(given, schedulers=[FOUR]), SITE, Options())
    assert found.superseded == (1,)
    assert brief(found) == [("four", 0, (1,), 1), ("four", 1, (2,), 1)]


def test_an_action_for_more_than_is_planned_stays_and_its_jobs_are_its_own() -> None:
    actions = [an_action(1, trigger_count=2, required_triggers=2)]
    given = left(1, links=BEHIND, unfinished=frozenset({1, 2, 3, 4}), actions=actions, whole=False)
    found = demand(replace(given, schedulers=[FOUR]), SITE, Options())
    assert (found.superseded, found.requests, found.armed) == ((), (), 1)


def test_an_armed_action_whose_scheduler_cannot_hold_a_job_does_not_keep_it() -> None:
    actions = [an_action(2, required_triggers=2)]
    given = left(4, links=BEHIND, actions=actions, schedulers=[FOUR])
    found = demand(replace(given, needs={**given.needs, 4: BIG}), SITE, Options())
    assert ("big_regen_1", 1, (4,), 1) in brief(found)
    assert found.superseded == ()


@pytest.mark.parametrize(
    ("values", "whole", "superseded"),
    [
        ({"trigger_type": TriggerType.ON_WORKFLOW_START}, True, (1,)),
        ({"trigger_type": TriggerType.ON_WORKFLOW_START}, False, ()),
        ({"trigger_type": TriggerType.ON_WORKFLOW_START, "executed": True}, True, ()),
        ({"trigger_type": TriggerType.ON_JOBS_COMPLETE}, True, ()),
        ({"trigger_type": TriggerType.ON_JOBS_COMPLETE, "trigger_count": 1}, True, (1,)),
        ({"trigger_type": TriggerType.ON_WORKFLOW_START, "persistent": True}, True, ()),
        ({"action_type": ActionType.RUN_COMMANDS, "trigger_count": 1}, True, ()),
    ],
)
def test_other_actions_are_superseded_when_all_that_is_left_is_planned(
    values: dict[str, Any], whole: bool, superseded: tuple[int, ...]
) -> None:
    given = left(2, schedulers=[FOUR], actions=[an_action(1, **values)], whole=whole)
    found = demand(given, SITE, Options())
    assert found.superseded == superseded
    assert bool(found.warnings) is bool(values.get("persistent"))


@pytest.mark.parametrize(
    ("need", "whole", "expected"),
    [
        (SMALL, True, ([("four", 0, (1, 2, 3), 1)], (), 1)),
        (BIG, True, ([("four", 0, (1, 2, 3), 1), ("big_regen_1", 1, (4,), 1)], (1,), 0)),
        (BIG, False, ([("four", 0, (1, 2, 3), 1), ("big_regen_1", 1, (4,), 1)], (), 0)),
    ],
)
def test_an_action_that_asks_once_jobs_are_over_keeps_what_is_ready_then_or_is_superseded(
    need: Any, whole: bool, expected: tuple[Any, ...]
) -> None:
    after = an_action(1, trigger_type=TriggerType.ON_JOBS_COMPLETE, required_triggers=2)
    links = Links({4: [1, 2, 3]}, {1: [1, 2]})
    given = left(4, links=links, actions=[after], schedulers=[FOUR], whole=whole)
    found = demand(replace(given, needs={**given.needs, 4: need}), SITE, Options())
    assert (brief(found), found.superseded, found.armed) == expected


# ── laws ─────────────────────────────────────────────────────────────────────


@st.composite
def remains(draw: st.DrawFn) -> Remaining:
    count = draw(st.integers(1, 12))
    schedulers = draw(st.sampled_from([(), (FOUR,), (FOUR, WIDE)]))
    bound = st.sampled_from([None, *(one.id for one in schedulers)])
    made = [a_ready(number, scheduler_id=draw(bound)) for number in range(1, count + 1)]
    waits = {
        number: draw(st.lists(st.integers(1, number - 1), max_size=2, unique=True))
        for number in range(2, count + 1)
    }
    numbers = st.lists(st.integers(1, count), min_size=1, max_size=4, unique=True)
    most = 2 if schedulers else 0  # an action has a scheduler
    gates = {number: draw(numbers) for number in range(1, draw(st.integers(0, most)) + 1)}
    actions = [
        an_action(
            number, trigger_count=draw(st.integers(0, len(gate))), required_triggers=len(gate)
        )
        for number, gate in gates.items()
    ]
    queued = [
        an_allocation(1, f"t{n}", scheduler_config_id=draw(st.sampled_from([11, 12])))
        for n in range(draw(st.integers(0, 3)))
    ]
    need = st.sampled_from([SMALL, BIG])
    return left(
        made=made,
        needs={job.id: draw(need) for job in made},
        links=Links({node: others for node, others in waits.items() if others}, gates),
        schedulers=schedulers,
        actions=actions,
        queued=queued,
    )


@given(remains())
def test_every_job_gets_its_nodes_exactly_once(given: Remaining) -> None:
    found = demand(given, SITE, Options())
    asked = [job for one in found.requests for job in one.jobs]
    assert len(asked) == len(set(asked))
    assert len(asked) + found.served + found.armed == len(given.jobs)
    kept = {a.id for a in given.actions} - set(found.superseded)
    own = {job for action in kept for job in given.links.gates[action]}
    for job in asked:
        assert job not in own or given.needs[job] is BIG, "no action asks for it besides"
    assert demand(given, SITE, Options()) == found


@given(remains())
def test_what_is_asked_for_now_can_start_now_and_can_hold_its_jobs(given: Remaining) -> None:
    found = demand(given, SITE, Options())
    for one in found.requests:
        shape = shape_of(one.scheduler, SITE, ExecutionConfig())
        assert shape is not None
        assert all(shape.holds(given.needs[job]) for job in one.jobs)
        waits = [other for job in one.jobs for other in given.links.waits_for.get(job, ())]
        assert one.is_deferred is bool(waits)


@given(remains())
def test_levels_are_the_longest_ways(given: Remaining) -> None:
    found = levels(given.links, given.unfinished)
    for job, level in found.items():
        before = [found[other] for other in given.links.waits_for.get(job, ())]
        assert level == max(before, default=-1) + 1


# ── shapes ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4g", 4 * GIB), ("500M", 500 << 20), ("500", 500 << 20), ("1.5G", 3 << 29),
        ("0", None), (None, None), ("2GB", 2 * GIB), ("64k", 1 << 16),
    ],
)  # fmt: skip
def test_memory_as_sbatch_reads_it(text: str | None, size: int | None) -> None:
    assert slurm_memory(text) == size


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        (None, 0), ("gpu", 1), ("gpu:2", 2), ("gpu:a100:4", 4), ("lustre:1,gpu:1", 1),
        ("craynetwork", 0),
    ],
)  # fmt: skip
def test_gpus_as_sbatch_reads_them(gres: str | None, gpus: int) -> None:
    assert gpus_of(gres) == gpus


def test_what_a_request_leaves_open_is_the_partitions_or_what_a_worker_had() -> None:
    open_ = replace(FOUR, cpus_per_task=None, mem=None)
    shape = shape_of(open_, SITE, ExecutionConfig())
    assert shape is not None
    assert (shape.node.cpus, shape.node.memory_bytes, shape.node.gpus) == (8, 16 * GIB, 0)
    worked = a_node(1, num_cpus=2, memory_bytes=GIB, num_gpus=1)
    shape = shape_of(open_, SITE, ExecutionConfig(), worked=worked)
    assert shape is not None
    assert (shape.node.cpus, shape.node.memory_bytes, shape.node.gpus) == (2, GIB, 1)


@pytest.mark.parametrize(
    "values",
    [{"partition": "nosuch"}, {"partition": "cpu", "walltime": "2-00:00:00"}, {"walltime": "x"}],
)
def test_a_request_that_the_site_would_refuse_has_no_shape(values: dict[str, str]) -> None:
    assert shape_of(replace(FOUR, **values), SITE, ExecutionConfig()) is None


def test_jobs_must_end_before_the_worker_stops_them() -> None:
    config = ExecutionConfig(sigterm_lead_seconds=30, sigkill_headroom_seconds=60)
    shape = shape_of(FOUR, SITE, config)
    assert shape is not None
    longest = 15 * 60 - 30 - 60 - 30
    assert shape.holds(replace(SMALL, runtime_s=longest))
    assert not shape.holds(replace(SMALL, runtime_s=longest + 1))


def test_capacity_is_nodes_times_places_times_rounds() -> None:
    shape = shape_of(replace(WIDE, nodes=2), SITE, ExecutionConfig())
    assert shape is not None
    assert shape.capacity(SMALL) == 2 * 8 * math.floor((3600 - 120) / 600)
    assert shape.capacity(BIG) == 0


# ── workers that were too small ──────────────────────────────────────────────

THIN = replace(FOUR, mem=None, name="thin")
POOR = replace(a_node(1, num_cpus=4, memory_bytes=100 << 20), scheduler_config_id=11)


def test_a_scheduler_whose_worker_was_too_small_is_not_asked_again_and_that_is_said() -> None:
    found = demand(left(1, schedulers=[THIN], workers={11: POOR}), SITE, Options())
    assert brief(found) == [("small_regen_1", 0, (1,), 1)]
    (warning,) = found.warnings
    assert "the last worker of scheduler 'thin' (n1: 4 CPUs, 100 MiB) was too small" in warning
    assert "1 GiB of memory of 100 MiB" in warning
    assert "'thin' says nothing of mem, so Slurm gave its default" in warning
    assert found.homeless == 0


def test_what_was_asked_for_in_vain_is_not_asked_for_again() -> None:
    made = demand(left(1, schedulers=[THIN], workers={11: POOR}), SITE, Options()).requests[0]
    second = replace(made.scheduler, id=14)
    poor = {11: POOR, 14: replace(POOR, scheduler_config_id=14)}
    found = demand(left(2, schedulers=[THIN, second], workers=poor), SITE, Options())
    assert (brief(found), found.homeless) == ([], 2)
    (warning,) = found.warnings
    assert "'small_regen_1' asks for all that they need, and its worker got less" in warning
