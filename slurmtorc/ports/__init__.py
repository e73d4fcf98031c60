"""The whole boundary: if an effect is not here, the program does not have it.

Adapters are built in wiring.py and nowhere else. Each port has one contract suite in
tests/contract/ that all of its adapters pass.
"""

from __future__ import annotations

from slurmtorc.ports.processes import Exit, Launcher, Order
from slurmtorc.ports.slurm import Ledger, Script, Slurm, Steps
from slurmtorc.ports.store import EVERYTHING, NEWEST, Page, Rows, Store
from slurmtorc.ports.time import Clock
from slurmtorc.ports.upkeep import (
    Candidate,
    Copy,
    Criteria,
    Facts,
    Keep,
    Trimmed,
    Upkeep,
    Violation,
)

__all__ = [
    "EVERYTHING",
    "NEWEST",
    "Candidate",
    "Clock",
    "Copy",
    "Criteria",
    "Exit",
    "Facts",
    "Keep",
    "Launcher",
    "Ledger",
    "Order",
    "Page",
    "Rows",
    "Script",
    "Slurm",
    "Steps",
    "Store",
    "Trimmed",
    "Upkeep",
    "Violation",
]
