"""Alembic's entry: it runs on the connection that the store has opened, in its transaction."""

from __future__ import annotations

from alembic import context

from slurmtorc.store.schema import TABLES

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=TABLES,
    render_as_batch=True,
    transactional_ddl=False,  # the caller's transaction is the transaction
)
context.run_migrations()
