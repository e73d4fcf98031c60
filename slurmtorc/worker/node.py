"""What this node has: CPUs, memory, GPUs, and how long.

In an allocation Slurm's environment says it. Elsewhere the machine is asked, within the limits
this process was given: a CPU affinity, a control group's memory. The user may say otherwise.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from slurmtorc.slurm.nodes import expand_counts, expand_nodes

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1024**2

_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)

STEP_VARIABLES = re.compile(
    r"SLURM_(STEP|STEPID|PROCID|LOCALID|GTIDS|NTASKS|NPROCS|TASKS_PER_NODE|LAUNCH|SRUN|CPU_BIND"
    r"|MEM_PER|CPUS_PER_TASK|TRES_PER_TASK|DISTRIBUTION|UMASK|PRIO_PROCESS|TASK_PID|TOPOLOGY)"
    r"|SRUN_|PMI_|PMI2_|PMIX_|PALS_"
)
"""Variables of the step that the worker is. A job that starts its own srun or MPI must not
inherit them: it would believe to be a task of the worker's step."""

_SRUN_OPTIONS = re.compile(
    r"SLURM_(GPUS|GPUS_PER_\w+|CPUS_PER_GPU|EXCLUSIVE|HINT|THREADS_PER_CORE|TIMELIMIT|GRES|EXACT"
    r"|OVERLAP|CONSTRAINT|SPREAD_JOB)"
)
"""Options of the allocation that an srun inside it would take for its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node, as far as a worker may use it."""

    hostname: str
    cpus: int
    memory_bytes: int
    gpus: tuple[str, ...] = ()
    """Names of devices, as CUDA_VISIBLE_DEVICES takes them."""
    slurm_job_id: int | None = None
    slurm_node_number: int = 0
    end_time: float | None = None
    """When Slurm will end the allocation; None if unknown or never."""


def this_node(env: Mapping[str, str]) -> Node:
    """The node this process runs on, by Slurm's environment or by asking the machine."""
    in_slurm = "SLURM_JOB_ID" in env
    return Node(
        hostname=env.get("SLURMD_NODENAME") or socket.gethostname().partition(".")[0],
        cpus=_cpus(env),
        memory_bytes=_memory(env, _cpus(env)),
        gpus=_gpus(env),
        slurm_job_id=int(env["SLURM_JOB_ID"]) if in_slurm else None,
        slurm_node_number=int(env.get("SLURM_NODEID") or 0),
        end_time=float(env["SLURM_JOB_END_TIME"]) if env.get("SLURM_JOB_END_TIME") else None,
    )


def all_nodes(env: Mapping[str, str]) -> tuple[Node, ...]:
    """All nodes of the allocation this process is in, in Slurm's order."""
    own = this_node(env)
    names = expand_nodes(env.get("SLURM_JOB_NODELIST", ""))
    if len(names) <= 1:
        return (own,)
    cpus = expand_counts(env.get("SLURM_JOB_CPUS_PER_NODE", ""))
    if len(cpus) != len(names):
        cpus = [own.cpus] * len(names)
    return tuple(
        replace(own, hostname=name, cpus=count, memory_bytes=_memory(env, count))
        for name, count in zip(names, cpus, strict=True)
    )


def for_jobs(env: Mapping[str, str]) -> dict[str, str]:
    """The environment jobs start from: the worker's, without what makes it a step."""
    return {name: value for name, value in env.items() if not STEP_VARIABLES.match(name)}


def for_steps(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of the sruns that make jobs' steps."""
    return {name: value for name, value in for_jobs(env).items() if not _is_option(name)}


def _is_option(name: str) -> bool:
    return _SRUN_OPTIONS.fullmatch(name) is not None


def _cpus(env: Mapping[str, str]) -> int:
    if env.get("SLURM_CPUS_ON_NODE"):
        return int(env["SLURM_CPUS_ON_NODE"])
    return len(os.sched_getaffinity(0))


def _memory(env: Mapping[str, str], cpus: int) -> int:
    if int(env.get("SLURM_MEM_PER_NODE") or 0):
        return int(env["SLURM_MEM_PER_NODE"]) * MIB
    if int(env.get("SLURM_MEM_PER_CPU") or 0):
        return int(env["SLURM_MEM_PER_CPU"]) * MIB * cpus
    return _machine_memory()


def _machine_memory() -> int:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in _CGROUP_LIMITS:
        try:
            total = min(total, int(limit.read_text()))
        except (OSError, ValueError):  # no such limit, or the word "max"
            continue
    return total


_NO_DEVICES = {"", "NoDevFiles", "-1"}


def _gpus(env: Mapping[str, str]) -> tuple[str, ...]:
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS"):
        if name in env:
            listed = (device.strip() for device in env[name].split(","))
            return tuple(device for device in listed if device not in _NO_DEVICES)
    if "SLURM_JOB_ID" in env:
        return ()
    found = (re.fullmatch(r"nvidia(\d+)", path.name) for path in Path("/dev").glob("nvidia*"))
    return tuple(sorted((match[1] for match in found if match), key=int))
