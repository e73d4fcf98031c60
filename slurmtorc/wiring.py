"""The one place that builds real adapters. Each is imported by the commands that need it."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING

from slurmtorc.clock import SystemClock

if TYPE_CHECKING:
    from slurmtorc.model import Allocation, SlurmScheduler, Workflow
    from slurmtorc.ports import Script, Slurm, Store
    from slurmtorc.schedule.submit import Submitter
    from slurmtorc.settings import Settings
    from slurmtorc.worker.launch import LocalLauncher

clock = SystemClock()


def open_store(settings: Settings, *, create: bool) -> Store:
    """The store the settings name. A store of SQLite is made only if `create` says so."""
    from slurmtorc.store.sql import SqlStore  # noqa: PLC0415

    return SqlStore(settings.url, clock, create=create)


def shown_url(settings: Settings) -> str:
    """The store's URL without its password, and without opening or making the store."""
    from slurmtorc.store.dialect import shown_url  # noqa: PLC0415

    return shown_url(settings.url)


@cache
def slurm(settings: Settings) -> Slurm:
    """The Slurm of this machine: one for a process, so that all its commands count together."""
    from slurmtorc.slurm.cli import SlurmCli  # noqa: PLC0415

    return SlurmCli(settings, clock)


def submitter(store: Store, port: Slurm, settings: Settings) -> Submitter:
    """Asks for allocations whose workers use this store."""
    from slurmtorc.schedule.submit import Submitter  # noqa: PLC0415

    def script(workflow: Workflow, scheduler: SlurmScheduler, allocation: Allocation) -> Script:
        return allocation_script(store.url, workflow, scheduler, allocation)

    return Submitter(store, port, clock, script, command_s=settings.slurm_timeout)


def allocation_script(
    url: str, workflow: Workflow, scheduler: SlurmScheduler, allocation: Allocation
) -> Script:
    """The batch script of one allocation: one worker of this installation on each node."""
    from slurmtorc.schedule.submit import directory_of  # noqa: PLC0415
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
    )


def local_launcher(workflow: Workflow) -> LocalLauncher:
    """Starts jobs on this node, and measures them as the workflow asks."""
    from slurmtorc.worker.launch import LocalLauncher  # noqa: PLC0415
    from slurmtorc.worker.monitor import Monitor  # noqa: PLC0415
    from slurmtorc.worker.node import for_jobs  # noqa: PLC0415

    config = workflow.resource_monitor_config or {}
    monitor = Monitor(interval=float(config.get("sample_interval_seconds") or 5))
    return LocalLauncher(clock, for_jobs(os.environ), monitor)
