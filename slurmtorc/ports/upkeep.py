"""The state's care: copies, checks, room, and what may go. For people and cron, not for workers.

Beside Store, because nothing here is part of running a workflow, and because most of it has to
work on a store of an older schema as it is. What must never happen: a store that is opened for
care changes because of that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Copy:
    """A backup that was checked."""

    path: str
    bytes: int
    revision: str


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that can never be so, if all is well."""

    kind: str
    message: str
    mend: str
    workflow_id: int | None = None
    can_repair: bool = False
    """`repair` recomputes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a store is, and what is in it. None is: not of this kind of database, or not known."""

    url: str
    kind: str
    version: str
    revision: str
    newest_revision: str
    bytes: int
    wal_bytes: int | None = None
    journal_mode: str | None = None
    file_system: str | None = None
    disk_free_bytes: int | None = None
    pages: int | None = None
    free_pages: int | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    """Table -> rows."""
    active_workers: int = 0
    cared_for: Mapping[str, tuple[float, str | None]] = field(default_factory=dict)
    """What was done to it -> when last, and what came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Which workflows may go; a criterion that is None holds for every workflow."""

    statuses: Collection[str]
    user: str | None = None
    idle_since: float | None = None
    """Nothing has happened in it from this moment on."""
    keep_last: int = 0
    """The newest of each user that stay, whatever their status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A workflow that may go, or would if it were not in use."""

    workflow_id: int
    name: str
    user: str
    status: str
    last_active: float
    jobs: int
    results: int
    events: int
    bytes: int
    """Of the database, by its share of the rows."""
    in_use: str | None = None
    """Why it stays."""


@dataclass(frozen=True, slots=True)
class Keep:
    """How much of what happened is kept; 0 is for ever."""

    events: int = 0
    """The newest events of each workflow."""
    event_days: float = 0
    """How old events may get."""
    runs: int = 0
    """The newest runs of each workflow whose results stay."""


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Rows that are gone, or would be."""

    events: int = 0
    results: int = 0


class Upkeep(Protocol):
    """The care of one store. Every verb raises a StoreError of one line."""

    def close(self) -> None:
        """Give back connections and locks."""

    def backup(self, path: Path, *, force: bool = False) -> Copy:
        """Copy the whole store, as it is at one moment, to a file, while others work on.

        The copy is checked before it gets its name. A file of that name stays unless `force`.
        """

    def check(self) -> list[Violation]:
        """Look for damage, and for what contradicts itself. Changes nothing."""

    def repair(self) -> list[Violation]:
        """Recompute what can be; what was wrong. Refused while workers are active."""

    def facts(self) -> Facts:
        """What the store is, and what is in it."""

    def outstanding(self) -> tuple[str, ...]:
        """The revisions between the store's schema and this program's, oldest first."""

    def copy_before_migration(self, now: float) -> Path | None:
        """Where a backup of a store that is about to change lies best; None for a server."""

    def migrate(self) -> None:
        """Bring the schema up to date, all of it or nothing."""

    def vacuum(self) -> tuple[int, int]:
        """Give unused room back; bytes before and after. Refused while workers are active."""

    def prunable(self, criteria: Criteria) -> list[Candidate]:
        """Workflows that may go, oldest first, and those that would if they were not in use."""

    def prune(self, workflow_id: int, listed: Candidate | None = None) -> None:
        """Delete a workflow in small steps; one that was interrupted goes on.

        Raises Conflict for one in use, and for one that has changed since it was `listed`.
        """

    def half_pruned(self) -> list[int]:
        """Workflows whose deletion was interrupted."""

    def trim(self, keep: Keep, *, every_s: float = 0, dry_run: bool = False) -> Trimmed | None:
        """Let go of old events and results, in small steps.

        Never of results of a workflow's newest run, nor of the last one of a job. None if it was
        done less than `every_s` ago.
        """
