"""The one place that builds real adapters. Each is imported by the commands that need it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from slurmtorc.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slurmtorc.model import (
        Allocation,
        ComputeNode,
        Habits,
        Job,
        Overview,
        SlurmScheduler,
        Workflow,
    )
    from slurmtorc.ports import Ledger, Order, Script, Slurm, Steps, Store, Upkeep
    from slurmtorc.schedule.submit import Submitter
    from slurmtorc.settings import Settings
    from slurmtorc.slurm.bucket import Bucket
    from slurmtorc.slurm.cli import SlurmCli
    from slurmtorc.watch.agent import Agent, Agents
    from slurmtorc.watch.scripts import Scripts
    from slurmtorc.watch.sweep import Fate, Traces
    from slurmtorc.worker.deputy import Deputy
    from slurmtorc.worker.launch import LocalLauncher
    from slurmtorc.worker.node import Node
    from slurmtorc.worker.srun import SrunLauncher

clock = SystemClock()


def open_store(settings: Settings, *, create: bool) -> Store:
    """The store the settings name. A store of SQLite is made only if `create` says so."""
    from slurmtorc.store.sql import SqlStore  # noqa: PLC0415

    return SqlStore(settings.url, clock, create=create)


def glance(settings: Settings, workflow_id: int) -> Overview | None:
    """Where a workflow stands, if that can be seen without opening the store."""
    from slurmtorc.store.glance import glance  # noqa: PLC0415

    return glance(settings.url, workflow_id)


def upkeep(settings: Settings) -> Upkeep:
    """The care of the store the settings name. It is not migrated by being opened."""
    from slurmtorc.store.keeper import Keeper  # noqa: PLC0415

    return Keeper(settings.url, clock)


def shown_url(settings: Settings) -> str:
    """The store's URL without its password, and without opening or making the store."""
    from slurmtorc.store.dialect import shown_url  # noqa: PLC0415

    return shown_url(settings.url)


@cache
def slurm(settings: Settings) -> Slurm:
    """The Slurm of this machine."""
    programs = _programs(settings)
    return programs if settings.slurm_backend == "cli" else _by_library(settings, programs)


@cache
def _programs(settings: Settings) -> SlurmCli:
    """Slurm's programs: one adapter for a process."""
    from slurmtorc.slurm.cli import SlurmCli  # noqa: PLC0415

    return SlurmCli(settings, clock, bucket=_bucket(settings))


@cache
def _bucket(settings: Settings) -> Bucket:
    """One for a process, so that all its questions to Slurm count together."""
    from slurmtorc.slurm.bucket import Bucket  # noqa: PLC0415

    return Bucket(settings.slurm_rate, settings.slurm_burst, clock)


def _by_library(settings: Settings, programs: Slurm) -> Slurm:
    """Slurm's library, if it can be used here."""
    from slurmtorc.slurm.backend import library  # noqa: PLC0415
    from slurmtorc.slurm.lib import SlurmLib  # noqa: PLC0415

    helper = library(os.environ, settings.slurm_timeout)
    if helper is None:
        return programs
    bucket = _bucket(settings)
    return SlurmLib(helper, programs, settings=settings, clock=clock, bucket=bucket)


def ledger(settings: Settings) -> Ledger:
    """What this machine's Slurm keeps for reports."""
    return _programs(settings)


def submitter(
    store: Store, port: Slurm, settings: Settings, *, prefix: str = "", on_node: bool = False
) -> Submitter:
    """Asks for allocations whose workers use this store; `prefix` begins their names in Slurm.

    `on_node`: from a compute node, where that may be forbidden.
    """
    from slurmtorc.schedule.submit import Submitter  # noqa: PLC0415

    def script(workflow: Workflow, scheduler: SlurmScheduler, allocation: Allocation) -> Script:
        return allocation_script(store.url, workflow, scheduler, allocation, prefix=prefix)

    seconds = settings.slurm_timeout
    return Submitter(store, port, clock, script, command_s=seconds, on_node=on_node)


def allocation_script(
    url: str,
    workflow: Workflow,
    scheduler: SlurmScheduler,
    allocation: Allocation,
    *,
    prefix: str = "",
) -> Script:
    """The batch script of one allocation: one worker of this installation on each node."""
    from slurmtorc.model import ExecutionConfig  # noqa: PLC0415
    from slurmtorc.schedule.folder import directory_of  # noqa: PLC0415
    from slurmtorc.slurm.script import render  # noqa: PLC0415

    # -P: a file of the user's called like a module of Python's must not be taken for it.
    worker = [sys.executable, "-P", "-m", "slurmtorc", "worker", str(allocation.id)]
    return render(
        scheduler=scheduler,
        allocation=allocation,
        worker=worker,
        directory=directory_of(workflow),
        defaults=workflow.slurm_defaults,
        environment={"TORC_STORE_URL": url, "TORC_API_URL": url},
        by_steps=ExecutionConfig.of(workflow.execution_config).by_steps(in_slurm=True),
        prefix=prefix,
    )


def steps(settings: Settings) -> Steps:
    """What a worker asks of Slurm about its own allocation."""
    return _programs(settings)


def step_launcher(
    settings: Settings, workflow: Workflow, nodes: Sequence[Node], habits: Habits
) -> SrunLauncher:
    """Starts jobs as steps of the allocation that these nodes are."""
    from slurmtorc.model import ExecutionConfig  # noqa: PLC0415
    from slurmtorc.worker.clerk import TRIES, Clerk  # noqa: PLC0415
    from slurmtorc.worker.employ import whole  # noqa: PLC0415
    from slurmtorc.worker.launch import LocalLauncher  # noqa: PLC0415
    from slurmtorc.worker.monitor import Monitor  # noqa: PLC0415
    from slurmtorc.worker.node import for_steps  # noqa: PLC0415
    from slurmtorc.worker.srun import Allotment, SrunLauncher  # noqa: PLC0415

    config, node = ExecutionConfig.of(workflow.execution_config), nodes[0]
    assert node.slurm_job_id is not None, "refused before: see refuse_steps_outside"
    unbound = "none" if habits.binds_cpus else None
    allotment = Allotment(
        slurm_job_id=node.slurm_job_id,
        whole=replace(whole(node), nodes=len(nodes)),
        end_time=node.end_time,
        headroom_s=config.sigkill_headroom_seconds,
        signal=config.srun_termination_signal,
        bind=None if config.enable_cpu_bind else unbound,
    )
    # Nobody looks at what an srun uses.
    local = LocalLauncher(clock, for_steps(os.environ), Monitor(interval=3600.0))
    tries = TRIES if habits.keeps_accounts else 1
    clerk = Clerk(steps(settings), node.slurm_job_id, tries=tries)
    return SrunLauncher(local, clerk, clock, allotment)


def local_launcher(workflow: Workflow) -> LocalLauncher:
    """Starts jobs on this node, and measures them as the workflow asks."""
    from slurmtorc.worker.launch import LocalLauncher  # noqa: PLC0415
    from slurmtorc.worker.monitor import Monitor  # noqa: PLC0415
    from slurmtorc.worker.node import for_jobs  # noqa: PLC0415

    config = workflow.resource_monitor_config or {}
    monitor = Monitor(interval=float(config.get("sample_interval_seconds") or 5))
    return LocalLauncher(clock, for_jobs(os.environ), monitor)


def recovery_scripts(url: str) -> Scripts:
    """Recovery scripts of jobs whose worker died, run on this machine."""
    from slurmtorc.rules.retrying import Retry  # noqa: PLC0415
    from slurmtorc.watch.scripts import Scripts  # noqa: PLC0415
    from slurmtorc.worker.afterwards import script_order  # noqa: PLC0415
    from slurmtorc.worker.launch import LocalLauncher  # noqa: PLC0415
    from slurmtorc.worker.node import for_jobs  # noqa: PLC0415

    def order(workflow: Workflow, fate: Fate) -> Order:
        script = fate.next.script if isinstance(fate.next, Retry) else None
        return script_order(
            workflow, fate.node, fate.job, script=script or "", verdict=fate.verdict, url=url
        )

    return Scripts(LocalLauncher(clock, for_jobs(os.environ)), clock, order)


def deputy(store: Store) -> Deputy:
    """Executes actions on this machine when no worker is left to do so."""
    from slurmtorc.worker.deputy import Deputy  # noqa: PLC0415
    from slurmtorc.worker.launch import LocalLauncher  # noqa: PLC0415
    from slurmtorc.worker.node import for_jobs  # noqa: PLC0415

    return Deputy(store, LocalLauncher(clock, for_jobs(os.environ)), clock)


def agents(agent: Agent, url: str, output_dir: str) -> Agents:
    """An agent's processes, on this machine."""
    from slurmtorc.watch.agent import Agents  # noqa: PLC0415
    from slurmtorc.worker.launch import LocalLauncher  # noqa: PLC0415
    from slurmtorc.worker.node import for_jobs  # noqa: PLC0415

    return Agents(LocalLauncher(clock, for_jobs(os.environ)), clock, agent, url, output_dir)


def traces(workflow: Workflow, node: ComputeNode, job: Job) -> Traces:
    """What an attempt has left in its files, as far as they can be seen from here."""
    from slurmtorc.watch.sweep import Traces  # noqa: PLC0415
    from slurmtorc.worker.afterwards import left_by  # noqa: PLC0415

    return Traces(*left_by(workflow, node, job))
