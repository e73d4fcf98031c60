"""Workers of this machine that died without saying so: what they held comes back.

A process that is gone is the one evidence of a dead worker that needs nobody's word, and it can
only be had on its own machine. Jobs it left running are ended first: their attempt is given up,
and must not go on beside the next one.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from slurmtorc.model import ComputeNode
from slurmtorc.ports import Page
from slurmtorc.worker.monitor import process_of, processes

if TYPE_CHECKING:
    from slurmtorc.ports import Store


def sweep(store: Store, workflow_id: int, hostname: str) -> int:
    """Give up the dead workers of this machine; how many jobs came back."""
    active = store.rows(
        ComputeNode, Page(), workflow_id=workflow_id, hostname=hostname, is_active=True
    )
    returned = 0
    for node in active.items:
        if not is_alive(node):
            _end_leftovers(store.url, node, set(store.held(node.id)))
            returned += len(store.abandon(node.id))
    return returned


def is_alive(node: ComputeNode) -> bool:
    """Whether the worker's process runs on this machine, and is no other of the same number."""
    process = process_of(node.pid)
    return process is not None and node.pid_start in {None, process.start_ticks}


def _end_leftovers(url: str, node: ComputeNode, job_ids: set[int]) -> None:
    """Kill processes of the jobs that a dead worker left running."""
    workflow = f"TORC_WORKFLOW_ID={node.workflow_id}".encode()
    store = f"TORC_STORE_URL={url}".encode()
    jobs = {f"TORC_JOB_ID={job_id}".encode() for job_id in job_ids}
    for process in processes():
        environment = _environment(process.pid)
        if workflow in environment and store in environment and environment & jobs:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)


def _environment(pid: int) -> set[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123  once per process
            return set(file.read().split(b"\0"))
    except OSError:  # somebody else's, or gone
        return set()
