"""Batch scripts as a simulated cluster reads them: what one asks for, or why it is refused.

A simulated worker needs no program in its script, so one is written here in short form; those
that are rendered for a real Slurm are read as well.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.errors import SubmissionRefused
from slurmtorc.ports import Script
from slurmtorc.schedule.folder import directory_of
from slurmtorc.slurm.script import job_name
from slurmtorc.units import KIB, parse_memory, parse_walltime

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from slurmtorc.model import Allocation, Partition, Site, SlurmScheduler, Workflow

DEFAULT_LIMIT_S = 3600

_OPTIONS = frozenset(
    (
        "account", "chdir", "comment", "cpus-per-task", "error", "exclusive", "gres", "hold",
        "job-name", "mem", "mem-per-cpu", "no-requeue", "nodes", "ntasks-per-node", "open-mode",
        "output", "partition", "qos", "time", "tmp",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What an allocation is to have; sizes are of one node."""

    name: str
    comment: str
    partition: str
    nodes: int
    cpus: int
    memory_bytes: int
    gpus: int
    limit_s: int
    held: bool


def short_script(workflow: Workflow, scheduler: SlurmScheduler, allocation: Allocation) -> Script:
    """What a batch script says to Slurm, without the rest of it."""
    name = job_name("", allocation)
    options: tuple[tuple[str, object], ...] = (
        ("job-name", name),
        ("comment", allocation.token),
        ("account", scheduler.account),
        ("partition", scheduler.partition),
        ("time", scheduler.walltime),
        ("nodes", scheduler.nodes),
        ("cpus-per-task", scheduler.cpus_per_task),
        ("mem", scheduler.mem),
        ("gres", scheduler.gres),
    )
    lines = [f"#SBATCH --{option}={value}" for option, value in options if value is not None]
    return Script("\n".join(lines), name, allocation.token, directory_of(workflow))


def request_of(script: Script, site: Site, accounts: Collection[str] | None) -> Request:
    """What a script asks for. Raises SubmissionRefused with what Slurm would say."""
    options = _options(script.text)
    if accounts is not None and options.get("account") not in accounts:
        raise SubmissionRefused("Invalid account or account/partition combination specified")
    partition = _partition(options, site)
    request = Request(
        name=options.get("job-name", script.job_name),
        comment=options.get("comment", script.token),
        partition=partition.name,
        nodes=int(options.get("nodes", "1")),
        cpus=int(options.get("cpus-per-task", "1")) * int(options.get("ntasks-per-node", "1")),
        memory_bytes=_memory(options.get("mem"), partition),
        gpus=_gpus(options.get("gres", "")),
        limit_s=_limit(options.get("time"), partition),
        held="hold" in options,
    )
    _refuse_what_never_fits(request, partition)
    return request


def _options(text: str) -> dict[str, str]:
    options = {}
    for line in text.splitlines():
        if not line.startswith("#SBATCH "):
            continue
        for word in shlex.split(line.removeprefix("#SBATCH ")):
            name, _, value = word.removeprefix("--").partition("=")
            if name not in _OPTIONS:
                raise SubmissionRefused(f"unrecognized option '{word}'")
            options[name] = value
    return options


def _partition(options: Mapping[str, str], site: Site) -> Partition:
    wanted = options.get("partition")
    for partition in site.partitions:
        if partition.is_default if wanted is None else partition.name == wanted:
            return partition
    raise SubmissionRefused(f"invalid partition specified: {wanted}")


def _memory(written: str | None, partition: Partition) -> int:
    """None and 0 are all of a node's, as where a cluster has no DefMemPerCPU."""
    if written is None or written == "0":
        return partition.memory_bytes
    return parse_memory(written) if written[-1].isalpha() else int(written) * KIB**2


def _gpus(written: str) -> int:
    return int(written.rpartition(":")[2]) if written else 0


def _limit(written: str | None, partition: Partition) -> int:
    seconds = parse_walltime(written) if written else partition.max_walltime_s
    longest = partition.max_walltime_s
    if longest is not None and (seconds is None or seconds > longest):
        raise SubmissionRefused("Requested time limit is invalid (missing or exceeds some limit)")
    return DEFAULT_LIMIT_S if seconds is None else int(seconds)


def _refuse_what_never_fits(request: Request, partition: Partition) -> None:
    if request.memory_bytes > partition.memory_bytes:
        raise SubmissionRefused("Memory specification can not be satisfied")
    if request.nodes > partition.nodes or request.cpus > partition.cpus:
        raise SubmissionRefused("More processors requested than permitted")
    if request.gpus > partition.gpus:
        raise SubmissionRefused("Requested node configuration is not available")
