"""Fixtures for tests of the store alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(
    params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], scope="module"
)
def one_store(request: pytest.FixtureRequest) -> Iterator[SqlStore]:
    """One store for all drawn workflows; each is a workflow of its own."""
    url = "sqlite://"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_server").create()
    store = SqlStore(url)
    yield store
    store.close()
