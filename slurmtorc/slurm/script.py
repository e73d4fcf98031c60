"""One allocation -> the text of its batch script.

Separate from submitting, so that a dry run prints exactly what would be sent. Options stand in
the script and nowhere else. Every value is quoted for the place it stands in, or refused: a
line break in an account name must never become a directive, nor a blank a second option.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from slurmtorc import data
from slurmtorc.errors import InvalidValue
from slurmtorc.ports import Script
from slurmtorc.rules.directives import default_refused, extra_refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from slurmtorc.model import Allocation, SlurmScheduler

Directive = tuple[str, str | None]
"""An option of sbatch and its value; None for an option that takes none."""

TEMPLATE = "allocation.sh.j2"

_RIVALS = {"mem": ("mem-per-cpu", "mem-per-gpu"), "cpus-per-task": ("cpus-per-gpu",)}
"""Options that sbatch refuses beside the key; a scheduler's own wins over them too."""

_TOKEN = re.compile(r"[a-z0-9]+")
_PREFIX = re.compile(r"[A-Za-z0-9._-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./\[\]*-]+")


def render(  # noqa: PLR0913  keyword-only, each a part of the script
    *,
    scheduler: SlurmScheduler,
    allocation: Allocation,
    worker: Sequence[str],
    directory: str,
    defaults: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    prefix: str = "",
    by_steps: bool = False,
) -> Script:
    """The script of one allocation.

    `worker` is the argument list started once on each node, or once in all if jobs are steps
    (`by_steps`); `directory` is where sbatch runs
    and the job starts; `defaults` are the workflow's slurm_defaults; `environment` is set for
    the worker (what stands there no other user of the machine can read, unlike an argument
    list); `prefix` begins the job's name. Of `allocation` its workflow, token and output
    directory are read. Raises InvalidValue, naming the field.
    """
    name = job_name(prefix, allocation)
    own = list(_own(name, scheduler, allocation, directory))
    fallback = _fallback(defaults or {}, {option for option, _ in own})
    text = (
        _environment()
        .get_template(TEMPLATE)
        .render(
            directives=[*own, *fallback],
            extra=_extra(scheduler.extra) if scheduler.extra else None,
            has_memory=scheduler.mem is not None,
            has_gres=scheduler.gres is not None,
            environment=environment or {},
            worker=worker,
            by_steps=by_steps,
        )
    )
    return Script(text=text, job_name=name, token=allocation.token, directory=directory)


def job_name(prefix: str, allocation: Allocation) -> str:
    """What Slurm is to call it. `find` looks for what follows the last '_'."""
    if not _TOKEN.fullmatch(allocation.token):
        raise InvalidValue(f"token {allocation.token!r}", allowed="write a-z and 0-9")
    if not _PREFIX.fullmatch(prefix):
        raise InvalidValue(f"job prefix {prefix!r}", allowed="write letters, digits and . _ -")
    return f"{prefix}wf{allocation.workflow_id}_{allocation.token}"


# ── directives ───────────────────────────────────────────────────────────────


def _own(
    name: str, scheduler: SlurmScheduler, allocation: Allocation, directory: str
) -> Iterator[Directive]:
    """What this program says of every allocation, always in this order."""
    log = f"{_log_folder(allocation.output_dir)}/slurm_output_wf{allocation.workflow_id}_sl%j"
    fields: tuple[tuple[str, str | int | None], ...] = (
        ("job-name", name),
        ("comment", allocation.token),
        ("account", scheduler.account),
        ("partition", scheduler.partition),
        ("qos", scheduler.qos),
        ("time", scheduler.walltime),
        ("nodes", scheduler.nodes),
        ("ntasks-per-node", scheduler.ntasks_per_node or 1),
        ("cpus-per-task", scheduler.cpus_per_task),
        ("mem", scheduler.mem),
        ("gres", scheduler.gres),
        ("tmp", scheduler.tmp),
        ("chdir", directory),
        ("output", f"{log}.o"),
        ("error", f"{log}.e"),
    )
    for option, value in fields:
        if value is not None:
            yield option, str(value)
    yield "no-requeue", None  # retrying is our decision; a requeued job has no final state
    yield "open-mode", "append"


def _log_folder(path: str) -> str:
    """Slurm replaces %j and its like in file names, and does not once there is a backslash."""
    if "\\" in path:
        raise InvalidValue(
            f"output directory {path!r} has a backslash",
            allowed="Slurm cannot name log files there; choose another directory",
        )
    return path.replace("%", "%%").rstrip("/")


def _fallback(defaults: Mapping[str, Any], taken: set[str]) -> Iterator[Directive]:
    """The workflow's slurm_defaults, sorted; what the scheduler says wins."""
    beaten = taken | {"requeue"} | {rival for key in taken for rival in _RIVALS.get(key, ())}
    for key in sorted(defaults):
        option, value = _option(key), defaults[key]
        if value is False or option in beaten:
            continue
        yield option, None if value is True else _scalar(option, value)


def _option(key: str) -> str:
    why = default_refused(str(key))
    if why is not None:
        raise InvalidValue(f"slurm_defaults.{key} is not allowed", allowed=why)
    return str(key).replace("_", "-")


def _extra(text: str) -> str:
    refused = extra_refused(_checked("extra", text))
    if refused is not None:
        raise InvalidValue(f"extra has {refused[0]!r}, which is not allowed", allowed=refused[1])
    return text


def _scalar(option: str, value: object) -> str:
    if isinstance(value, str | int | float):
        return str(value)
    raise InvalidValue(
        f"slurm_defaults.{option} is {value!r}",
        allowed="write text or a number, or true for an option without a value",
    )


# ── quoting ──────────────────────────────────────────────────────────────────


def _environment() -> Any:
    """Jinja2, with a filter for each of the two places a value can stand in."""
    from jinja2 import (  # noqa: PLC0415  only who submits needs it
        Environment,
        FileSystemLoader,
        StrictUndefined,
    )

    environment = Environment(
        loader=FileSystemLoader(data.templates()),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  a shell script, not HTML: the filters below quote
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quote"] = quote
    environment.filters["directive"] = directive
    return environment


def quote(value: object) -> str:
    """One word of the shell, whatever is in it."""
    return shlex.quote(_checked("worker", str(value)))


def directive(value: object, option: str) -> str:
    """One value of a #SBATCH line. sbatch ends it at a blank or '#', and drops a backslash."""
    text = _checked(option, str(value))
    if not text or text != text.strip():
        raise InvalidValue(f"{option} is {text!r}", allowed="write it without blanks at its ends")
    if _PLAIN.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _checked(field: str, text: str) -> str:
    if _CONTROL.search(text):
        raise InvalidValue(
            f"{field} is {text!r}", allowed="write it without line breaks and control characters"
        )
    return text
