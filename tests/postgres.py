"""A real Postgres server for the tests, started and removed by them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from bench.postgres import NoPostgres, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

TEST_SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""Nobody pulls the plug while the tests run."""


def a_server(**settings: str) -> Server:
    """A server that is not yet started; without its programs the test is skipped."""
    try:
        return Server({**TEST_SETTINGS, **settings})
    except NoPostgres as error:
        if os.environ.get("TORC_TEST_REQUIRE"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """One server for the whole session."""
    server = a_server()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def own_postgres() -> Iterator[Server]:
    """A server that a test may stop and start."""
    server = a_server(synchronous_commit="on")  # what was promised outlives a stop at once
    server.start()
    yield server
    server.remove()


@pytest.fixture
def fresh_postgres(postgres_server: Server) -> str:
    """The URL of an empty database."""
    return postgres_server.create()
