"""Use against requirement: what was too much, what made it fail, what could be smaller."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import a_need

from slurmtorc.model import DEFAULT_REQUIREMENT, Ending, JobStatus, Result
from slurmtorc.rules.utilization import check, suggestions

MIB = 1024**2
NEED = replace(a_need("need", num_cpus=2, memory="100m", runtime="PT1H"), id=5)


def a_result(**values: Any) -> Result:
    given = {
        "job_id": 1, "run_id": 1, "attempt_id": 1, "return_code": 0, "ending": Ending.EXIT,
        "status": JobStatus.COMPLETED, "completion_time": 0.0, "exec_time_s": 60.0,
        "peak_memory_bytes": 90 * MIB, "peak_cpu_percent": 150.0,
    }  # fmt: skip
    return Result(**given | values)


def failed(code: int = 1, **values: Any) -> Result:
    return a_result(status=JobStatus.FAILED, return_code=code, **values)


@pytest.mark.parametrize(
    ("values", "over"),
    [
        ({}, {}),
        ({"peak_memory_bytes": 150 * MIB}, {"memory": 50.0}),
        ({"peak_cpu_percent": 220.0}, {"cpu": 10.0}),
        ({"exec_time_s": 7200.0}, {"runtime": 100.0}),
        ({"peak_memory_bytes": None, "peak_cpu_percent": None}, {}),
        ({"peak_cpu_percent": 201.0}, {}),
    ],
)
def test_what_was_used_over_the_requirement(values: dict[str, Any], over: dict[str, float]) -> None:
    checked = check(a_result(**values), NEED)
    assert checked is not None
    found = {level.resource: level.over_percent for level in checked.over(1.0)}
    assert found == pytest.approx(over)


def test_jobs_without_a_requirement_are_not_judged() -> None:
    assert check(failed(), a_need(DEFAULT_REQUIREMENT)) is None


@pytest.mark.parametrize(
    ("result", "oom", "timeout"),
    [
        (failed(3), None, None),
        (failed(137), "sigkill_137", None),
        (failed(137, exec_time_s=3000.0), None, None),
        (failed(137, exec_time_s=3500.0), None, "runtime_near_limit"),
        (failed(1, peak_memory_bytes=101 * MIB), "memory_exceeded", None),
        (failed(137, ending=Ending.OOM), "ended_for_memory", None),
        (failed(152), None, "sigxcpu_152"),
        (failed(152, ending=Ending.TIMEOUT), None, "ended_for_time"),
        (failed(-128, ending=Ending.ORPHANED), None, None),
        (a_result(exec_time_s=3500.0, peak_memory_bytes=101 * MIB), None, None),
    ],
)
def test_the_likely_cause_of_a_failure(
    result: Result, oom: str | None, timeout: str | None
) -> None:
    checked = check(result, NEED)
    assert checked is not None
    assert (checked.oom_reason, checked.timeout_reason) == (oom, timeout)


def suggested(*results: Result, need: Any = NEED) -> dict[str, Any]:
    checked = [one for result in results if (one := check(result, need))]
    return {one.resource: one.value for one in suggestions(checked)}


def test_far_less_than_was_asked_for_is_suggested_above_the_largest_peak() -> None:
    small = a_result(peak_memory_bytes=10 * MIB, peak_cpu_percent=60.0, exec_time_s=900.0)
    larger = replace(small, job_id=2, peak_memory_bytes=30 * MIB)
    assert suggested(small, larger) == {"memory": "36m", "cpu": 1, "runtime": "PT18M"}


@pytest.mark.parametrize(
    "result",
    [
        a_result(peak_memory_bytes=60 * MIB, peak_cpu_percent=150.0, exec_time_s=3000.0),
        failed(peak_memory_bytes=MIB, peak_cpu_percent=1.0),
        a_result(peak_memory_bytes=None, peak_cpu_percent=None, exec_time_s=3000.0),
    ],
    ids=["well used", "failed", "not measured"],
)
def test_nothing_is_suggested_without_evidence(result: Result) -> None:
    assert suggested(result) == {}


def test_one_unmeasured_job_may_be_the_one_that_needs_it() -> None:
    small = a_result(peak_memory_bytes=MIB, peak_cpu_percent=190.0, exec_time_s=3000.0)
    assert suggested(small) == {"memory": "16m"}
    assert suggested(small, replace(small, job_id=2, peak_memory_bytes=None)) == {}


def test_little_is_not_made_smaller() -> None:
    tiny = replace(a_need("tiny", memory="16m", runtime="PT1M"), id=6)
    assert suggested(a_result(peak_memory_bytes=MIB, exec_time_s=1.0), need=tiny) == {}
