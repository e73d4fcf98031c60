"""What follows a failed attempt: the table, and the laws that hold whatever the rules are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.model import Ending, JobStatus
from slurmtorc.rules.endings import Verdict
from slurmtorc.rules.retrying import End, Retry, after

S, E = JobStatus, Ending
ALL = {"match_all_exit_codes": True}
LOST = Verdict(143, S.TERMINATED, E.NODE_FAIL)
TIMEOUT = Verdict(152, S.TERMINATED, E.TIMEOUT)


def failed(code: int, ending: Ending = E.EXIT) -> Verdict:
    return Verdict(code, S.FAILED, ending)


def following(verdict: Verdict, *rules: dict[str, Any], **values: Any) -> Retry | End:
    given_values = {"attempt_id": 1, "spared_attempts": 0} | values
    return after(rules, verdict, **given_values)


# ── which rule ───────────────────────────────────────────────────────────────

RULES = (
    {"exit_codes": [10], "recovery_script": "adjust", "max_retries": 4},
    {"exit_codes": [11, 12], "recovery_script": "clean"},
    {"endings": ["timeout", "node_fail"], "recovery_script": "longer"},
    {"exit_codes": [7], "endings": ["oom"], "recovery_script": "either"},
    {"match_all_exit_codes": True, "recovery_script": "any"},
)


@pytest.mark.parametrize(
    ("verdict", "script"),
    [
        (failed(10), "adjust"),
        (failed(12), "clean"),
        (TIMEOUT, "longer"),
        (failed(152), "any"),
        (LOST, "longer"),
        (failed(7), "either"),
        (failed(137, E.OOM), "either"),
        (failed(137), "any"),
        (failed(1, E.MISSING_OUTPUT), "any"),
        (failed(-128, E.ORPHANED), "any"),
        (Verdict(143, S.TERMINATED, E.CANCELED), "any"),
    ],
)
def test_the_first_rule_that_matches_counts(verdict: Verdict, script: str) -> None:
    found = following(verdict, *RULES)
    assert isinstance(found, Retry)
    assert found.script == script


def test_a_general_rule_in_front_hides_the_others() -> None:
    found = following(failed(10), ALL, {"exit_codes": [10], "recovery_script": "adjust"})
    assert isinstance(found, Retry)
    assert found.script is None


def test_a_rule_that_is_exhausted_does_not_pass_on_to_the_next() -> None:
    found = following(failed(10), {"exit_codes": [10], "max_retries": 2}, ALL, attempt_id=2)
    assert found == End(S.FAILED, "rules[0] allows 2 attempts, and this was the last")


# ── how often ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("verdict", "rule", "attempt", "spared", "again"),
    [
        (failed(10), ALL, 1, 0, True),
        (failed(10), ALL, 2, 0, True),
        (failed(10), ALL, 3, 0, False),
        (failed(10), {**ALL, "max_retries": 1}, 1, 0, False),
        (failed(10), {**ALL, "max_retries": 2}, 2, 1, True),
        (failed(10), {**ALL, "max_retries": 2}, 3, 1, False),
        (LOST, {**ALL, "max_retries": 1}, 1, 0, True),
        (LOST, {**ALL, "max_retries": 2}, 2, 0, True),
        (LOST, {**ALL, "max_retries": 1}, 50, 49, True),
        (LOST, {**ALL, "max_retries": 1, "counts": True}, 1, 0, False),
        (LOST, {**ALL, "max_retries": 2, "counts": True}, 1, 0, True),
    ],
)
def test_max_retries_bounds_the_attempts_that_count(
    verdict: Verdict, rule: dict[str, Any], attempt: int, spared: int, again: bool
) -> None:
    found = following(verdict, rule, attempt_id=attempt, spared_attempts=spared)
    assert isinstance(found, Retry) is again


def test_only_lost_nodes_and_preemptions_are_spared() -> None:
    for ending in Ending:
        found = following(Verdict(143, S.TERMINATED, ending), ALL)
        assert isinstance(found, Retry)
        assert found.spared == (ending in {E.NODE_FAIL, E.PREEMPTED})


def test_a_script_has_ten_minutes_unless_the_rule_says_otherwise() -> None:
    rule = {**ALL, "recovery_script": "x"}
    usual, own = following(failed(1), rule), {**rule, "recovery_timeout_seconds": 5}
    assert isinstance(usual, Retry)
    assert usual.timeout_s == 600
    found = following(failed(1), own)
    assert isinstance(found, Retry)
    assert found.timeout_s == 5


# ── no rule ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (None, "no failure handler"),
        ((), "no rule of its failure handler matches"),
        (({"exit_codes": [10]},), "no rule of its failure handler matches"),
    ],
)
@pytest.mark.parametrize(
    ("verdict", "set_aside", "status"),
    [
        (failed(1), False, S.FAILED),
        (TIMEOUT, False, S.TERMINATED),
        (failed(1), True, S.PENDING_FAILED),
        (TIMEOUT, True, S.PENDING_FAILED),
    ],
)
def test_what_no_rule_matches_keeps_its_status_or_is_set_aside(
    rules: Any, reason: str, verdict: Verdict, set_aside: bool, status: JobStatus
) -> None:
    values = {"attempt_id": 1, "spared_attempts": 0, "use_pending_failed": set_aside}
    assert after(rules, verdict, **values) == End(status, reason)


def test_a_job_that_used_up_its_attempts_is_never_set_aside() -> None:
    found = following(failed(10), ALL, attempt_id=3, use_pending_failed=True)
    assert isinstance(found, End)
    assert found.status is S.FAILED


def test_a_canceled_workflow_has_no_next_attempts_and_no_decisions_to_wait_for() -> None:
    for rules in ((), (ALL,)):
        found = following(failed(10), *rules, canceled=True, use_pending_failed=True)
        assert found == End(S.FAILED, "the workflow was canceled")


# ── laws ─────────────────────────────────────────────────────────────────────

SOME_RULES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "exit_codes": st.lists(st.sampled_from([1, 10, 137, 143, 152]), max_size=3),
            "endings": st.none() | st.lists(st.sampled_from([e.value for e in Ending]), max_size=2),
            "match_all_exit_codes": st.booleans(),
            "max_retries": st.integers(1, 5),
            "recovery_script": st.none() | st.just("fix"),
            "counts": st.none() | st.booleans(),
        },
    ),
    max_size=4,
)
VERDICTS = st.builds(
    Verdict,
    st.sampled_from([1, 10, 137, 143, 152]),
    st.sampled_from([S.FAILED, S.TERMINATED]),
    st.sampled_from(list(Ending)),
)


@given(SOME_RULES, st.integers(1, 9), st.booleans(), st.booleans())
def test_success_is_never_tried_again(
    rules: list[dict[str, Any]], attempt: int, aside: bool, canceled: bool
) -> None:
    verdict = Verdict(0, S.COMPLETED, E.EXIT)
    values = {"use_pending_failed": aside, "canceled": canceled}
    found = following(verdict, *rules, attempt_id=attempt, **values)
    assert found == End(S.COMPLETED, "success")


@given(SOME_RULES, st.lists(VERDICTS, min_size=1, max_size=30))
def test_a_job_ends_after_max_retries_counted_failures(
    rules: list[dict[str, Any]], verdicts: list[Verdict]
) -> None:
    """However the attempts end, no more than the largest limit of them count."""
    attempt, spared = 1, 0
    for verdict in verdicts:
        found = following(verdict, *rules, attempt_id=attempt, spared_attempts=spared)
        if isinstance(found, End):
            assert found.status is verdict.status
            break
        attempt, spared = attempt + 1, spared + found.spared
    limits = [rule.get("max_retries", 3) for rule in rules]
    assert 1 <= attempt - spared <= max([1, *limits])


@given(SOME_RULES, st.lists(VERDICTS, min_size=1, max_size=30), st.booleans())
def test_only_unmatched_failures_are_set_aside(
    rules: list[dict[str, Any]], verdicts: list[Verdict], aside: bool
) -> None:
    for verdict in verdicts:
        found = following(verdict, *rules, attempt_id=9, use_pending_failed=aside)
        if isinstance(found, End) and found.status is S.PENDING_FAILED:
            assert aside
            assert isinstance(following(verdict, *rules, use_pending_failed=False), End)
            assert isinstance(following(verdict, *rules, ALL), Retry)
