"""Stores of earlier schemas with something in them: a store of today, copied column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factories import a_draft, a_job, begin, run_all
from sqlalchemy import MetaData, insert, select, text

from slurmtorc.store import migrate
from slurmtorc.store.dialect import dialect_for
from slurmtorc.store.schema import TABLES
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from sqlalchemy import Connection

OLDER = migrate.REVISIONS[:-1]


def populate(store: SqlStore) -> int:
    """A workflow half way: jobs that are over, that wait, and that wait behind a barrier."""
    jobs = ("a", "b", a_job("c", 0), a_job("d", 2), a_job("e", after=(0,)))
    draft = a_draft(*jobs, barriers=[(2, 3)])
    workflow_id, node_id = begin(store, draft)
    run_all(store, node_id)
    store.retire(node_id)
    return workflow_id


def make_old(url: str, revision: str) -> int:
    """Make a store of an earlier schema at `url`; the id of the workflow in it."""
    new = SqlStore("sqlite://")
    workflow_id = populate(new)
    old = dialect_for(url, create=True)
    with old.engine.connect() as target, old.writing(target, durable=False), target.begin():
        migrate.migrate(target, revision)
        with new._dialect.engine.connect() as source:
            _copy(source, target)
    old.close()
    new.close()
    return workflow_id


def _copy(source: Connection, target: Connection) -> None:
    there = MetaData()
    there.reflect(target)
    for table in TABLES.sorted_tables:
        if table.name not in there.tables:
            continue
        kept = [column for column in table.c if column.name in there.tables[table.name].c]
        rows = [dict(row) for row in source.execute(select(*kept)).mappings()]
        if rows:
            target.execute(insert(table), rows)
        counts = target.dialect.name == "postgresql" and "id" in table.c
        if rows and counts and table.c.id.autoincrement is True:
            sequence = f"setval(pg_get_serial_sequence('{table.name}', 'id'), max(id))"
            target.execute(text(f"SELECT {sequence} FROM {table.name}"))
