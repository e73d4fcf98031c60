"""What runs again: laws on drawn workflows, and tables of what is a change."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.model import COMPLETE, UNSUCCESSFUL, JobStatus, Links, Standing
from slurmtorc.rules.chains import in_order
from slurmtorc.rules.staleness import (
    Cause,
    Facts,
    FileSeen,
    Reason,
    again,
    change,
    held_back,
    say,
)

S = JobStatus
EDITED = Reason(Cause.EDITED, "command")
STILL_TO_RUN = {S.BLOCKED, S.READY, S.PENDING, S.RUNNING}
BY_ITSELF = {S.UNINITIALIZED, S.TERMINATED, S.PENDING_FAILED}


def facts(*statuses: JobStatus, found: dict[int, Any] | None = None, **waits_for: Any) -> Facts:
    """Jobs 1, 2, …; `j2=[1]`: job 2 waits for job 1; `b1=[1]`: barrier -1 does."""
    jobs = {n: Standing(f"job{n}", status) for n, status in enumerate(statuses, start=1)}
    nodes = {(-1 if key[0] == "b" else 1) * int(key[1:]): ids for key, ids in waits_for.items()}
    return Facts(jobs=jobs, links=Links(nodes), findings=found or {})


def causes(known: Facts, **how: Any) -> dict[int, list[Cause]]:
    return {job: [each.cause for each in why] for job, why in again(known, **how).items()}


# ── laws ─────────────────────────────────────────────────────────────────────


@dataclass
class Drawn:
    facts: Facts
    below: dict[int, set[int]]
    """Of each job, all that come after it, however far."""


@st.composite
def workflows(draw: st.DrawFn, statuses: Any = None) -> Drawn:
    statuses = st.sampled_from(list(JobStatus)) if statuses is None else statuses
    count = draw(st.integers(1, 9))
    jobs = {n: Standing(f"j{n}", draw(statuses), draw(st.booleans())) for n in range(1, count + 1)}
    waits_for: dict[int, list[int]] = {}
    for n in range(2, count + 1):
        before = draw(st.lists(st.integers(1, n - 1), unique=True, max_size=3))
        if len(before) > 1 and draw(st.booleans()):
            waits_for[-n], waits_for[n] = before, [-n]
        elif before:
            waits_for[n] = before
    stale = draw(st.sets(st.sampled_from(sorted(jobs)), max_size=3))
    links = Links(waits_for)
    known = Facts(jobs=jobs, links=links, findings=dict.fromkeys(stale, (EDITED,)))
    below: defaultdict[int, set[int]] = defaultdict(set)
    for n in in_order(waits_for, jobs):
        for other in waits_for.get(n, ()):
            for origin in jobs:
                if origin == other or other in below[origin]:
                    below[origin].add(n)
    return Drawn(known, {n: {m for m in below[n] if m > 0} for n in jobs})


@given(workflows(st.sampled_from([S.COMPLETED, S.FAILED, S.DISABLED])))
def test_where_nothing_was_changed_nothing_runs_again(drawn: Drawn) -> None:
    assert again(replace(drawn.facts, findings={})) == {}


@given(workflows())
def test_whatever_comes_directly_after_what_runs_again_does_too(drawn: Drawn) -> None:
    jobs, found = drawn.facts.jobs, again(drawn.facts)
    links = drawn.facts.links.waits_for
    for n, job in jobs.items():
        before = {m for other in links.get(n, ()) for m in (links[other] if other < 0 else [other])}
        if before & set(found) and job.status in COMPLETE | BY_ITSELF:
            assert n in found
            assert Cause.UPSTREAM in {reason.cause for reason in found[n]}


@given(workflows(st.sampled_from([S.COMPLETED, S.FAILED, S.BLOCKED, S.READY, S.TERMINATED])))
def test_what_runs_again_is_what_is_stale_or_comes_after_what_runs(drawn: Drawn) -> None:
    jobs, found = drawn.facts.jobs, set(again(drawn.facts))
    ended = {n for n, job in jobs.items() if job.status in COMPLETE}
    seeds = {n for n in ended if n in drawn.facts.findings or jobs[n].status is S.TERMINATED}
    runs = seeds | {n for n, job in jobs.items() if job.status in {S.BLOCKED, S.READY}}
    assert found == (seeds | {m for n in runs for m in drawn.below[n]}) & ended


@given(workflows())
def test_reasons_come_in_an_order_in_which_the_jobs_can_run(drawn: Drawn) -> None:
    order = list(again(drawn.facts))
    for at, job in enumerate(order):
        assert not drawn.below[job] & set(order[:at])


@given(workflows())
def test_a_second_time_at_once_there_is_nothing_to_begin(drawn: Drawn) -> None:
    """Jobs of the run that was begun are blocked or ready, and their changes are forgotten."""
    found = again(drawn.facts)
    begun = {
        n: replace(job, status=S.READY if n in found else job.status)
        for n, job in drawn.facts.jobs.items()
    }
    left = {n: why for n, why in drawn.facts.findings.items() if n not in found}
    assert again(Facts(jobs=begun, links=drawn.facts.links, findings=left)) == {}


@given(workflows(), st.sampled_from([S.COMPLETED, S.FAILED]))
def test_once_the_run_has_ended_nothing_runs_a_third_time(drawn: Drawn, end: JobStatus) -> None:
    jobs = drawn.facts.jobs
    waited = {n for n, job in jobs.items() if job.status in STILL_TO_RUN}
    ran = waited | set(again(drawn.facts))
    ends = {n: replace(job, status=end) if n in ran else job for n, job in jobs.items()}
    left = {n: why for n, why in drawn.facts.findings.items() if n not in ran}
    assert again(Facts(jobs=ends, links=drawn.facts.links, findings=left)) == {}


@given(workflows())
def test_a_restart_takes_every_job_but_disabled_ones(drawn: Drawn) -> None:
    kept = {n for n, job in drawn.facts.jobs.items() if job.status is S.DISABLED}
    assert set(again(drawn.facts, anew=True)) == set(drawn.facts.jobs) - kept


# ── cases ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (S.UNINITIALIZED, Cause.RESET), (S.TERMINATED, Cause.TERMINATED),
        (S.CANCELED, Cause.CANCELED), (S.PENDING_FAILED, Cause.SET_ASIDE),
        (S.COMPLETED, None), (S.FAILED, None), (S.DISABLED, None), (S.BLOCKED, None),
        (S.READY, None),
    ],
)  # fmt: skip
def test_what_runs_again_by_its_status_alone(status: JobStatus, cause: Cause | None) -> None:
    assert causes(facts(status)) == ({1: [cause]} if cause else {})


def test_what_was_canceled_because_something_failed_stays_as_long_as_that_does() -> None:
    chain = facts(S.FAILED, S.CANCELED, S.CANCELED, j2=[1], j3=[2])
    assert again(chain) == {}
    behind_barrier = facts(S.FAILED, S.COMPLETED, S.CANCELED, b1=[1, 2], j3=[-1])
    assert again(behind_barrier) == {}
    reset = facts(S.UNINITIALIZED, S.CANCELED, S.CANCELED, j2=[1], j3=[2])
    assert list(again(reset)) == [1, 2, 3]


def test_a_canceled_job_that_minds_no_failure_runs_again() -> None:
    known = facts(S.FAILED, S.CANCELED, j2=[1])
    stoic = {**known.jobs, 2: replace(known.jobs[2], cancels=False)}
    assert causes(replace(known, jobs=stoic)) == {2: [Cause.CANCELED]}
    assert S.FAILED in UNSUCCESSFUL


def test_a_job_behind_a_barrier_names_one_before_it_and_counts_the_others() -> None:
    known = facts(*[S.COMPLETED] * 4, b1=[1, 2, 3], j4=[-1], found={1: (EDITED,), 3: (EDITED,)})
    (reason,) = again(known)[4]
    assert reason == Reason(Cause.UPSTREAM, "job1", others=1)
    assert say(reason) == "runs after job1 and 1 other, which run again"


def missing(*readers: int) -> Reason:
    return Reason(Cause.OUTPUT_MISSING, "mid", readers=readers)


GONE = Reason(Cause.FILE_DISAPPEARED, "mid", left_by_job=True)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((S.COMPLETED, S.COMPLETED, S.COMPLETED), {}),
        ((S.COMPLETED, S.COMPLETED, S.DISABLED), {}),
        ((S.COMPLETED, S.COMPLETED, S.UNINITIALIZED), {1, 2, 3}),
        ((S.COMPLETED, S.COMPLETED, S.FAILED), {1, 2, 3}),
        ((S.COMPLETED, S.COMPLETED, S.BLOCKED), {1, 2}),
    ],
)
def test_a_file_that_all_its_readers_are_done_with_may_go(
    statuses: tuple[JobStatus, ...], expected: Any
) -> None:
    found = {1: (missing(2, 3),), 2: (GONE,), 3: (GONE,)}
    assert set(again(facts(*statuses, j2=[1], j3=[1], found=found))) == set(expected)


def test_a_missing_result_that_nobody_reads_runs_its_writer_again() -> None:
    known = facts(S.COMPLETED, S.COMPLETED, j2=[1], found={1: (missing(2), missing()), 2: (GONE,)})
    assert causes(known)[1] == [Cause.OUTPUT_MISSING] * 2
    assert set(again(known)) == {1, 2}
    assert set(again(facts(S.COMPLETED, found={1: (missing(1),)}))) == {1}  # read by itself alone


def test_a_chain_that_was_cleaned_up_comes_back_as_far_as_its_files_are_needed() -> None:
    gone = {1: (missing(2),), 2: (GONE, missing(3)), 3: (GONE,)}
    chain = {"j2": [1], "j3": [2], "j4": [1]}
    statuses = [S.COMPLETED] * 4
    assert again(facts(*statuses, found=gone, **chain)) == {}
    assert set(again(facts(*statuses, found={**gone, 4: (EDITED,)}, **chain))) == {4}
    assert set(again(facts(*statuses, found={**gone, 3: (EDITED,)}, **chain))) == {1, 2, 3, 4}


def test_an_input_that_no_job_writes_and_that_disappeared_is_missed() -> None:
    gone = Reason(Cause.FILE_DISAPPEARED, "raw")
    assert causes(facts(S.COMPLETED, found={1: (gone,)})) == {1: [Cause.FILE_DISAPPEARED]}


@given(workflows(), st.data())
def test_of_every_job_that_runs_again_the_missing_inputs_are_written_again(
    drawn: Drawn, data: st.DataObject
) -> None:
    """Whatever was cleaned up: nothing begins without a file that a job could write again."""
    jobs, readers = drawn.facts.jobs, dict[int, list[int]]()
    for n, below in drawn.below.items():
        if below and jobs[n].status is S.COMPLETED and data.draw(st.booleans()):
            readers[n] = data.draw(st.lists(st.sampled_from(sorted(below)), min_size=1))
    found = {n: list(why) for n, why in drawn.facts.findings.items()}
    for n, ids in readers.items():
        found.setdefault(n, []).append(missing(*ids))
        for reader in ids:
            found.setdefault(reader, []).append(GONE)
    runs = set(again(replace(drawn.facts, findings=found)))
    assert all(n in runs for n, ids in readers.items() if runs & set(ids))


def test_own_reasons_stand_before_those_of_others() -> None:
    known = facts(S.COMPLETED, S.COMPLETED, j2=[1], found={1: (EDITED,), 2: (EDITED,)})
    assert causes(known) == {1: [Cause.EDITED], 2: [Cause.EDITED, Cause.UPSTREAM]}


def test_what_waits_for_a_disabled_job_is_held_back_and_so_is_what_waits_for_that() -> None:
    known = facts(S.DISABLED, S.UNINITIALIZED, S.UNINITIALIZED, S.COMPLETED, j2=[1], j3=[2], j4=[1])
    assert held_back(known, again(known)) == {2: 1, 3: 1}


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        ({"noted": 5.0, "now": 5.0}, None),
        ({"noted": 5.0, "now": 5.009}, None),
        ({"noted": 5.0, "now": 5.02}, Cause.FILE_CHANGED),
        ({"noted": 5.0, "now": 4.0}, Cause.FILE_CHANGED),
        ({"noted": None, "now": 5.0}, Cause.FILE_APPEARED),
        ({"noted": None, "now": 5.0, "left_by_job": True}, None),
        ({"noted": 5.0, "now": None}, Cause.FILE_DISAPPEARED),
        ({"noted": None, "now": None}, None),
        (
            {"noted": 5.0, "now": 6.0, "by_contents": True, "noted_contents": "a", "contents": "a"},
            None,
        ),
        (
            {"noted": 5.0, "now": 5.0, "by_contents": True, "noted_contents": "a", "contents": "b"},
            Cause.CONTENTS_CHANGED,
        ),
        ({"noted": 5.0, "now": 6.0, "by_contents": True, "contents": "b"}, Cause.FILE_CHANGED),
        ({"noted": 5.0, "now": 5.0, "by_contents": True, "contents": "b"}, None),
        ({"noted": 5.0, "now": 6.0, "noted_contents": "a"}, Cause.FILE_CHANGED),
    ],
)  # fmt: skip
def test_what_counts_as_a_change_of_a_file(seen: dict[str, Any], cause: Cause | None) -> None:
    found = change(FileSeen(path="f", **seen))
    assert (found.cause if found else None) == cause
    if found and found.cause is Cause.FILE_CHANGED and seen.get("by_contents"):
        assert "its time decides" in say(found)


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_can_be_told(cause: Cause) -> None:
    said = say(Reason(cause, "thing"), "at noon")
    assert said.endswith(" at noon")
    assert "{" not in said
