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
import sys
from typing import TYPE_CHECKING, Any

from slurmtorc.slurm import sbatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PING = (0, 1)
"""The primary controller and its backup: either is enough."""


class Silent(Exception):
    """No controller answers a ping."""


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
    sbatch.refuse_plugins(config)
    given = {**environment, **sbatch.surroundings(config, directory)}
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
