"""Faults in failure handlers: rules that can never match, and keys that change nothing.

Whether a rule can match is not argued about: every failure there is (each ending with the
return codes it can have) is given to the rules in their order, by the function that the worker
uses. A rule that gets none can never match.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slurmtorc.model import Ending, ExecutionConfig
from slurmtorc.rules.retrying import CODES, SPARING, matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slurmtorc.spec.faults import Faults, Path
    from slurmtorc.spec.items import Item, Sheet
    from slurmtorc.spec.shape import HandlerShape, RuleShape
    from slurmtorc.spec.top import ExecutionShape

Failure = tuple[int, Ending]

_HIGHEST = 255
_GENERAL = "put the general rule last"
_NOTHING = "write exit_codes, endings or match_all_exit_codes: true"
_ATTEMPTS = "it is the number of attempts in all; 2 allows one retry"
_SIGNALS = "write 1 to 255 (128 and its number for a signal), or -128 for a worker that died"


def check_handlers(sheet: Sheet, faults: Faults) -> None:
    """Everything there is to say of the handlers of a file."""
    failures = _failures(sheet.head.execution_config)
    for handler in sheet.failure_handlers:
        _handler(handler, failures, faults)


def _failures(config: ExecutionShape | None) -> list[Failure]:
    """Every failure there is. The workflow may name other codes for two endings."""
    written = ExecutionConfig.of(config.model_dump() if config else None)
    renamed = {
        Ending.TIMEOUT: written.timeout_exit_code,
        Ending.OOM: written.oom_exit_code,
    }
    by_ending = {**CODES, **renamed}
    exits = [(code, Ending.EXIT) for code in range(1, _HIGHEST + 1)]
    return exits + [(code, ending) for ending, code in by_ending.items()]


def _handler(item: Item[HandlerShape], failures: Sequence[Failure], faults: Faults) -> None:
    left = list(failures)
    catch_all: int | None = None
    known = {code for code, _ in failures}
    for index, rule in enumerate(item.shape.rules):
        path = (*item.path, "rules", index)
        told = _codes(rule, path, known, faults)
        written = rule.model_dump()
        taken = [failure for failure in left if matches(written, *failure)]
        _limits(rule, taken, path, faults)
        if not taken and not told and ("rules", index) not in item.holes:
            reason, hint = _never(rule, catch_all)
            faults.error(path, f"this rule can never match: {reason}", hint)
        _script(rule, path, faults)
        if rule.match_all_exit_codes and catch_all is None:
            catch_all = index
        left = [failure for failure in left if failure not in taken]


def _codes(rule: RuleShape, path: Path, known: set[int], faults: Faults) -> bool:
    """Codes that no failure has; whether there were any."""
    wrong = [(n, code) for n, code in enumerate(rule.exit_codes) if code not in known]
    for n, code in wrong:
        place = (*path, "exit_codes", n)
        if code == 0:
            faults.error(place, "exit code 0 is success", "write the codes of failures")
        else:
            faults.error(place, f"no attempt ends with return code {code}", _SIGNALS)
    return bool(wrong)


def _never(rule: RuleShape, catch_all: int | None) -> tuple[str, str]:
    """Why a rule gets no failure, and what to do."""
    if catch_all is not None:
        return f"rules[{catch_all}] matches every failure", _GENERAL
    names = {"exit codes": rule.exit_codes, "endings": rule.endings}
    named = " and ".join(word for word, values in names.items() if values)
    if rule.match_all_exit_codes:
        named = "failures"
    if not named:
        return "it names no failure", _NOTHING
    return f"the rules before it match all its {named}", "leave it out"


def _limits(rule: RuleShape, taken: Sequence[Failure], path: Path, faults: Faults) -> None:
    """Keys that are right, but do not do what their writer will expect."""
    spared = [ending in SPARING for _, ending in taken]
    free = bool(spared) and all(spared) and not rule.counts
    if rule.max_retries == 1 and not free:
        faults.warn((*path, "max_retries"), "1 means the job is never retried", _ATTEMPTS)
    if rule.counts is not None and taken and not any(spared):
        message = "`counts` is about node_fail and preempted, which this rule does not match"
        faults.warn((*path, "counts"), message, "leave it out")
    if rule.match_all_exit_codes and (rule.exit_codes or rule.endings):
        message = "match_all_exit_codes wins; exit_codes and endings beside it change nothing"
        faults.warn(path, message, "leave one of them out")


def _script(rule: RuleShape, path: Path, faults: Faults) -> None:
    if rule.recovery_script is None and rule.recovery_timeout_seconds is not None:
        place = (*path, "recovery_timeout_seconds")
        faults.warn(place, "there is no recovery_script to be timed", "leave it out")
    if rule.recovery_script is not None and not rule.recovery_script.strip():
        message = "the recovery script is empty"
        faults.error((*path, "recovery_script"), message, "write a command, or leave it out")
