"""Faults that take more than one value to see: the rules of sections, one function each."""

from __future__ import annotations

import re
from signal import Signals
from typing import TYPE_CHECKING

from slurmtorc.errors import SpecError
from slurmtorc.model import DEFAULT_REQUIREMENT
from slurmtorc.rules.directives import default_refused, extra_refused
from slurmtorc.spec.faults import described, kind, shown
from slurmtorc.spec.handlers import check_handlers
from slurmtorc.spec.records import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from slurmtorc.spec.faults import Faults, Path
    from slurmtorc.spec.items import Item, Sheet
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
    _several_nodes(sheet, faults)
    _requirements(sheet, faults)
    _doubled_entries(sheet, faults)
    check_handlers(sheet, faults)


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
        for key, message, hint in _signals(config):
            faults.error(("execution_config", key), message, hint)
    per_node = [item for item in sheet.actions if item.shape.start_one_worker_per_node]
    if config is not None and config.srun_mpi is not None and not per_node:
        message = "`srun_mpi` needs an action with start_one_worker_per_node: true"
        faults.error(("execution_config", "srun_mpi"), message, "add one, or leave it out")
    for item in per_node if slurm else ():
        path = (*item.path, "start_one_worker_per_node")
        message = "one worker per node needs execution_config.mode: direct"
        faults.error(path, message, "leave it out, or change `mode`")


def _signals(config: ExecutionShape) -> Iterator[tuple[str, str, str]]:
    """Names that stand for no signal: key, what is wrong, what to write."""
    one = config.termination_signal
    if one is not None and not _is_signal(one):
        yield "termination_signal", f"{one!r} is no signal", "write its name, as in SIGTERM"
    before = config.srun_termination_signal
    name, _, seconds = (before or "TERM").partition("@")
    if not _is_signal(name.removeprefix("B:")) or not (seconds or "0").isdecimal():
        hint = "write a signal and how many seconds before the limit, as in TERM@120"
        yield "srun_termination_signal", f"{before!r} is not understood", hint


def _is_signal(name: str) -> bool:
    return f"SIG{name.removeprefix('SIG')}" in Signals.__members__


def _several_nodes(sheet: Sheet, faults: Faults) -> None:
    """A process is on one node; only a step is on several."""
    config = sheet.head.execution_config
    if config is not None and config.mode in {"slurm", "auto"}:
        return
    used = {job.shape.resource_requirements for job in sheet.jobs}
    for item in sheet.resource_requirements:
        if item.shape.num_nodes > 1 and item.shape.name in used:
            message = f"{item.shape.num_nodes} nodes for one job need execution_config.mode: slurm"
            hint = "write that mode, or num_nodes: 1"
            faults.error((*item.path, "num_nodes"), message, hint)


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
