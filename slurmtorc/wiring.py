"""The one place that builds real adapters."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slurmtorc.clock import SystemClock

if TYPE_CHECKING:
    from slurmtorc.model import Workflow
    from slurmtorc.ports import Store
    from slurmtorc.settings import Settings
    from slurmtorc.worker.launch import LocalLauncher

clock = SystemClock()


def open_store(settings: Settings, *, create: bool) -> Store:
    """The store the settings name. A store of SQLite is made only if `create` says so."""
    from slurmtorc.store.sql import SqlStore  # noqa: PLC0415  slow to import

    return SqlStore(settings.url, clock, create=create)


def local_launcher(workflow: Workflow) -> LocalLauncher:
    """Starts jobs on this node, and measures them as the workflow asks."""
    from slurmtorc.worker.launch import LocalLauncher  # noqa: PLC0415  only workers need it
    from slurmtorc.worker.monitor import Monitor  # noqa: PLC0415
    from slurmtorc.worker.node import for_jobs  # noqa: PLC0415

    config = workflow.resource_monitor_config or {}
    monitor = Monitor(interval=float(config.get("sample_interval_seconds") or 5))
    return LocalLauncher(clock, for_jobs(os.environ), monitor)
