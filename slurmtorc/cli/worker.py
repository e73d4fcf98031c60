"""`torc worker`: what the batch script of an allocation starts on each of its nodes."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.context import ID, State, TorcCommand, pass_state
from slurmtorc.cli.log import log_to
from slurmtorc.errors import SlurmError

if TYPE_CHECKING:
    from slurmtorc.model import Allocation, Habits, Workflow
    from slurmtorc.worker.employ import Offer
    from slurmtorc.worker.node import Node
    from slurmtorc.worker.station import Act, Ports
    from slurmtorc.worker.worker import Worker

log = logging.getLogger("slurmtorc.cli.worker")

STAGGER_S = 0.05
MAX_STAGGER_S = 3.0


@click.command("worker", cls=TorcCommand)
@click.argument("allocation_id", type=ID)
@pass_state
def worker(state: State, allocation_id: int) -> None:
    """Work in an allocation (started by the batch script).

    Claims and runs jobs on this node until there is nothing more to do.

    The batch script of an allocation starts one worker on each node; people rarely do.

    Example: torc worker 3
    """
    from slurmtorc.model import Allocation, Workflow
    from slurmtorc.rules.endings import Stopped
    from slurmtorc.worker.employ import work

    allocation = state.store.get(Allocation, allocation_id)
    workflow = state.store.get(Workflow, allocation.workflow_id)
    one = _employed(state, workflow, allocation)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: one.interrupt())
    work(one, one.ports.launcher.wait)
    if one.stopped is not Stopped.ALLOCATION:
        _end_surplus(state, workflow.id)


def _employed(state: State, workflow: Workflow, allocation: Allocation) -> Worker:
    from slurmtorc.model import ExecutionConfig
    from slurmtorc.rules.endings import Stopped
    from slurmtorc.wiring import clock
    from slurmtorc.worker.employ import Offer, employ
    from slurmtorc.worker.node import this_node
    from slurmtorc.worker.paths import slurm_log
    from slurmtorc.worker.station import Conduct

    config = ExecutionConfig.of(workflow.execution_config)
    node = _with_end(state, this_node(os.environ), allocation)
    by_steps = config.by_steps(in_slurm=node.slurm_job_id is not None)
    if config.staggered_start and not by_steps:
        clock.sleep(_stagger(node.slurm_node_number))
    habits = _habits(state)
    log_to(
        slurm_log(
            allocation.output_dir,
            workflow.id,
            node.slurm_job_id or 0,
            node.slurm_node_number,
            os.getpid(),
        )
    )
    conduct = Conduct(
        max_parallel_jobs=allocation.max_parallel_jobs,
        idle_limit_s=workflow.compute_node_wait_for_new_jobs_seconds,
        end_time=node.end_time,
        interrupt_means=Stopped.ALLOCATION,
        by_steps=by_steps,
        kill_wait_s=habits.kill_wait_s,
    )
    offer = Offer(
        node=node,
        nodes=_commanded(node) if by_steps else (),
        output_dir=allocation.output_dir,
        conduct=conduct,
        allocation=allocation,
    )
    return employ(_ports(state, workflow, offer, habits), workflow, offer)


def _ports(state: State, workflow: Workflow, offer: Offer, habits: Habits) -> Ports:
    from slurmtorc.wiring import clock, local_launcher, slurm, step_launcher
    from slurmtorc.worker.employ import refuse_steps_outside
    from slurmtorc.worker.inquest import Inquest
    from slurmtorc.worker.station import Ports

    refuse_steps_outside(workflow, offer.node)
    allocation, node = offer.allocation, offer.node
    assert allocation is not None, "torc worker has one"
    asks = node.slurm_job_id if node.slurm_node_number == 0 else None
    common: dict[str, Any] = {
        "store": state.store,
        "clock": clock,
        "act": _actor(state, workflow, allocation),
        "why": Inquest(state.store, slurm(state.settings), clock, allocation, asks),
    }
    if not offer.nodes:
        return Ports(launcher=local_launcher(workflow), **common)
    steps = step_launcher(state.settings, workflow, offer.nodes, habits)
    return Ports(launcher=steps, accounts=steps.accounts, **common)


def _commanded(node: Node) -> tuple[Node, ...]:
    """All nodes of the allocation, each with its end."""
    from slurmtorc.worker.node import all_nodes

    return tuple(replace(each, end_time=node.end_time) for each in all_nodes(os.environ))


def _stagger(node_number: int) -> float:
    """Seconds by which a node's worker waits for those before it: the store is not stormed."""
    return min(STAGGER_S * node_number, MAX_STAGGER_S)


def _habits(state: State) -> Habits:
    """How long Slurm leaves processes alive at the end, and the like."""
    from slurmtorc.model import Habits
    from slurmtorc.wiring import steps

    try:
        return steps(state.settings).habits()
    except SlurmError as error:
        log.warning("Slurm's configuration is not known, the least is assumed: %s", error)
        return Habits(kill_wait_s=0.0)


def _with_end(state: State, node: Node, allocation: Allocation) -> Node:
    """The node with the allocation's end: from Slurm's environment, Slurm, or its walltime."""
    from slurmtorc.model import SlurmScheduler
    from slurmtorc.units import parse_walltime
    from slurmtorc.wiring import clock, slurm

    if node.end_time is not None or node.slurm_job_id is None:
        return node
    try:
        entry = slurm(state.settings).look([node.slurm_job_id]).get(node.slurm_job_id)
        if entry is not None and entry.end_time is not None:
            return replace(node, end_time=entry.end_time)
    except SlurmError as error:
        log.warning("Slurm does not say when the allocation ends: %s", error)
    if allocation.scheduler_config_id is None:
        return node
    scheduler = state.store.get(SlurmScheduler, allocation.scheduler_config_id)
    walltime = parse_walltime(scheduler.walltime)
    return node if walltime is None else replace(node, end_time=clock.now() + walltime)


def _actor(state: State, workflow: Workflow, allocation: Allocation) -> Act | None:
    """Executes the workflow's actions from here, if jobs can be submitted here."""
    from slurmtorc.schedule.submit import tell
    from slurmtorc.wiring import slurm, submitter

    if shutil.which("sbatch") is None:
        return None
    asks = submitter(state.store, slurm(state.settings), state.settings, on_node=True)

    def act(compute_node_id: int, *, leaving: bool = False) -> None:
        if asks.is_barred:
            return  # the watch does it
        # One at a time, and no waiting: the jobs of this worker must not wait for Slurm.
        folder = allocation.output_dir
        asked = asks.act(workflow, folder, compute_node_id, leaving=leaving, limit=1, patient=False)
        tell(asked)

    return act


def _end_surplus(state: State, workflow_id: int) -> None:
    from slurmtorc.schedule.submit import end_surplus
    from slurmtorc.wiring import slurm

    try:
        for allocation in end_surplus(state.store, slurm(state.settings), workflow_id):
            log.info("Canceled the queued allocation %d: nothing is left to run", allocation.id)
    except SlurmError as error:
        log.warning("Queued allocations could not be canceled: %s", error)
