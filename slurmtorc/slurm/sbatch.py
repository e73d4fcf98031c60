"""What sbatch does on its own side besides handing a script on.

A script that is submitted through the library is to have the same surroundings; where that cannot
be, because a plugin of the site's is loaded by sbatch alone, the library must not submit at all.
"""

from __future__ import annotations

import os
import resource
import socket
from pathlib import Path
from typing import Any

_LIMITS = (
    "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS",
)  # fmt: skip
_UNLIMITED = 2**64 - 1

_PLUGINS = "plugstack.conf"
"""Beside slurm.conf, or where a node without one keeps the controller's."""


class OnlySbatch(Exception):
    """Here sbatch does more than hand a script on."""


def refuse_plugins(config: Any) -> None:
    """Plugins of the site's that are loaded by sbatch, not by the controller."""
    if config.cli_filter_plugins:
        raise OnlySbatch(f"cli_filter_plugins is {config.cli_filter_plugins}")
    beside = Path(os.environ.get("SLURM_CONF", "/etc/slurm/slurm.conf")).with_name(_PLUGINS)
    for path in (config.plugin_stack_config, beside, f"/run/slurm/conf/{_PLUGINS}"):
        if path and Path(path).exists():
            raise OnlySbatch(f"{path} may hold plugins of sbatch")


def surroundings(config: Any, directory: str) -> dict[str, str]:
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
