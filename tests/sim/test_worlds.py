"""A thousand drawn clusters on which things go wrong, each checked against the same promises."""

from __future__ import annotations

import logging
import os
from random import Random, SystemRandom
from typing import TYPE_CHECKING

import pytest
from drawing import a_world
from promises import broken

from slurmtorc.sim.clock import SimClock
from slurmtorc.sim.store import SimStore
from slurmtorc.sim.world import Simulation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slurmtorc.sim.report import Report

EACH = 125
ALWAYS_THE_SAME = [f"fixed {number}" for number in range(4)]
NEW_EVERY_TIME = 4
"""As many again, of seeds that nobody has tried."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What goes wrong on purpose is logged; nobody reads it here."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def simulated(seed: str, directory: Path, store: SimStore) -> Report:
    world = a_world(Random(seed), str(directory))
    return Simulation(
        world.draft,
        world.site,
        faults=world.faults,
        seed=seed,
        behave=world.behave,
        conditions=world.conditions,
        store=store,
    ).run()


def failures(base: str, directory: Path) -> list[str]:
    store = SimStore(SimClock())
    found = []
    for number in range(EACH):
        seed = f"{base} {number}"
        found += [f"seed {seed!r}: {one}" for one in broken(simulated(seed, directory, store))]
    store.close()
    return found


@pytest.mark.parametrize("base", ALWAYS_THE_SAME)
def test_promises_are_kept_on_known_worlds(base: str, tmp_path: Path) -> None:
    assert failures(base, tmp_path) == []


@pytest.mark.parametrize("number", range(NEW_EVERY_TIME))
def test_promises_are_kept_on_new_worlds(number: int, tmp_path: Path) -> None:
    base = os.environ.get("TORC_TEST_SEED") or f"new {SystemRandom().randrange(10**9)}"
    assert failures(f"{base} {number}", tmp_path) == []
