"""A worker for this process: what it may use, its row in the store, where its jobs run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.errors import Conflict
from slurmtorc.loop import drive
from slurmtorc.model import Capacity, ComputeNode, ExecutionConfig
from slurmtorc.schedule.folder import directory_of, make_folder
from slurmtorc.worker.attempts import Surroundings
from slurmtorc.worker.lease import LEASE_S
from slurmtorc.worker.monitor import process_of
from slurmtorc.worker.paths import STDIO_FOLDER
from slurmtorc.worker.station import Station
from slurmtorc.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slurmtorc.model import Allocation, Workflow
    from slurmtorc.worker.node import Node
    from slurmtorc.worker.station import Conduct, Ports


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a worker is started with."""

    node: Node
    nodes: Sequence[Node] = ()
    """All nodes that it commands, its own among them; empty: its own alone."""
    output_dir: str
    conduct: Conduct
    allocation: Allocation | None = None


def employ(ports: Ports, workflow: Workflow, offer: Offer) -> Worker:
    """Register a worker and build it. Raises Conflict for one that is not wanted."""
    refuse_steps_outside(workflow, offer.node)
    around = surroundings(workflow, offer.output_dir, ports.store.url)
    make_folder(os.path.join(around.output_dir, STDIO_FOLDER))  # noqa: PTH118
    record = ports.store.register(_record(ports, around, offer), run_id=workflow.run_id)
    return Worker(ports, _station(record, offer), around, offer.conduct)


def _station(record: ComputeNode, offer: Offer) -> Station:
    """What jobs may use. Of steps' GPUs only the number counts: Slurm gives each step its own."""
    own = whole(offer.node, offer.allocation)
    nodes = tuple((node.hostname, whole(node, offer.allocation)) for node in offer.nodes)
    gpus = () if offer.conduct.by_steps else offer.node.gpus
    return Station(node=record, whole=own, gpus=gpus, nodes=nodes)


def work(worker: Worker, rest: Callable[[float], object]) -> None:
    """Drive a worker to its end; if the worker itself fails, its jobs end with it."""
    try:
        drive(worker.tick, rest)
    except BaseException:
        worker.kill()
        raise
    leave(worker)


def leave(worker: Worker) -> None:
    """A worker that ends in order holds nothing; if it does, that comes back.

    Unless it is in doubt: what it holds is the watch's to judge, once accounting says why the
    allocation ended.
    """
    if worker.in_doubt:
        worker.kill()
        return
    worker.finish()
    store, node_id = worker.ports.store, worker.station.node.id
    if store.held(node_id):
        store.abandon(node_id)
    else:
        store.retire(node_id)


def refuse_steps_outside(workflow: Workflow, node: Node) -> None:
    """Raise Conflict if jobs must be steps, and this is no allocation."""
    config = ExecutionConfig.of(workflow.execution_config)
    if config.mode == "slurm" and node.slurm_job_id is None:
        message = f"workflow {workflow.id} has execution_config.mode: slurm, and this is no"
        raise Conflict(f"{message} allocation; use 'torc submit-slurm', or write mode: auto")


def surroundings(workflow: Workflow, output_dir: str, url: str) -> Surroundings:
    """Where a workflow's jobs run. Relative paths start where it was submitted."""
    directory = directory_of(workflow)
    if not os.path.isdir(directory):  # noqa: PTH112
        message = f"workflow {workflow.id} was submitted in {directory}"
        raise Conflict(f"{message}, which does not exist here; make it, or run where it does")
    return Surroundings(
        workflow=workflow,
        directory=directory,
        output_dir=os.path.join(directory, output_dir),  # noqa: PTH118
        url=url,
        config=ExecutionConfig.of(workflow.execution_config),
    )


def whole(node: Node, allocation: Allocation | None = None) -> Capacity:
    """All that jobs may use of a node."""
    return Capacity(
        cpus=node.cpus,
        memory_bytes=node.memory_bytes,
        gpus=len(node.gpus),
        scheduler_id=allocation.scheduler_config_id if allocation else None,
    )


def _record(ports: Ports, around: Surroundings, offer: Offer) -> ComputeNode:
    node, allocation = offer.node, offer.allocation
    me = process_of(os.getpid())
    return ComputeNode(
        workflow_id=around.workflow.id,
        hostname=node.hostname,
        pid=os.getpid(),
        pid_start=me.start_ticks if me else None,
        lease_until=ports.clock.now() + LEASE_S,
        num_cpus=node.cpus,
        memory_bytes=node.memory_bytes,
        num_gpus=len(node.gpus),
        num_nodes=max(1, len(offer.nodes)),
        compute_node_type="slurm" if allocation else "local",
        output_dir=around.output_dir,
        allocation_id=allocation.id if allocation else None,
        scheduler_config_id=allocation.scheduler_config_id if allocation else None,
        slurm_job_id=node.slurm_job_id,
    )
