"""The child process that speaks to Slurm through pyslurm: the only importer of it.

A process of its own, because a call of Slurm's library cannot be interrupted, holds the whole
interpreter, and may end it: importing pyslurm where no Slurm can be reached exits without an
exception. Here a call that hangs is ended by ending the child (helper.py), and what the library
does to a process it does to this one. A question is one line of JSON on standard input, its
answer one line on standard output; nothing here decides, and nothing is remembered.

An answer holds one of: `answer`; `silent`, the controller does not answer; `errno` and `said`, an
error of Slurm's; `raised`, the library could not even ask.
"""

from __future__ import annotations

import grp
import json
import os
import resource
import socket
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PING = (0, 1)
"""The primary controller and its backup: either is enough."""

_LIMITS = (
    "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS",
)  # fmt: skip
_UNLIMITED = 2**64 - 1

_PLUGINS = ("/etc/slurm/plugstack.conf", "/run/slurm/conf/plugstack.conf")


class Silent(Exception):
    """No controller answers a ping."""


class OnlySbatch(Exception):
    """Here sbatch does more than hand a script on."""


def main() -> None:
    """Answer questions until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the library prints is no answer
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line))) + "\n")
        answers.flush()


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """What Slurm says, or how it failed."""
    try:
        import pyslurm  # noqa: PLC0415  it may end the process: only in here, and only when asked
    except ImportError as error:
        return {"raised": str(error)}
    try:
        return {"answer": _OPERATIONS[question["ask"]](pyslurm, **question["with"])}
    except Silent as error:
        return {"silent": str(error)}
    except pyslurm.RPCError as error:
        return {"errno": error.errno, "said": str(error.msg)}
    except Exception as error:  # noqa: BLE001  whatever it is, it is an answer: nothing was asked
        return {"raised": f"{type(error).__name__}: {error}"}


# ── questions ────────────────────────────────────────────────────────────────


def _hello(pyslurm: Any) -> str:
    return str(pyslurm.__version__)


def _version(pyslurm: Any) -> str:
    _ping(pyslurm)
    return str(pyslurm.slurmctld.Config.load().version)


def _jobs(pyslurm: Any, ids: list[int] | None = None, user: int | None = None) -> list[Any]:
    """Of the queue; a controller is asked for all jobs in one call, or for one job in each."""
    _ping(pyslurm)
    wanted = None if ids is None else set(ids)
    return [
        {
            "id": job.id,
            "name": job.name,
            "comment": job.comment,
            "state": job.state,
            "reason": job.state_reason,
            "nodes": job.allocated_nodes,
            "submit": job.submit_time,
            "start": job.start_time,
            "end": job.end_time,
        }
        for job in pyslurm.Jobs.load().values()
        if (wanted is None or job.id in wanted) and user in {None, job.user_id}
    ]


def _accounts(
    pyslurm: Any, start: int, ids: list[int] | None = None, user: int | None = None
) -> list[Any] | None:
    """None where a cluster keeps no accounting."""
    if not _keeps_accounts(pyslurm):
        return None
    given = {"ids": ids, "users": None if user is None else [user]}
    wanted = pyslurm.db.JobFilter(
        start_time=start, **{name: value for name, value in given.items() if value}
    )
    return [
        {
            "id": job.id,
            "name": job.name,
            "state": job.state,
            "nodes": job.nodelist,
            "submit": job.submit_time,
            "start": job.start_time,
            "end": job.end_time,
            "elapsed": job.elapsed_time,
            "limit": job.time_limit,
        }
        for job in pyslurm.db.Jobs.load(wanted).values()
    ]


def _keeps_accounts(pyslurm: Any) -> bool:
    """Only the controller knows; while it is away accounting is asked, and answers for itself."""
    try:
        _ping(pyslurm)
        kind = pyslurm.slurmctld.Config.load().accounting_storage_type
    except (Silent, pyslurm.RPCError):
        return True
    return bool(kind) and not kind.endswith("/none")


def _cancel(pyslurm: Any, ids: list[int]) -> list[int]:
    """Those of which Slurm did not say that they are canceled."""
    _ping(pyslurm)
    return [number for number in ids if not _canceled(pyslurm, number)]


def _canceled(pyslurm: Any, number: int) -> bool:
    try:
        pyslurm.Job(number).cancel()
    except pyslurm.RPCError:
        return False
    return True


def _site(pyslurm: Any) -> dict[str, Any]:
    _ping(pyslurm)
    groups = set(_groups())
    return {
        "name": pyslurm.slurmctld.Config.load().cluster_name,
        "partitions": [
            {
                "name": part.name,
                "default": bool(part.is_default),
                "state": part.state,
                "limit": part.max_time,
            }
            for part in pyslurm.Partitions.load().values()
            if not part.is_hidden and _may_use(part, groups)
        ],
        "nodes": [
            {
                "partitions": node.partitions,
                "cpus": node.total_cpus,
                "memory": node.real_memory,
                "gres": node.configured_gres,
            }
            for node in pyslurm.Nodes.load().values()
        ],
    }


def _may_use(partition: Any, groups: set[str]) -> bool:
    """The library shows partitions of other people's groups too; sinfo does not."""
    allowed = partition.allowed_groups
    return not allowed or "ALL" in allowed or bool(groups & set(allowed)) or os.geteuid() == 0


def _groups() -> Iterator[str]:
    for number in {os.getegid(), *os.getgroups()}:
        try:
            yield grp.getgrgid(number).gr_name
        except KeyError:
            continue


def _submit(
    pyslurm: Any, description: dict[str, Any], environment: dict[str, str], directory: str
) -> int:
    """The id. An RPCError is an answer of Slurm's; anything else was raised before it was asked."""
    _ping(pyslurm)
    config = pyslurm.slurmctld.Config.load()
    _refuse_what_only_sbatch_does(config)
    given = {**environment, **_surroundings(config, directory)}
    return int(pyslurm.JobSubmitDescription(**description, environment=given).submit())


def _ping(pyslurm: Any) -> None:
    """Without it a dead controller is waited for, 10 to 20 s."""
    why = ""
    for index in _PING:
        try:
            pyslurm.slurmctld.ping(index)
        except pyslurm.RPCError as error:
            why = why or str(error.msg)
        else:
            return
    raise Silent(why)


# ── what sbatch does besides ─────────────────────────────────────────────────


def _refuse_what_only_sbatch_does(config: Any) -> None:
    """Plugins of the site's that are loaded by sbatch, not by the controller."""
    if config.cli_filter_plugins:
        raise OnlySbatch(f"cli_filter_plugins is {config.cli_filter_plugins}")
    own = os.path.join(os.path.dirname(os.environ.get("SLURM_CONF", "")), "plugstack.conf")  # noqa: PTH118, PTH120  one stat each
    for path in (config.plugin_stack_config, own, *_PLUGINS):
        if path and os.path.exists(path):  # noqa: PTH110  see above
            raise OnlySbatch(f"{path} may hold plugins of sbatch")


def _surroundings(config: Any, directory: str) -> dict[str, str]:
    """Variables by which sbatch tells slurmd of limits, umask and niceness."""
    mask = os.umask(0o077)
    os.umask(mask)
    return {
        "SLURM_SUBMIT_DIR": directory,
        "SLURM_SUBMIT_HOST": socket.gethostname().partition(".")[0],
        "SLURM_UMASK": f"{mask:04o}",
        "SLURM_PRIO_PROCESS": str(os.getpriority(os.PRIO_PROCESS, 0)),
        **{f"SLURM_RLIMIT_{name}": str(_limit(name)) for name in _propagated(config)},
    }


def _propagated(config: Any) -> list[str]:
    """Which limits go with a job: all, unless the site says otherwise."""
    only = [name.upper() for name in config.propagate_resource_limits or ["ALL"]]
    never = {name.upper() for name in config.propagate_resource_limits_except or []}
    return [
        name
        for name in _LIMITS
        if ("ALL" in only or name in only) and name not in never and "NONE" not in only
    ]


def _limit(name: str) -> int:
    soft, _ = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "hello": _hello,
    "version": _version,
    "jobs": _jobs,
    "accounts": _accounts,
    "cancel": _cancel,
    "site": _site,
    "submit": _submit,
}

if __name__ == "__main__":
    main()
