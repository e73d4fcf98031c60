"""Faults that take more than one value to see: the rules of sections, one function each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slurmtorc.errors import SpecError
from slurmtorc.model import DEFAULT_REQUIREMENT
from slurmtorc.rules.directives import default_refused, extra_refused
from slurmtorc.spec.faults import described, kind, shown
from slurmtorc.spec.records import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from slurmtorc.spec.faults import Faults, Path
    from slurmtorc.spec.items import Item, Sheet
    from slurmtorc.spec.shape import HandlerShape, RuleShape
    from slurmtorc.spec.top import ExecutionShape

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIRECT_ONLY = ("termination_signal", "sigterm_lead_seconds", "oom_exit_code")
_LISTS = (
    "depends_on", "depends_on_regexes", "input_files", "output_files", "input_file_regexes",
    "output_file_regexes", "input_user_data", "output_user_data", "input_user_data_regexes",
    "output_user_data_regexes", "input_datasets", "output_datasets", "jobs", "job_name_regexes",
)  # fmt: skip


def check_sections(sheet: Sheet, faults: Faults) -> None:
    """Everything that can be said before names are resolved."""
    _metadata(sheet, faults)
    _slurm_defaults(sheet, faults)
    _extras(sheet, faults)
    _environments(sheet, faults)
    _monitor(sheet, faults)
    _execution(sheet, faults)
    _requirements(sheet, faults)
    _doubled_entries(sheet, faults)
    for handler in sheet.failure_handlers:
        _handler(handler, faults)


def _metadata(sheet: Sheet, faults: Faults) -> None:
    value = sheet.head.metadata
    try:
        metadata(value)
    except (ValueError, RecursionError, SpecError):
        message = f"{shown(value)} is {kind(value)} that holds no JSON object"
        faults.error(("metadata",), message, 'write a map, or text such as {"key": "value"}')


def _slurm_defaults(sheet: Sheet, faults: Faults) -> None:
    for key, value in (sheet.head.slurm_defaults or {}).items():
        path: Path = ("slurm_defaults", key)
        why = default_refused(key)
        if why is not None:
            faults.error(path, f"`{key}` cannot have a default", why)
        elif value is None:
            faults.warn(path, "null is left out")
        elif isinstance(value, dict | list):
            faults.error(path, described(value), "write text, a number or true")
        elif isinstance(value, str) and not value.isprintable():
            message = f"{shown(value)} has a line break or a control character"
            faults.error(path, message, "write it on one line")


def _extras(sheet: Sheet, faults: Faults) -> None:
    for item in sheet.slurm_schedulers:
        refused = extra_refused(item.shape.extra) if item.shape.extra else None
        if refused is not None:
            faults.error((*item.path, "extra"), f"{refused[0]!r} is not allowed here", refused[1])


def _environments(sheet: Sheet, faults: Faults) -> None:
    holders = [((), sheet.head.env), *((job.path, job.shape.env) for job in sheet.jobs)]
    for path, env in holders:
        for name in env or ():
            if not _ENV_NAME.fullmatch(name):
                hint = "use letters, digits and _; begin with no digit"
                message = f"{name!r} is no name for an environment variable"
                faults.error((*path, "env", name), message, hint)


def _monitor(sheet: Sheet, faults: Faults) -> None:
    monitor = sheet.head.resource_monitor
    if monitor is None:
        return
    parts = [((), monitor), (("jobs",), monitor.jobs), (("compute_node",), monitor.compute_node)]
    for path, part in parts:
        for key in (part.model_extra or {}) if part else ():
            faults.warn(("resource_monitor", *path, key), f"unknown key {key!r}; it is ignored")


def _execution(sheet: Sheet, faults: Faults) -> None:
    config = sheet.head.execution_config
    slurm = False
    if config is not None:
        slurm = config.mode == "slurm" or (config.mode == "auto" and bool(sheet.slurm_schedulers))
        for key, message in _misplaced(config, "slurm" if slurm else "direct"):
            hint = "leave it out, or change `mode`"
            faults.error(("execution_config", key), message, hint)
    per_node = [item for item in sheet.actions if item.shape.start_one_worker_per_node]
    if config is not None and config.srun_mpi is not None and not per_node:
        message = "`srun_mpi` needs an action with start_one_worker_per_node: true"
        faults.error(("execution_config", "srun_mpi"), message, "add one, or leave it out")
    for item in per_node if slurm else ():
        path = (*item.path, "start_one_worker_per_node")
        message = "one worker per node needs execution_config.mode: direct"
        faults.error(path, message, "leave it out, or change `mode`")


def _misplaced(config: ExecutionShape, mode: str) -> Iterator[tuple[str, str]]:
    """Keys of the other mode."""
    if mode == "slurm":
        for key in _DIRECT_ONLY:
            if getattr(config, key) is not None:
                yield key, f"`{key}` belongs to mode direct, and the mode is slurm"
        if config.limit_resources is False:
            yield "limit_resources", "mode slurm always limits resources"
        return
    if config.srun_termination_signal is not None:
        yield "srun_termination_signal", "belongs to mode slurm, and the mode is direct"
    if config.enable_cpu_bind:
        yield "enable_cpu_bind", "belongs to mode slurm, and the mode is direct"


def _requirements(sheet: Sheet, faults: Faults) -> None:
    for item in sheet.resource_requirements:
        if item.shape.name == DEFAULT_REQUIREMENT:
            message = f"{DEFAULT_REQUIREMENT!r} is reserved for jobs that name no requirement"
            faults.error((*item.path, "name"), message, "choose another name")


def _doubled_entries(sheet: Sheet, faults: Faults) -> None:
    items: Sequence[Item[Any]] = [*sheet.jobs, *sheet.actions]
    for item in items:
        given = item.shape.model_fields_set
        for key in _LISTS:
            entries = getattr(item.shape, key) or () if key in given else ()
            if len(entries) > 1 and len(set(entries)) < len(entries):
                at = next(n for n, entry in enumerate(entries) if entry in entries[:n])
                message = f"{entries[at]!r} is listed twice; it counts once"
                faults.warn((*item.path, key, at), message)


def _handler(item: Item[HandlerShape], faults: Faults) -> None:
    catch_all: int | None = None
    covered: set[int] = set()
    for index, rule in enumerate(item.shape.rules):
        path = (*item.path, "rules", index)
        if rule.max_retries == 1:
            faults.warn((*path, "max_retries"), "1 means the job is never retried", _ATTEMPTS)
        reason = _never_matches(rule, catch_all, covered)
        if reason and ("rules", index) not in item.holes:
            faults.error(path, f"this rule can never match: {reason[0]}", reason[1])
        if rule.match_all_exit_codes and catch_all is None:
            catch_all = index
        covered |= set(rule.exit_codes)


_ATTEMPTS = "it is the number of attempts in all; 2 allows one retry"


def _never_matches(
    rule: RuleShape, catch_all: int | None, covered: set[int]
) -> tuple[str, str] | None:
    """Why a rule can never match, and what to do; None if it can."""
    if catch_all is not None:
        return f"rules[{catch_all}] matches every failure", "put the general rule last"
    if rule.match_all_exit_codes or rule.endings:
        return None
    if not rule.exit_codes:
        return "it names no failure", "write exit_codes, endings or match_all_exit_codes: true"
    if set(rule.exit_codes) == {0}:
        return "exit code 0 is success", "write the codes of failures"
    if set(rule.exit_codes) <= covered:
        return "the rules before it match all its exit codes", "leave it out"
    return None
