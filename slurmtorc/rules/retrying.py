"""What becomes of a job whose attempt ended without success: another attempt, or its end.

The worker asks as soon as a process has ended, the watch for jobs whose worker died; both get
the same answer, with its reason. The rules of a handler are tried in order, and the first that
matches is the only one that counts. `max_retries` bounds the number of the attempt, as in torc;
attempts that were spared are not counted. A success and a job of a canceled workflow are never
tried again, whatever the rules say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slurmtorc.model import Ending, JobStatus
from slurmtorc.rules.endings import (
    CANCEL_CODE,
    LAUNCH_FAILED_CODE,
    MISSING_OUTPUT_CODE,
    OOM_CODE,
    ORPHANED_CODE,
    TIMEOUT_CODE,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slurmtorc.rules.endings import Verdict

MAX_RETRIES = 3
SCRIPT_TIMEOUT_S = 600.0
SPARING = frozenset({Ending.NODE_FAIL, Ending.PREEMPTED})
"""Endings that are no fault of the job: the attempt is not counted, unless the rule says so."""

CODES: Mapping[Ending, int] = {
    Ending.TIMEOUT: TIMEOUT_CODE,
    Ending.OOM: OOM_CODE,
    Ending.NODE_FAIL: CANCEL_CODE,
    Ending.PREEMPTED: CANCEL_CODE,
    Ending.CANCELED: CANCEL_CODE,
    Ending.ORPHANED: ORPHANED_CODE,
    Ending.MISSING_OUTPUT: MISSING_OUTPUT_CODE,
    Ending.LAUNCH_FAILED: LAUNCH_FAILED_CODE,
}
"""The one return code of each ending that has only one. Attempts that simply exit have any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Another attempt, after the script if there is one."""

    script: str | None = None
    """A command that must exit with 0 before the job is released."""
    timeout_s: float = SCRIPT_TIMEOUT_S
    spared: bool = False
    """The attempt that ended does not count against max_retries."""
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """No further attempt: the job ends in this status."""

    status: JobStatus
    reason: str


def after(
    rules: Sequence[Mapping[str, Any]] | None,
    verdict: Verdict,
    *,
    attempt_id: int,
    spared_attempts: int,
    use_pending_failed: bool = False,
    canceled: bool = False,
) -> Retry | End:
    """What follows an attempt. `rules` are those of the job's handler; None if it has none."""
    if verdict.status is JobStatus.COMPLETED:
        return End(verdict.status, "success")
    if canceled:
        return End(verdict.status, "the workflow was canceled")
    found = first_match(rules or (), verdict.return_code, verdict.ending)
    if found is None:
        why = "no failure handler" if rules is None else "no rule of its failure handler matches"
        return End(JobStatus.PENDING_FAILED if use_pending_failed else verdict.status, why)
    return _within_limit(found, (rules or ())[found], verdict, attempt_id - spared_attempts)


def _within_limit(
    index: int, rule: Mapping[str, Any], verdict: Verdict, counted: int
) -> Retry | End:
    """By one rule; `counted` is the attempt's number among those that count."""
    spared = verdict.ending in SPARING and not rule.get("counts")
    limit = _given(rule, "max_retries", MAX_RETRIES)
    if counted - spared >= limit:
        return End(verdict.status, f"rules[{index}] allows {limit} attempts, and this was the last")
    tried = "it does not count" if spared else f"attempt {counted} of {limit} that count"
    return Retry(
        script=rule.get("recovery_script") or None,
        timeout_s=float(_given(rule, "recovery_timeout_seconds", SCRIPT_TIMEOUT_S)),
        spared=spared,
        reason=f"tried again by rules[{index}]: {tried}",
    )


def first_match(rules: Sequence[Mapping[str, Any]], code: int, ending: Ending) -> int | None:
    """The index of the first rule that matches a failure."""
    found = (index for index, rule in enumerate(rules) if matches(rule, code, ending))
    return next(found, None)


def matches(rule: Mapping[str, Any], code: int, ending: Ending) -> bool:
    """Whether a rule is about this failure: it names its code, or its ending, or all of them."""
    return bool(
        rule.get("match_all_exit_codes")
        or code in _given(rule, "exit_codes", ())
        or ending.value in _given(rule, "endings", ())
    )


def _given(rule: Mapping[str, Any], key: str, default: Any) -> Any:
    """A key's value; null means absent."""
    value = rule.get(key)
    return default if value is None else value
