"""Alembic's steps, oldest first in versions/; run by store/migrate.py."""
