"""The whole boundary: if an effect is not here, the program does not have it.

Adapters are built in wiring.py and nowhere else. Each port has one contract suite in
tests/contract/ that all of its adapters pass.
"""

from __future__ import annotations

from slurmtorc.ports.processes import Exit, Launcher, Order
from slurmtorc.ports.slurm import Ledger, Script, Slurm, Steps
from slurmtorc.ports.store import Page, Rows, Store
from slurmtorc.ports.time import Clock

__all__ = [
    "Clock",
    "Exit",
    "Launcher",
    "Ledger",
    "Order",
    "Page",
    "Rows",
    "Script",
    "Slurm",
    "Steps",
    "Store",
]
