"""What becomes of failed jobs: tables of diagnoses, and laws of what is done about them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from factories import a_need
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.model import Ending, Job, JobStatus, Links, Partition, Result, Site
from slurmtorc.rules.healing import Cause, Failure, Treatment, diagnose, heal, larger, rescued
from slurmtorc.rules.packing import misfits
from slurmtorc.rules.placing import MARGIN_S, node_of

if TYPE_CHECKING:
    from slurmtorc.model import ResourceRequirements

S = JobStatus
GIB = 1 << 30
NEED = a_need("work", memory="8g", runtime="PT1H", num_cpus=2)
SITE = Site(
    name="site",
    partitions=(
        Partition(name="small", cpus=4, memory_bytes=10 * GIB, nodes=9, max_walltime_s=3600),
        Partition(name="large", cpus=16, memory_bytes=64 * GIB, nodes=2, max_walltime_s=7200),
        Partition(name="gone", cpus=99, memory_bytes=999 * GIB, nodes=2, is_up=False),
    ),
)


def a_failure(need: ResourceRequirements = NEED, **values: Any) -> Failure:
    given = {
        "job_id": 7,
        "run_id": 1,
        "attempt_id": 1,
        "return_code": 1,
        "status": S.FAILED,
        "ending": Ending.EXIT,
        "completion_time": 0.0,
        "exec_time_s": 60.0,
    }
    return Failure(
        job=Job(id=7, name="job", command="x"), need=need, result=Result(**given | values)
    )


DEFAULT = a_need("default")
OOM, TIMEOUT, UNKNOWN = Cause.OOM, Cause.TIMEOUT, Cause.UNKNOWN


@pytest.mark.parametrize(
    ("values", "causes"),
    [
        ({"ending": Ending.OOM, "return_code": 137}, (OOM,)),
        ({"ending": Ending.OOM, "return_code": 9, "exec_time_s": 3599.0}, (OOM,)),
        ({"ending": Ending.TIMEOUT, "return_code": 152}, (TIMEOUT,)),
        ({"ending": Ending.TIMEOUT, "peak_memory_bytes": 9 * GIB}, (TIMEOUT,)),
        ({"return_code": 1}, (UNKNOWN,)),
        ({"return_code": 137, "exec_time_s": 2879.0}, (OOM,)),
        ({"return_code": 137, "exec_time_s": 2881.0}, (UNKNOWN,)),
        ({"return_code": 137, "exec_time_s": 3300.0}, (TIMEOUT,)),
        ({"return_code": 1, "peak_memory_bytes": 9 * GIB}, (OOM,)),
        ({"return_code": 1, "peak_memory_bytes": 8 * GIB}, (UNKNOWN,)),
        ({"return_code": 152}, (TIMEOUT,)),
        ({"return_code": 1, "exec_time_s": 3240.0}, (UNKNOWN,)),
        ({"return_code": 1, "exec_time_s": 3241.0}, (TIMEOUT,)),
        ({"return_code": 1, "exec_time_s": 3300.0, "peak_memory_bytes": 9 * GIB}, (OOM, TIMEOUT)),
        ({"ending": Ending.NODE_FAIL, "return_code": 143}, (UNKNOWN,)),
        ({"ending": Ending.ORPHANED, "return_code": -128}, (UNKNOWN,)),
        ({"ending": Ending.MISSING_OUTPUT, "exec_time_s": 3600.0}, (UNKNOWN,)),
        ({"ending": Ending.CANCELED, "return_code": 143}, (UNKNOWN,)),
    ],
)
def test_the_ending_is_believed_first_then_codes_and_measures(
    values: dict[str, Any], causes: tuple[Cause, ...]
) -> None:
    assert diagnose(a_failure(**values))[0] == causes


@pytest.mark.parametrize(
    ("values", "causes"),
    [
        ({"return_code": 1, "exec_time_s": 9999.0, "peak_memory_bytes": GIB}, (UNKNOWN,)),
        ({"return_code": 137, "exec_time_s": 9999.0}, (OOM,)),
        ({"return_code": 152}, (TIMEOUT,)),
    ],
)
def test_the_implicit_requirement_is_no_measure(
    values: dict[str, Any], causes: tuple[Cause, ...]
) -> None:
    assert diagnose(a_failure(DEFAULT, **values))[0] == causes


def test_a_job_without_a_result_failed_for_an_unknown_cause() -> None:
    failure = replace(a_failure(), result=None)
    assert diagnose(failure) == ((UNKNOWN,), "it left no result")
    assert not heal(failure, Treatment()).is_chosen


# ── what is done ─────────────────────────────────────────────────────────────


def test_memory_and_runtime_grow_by_their_multipliers_and_nothing_else_does() -> None:
    oom = heal(a_failure(ending=Ending.OOM), Treatment())
    assert oom.need == replace(NEED, memory="12g", memory_bytes=12 * GIB)
    assert oom.line.startswith("Job 7 (job): OOM detected, increasing memory 8g -> 12g")
    late = heal(a_failure(ending=Ending.TIMEOUT), Treatment(runtime_multiplier=2))
    assert late.need == replace(NEED, runtime="PT2H", runtime_s=7200)
    assert "timeout detected, increasing runtime PT1H -> PT2H" in late.reason


def test_what_was_seen_must_fit_into_what_is_given() -> None:
    greedy = heal(a_failure(ending=Ending.OOM, peak_memory_bytes=20 * GIB), Treatment())
    assert greedy.need is not None
    assert greedy.need.memory == "27g", "8, 12, 18, 27"
    late = heal(a_failure(ending=Ending.TIMEOUT, exec_time_s=9000.0), Treatment())
    assert late.need is not None
    assert late.need.runtime_s == 12150


def test_both_causes_are_healed_together() -> None:
    both = heal(a_failure(exec_time_s=3300.0, peak_memory_bytes=9 * GIB), Treatment())
    assert both.need is not None
    assert (both.need.memory, both.need.runtime) == ("12g", "PT1H30M")


def test_what_a_partition_offers_is_the_end_and_that_is_said() -> None:
    oom = a_failure(replace(NEED, memory="50g", memory_bytes=50 * GIB), ending=Ending.OOM)
    capped = heal(oom, Treatment(), SITE)
    assert capped.need is not None
    assert capped.need.memory == "64g"
    assert "50g -> 64g, all that a partition offers of 75g" in capped.reason
    full = a_failure(replace(NEED, memory="64g", memory_bytes=64 * GIB), ending=Ending.OOM)
    done = heal(full, Treatment(), SITE)
    assert not done.is_chosen
    assert "memory 64g cannot be raised; partition 'large' offers the most" in done.reason


def test_time_is_capped_by_what_the_worker_leaves_of_the_walltime() -> None:
    late = heal(a_failure(ending=Ending.TIMEOUT), Treatment(runtime_multiplier=9.0), SITE)
    assert late.need is not None
    assert late.need.runtime_s == 7200 - MARGIN_S


def test_a_job_that_no_partition_has_room_for_is_not_healed() -> None:
    wide = a_failure(replace(NEED, num_cpus=17), ending=Ending.OOM)
    healing = heal(wide, Treatment(), SITE)
    assert not healing.is_chosen
    assert "no partition of 'site' that is up has room for it" in healing.reason


def test_a_multiplier_of_one_heals_nothing() -> None:
    healing = heal(a_failure(ending=Ending.OOM), Treatment(memory_multiplier=1.0))
    assert not healing.is_chosen


def test_an_unknown_failure_runs_again_only_if_asked_and_as_it_was() -> None:
    assert not heal(a_failure(), Treatment(), SITE).is_chosen
    again = heal(a_failure(), Treatment(retry_unknown=True), SITE)
    assert again.need == NEED


def test_the_implicit_requirement_is_replaced_by_what_was_measured() -> None:
    seen = heal(a_failure(DEFAULT, ending=Ending.TIMEOUT, peak_memory_bytes=GIB), Treatment())
    assert seen.need is not None
    assert seen.need.memory_bytes == GIB
    unseen = heal(a_failure(DEFAULT, ending=Ending.TIMEOUT), Treatment())
    assert not unseen.is_chosen
    assert "names no resource requirements" in unseen.reason


@given(
    old=st.integers(1, 1 << 45),
    multiplier=st.floats(1.0, 4.0, allow_nan=False).map(lambda x: round(x, 2)),
    seen=st.integers(0, 1 << 45),
)
def test_nothing_ever_shrinks_and_what_was_seen_fits(
    old: int, multiplier: float, seen: int
) -> None:
    new = larger(old, multiplier, seen)
    assert new >= old
    assert multiplier == 1.0 or new > seen
    assert multiplier == 1.0 or new <= max(old, seen + 1) * multiplier + 1


@given(
    memory=st.integers(1, 80),
    runtime=st.integers(60, 9000),
    peak=st.none() | st.integers(0, 100 * GIB),
    ran=st.floats(0, 9000),
    ending=st.sampled_from([Ending.OOM, Ending.TIMEOUT, Ending.EXIT]),
    code=st.sampled_from([1, 137, 152]),
    multiplier=st.sampled_from([1.0, 1.1, 1.5, 3.0]),
)
def test_a_healed_requirement_fits_on_the_site_and_is_larger(
    memory: int,
    runtime: int,
    peak: int | None,
    ran: float,
    ending: Ending,
    code: int,
    multiplier: float,
) -> None:
    need = a_need("n", memory=f"{memory}g", runtime=f"PT{runtime}S")
    failure = a_failure(
        need, ending=ending, return_code=code, peak_memory_bytes=peak, exec_time_s=ran
    )
    treatment = Treatment(memory_multiplier=multiplier, runtime_multiplier=multiplier)
    healing = heal(failure, treatment, SITE)
    if healing.need is None:
        return
    assert healing.need.memory_bytes >= need.memory_bytes
    assert healing.need.runtime_s >= need.runtime_s
    grew = {
        OOM: healing.need.memory_bytes > need.memory_bytes,
        TIMEOUT: healing.need.runtime_s > need.runtime_s,
    }
    assert all(grew[cause] for cause in healing.causes)
    assert any(part.is_up and not misfits(node_of(part), healing.need) for part in SITE.partitions)


# ── which canceled jobs follow ───────────────────────────────────────────────

F, C, K = S.FAILED, S.COMPLETED, S.CANCELED


@pytest.mark.parametrize(
    ("waits_for", "statuses", "healed", "again"),
    [
        ({2: [1]}, {1: F, 2: K}, {1}, [2]),
        ({2: [1]}, {1: F, 2: K}, set(), []),
        ({3: [1, 2]}, {1: F, 2: F, 3: K}, {1}, []),
        ({3: [1, 2]}, {1: F, 2: C, 3: K}, {1}, [3]),
        ({2: [1], 3: [2], 4: [3]}, {1: F, 2: K, 3: K, 4: K}, {1}, [2, 3, 4]),
        ({2: [1], 3: [2]}, {1: C, 2: K, 3: K}, set(), []),
        ({2: [1], 3: [2]}, {1: F, 2: C, 3: C}, {1}, []),
        ({-1: [1, 2], 3: [-1], 4: [-1]}, {1: F, 2: C, 3: K, 4: K}, {1}, [3, 4]),
        ({-1: [1, 2], 3: [-1]}, {1: F, 2: F, 3: K}, {2}, []),
        ({2: [1], 3: [2], 4: [3]}, {1: F, 2: C, 3: F, 4: K}, {3}, [4]),
    ],
    ids=[
        "healed", "not healed", "one of two", "the other completed", "a chain",
        "canceled by somebody", "ran all the same", "a barrier", "half a barrier",
        "only what canceled it counts",
    ],
)  # fmt: skip
def test_canceled_jobs_follow_when_all_that_canceled_them_runs_again(
    waits_for: dict[int, list[int]],
    statuses: dict[int, S],
    healed: set[int],
    again: list[int],
) -> None:
    assert rescued(Links(waits_for), statuses, frozenset(healed)) == again
