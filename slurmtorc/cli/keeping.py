"""The store opened for its care, and the tidying that a run's or a watch's end does by itself."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from slurmtorc.cli.render import note
from slurmtorc.errors import TorcError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurmtorc.cli.context import State
    from slurmtorc.ports import Keep, Upkeep
    from slurmtorc.settings import Settings

DAY_S = 86_400.0
IN_MEMORY = "sqlite://"


@contextmanager
def kept_store(state: State) -> Iterator[Upkeep]:
    """The store, for its care only."""
    from slurmtorc.wiring import upkeep

    opened = upkeep(state.settings)
    try:
        yield opened
    finally:
        opened.close()


def keep(settings: Settings) -> Keep:
    """How much of what happened the settings keep."""
    from slurmtorc.ports import Keep

    return Keep(
        events=settings.keep_events,
        event_days=settings.keep_event_days,
        runs=settings.keep_results_runs,
    )


def tidy(state: State) -> None:
    """Let go of what is too old, once a day at most. It never fails what it comes after."""
    if state.store.url == IN_MEMORY:
        return
    try:
        with kept_store(state) as store:
            store.trim(keep(state.settings), every_s=DAY_S)
    except TorcError as error:
        note(f"torc: warning: old events and results could not be removed: {error}")
