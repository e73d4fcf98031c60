"""What is asked of a site for a workflow, by tables and by laws."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from factories import a_draft, a_job, a_need, a_scheduler
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.errors import InvalidValue
from slurmtorc.model import ActionType, Draft, DraftAction, Partition, Site, TriggerType, Workflow
from slurmtorc.rules.packing import room
from slurmtorc.rules.placing import MARGIN_S, WORKER_MEMORY, Group
from slurmtorc.rules.planning import Options, Plan, own_requests, plan
from slurmtorc.units import HOUR, format_walltime, parse_memory, parse_walltime

MIB = 1024**2
GIB = 1024**3


def a_partition(name: str = "batch", **values: Any) -> Partition:
    given = {"cpus": 8, "memory_bytes": 16 * GIB, "nodes": 4, "max_walltime_s": 24 * HOUR}
    return Partition(name=name, **given | values)


def a_site(*partitions: Partition) -> Site:
    return Site(name="here", partitions=partitions or (a_partition(),))


def many(count: int, first: int = 0, *depends_on: int, requirement: int = 0) -> list[Any]:
    return [
        a_job(f"job{number}", *depends_on, requirement=requirement)
        for number in range(first, first + count)
    ]


def flat(count: int, **need: Any) -> Draft:
    """Jobs of one requirement that wait for nothing."""
    return a_draft(*many(count), requirements=[a_need("work", **need)])


def planned(draft: Draft, *partitions: Partition, **options: Any) -> Plan:
    return plan(draft, site=a_site(*partitions), options=Options(account="proj", **options))


def only(draft: Draft, *partitions: Partition, **options: Any) -> Group:
    result = planned(draft, *partitions, **options)
    assert result.faults == ()
    (group,) = result.groups
    return group


def message(draft: Draft, *partitions: Partition, **options: Any) -> str:
    result = planned(draft, *partitions, **options)
    assert not result.groups
    (fault,) = result.faults
    assert not fault.warning
    return fault.message


# ── how many and how long ────────────────────────────────────────────────────

SHORT = a_partition(
    "short", cpus=104, memory_bytes=240_000 * MIB, nodes=2240, max_walltime_s=4 * HOUR
)
H100 = a_partition(
    "gpu-h100s", cpus=128, memory_bytes=360_000 * MIB, nodes=156, gpus=4,
    gpu_type="h100", max_walltime_s=4 * HOUR,
)  # fmt: skip


@pytest.mark.parametrize(
    ("jobs", "need", "nodes"),
    [
        (10, {"num_cpus": 26}, 3),
        (100, {"num_cpus": 52}, 50),
        (10, {"num_cpus": 8, "memory": "120g"}, 10),
        (4, {"num_cpus": 52, "memory": "60g"}, 2),
        (8, {"num_cpus": 32, "num_gpus": 2, "memory": "90g"}, 4),
    ],
)
def test_nodes_are_jobs_over_what_fits_at_once_and_one_after_another(
    jobs: int, need: dict[str, Any], nodes: int
) -> None:
    group = only(flat(jobs, runtime="PT1H", **need), SHORT, H100)
    assert group.nodes == group.allocations == nodes
    assert group.partition.name == ("gpu-h100s" if "num_gpus" in need else "short")


@pytest.mark.parametrize(
    ("runtime", "multiplier", "walltime"),
    [
        ("PT1M", 1.5, "00:05:00"),
        ("PT10M", 1.5, "00:18:00"),
        ("PT1H", 1.5, "01:33:00"),
        ("PT1H", 1.0, "01:03:00"),
        ("PT1H", 0.1, "01:03:00"),
        ("PT1H", 2.0, "02:03:00"),
        ("PT12H", 1.5, "18:03:00"),
        ("PT20H", 1.5, "1-00:00:00"),
        ("PT0S", 1.5, "00:04:00"),
        ("PT61S", 1.0, "00:05:00"),
    ],
)
def test_a_walltime_is_the_runtime_with_room_to_spare_and_the_workers_own_time(
    runtime: str, multiplier: float, walltime: str
) -> None:
    group = only(flat(1, runtime=runtime), walltime_multiplier=multiplier)
    assert format_walltime(group.walltime_s) == walltime


def test_jobs_take_turns_where_the_walltime_allows() -> None:
    group = only(flat(80, runtime="PT1H"), walltime_multiplier=2.0)
    assert (group.per_node, group.nodes) == (8, 4)
    group = only(flat(80, runtime="PT1H"), walltime_multiplier=5.0)
    assert (group.per_node, group.nodes) == (8, 2)
    assert group.capacity == 80


def test_where_nodes_are_few_the_walltime_grows_instead() -> None:
    group = only(flat(80, runtime="PT1H"), a_partition(nodes=2))
    assert (group.nodes, group.per_node) == (2, 8)
    assert format_walltime(group.walltime_s) == "05:03:00"
    assert group.capacity == 80


def test_what_a_partition_cannot_hold_at_once_is_a_warning() -> None:
    result = planned(flat(100, runtime="PT1H"), a_partition(nodes=2, max_walltime_s=3 * HOUR))
    (group,), (fault,) = result.groups, result.faults
    assert (group.nodes, group.capacity) == (2, 32)
    assert fault.warning
    assert "work_scheduler holds 32 of its 100 jobs" in fault.message
    assert "2 nodes, for 03:00:00" in fault.message


def test_jobs_are_spread_evenly_over_their_nodes() -> None:
    group = only(flat(9))
    assert (group.nodes, group.per_node, group.free.cpus) == (1, 8, 8)  # in two turns
    group = only(flat(9, runtime="PT1H"))
    assert (group.nodes, group.per_node, group.free.cpus) == (2, 5, 5)


def test_one_allocation_holds_all_nodes_if_asked_for() -> None:
    result = planned(flat(30, runtime="PT1H"), single_allocation=True)
    (group,), (scheduler,) = result.groups, result.schedulers
    assert (group.allocations, group.nodes, scheduler.nodes) == (1, 4, 4)
    (action,) = result.apply(flat(30)).actions
    assert (action.num_allocations, action.start_one_worker_per_node) == (1, True)
    assert group.node_hours == pytest.approx(4 * 1.55)


# ── what is asked for ────────────────────────────────────────────────────────


def test_a_request_is_what_the_packed_jobs_need_and_a_little_for_the_worker() -> None:
    (scheduler,) = planned(flat(3, num_cpus=2, memory="3g", runtime="PT1H")).schedulers
    assert scheduler == a_scheduler(
        "work_scheduler",
        account="proj",
        partition="batch",
        nodes=1,
        cpus_per_task=6,
        mem=f"{3 * 3 * 1024 + 256}M",
        walltime="01:33:00",
    )


def test_the_workers_share_of_memory_is_left_free() -> None:
    """Four times 4g is all of a 16g node: three fit beside the worker."""
    group = only(flat(8, memory="4g"))
    assert group.per_node == 3
    assert group.free.memory_bytes == 12 * GIB + WORKER_MEMORY


def test_a_job_as_big_as_the_node_gets_the_node() -> None:
    result = planned(flat(2, memory="16g"))
    (group,), (scheduler,) = result.groups, result.schedulers
    assert group.per_node == 1
    assert scheduler.mem == "16384M"


def test_memory_is_asked_for_in_whole_units() -> None:
    (scheduler,) = planned(flat(1, memory="1")).schedulers
    assert scheduler.mem == "257M"


@pytest.mark.parametrize(
    ("partitions", "gres"),
    [
        ([a_partition(gpus=4)], "gpu:4"),
        ([a_partition(gpus=4, gpu_type="a100")], "gpu:4"),
        (
            [a_partition(gpus=4, gpu_type="a100"), a_partition("v", gpus=8, gpu_type="v100")],
            "gpu:a100:4",
        ),
        ([a_partition(gpus=4), a_partition("v", gpus=8, gpu_type="v100")], "gpu:4"),
    ],
)
def test_gpus_are_asked_for_by_node_and_by_type_only_where_there_are_several(
    partitions: list[Partition], gres: str
) -> None:
    (scheduler,) = planned(flat(6, num_gpus=2), *partitions).schedulers
    assert scheduler.gres == gres


def test_jobs_without_gpus_ask_for_none() -> None:
    (scheduler,) = planned(flat(1)).schedulers
    assert scheduler.gres is None


# ── which partition ──────────────────────────────────────────────────────────

SMALL = a_partition("small", cpus=4, memory_bytes=8 * GIB)
BIG = a_partition("big", cpus=64, memory_bytes=512 * GIB)
GPU = a_partition("gpu", cpus=4, memory_bytes=4 * GIB, gpus=4)


def chosen(*partitions: Partition, **need: Any) -> str:
    return only(flat(1, **need), *partitions).partition.name


def test_the_smallest_partition_that_fits_is_chosen() -> None:
    assert chosen(BIG, SMALL, memory="1g") == "small"
    assert chosen(BIG, SMALL, memory="9g") == "big"
    assert chosen(BIG, SMALL, num_cpus=5) == "big"


def test_the_sites_default_is_preferred_where_it_fits() -> None:
    default = replace(BIG, is_default=True)
    assert chosen(SMALL, default) == "big"
    assert chosen(replace(SMALL, is_default=True), BIG, memory="9g") == "big"


def test_gpus_are_left_to_those_who_need_them() -> None:
    assert chosen(replace(GPU, is_default=True), SMALL) == "small"
    assert chosen(GPU, SMALL, BIG, num_gpus=1) == "gpu"
    assert chosen(GPU) == "gpu"


def test_a_partition_with_time_to_spare_is_preferred_to_one_without() -> None:
    hour = replace(SMALL, max_walltime_s=HOUR, is_default=True)
    assert chosen(hour, BIG, runtime="PT50M") == "big"
    assert chosen(hour, BIG, runtime="PT30M") == "small"
    assert chosen(hour, runtime="PT50M") == "small"


def test_what_is_down_or_empty_is_not_chosen() -> None:
    assert chosen(replace(SMALL, is_up=False), replace(SMALL, name="e", nodes=0), BIG) == "big"


def test_a_partition_that_was_named_is_the_only_one() -> None:
    assert only(flat(1), SMALL, BIG, partition="big").partition.name == "big"
    assert "asks for 5 CPUs of 4, on 'small'" in message(
        flat(1, num_cpus=5), SMALL, BIG, partition="small"
    )
    assert "no partition 'nosuch' that is up; up: small, big" in message(
        flat(1), SMALL, BIG, partition="nosuch"
    )
    assert "up: big" in message(flat(1), replace(SMALL, is_up=False), BIG, partition="small")


# ── groups ───────────────────────────────────────────────────────────────────


def two_stages() -> Draft:
    """Two roots, three middles of the same requirement, one big end, one without a requirement."""
    return a_draft(
        *many(2),
        *many(3, 2, 0, 1),
        a_job("end", 2, 3, 4, requirement=1),
        a_job("note", 5),
        requirements=[a_need("work"), a_need("big", memory="8g")],
    )


def test_each_requirement_and_level_has_a_scheduler_of_its_own() -> None:
    result = planned(two_stages())
    assert [(g.cohort.scheduler_name, g.cohort.level, g.cohort.jobs) for g in result.groups] == [
        ("work_scheduler", 0, (0, 1)),
        ("work_level1_scheduler", 1, (2, 3, 4)),
        ("big_level2_scheduler", 2, (5,)),
        ("default_level3_scheduler", 3, (6,)),
    ]
    assert [s.name for s in result.schedulers] == [g.cohort.scheduler_name for g in result.groups]


def test_a_plan_binds_every_job_and_asks_for_each_group_when_it_is_ready() -> None:
    draft = planned(two_stages()).apply(two_stages())
    assert [job.scheduler for job in draft.jobs] == [0, 0, 1, 1, 1, 2, 3]
    assert [(a.trigger_type, a.action_type, a.jobs, a.scheduler) for a in draft.actions] == [
        (TriggerType.ON_JOBS_READY, ActionType.SCHEDULE_NODES, jobs, at)
        for at, jobs in enumerate([(0, 1), (2, 3, 4), (5,), (6,)])
    ]
    assert [s.account for s in draft.schedulers] == ["proj"] * 4


def test_a_plan_leaves_the_draft_as_it_was() -> None:
    draft = two_stages()
    planned(draft).apply(draft)
    assert draft == two_stages()


def test_a_requirement_called_default_is_the_default() -> None:
    draft = a_draft("a", requirements=[a_need("default", num_cpus=3)])
    assert only(draft).free.cpus == 3


def test_a_workflow_without_jobs_asks_for_nothing() -> None:
    assert planned(a_draft()) == Plan(groups=(), schedulers=())


def test_the_table_for_people_has_a_row_for_each_group() -> None:
    result = planned(flat(30, runtime="PT1H"))
    assert result.rows() == [
        ("work_scheduler", 0, 30, 8, 4, 4, "01:33:00", "batch", "6.20"),
    ]
    assert len(result.COLUMNS) == len(result.rows()[0])


# ── what a spec says itself ──────────────────────────────────────────────────


def opinionated() -> Draft:
    actions = [
        DraftAction(
            trigger_type=TriggerType.ON_WORKFLOW_START,
            action_type=ActionType.SCHEDULE_NODES,
            scheduler=0,
        ),
        DraftAction(
            trigger_type=TriggerType.ON_WORKFLOW_COMPLETE,
            action_type=ActionType.RUN_COMMANDS,
            commands=("echo done",),
        ),
    ]
    return a_draft("a", schedulers=[a_scheduler("mine")], actions=actions)


def test_a_workflows_own_requests_are_not_overruled_unasked() -> None:
    (fault,) = planned(opinionated()).faults
    assert "scheduler 'mine', action schedule_nodes (on_workflow_start)" in fault.message
    assert "torc submit" in fault.hint
    assert "--overwrite" in fault.hint


def test_overwriting_says_what_it_drops_and_keeps_the_other_actions() -> None:
    result = planned(opinionated(), overwrite=True)
    assert result.faults == ()
    assert result.dropped == ("scheduler 'mine'", "action schedule_nodes (on_workflow_start)")
    draft = result.apply(opinionated())
    assert [s.name for s in draft.schedulers] == ["default_scheduler"]
    assert [a.action_type for a in draft.actions] == [
        ActionType.RUN_COMMANDS,
        ActionType.SCHEDULE_NODES,
    ]


def test_commands_alone_are_no_request_for_allocations() -> None:
    draft = opinionated()
    draft.schedulers.clear()
    del draft.actions[0]
    assert own_requests(draft) == []
    assert planned(draft).faults == ()
    assert planned(draft, overwrite=True).dropped == ()


# ── what cannot be planned ───────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("need", "words"),
    [
        ({"num_cpus": 65}, "asks for 65 CPUs of 64, on 'big'"),
        ({"memory": "600g"}, "asks for 600 GiB of memory of 512 GiB, on 'big'"),
        ({"num_gpus": 5}, "asks for 5 GPUs of 4, on 'gpu'"),
        ({"num_gpus": 5, "num_cpus": 65}, "asks for 65 CPUs of 4, 5 GPUs of 4, on 'gpu'"),
        ({"runtime": "P1D"}, "asks for 1 d 00:00 of 23:57:00 left, on 'big'"),
    ],
)
def test_a_job_that_fits_nowhere_is_said_with_the_nearest_partitions_numbers(
    need: dict[str, Any], words: str
) -> None:
    text = message(flat(3, **need), SMALL, BIG, GPU)
    assert text.startswith("3 jobs ('job0' … 'job2') fit on no partition: requirement 'work' ")
    assert words in text


def test_one_job_is_named_alone() -> None:
    assert message(flat(1, num_cpus=99)).startswith("1 job ('job0') ")


def test_all_faults_are_found_at_once_and_each_has_its_place() -> None:
    draft = a_draft(
        *many(1),
        a_job("b", requirement=1),
        a_job("c", requirement=2),
        requirements=[a_need("x", num_cpus=99), a_need("y"), a_need("z", num_nodes=2)],
    )
    result = planned(draft)
    assert [fault.path for fault in result.faults] == [
        ("resource_requirements", 0),
        ("resource_requirements", 2),
    ]
    assert [group.cohort.need.name for group in result.groups] == ["y"]


def test_jobs_of_several_nodes_are_said_to_need_another_mode() -> None:
    text = message(flat(2, num_nodes=4))
    assert "ask for 4 nodes each (requirement 'work')" in text
    assert "execution_config.mode: slurm" in text


def test_jobs_of_several_nodes_have_allocations_of_as_many() -> None:
    draft = flat(5, num_nodes=2)
    draft.workflow = replace(draft.workflow, execution_config={"mode": "slurm"})
    group = only(draft, a_partition(nodes=7))
    assert (group.allocations, group.nodes_each, group.nodes, group.per_node) == (3, 2, 6, 1)
    assert group.capacity >= 5
    (scheduler,) = planned(draft, a_partition(nodes=7)).schedulers
    assert scheduler.nodes == 2
    assert "2 nodes of 1" in message(draft, a_partition(nodes=1))


def test_a_site_with_nothing_up_is_said() -> None:
    assert "no partition of 'here' is up" in message(flat(1), a_partition(is_up=False))


@pytest.mark.parametrize("multiplier", [0, -1, math.inf, math.nan])
def test_a_multiplier_that_multiplies_nothing_is_refused(multiplier: float) -> None:
    with pytest.raises(InvalidValue, match="walltime multiplier"):
        planned(flat(1), walltime_multiplier=multiplier)


def test_jobs_in_a_circle_are_refused() -> None:
    with pytest.raises(InvalidValue, match="circle"):
        planned(a_draft(a_job("a", 1), a_job("b", 0)))


# ── laws ─────────────────────────────────────────────────────────────────────

PARTITIONS = st.builds(
    a_partition,
    st.sampled_from("abcd"),
    cpus=st.integers(1, 128),
    memory_bytes=st.integers(1, 500_000).map(lambda size: size * MIB),
    nodes=st.integers(0, 30),
    gpus=st.sampled_from([0, 0, 1, 4, 8]),
    gpu_type=st.sampled_from([None, "a100", "v100"]),
    max_walltime_s=st.none() | st.integers(1, 5000).map(lambda minutes: minutes * 60),
    is_default=st.booleans(),
    is_up=st.sampled_from([True, True, True, False]),
)
NEEDS = st.fixed_dictionaries(
    {
        "num_cpus": st.integers(1, 40),
        "num_gpus": st.sampled_from([0, 0, 0, 0, 1, 2]),
        "memory": st.integers(0, 60_000).map(lambda size: f"{size}m"),
        "runtime": st.integers(0, 20_000).map(lambda seconds: f"PT{seconds}S"),
    }
)
WORLDS = st.tuples(
    st.integers(1, 500),
    NEEDS,
    st.lists(PARTITIONS, min_size=1, max_size=4),
    st.fixed_dictionaries(
        {
            "walltime_multiplier": st.floats(0.1, 10),
            "single_allocation": st.booleans(),
        }
    ),
)
World = tuple[int, dict[str, Any], list[Partition], dict[str, Any]]


@given(WORLDS)
def test_every_job_has_a_group_or_a_fault(world: World) -> None:
    jobs, need, partitions, options = world
    result = planned(flat(jobs, **need), *partitions, **options)
    faults = [fault for fault in result.faults if not fault.warning]
    assert len(result.groups) + len(faults) == 1


@given(WORLDS)
def test_every_job_can_be_claimed_by_a_worker_of_its_own_allocation(world: World) -> None:
    jobs, need, partitions, options = world
    result = planned(flat(jobs, **need), *partitions, **options)
    for group, scheduler in zip(result.groups, result.schedulers, strict=True):
        assert room(group.free, group.cohort.need, jobs) >= group.per_node >= 1
        walltime = parse_walltime(scheduler.walltime)
        assert walltime is not None
        assert walltime - MARGIN_S >= group.cohort.need.runtime_s
        assert walltime % 60 == 0


@given(WORLDS)
def test_no_request_is_more_than_its_partition_has(world: World) -> None:
    jobs, need, partitions, options = world
    result = planned(flat(jobs, **need), *partitions, **options)
    for group, scheduler in zip(result.groups, result.schedulers, strict=True):
        part = group.partition
        assert part.is_up
        assert group.nodes <= part.nodes
        assert (scheduler.cpus_per_task or 0) <= part.cpus
        assert parse_memory((scheduler.mem or "").lower()) <= part.memory_bytes
        assert group.free.gpus <= part.gpus
        assert part.max_walltime_s is None or group.walltime_s <= part.max_walltime_s


@given(WORLDS)
def test_all_jobs_are_held_or_all_nodes_are_taken_for_as_long_as_they_may_be(world: World) -> None:
    jobs, need, partitions, options = world
    result = planned(flat(jobs, **need), *partitions, **options)
    for group in result.groups:
        if group.capacity < jobs:
            assert group.nodes == group.partition.nodes
            assert group.walltime_s == group.partition.max_walltime_s
            assert result.faults[0].warning
        else:
            assert not result.faults


@given(WORLDS)
def test_the_same_question_has_the_same_answer(world: World) -> None:
    jobs, need, partitions, options = world
    draft = flat(jobs, **need)
    assert planned(draft, *partitions, **options) == planned(draft, *partitions, **options)


@given(WORLDS, st.integers(1, 300))
def test_more_jobs_never_ask_for_less(world: World, more: int) -> None:
    jobs, need, partitions, options = world
    few = planned(flat(jobs, **need), *partitions, **options).groups
    many_more = planned(flat(jobs + more, **need), *partitions, **options).groups
    for less, rest in zip(few, many_more, strict=True):
        assert rest.partition == less.partition
        assert rest.nodes >= less.nodes
        assert rest.capacity >= less.capacity
        assert rest.walltime_s >= less.walltime_s


@pytest.mark.parametrize(
    ("config", "walltime"),
    [
        (None, "00:05:00"),
        ({"sigkill_headroom_seconds": 300}, "00:09:00"),
        ({"sigkill_headroom_seconds": 300, "sigterm_lead_seconds": 120}, "00:10:00"),
        ({"sigkill_headroom_seconds": 0, "sigterm_lead_seconds": 0}, "00:03:00"),
        ({"mode": "slurm", "sigkill_headroom_seconds": 120}, "00:05:00"),
    ],
)
def test_a_walltime_holds_what_the_worker_keeps_for_itself(
    config: dict[str, Any] | None, walltime: str
) -> None:
    draft = a_draft(
        a_job("j", requirement=0),
        requirements=[a_need(runtime="PT1M")],
        workflow=Workflow(name="w", execution_config=config),
    )
    site = Site(name="s", partitions=(Partition(name="p", cpus=8, memory_bytes=64 << 30, nodes=9),))
    planned = plan(draft, site=site, options=Options(account="a"))
    assert [scheduler.walltime for scheduler in planned.schedulers] == [walltime]
