"""Before something is changed: the question to whoever sits there, and the rehearsal."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurmtorc.cli.context import State
    from slurmtorc.ports import Store

NO_PROMPTS = click.option("--no-prompts", is_flag=True, help="Do not ask.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing.")


def agreed(state: State, question: str, *, no_prompts: bool) -> bool:
    """Whether it may be done; only a person at a terminal is asked."""
    if no_prompts or state.as_json or not sys.stdin.isatty():
        return True
    return click.confirm(question, err=True)


class _Over(Exception):
    """The rehearsal is over, and nothing of it is kept. Not an error."""


@contextlib.contextmanager
def perhaps(store: Store, *, dry_run: bool) -> Iterator[None]:
    """What is done inside is kept, or undone in a dry run, which so is refused for like reasons."""
    with contextlib.suppress(_Over), store.together():
        yield
        if dry_run:
            raise _Over
