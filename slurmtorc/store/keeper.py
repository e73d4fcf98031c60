"""The store as its keeper sees it: opened without being migrated, and cared for.

Beside SqlStore, whose transactions it uses: a store of an older schema can be copied, looked at
and then migrated, in this order. The verbs are those of ports.Upkeep.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import func, inspect, select, table

from slurmtorc.errors import StoreRefused, StoreTooNew
from slurmtorc.ports import Copy, Facts, Trimmed
from slurmtorc.store import mending, migrate, noting, pruning, soundness, trimming
from slurmtorc.store import schema as t
from slurmtorc.store.postgres import Postgres
from slurmtorc.store.postgres_care import PostgresCare
from slurmtorc.store.sql import SqlStore
from slurmtorc.store.sqlite import Sqlite
from slurmtorc.store.sqlite_care import SqliteCare
from slurmtorc.units import iso_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from slurmtorc.ports import Candidate, Clock, Criteria, Keep, Violation


class Keeper(SqlStore):
    """Cares for one store; see ports.Upkeep."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self.revision = ""
        super().__init__(url, clock, create=False)

    def _open(self) -> None:
        """Look which schema it has, and leave it."""
        dialect = self._dialect
        self._care: SqliteCare | PostgresCare
        if isinstance(dialect, Sqlite):
            self._care = SqliteCare(dialect)
        else:
            assert isinstance(dialect, Postgres), "there are two kinds"
            self._care = PostgresCare(dialect)
        revision = self._ask(migrate.stored_revision)
        if revision is None:
            raise StoreRefused(f"{dialect.shown_url} holds no store; `torc create` makes one")
        self.revision = revision

    def _refuse_other_schemas(self) -> None:
        self.outstanding()
        if self.revision != migrate.HEAD:
            message = f"{self._dialect.shown_url} has schema {self.revision}, not {migrate.HEAD}"
            raise StoreRefused(f"{message}; bring it up to date first: torc store migrate")

    def _note(self, what: str, detail: str | None = None) -> None:
        if self.revision == migrate.HEAD:
            now = self.clock.now()
            self._change(lambda c: noting.note(c, what, now, detail=detail))

    # ── copies and damage ────────────────────────────────────────────────────

    def backup(self, path: Path, *, force: bool = False) -> Copy:
        """Copy the store to a file."""
        with self._our_words():
            self._care.copy(path, force=force)
        self._note("backup", str(path))
        return Copy(str(path), path.stat().st_size, self.revision)

    def check(self) -> list[Violation]:
        """Damage, and what contradicts itself."""
        self._refuse_other_schemas()
        return self._ask(self._care.damage) + self._ask(soundness.violations)

    def repair(self) -> list[Violation]:
        """Recompute what can be."""
        self._refuse_other_schemas()
        now = self.clock.now()
        damage = self._ask(self._care.damage)
        if damage:  # writing into a damaged file makes it worse
            return damage
        return self._change(lambda c: mending.repair(c, now))

    # ── schema, room and facts ───────────────────────────────────────────────

    def outstanding(self) -> tuple[str, ...]:
        """The revisions that are still to come."""
        if self.revision not in migrate.REVISIONS:
            raise StoreTooNew(migrate.too_new(self._dialect.shown_url, self.revision))
        return migrate.REVISIONS[migrate.REVISIONS.index(self.revision) + 1 :]

    def copy_before_migration(self, now: float) -> Path | None:
        """Beside the file, with its schema and the moment in its name."""
        beside = self._care.path
        if beside is None:
            return None
        moment = iso_time(now) or ""
        stamp = moment.partition(".")[0].replace(":", "").replace("-", "")
        return beside.with_name(f"{beside.name}.schema-{self.revision}.{stamp}.backup")

    def migrate(self) -> None:
        """Bring the schema up to date."""
        self._change(lambda c: migrate.bring_up_to_date(c, self._dialect.shown_url))
        self.revision = migrate.HEAD

    def vacuum(self) -> tuple[int, int]:
        """Give room back."""
        self._refuse_other_schemas()
        now = self.clock.now()
        self._ask(lambda c: mending.refuse_active_workers(c, now, "vacuum the store"))
        before = self._ask(self._care.size)
        with self._our_words():
            self._care.vacuum()
        self._note("vacuum")
        return before, self._ask(self._care.size)

    def facts(self) -> Facts:
        """What the store is, and what is in it."""
        return self._ask(self._facts)

    def _facts(self, connection: Connection) -> Facts:
        now, node = self.clock.now(), t.compute_node.c
        alive = select(func.count()).where(node.is_active, node.lease_until > now)
        there = sorted(inspect(connection).get_table_names())
        rows = {
            name: connection.execute(select(func.count()).select_from(table(name))).scalar_one()
            for name in there
            if name in t.TABLES.tables
        }
        newest = self.revision == migrate.HEAD
        return Facts(
            url=self._dialect.shown_url,
            revision=self.revision,
            newest_revision=migrate.HEAD,
            bytes=self._care.size(connection),
            rows=rows,
            active_workers=connection.execute(alive).scalar_one(),
            cared_for=noting.last(connection) if newest else {},
            **self._care.facts(connection),
        )

    # ── what may go ──────────────────────────────────────────────────────────

    def prunable(self, criteria: Criteria) -> list[Candidate]:
        """Workflows that may go."""
        self._refuse_other_schemas()
        now = self.clock.now()
        return self._ask(lambda c: pruning.prunable(c, criteria, now, self._care.size(c)))

    def half_pruned(self) -> list[int]:
        """Workflows whose deletion was interrupted."""
        self._refuse_other_schemas()
        return self._ask(lambda c: noting.subjects(c, pruning.MARK))

    def prune(self, workflow_id: int, listed: Candidate | None = None) -> None:
        """Delete a workflow in small steps."""
        now = self.clock.now()
        if not self._change(lambda c: pruning.begin(c, workflow_id, now, listed)):
            return
        while self._change(lambda c: pruning.step(c, workflow_id)):
            pass
        self._change(lambda c: pruning.finish(c, workflow_id))

    def trim(self, keep: Keep, *, every_s: float = 0, dry_run: bool = False) -> Trimmed | None:
        """Let go of old events and results."""
        self._refuse_other_schemas()
        now = self.clock.now()
        if not dry_run and not self._is_time(now, every_s):
            return None
        most = trimming.AUTOMATIC_MOST if every_s else None
        gone = dict.fromkeys(trimming.TABLES, 0)
        for step in self._steps(keep, now):
            gone[step.table] += self._gone(step, most, dry_run=dry_run)
            if most is not None and sum(gone.values()) >= most:
                break
        return Trimmed(events=gone["event"], results=gone["result"])

    def _is_time(self, now: float, every_s: float) -> bool:
        """Whether it has not been done lately; if so, it is ours to do."""
        last, _ = self._ask(noting.last).get(trimming.MARK, (None, None))
        if every_s and last is not None and last > now - every_s:
            return False
        return self._change(lambda c: noting.note(c, trimming.MARK, now, before=now - every_s))

    def _steps(self, keep: Keep, now: float) -> Iterator[trimming.Step]:
        for workflow_id, run_id in self._ask(trimming.workflows):
            yield from self._ask(partial(trimming.steps, workflow_id, run_id, keep, now))

    def _gone(self, step: trimming.Step, most: int | None, *, dry_run: bool) -> int:
        if dry_run:
            return self._ask(step.count)
        gone = 0
        while (rows := self._change(step.go)) and (most is None or gone < most):
            gone += rows
        return gone
